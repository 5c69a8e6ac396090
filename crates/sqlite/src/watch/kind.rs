//! Which type of values an expression has.

use crate::Value;
use crate::ast::{Arithmetic, Column, Expr, Function};

/// Returns the name of a column's type, if there is such a column.
pub(crate) type KindOfColumn<'a> = dyn Fn(&Column) -> Option<&'static str> + 'a;

/// Returns the name of the one type that an expression's values have besides null, if that is known;
/// an integer that grows too large becomes a real nevertheless.
pub(crate) fn kind_of(expr: &Expr, columns: &KindOfColumn<'_>) -> Option<&'static str> {
    let kind = |expr: &Expr| kind_of(expr, columns);
    let common = |all: &mut dyn Iterator<Item = &Expr>| {
        let mut kinds = all.filter(|one| **one != Expr::Value(Value::Null)).map(kind);
        let first = kinds.next()??;
        kinds.all(|other| other == Some(first)).then_some(first)
    };
    match expr.as_written() {
        Expr::Column(column) => columns(column),
        Expr::Value(value) => kind_of_value(value),
        Expr::Compare { .. }
        | Expr::And(_)
        | Expr::Or(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::In { .. }
        | Expr::Between { .. }
        | Expr::Contains { .. } => Some("INTEGER"),
        Expr::Calculate { operator: Arithmetic::Concat, .. } => Some("TEXT"),
        Expr::Calculate { left, right, .. } => {
            common(&mut [&**left, right].into_iter()).filter(|kind| *kind == "INTEGER")
        }
        Expr::Case { whens, otherwise } => {
            common(&mut whens.iter().map(|when| &when.value).chain(otherwise.as_deref()))
        }
        Expr::Cast { to, .. } => Some(to.sql()),
        Expr::Call { function, arguments } => match function {
            Function::Length | Function::Instr | Function::JsonArrayLength => Some("INTEGER"),
            Function::Abs | Function::Nullif => kind(arguments.first()?),
            Function::Substr if kind(arguments.first()?)? == "BLOB" => Some("BLOB"),
            Function::JsonType
            | Function::Lower
            | Function::Replace
            | Function::Substr
            | Function::Trim
            | Function::Upper => Some("TEXT"),
            Function::Coalesce => common(&mut arguments.iter()),
            Function::Round => None,
        },
        _ => None,
    }
}

/// Returns the name of a value's type.
pub(crate) fn kind_of_value(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Integer(_) => "INTEGER",
        Value::Real(_) => "REAL",
        Value::Text(_) => "TEXT",
        Value::Blob(_) => "BLOB",
    })
}
