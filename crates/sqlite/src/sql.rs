//! SQL text: literals and marks.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::date_functions::without_pure_dates;
use crate::{Scope, Value};

/// Stands in front of statements prepared for [`StateRead`](crate::StateRead).
///
/// SQLite asks the authorizer only when a statement is prepared, and prepared statements are
/// cached by their text. A mark of its own for each view and scope keeps a statement that one was
/// allowed to prepare out of the hands of another.
pub(crate) const READ_MARK: &str = "/*read*/ ";
const SYNCED_READ_MARK: &str = "/*read for synced*/ ";
const CLIENT_READ_MARK: &str = "/*read for client*/ ";
const MEMORY_READ_MARK: &str = "/*read for memory*/ ";
pub(crate) const SYNCED_WRITE_MARK: &str = "/*write synced*/ ";
const CLIENT_WRITE_MARK: &str = "/*write client*/ ";
const MEMORY_WRITE_MARK: &str = "/*write memory*/ ";

const MARKS: [&str; 7] = [
    READ_MARK,
    SYNCED_READ_MARK,
    CLIENT_READ_MARK,
    MEMORY_READ_MARK,
    SYNCED_WRITE_MARK,
    CLIENT_WRITE_MARK,
    MEMORY_WRITE_MARK,
];

/// Returns what stands in front of the queries of materializers of events of a scope.
pub(crate) fn materialize_mark(event: Scope) -> &'static str {
    match event {
        Scope::Synced => SYNCED_READ_MARK,
        Scope::Client => CLIENT_READ_MARK,
        Scope::Memory => MEMORY_READ_MARK,
    }
}

pub(crate) fn mark(mark: &str, sql: &str) -> Box<str> {
    [mark, sql].concat().into()
}

/// Marks a write.
///
/// It is made before anybody knows which event it belongs to. Nearly all are those of synced
/// events, so it gets their mark, and the constant text of an insert runs as it is.
pub(crate) fn mark_write(sql: &str) -> Box<str> {
    mark(SYNCED_WRITE_MARK, sql)
}

/// Returns a marked write with the mark of the event that it turned out to belong to.
pub(crate) fn mark_write_for(event: Scope, marked: &str) -> Cow<'_, str> {
    let mark = match event {
        Scope::Synced => return Cow::Borrowed(marked),
        Scope::Client => CLIENT_WRITE_MARK,
        Scope::Memory => MEMORY_WRITE_MARK,
    };
    Cow::Owned([mark, without_mark(marked)].concat())
}

/// Removes the mark again.
pub(crate) fn without_mark(sql: &str) -> &str {
    MARKS.iter().find_map(|mark| sql.strip_prefix(mark)).unwrap_or(sql)
}

/// Returns what somebody wrote of a marked statement, for messages.
pub(crate) fn as_written(marked: &str) -> Cow<'_, str> {
    without_pure_dates(without_mark(marked))
}

/// Writes a value as an SQL literal that reads back as the same value.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(value) => value.to_string(),
        // The debug form is the shortest that reads back exactly, and always has a point or an
        // exponent, so SQLite takes it for a real.
        Value::Real(value) => format!("{value:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => {
            let mut text = String::from("x'");
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\'');
            text
        }
    }
}
