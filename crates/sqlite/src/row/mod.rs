//! Rows: borrowed while a query runs, owned and shared afterwards.

mod diff;
mod from_row;
mod list;
mod rows;

use std::sync::Arc;

use rusqlite::types::ValueRef;

use crate::column_value::decode;
use crate::date_functions::without_pure_dates;
use crate::{ColumnValue, DecodeError, SqliteError, Value};

pub(crate) use diff::by_key;
pub use diff::{Diff, DiffStep};
pub use from_row::{FromRow, RowColumns};
pub(crate) use list::List;
pub(crate) use rows::History;
pub use rows::Rows;

/// The rows of a running query.
pub struct RowCursor<'a> {
    rows: rusqlite::Rows<'a>,
    sql: &'a str,
}

impl<'a> RowCursor<'a> {
    pub(crate) fn new(rows: rusqlite::Rows<'a>, sql: &'a str) -> Self {
        Self { rows, sql }
    }

    /// Steps to the next row.
    #[expect(clippy::should_implement_trait, reason = "a row borrows the cursor")]
    pub fn next(&mut self) -> Result<Option<RowRef<'_>>, SqliteError> {
        let row = self.rows.next().map_err(|error| SqliteError::new(error, self.sql))?;
        Ok(row.map(|row| RowRef { row, start: 0, places: None }))
    }

    /// Returns the number of the result's columns.
    pub fn column_count(&self) -> usize {
        self.rows.as_ref().map_or(0, rusqlite::Statement::column_count)
    }

    /// Returns the statement's text, for messages.
    pub(crate) fn sql(&self) -> &'a str {
        self.sql
    }

    /// Copies all rows, each with the names of its columns.
    pub(crate) fn into_rows(mut self) -> Result<Rows<Row>, SqliteError> {
        let mut out = Vec::new();
        let columns = self.column_names();
        while let Some(row) = self.next()? {
            out.push(row.to_row(&columns));
        }
        Ok(out.into_iter().collect())
    }

    /// Returns the names of the result's columns.
    pub fn column_names(&self) -> Arc<[Box<str>]> {
        let statement = self.rows.as_ref();
        let names = statement.into_iter().flat_map(rusqlite::Statement::column_names);
        names.map(|name| without_pure_dates(name).into()).collect()
    }
}

/// One row of a running query.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    row: &'a rusqlite::Row<'a>,
    /// Columns of the row that come before its first.
    start: usize,
    /// Where its columns stand, if not one after the other.
    places: Option<&'a [usize]>,
}

impl<'a> RowRef<'a> {
    /// Reads a column by index; `name` is for the message.
    pub fn get<V: ColumnValue>(self, index: usize, name: &str) -> Result<V, DecodeError> {
        decode(self.raw(index), || name.into(), "make the field an Option")
    }

    /// Reads a column by index; the message names it as the result does.
    pub(crate) fn at<V: ColumnValue>(self, index: usize) -> Result<V, DecodeError> {
        let name = || {
            let name = self.row.as_ref().column_name(self.place(index));
            name.map_or_else(|_| (index + 1).to_string(), |name| without_pure_dates(name).into())
        };
        let if_null = "read it as an Option, which `optional()` makes of an expression";
        decode(self.raw(index), name, if_null)
    }

    fn place(self, index: usize) -> usize {
        match self.places {
            None => self.start + index,
            Some(places) => places.get(index).copied().unwrap_or(usize::MAX),
        }
    }

    fn raw(self, index: usize) -> ValueRef<'a> {
        self.row.get_ref(self.place(index)).unwrap_or(ValueRef::Null)
    }

    /// Leaves out the first columns.
    pub(crate) fn skip(self, columns: usize) -> Self {
        Self { start: self.start + columns, ..self }
    }

    /// Takes the columns at these places instead, if there are any.
    pub(crate) fn by_places(self, places: &'a [usize]) -> Self {
        Self { places: (!places.is_empty()).then_some(places), ..self }
    }

    /// Tells whether the first columns are all null.
    pub(crate) fn is_null(self, columns: usize) -> bool {
        (0..columns).all(|index| matches!(self.raw(index), ValueRef::Null))
    }

    /// Copies a column's value as it is stored, by index; null if there is no such column.
    pub fn value(self, index: usize) -> Value {
        Value::from_sql(self.raw(index))
    }

    /// Returns the names of the first columns.
    pub(crate) fn column_names(self, count: usize) -> Arc<[Box<str>]> {
        let name = |index| {
            let name = self.row.as_ref().column_name(self.place(index)).unwrap_or_default();
            without_pure_dates(name).into()
        };
        (0..count).map(name).collect()
    }

    pub(crate) fn to_row(self, columns: &Arc<[Box<str>]>) -> Row {
        let values = (0..columns.len()).map(|index| self.value(index)).collect();
        Row { columns: columns.clone(), values }
    }
}

/// One row of a raw query, with its values and column names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Arc<[Box<str>]>,
    values: Box<[Value]>,
}

impl Row {
    /// Reads a column by name.
    pub fn get<V: ColumnValue>(&self, column: &str) -> Result<V, DecodeError> {
        let index = self.columns.iter().position(|name| **name == *column);
        let value = index.map(|index| &self.values[index]).ok_or_else(|| DecodeError {
            column: column.into(),
            expected: std::any::type_name::<V>(),
            found: format!("only the columns {}", self.columns.join(", ")),
            advice: None,
        })?;
        decode(value.as_sql(), || column.into(), "read it as an Option")
    }

    /// Returns the names of the columns.
    pub fn columns(&self) -> &[Box<str>] {
        &self.columns
    }

    /// Returns the values in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
