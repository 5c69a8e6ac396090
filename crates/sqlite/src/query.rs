//! Typed queries over one table.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::expr::{Expr, Order};
use crate::row::{RowCursor, Rows};
use crate::{SqliteError, Table, Value, ValueError};

/// Something that can be read from the state.
pub trait Query: Clone + Send + Sync + 'static {
    /// What reading it gives.
    type Output: Clone + Send + Sync + 'static;

    /// Returns the SQL text and the values for its `?`, in order.
    fn compile(&self) -> Result<(String, Vec<Value>), ValueError>;

    /// Collects the rows of the running statement.
    fn collect(&self, rows: RowCursor<'_>) -> Result<Self::Output, SqliteError>;
}

/// A selection of rows of table `T`.
#[derive(Debug)]
pub struct Select<T> {
    filter: Option<Expr<T>>,
    order: Vec<Order<T>>,
    limit: Option<u32>,
    offset: u32,
}

impl<T> Clone for Select<T> {
    fn clone(&self) -> Self {
        let Self { filter, order, limit, offset } = self;
        Self { filter: filter.clone(), order: order.clone(), limit: *limit, offset: *offset }
    }
}

impl<T: Table> Select<T> {
    pub(crate) fn new() -> Self {
        Self { filter: None, order: Vec::new(), limit: None, offset: 0 }
    }

    /// Keeps the rows for which the condition holds; several filters all have to hold.
    #[must_use]
    pub fn filter(mut self, condition: Expr<T>) -> Self {
        self.filter = Some(match self.filter {
            None => condition,
            Some(before) => before.and(condition),
        });
        self
    }

    /// Orders by a column, after the orders given before.
    #[must_use]
    pub fn order_by(mut self, order: impl Into<Order<T>>) -> Self {
        self.order.push(order.into());
        self
    }

    /// Takes at most this many rows.
    #[must_use]
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Leaves out this many rows first.
    #[must_use]
    pub fn offset(mut self, rows: u32) -> Self {
        self.offset = rows;
        self
    }

    /// Counts the rows instead of reading them.
    pub fn count(self) -> Count<T> {
        Count(self)
    }

    /// Reads the first row, or `None`.
    pub fn first(self) -> First<T> {
        let limit = self.limit.map_or(1, |rows| rows.min(1));
        First(self.limit(limit))
    }

    fn write(&self, sql: &mut String, binds: &mut Vec<Value>) -> Result<(), ValueError> {
        if let Some(filter) = &self.filter {
            sql.push_str(" WHERE ");
            filter.write(sql, binds)?;
        }
        for (index, order) in self.order.iter().enumerate() {
            sql.push_str(if index == 0 { " ORDER BY " } else { ", " });
            order.write(sql);
        }
        if self.limit.is_some() || self.offset > 0 {
            // SQLite has no OFFSET without LIMIT; -1 is its word for "no limit".
            let limit = self.limit.map_or(-1, i64::from);
            let _ = write!(sql, " LIMIT {limit} OFFSET {}", self.offset);
        }
        Ok(())
    }
}

impl<T: Table> Query for Select<T> {
    type Output = Rows<T>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        let (mut sql, mut binds) = (String::from(&*T::sql().select), Vec::new());
        self.write(&mut sql, &mut binds)?;
        Ok((sql, binds))
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<Rows<T>, SqliteError> {
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(T::from_row(row)?);
        }
        Ok(out.into_iter().collect())
    }
}

/// The number of rows of a selection.
#[derive(Debug)]
pub struct Count<T>(Select<T>);

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Table> Query for Count<T> {
    type Output = u64;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        let (selected, binds) = self.0.compile()?;
        Ok((format!("SELECT count(*) FROM ({selected})"), binds))
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<u64, SqliteError> {
        let count: Option<i64> = rows.next()?.map(|row| row.get(0, "count(*)")).transpose()?;
        Ok(count.unwrap_or(0).unsigned_abs())
    }
}

/// The first row of a selection.
#[derive(Debug)]
pub struct First<T>(Select<T>);

impl<T> Clone for First<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Table> Query for First<T> {
    type Output = Option<Arc<T>>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<Self::Output, SqliteError> {
        let row = rows.next()?.map(T::from_row).transpose()?;
        Ok(row.map(Arc::new))
    }
}
