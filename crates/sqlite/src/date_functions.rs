//! SQL's date functions without the present moment and without the machine's time zone, for
//! materializers.
//!
//! Apps use SQLite's own. A materializer's text has the same names, but what it calls are functions
//! of ours, which refuse what would differ between two clients, and leave the rest to SQLite. The
//! authorizer knows these alone, so a name that was overlooked here is refused, not called.
//!
//! Definitions of tables call SQLite's own, since it makes the same difference for them itself.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Error, Result, params_from_iter};

use crate::authorizer::Authorizer;

/// The functions, with the number of arguments before the moment that they are about.
const FUNCTIONS: [(&str, usize); 7] = [
    ("date", 0),
    ("datetime", 0),
    ("julianday", 0),
    ("strftime", 1),
    ("time", 0),
    ("timediff", 0),
    ("unixepoch", 0),
];

/// Stands in front of the names of ours.
const PREFIX: &str = "__livestore_";

/// Tells whether a function is one of SQLite's own about dates.
pub(crate) fn is_date_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(function, _)| name.eq_ignore_ascii_case(function))
}

/// Tells whether a function is one of ours about dates.
pub(crate) fn is_pure_date_function(name: &str) -> bool {
    pure_date_function(name).is_some()
}

/// Returns the name of SQLite's function that one of ours stands for.
fn pure_date_function(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX).filter(|name| is_date_function(name))
}

/// Registers our functions.
pub(crate) fn register(connection: &rusqlite::Connection, authorizer: &Authorizer) -> Result<()> {
    // One connection for all of them, and none before the first call.
    let calculator = Arc::new(Mutex::new(None));
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, before) in FUNCTIONS {
        let (calculator, authorizer) = (Arc::clone(&calculator), authorizer.clone());
        let pure_name = format!("{PREFIX}{name}");
        connection.create_scalar_function(&*pure_name, -1, flags, move |context| {
            let Some(refused) = refused(before, context) else {
                return calculate(&calculator, name, context);
            };
            authorizer.deny(format!("the function {name} with {refused}"));
            Err(Error::UserFunctionError(refused.into()))
        })?;
    }
    Ok(())
}

/// Returns what a call would ask for that differs between clients.
fn refused(before: usize, context: &Context<'_>) -> Option<&'static str> {
    const PRESENT: &str = "the present moment, which differs between clients,";
    if context.len() <= before {
        return Some(PRESENT);
    }
    (before..context.len()).find_map(|index| {
        let (ValueRef::Text(word) | ValueRef::Blob(word)) = context.get_raw(index) else {
            return None;
        };
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        // SQLite takes a fraction without a moment for the present.
        let is_present = is("now") || index == before && (is("subsec") || is("subsecond"));
        let is_local = is("localtime") || is("utc");
        let local = "the machine's time zone, which differs between clients,";
        is_present.then_some(PRESENT).or(is_local.then_some(local))
    })
}

fn calculate(
    calculator: &Mutex<Option<rusqlite::Connection>>,
    name: &str,
    context: &Context<'_>,
) -> Result<SqlValue> {
    // A connection has no half-done state between two of these statements.
    let mut calculator = calculator.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = match &mut *calculator {
        Some(connection) => connection,
        none => none.insert(rusqlite::Connection::open_in_memory()?),
    };
    let marks = vec!["?"; context.len()].join(", ");
    let mut statement = connection.prepare_cached(&format!("SELECT {name}({marks})"))?;
    let arguments = (0..context.len()).map(|index| SqlValue::try_from(context.get_raw(index)));
    let arguments = arguments.collect::<std::result::Result<Vec<_>, _>>()?;
    statement.query_row(params_from_iter(arguments), |row| row.get(0))
}

/// Tells whether an expression of a definition names the present moment or the machine's time zone
/// beside a date function.
///
/// SQLite refuses them too, but not before a row is written.
pub(crate) fn asks_for_present(expression: &str) -> bool {
    let (mut calls, mut asks) = (false, false);
    for (_, token) in tokens(expression) {
        calls |= is_date_function(token);
        asks |=
            ["'now'", "'localtime'", "'utc'"].iter().any(|word| token.eq_ignore_ascii_case(word));
    }
    calls && asks
}

/// Makes calls of SQLite's date functions in a statement calls of ours.
pub(crate) fn with_pure_dates(sql: &str) -> Cow<'_, str> {
    let (mut out, mut copied) = (String::new(), 0);
    for (at, token) in tokens(sql) {
        if is_date_function(token) && is_call(&sql[at + token.len()..]) {
            out.push_str(&sql[copied..at]);
            out.push_str(PREFIX);
            copied = at;
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(sql);
    }
    out.push_str(&sql[copied..]);
    Cow::Owned(out)
}

/// Returns the name that a column of a result would have if SQLite's functions had been called:
/// without another name, it is the text of its expression.
pub(crate) fn without_pure_dates(name: &str) -> Cow<'_, str> {
    if !name.contains(PREFIX) {
        return Cow::Borrowed(name);
    }
    tokens(name).map(|(_, token)| pure_date_function(token).unwrap_or(token)).collect()
}

/// Tells whether what comes after the name of a function calls it.
fn is_call(after: &str) -> bool {
    let is_space = |token: &str| {
        let is_comment = token.starts_with("--") || token.starts_with("/*");
        is_comment || token.bytes().all(|byte| byte.is_ascii_whitespace())
    };
    let mut tokens = tokens(after).map(|(_, token)| token).filter(|token| !is_space(token));
    if tokens.next() != Some("(") {
        return false;
    }
    let mut depth = 1;
    while depth > 0 {
        match tokens.next() {
            Some("(") => depth += 1,
            Some(")") => depth -= 1,
            Some(_) => {}
            None => return true,
        }
    }
    // `WITH date(day) AS (…)` gives a table and its columns names.
    let is = |token: Option<&str>, word| token.is_some_and(|t| t.eq_ignore_ascii_case(word));
    if !is(tokens.next(), "AS") {
        return true;
    }
    let hints = ["NOT", "MATERIALIZED"];
    tokens.find(|token| !hints.iter().any(|hint| is(Some(token), hint))) != Some("(")
}

/// Cuts a text into tokens, each with the index at which it begins.
fn tokens(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let at = end;
        end = (at < sql.len()).then(|| end_of_token(sql.as_bytes(), at))?;
        Some((at, &sql[at..end]))
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Returns where the token ends that begins at an index: a word, a quoted text or name, a comment,
/// or else one byte.
fn end_of_token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    // Where the token goes on until a byte, which is part of it, or else until the end.
    let until = |end: u8| rest[1..].iter().position(|byte| *byte == end).map(|found| found + 2);
    let len = match rest {
        // A doubled quote ends one token and begins another, to the same effect.
        [quote @ (b'\'' | b'"' | b'`'), ..] => until(*quote),
        [b'[', ..] => until(b']'),
        [b'-', b'-', ..] => until(b'\n'),
        [b'/', b'*', ..] => {
            rest[2..].windows(2).position(|end| end == b"*/").map(|found| found + 4)
        }
        [first, ..] if is_word(*first) => rest.iter().position(|byte| !is_word(*byte)),
        _ => Some(1),
    };
    at + len.unwrap_or(rest.len())
}
