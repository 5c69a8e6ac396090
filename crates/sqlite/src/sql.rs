//! SQL text: literals, marks, and the raw read-only query.

use std::fmt::Write as _;

use crate::query::Query;
use crate::row::{Row, RowCursor};
use crate::{SqliteError, Value, ValueError};

/// Stands in front of statements prepared for [`StateRead`](crate::StateRead).
///
/// SQLite asks the authorizer only when a statement is prepared, and prepared statements are
/// cached by their text. A mark of its own for each view keeps a statement that one view was
/// allowed to prepare out of the hands of another.
pub(crate) const READ_MARK: &str = "/*read*/ ";
/// Stands in front of the queries of materializers.
pub(crate) const MATERIALIZE_MARK: &str = "/*materialize*/ ";
/// Stands in front of the writes of materializers.
pub(crate) const WRITE_MARK: &str = "/*write*/ ";

pub(crate) fn mark(mark: &str, sql: &str) -> Box<str> {
    [mark, sql].concat().into()
}

/// Removes the mark again, for messages.
pub(crate) fn without_mark(sql: &str) -> &str {
    let marks = [READ_MARK, MATERIALIZE_MARK, WRITE_MARK];
    marks.iter().find_map(|mark| sql.strip_prefix(mark)).unwrap_or(sql)
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

/// A raw SQL query with bound values; it can read every state table and write nothing.
///
/// ```
/// # use livestore_sqlite::Sql;
/// let busiest = Sql::new("SELECT path, count(*) AS changes FROM files GROUP BY path LIMIT ?").bind(10);
/// ```
#[derive(Debug, Clone)]
pub struct Sql {
    text: String,
    binds: Vec<Value>,
}

impl Sql {
    /// Wraps the text of one statement; `?` stands for a bound value.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), binds: Vec::new() }
    }

    /// Binds the next `?`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.binds.push(value.into());
        self
    }
}

impl Query for Sql {
    type Output = Vec<Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        Ok((self.text.clone(), self.binds.clone()))
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<Vec<Row>, SqliteError> {
        let mut out = Vec::new();
        let columns = rows.column_names();
        while let Some(row) = rows.next()? {
            out.push(row.to_row(&columns));
        }
        Ok(out)
    }
}
