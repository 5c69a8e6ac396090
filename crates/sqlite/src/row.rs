//! Rows: borrowed while a query runs, owned and shared afterwards.

use std::ops::Index;
use std::sync::Arc;

use rusqlite::types::ValueRef;

use crate::column_value::decode;
use crate::{ColumnValue, DecodeError, SqliteError, Value};

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
        Ok(row.map(RowRef))
    }

    /// Returns the names of the result's columns.
    pub fn column_names(&self) -> Arc<[Box<str>]> {
        let statement = self.rows.as_ref();
        statement.into_iter().flat_map(rusqlite::Statement::column_names).map(Into::into).collect()
    }
}

/// One row of a running query.
#[derive(Clone, Copy)]
pub struct RowRef<'a>(&'a rusqlite::Row<'a>);

impl RowRef<'_> {
    /// Reads a column by index; `name` is for the message.
    pub fn get<V: ColumnValue>(self, index: usize, name: &str) -> Result<V, DecodeError> {
        let value = self.0.get_ref(index).unwrap_or(ValueRef::Null);
        decode(value, || name.into())
    }

    /// Copies a column's value as it is stored, by index; null if there is no such column.
    pub fn value(self, index: usize) -> Value {
        Value::from_sql(self.0.get_ref(index).unwrap_or(ValueRef::Null))
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
        })?;
        decode(value.as_sql(), || column.into())
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

/// A snapshot of a list of rows; a clone shares them.
#[derive(Debug)]
pub struct Rows<T>(Arc<[Arc<T>]>);

impl<T> Rows<T> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the row at an index.
    pub fn get(&self, index: usize) -> Option<&Arc<T>> {
        self.0.get(index)
    }

    /// Walks over the rows in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> + ExactSizeIterator {
        self.0.iter()
    }

    /// Copies the rows out.
    pub fn to_vec(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.0.iter().map(|row| T::clone(row)).collect()
    }
}

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for Rows<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self(rows.into_iter().map(Arc::new).collect())
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.0[index]
    }
}

impl<'a, T> IntoIterator for &'a Rows<T> {
    type Item = &'a Arc<T>;
    type IntoIter = std::slice::Iter<'a, Arc<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
