//! SQLite's order of values, for what is decided without asking it.
//!
//! Null comes first, then numbers by their value whatever their type, texts, and blobs; see
//! <https://www.sqlite.org/datatype3.html#comparison_expressions>. Only values that no affinity would
//! change are compared here, which is for the callers to see to.

use std::cmp::Ordering;

use crate::{Collation, Value};

/// Compares two values as SQLite orders them.
pub(crate) fn compare(a: &Value, b: &Value, collation: Collation) -> Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => compare_reals(*a, *b),
        (Value::Integer(a), Value::Real(b)) => compare_mixed(*a, *b),
        (Value::Real(a), Value::Integer(b)) => compare_mixed(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) => compare_texts(a, b, collation),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    }
}

fn class(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

/// Zeros are equal whatever their sign, and SQLite stores no NaN.
fn compare_reals(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}

/// The least real that is greater than every integer.
const ABOVE_ALL: f64 = 9_223_372_036_854_775_808.0;

/// Compares exactly: a conversion to a real would round.
fn compare_mixed(integer: i64, real: f64) -> Ordering {
    if real >= ABOVE_ALL {
        return Ordering::Less;
    }
    if real < -ABOVE_ALL {
        return Ordering::Greater;
    }
    let whole = real.trunc();
    integer.cmp(&(whole as i64)).then_with(|| compare_reals(whole, real))
}

fn compare_texts(a: &str, b: &str, collation: Collation) -> Ordering {
    match collation {
        Collation::Binary => a.cmp(b),
        Collation::NoCase => compare_nocase(a.as_bytes(), b.as_bytes()),
        Collation::RTrim => a.trim_end_matches(' ').cmp(b.trim_end_matches(' ')),
    }
}

/// Compares as `sqlite3StrNICmp` does: up to the first byte that differs or is NUL, and by length then.
fn compare_nocase(a: &[u8], b: &[u8]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        match a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()) {
            Ordering::Equal if *a == 0 => break,
            Ordering::Equal => {}
            different => return different,
        }
    }
    a.len().cmp(&b.len())
}

/// Gives equal values one form, which can be looked up.
pub(crate) fn normalized(value: &Value) -> Value {
    match value {
        Value::Real(real) if real.fract() == 0.0 && (-ABOVE_ALL..ABOVE_ALL).contains(real) => {
            Value::Integer(*real as i64)
        }
        other => other.clone(),
    }
}
