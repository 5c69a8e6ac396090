//! Queries in SQL, for everything that the builder has no words for.

use std::marker::PhantomData;

use super::{First, FirstOr, FirstOrError, Query, RowQuery, Watch};
use crate::row::{FromRow, Row, RowCursor, Rows};
use crate::{SqliteError, Value, ValueError};

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

    /// Reads the rows as `T`.
    pub fn rows_as<T: FromRow + Send + Sync + 'static>(self) -> QueryAs<T> {
        QueryAs { sql: self, row: PhantomData }
    }
}

impl Query for Sql {
    type Output = Rows<Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        Ok((self.text.clone(), self.binds.clone()))
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Rows<Row>, SqliteError> {
        rows.into_rows()
    }

    fn is_plain(&self) -> bool {
        true
    }
}

impl Watch for Sql {
    fn reuse(&self, before: &Rows<Row>, now: Rows<Row>) -> Rows<Row> {
        now.reusing(before)
    }
}

/// Makes a raw SQL query whose rows are read as `T`: a single value, a tuple of values in the order
/// of the result's columns, or a struct with `#[derive(FromRow)]`, which reads them by name.
///
/// ```
/// # use livestore_sqlite::query_as;
/// let busiest = query_as::<(String, i64)>("SELECT path, count(*) FROM files GROUP BY 1 LIMIT ?").bind(10);
/// ```
pub fn query_as<T: FromRow + Send + Sync + 'static>(text: impl Into<String>) -> QueryAs<T> {
    Sql::new(text).rows_as()
}

/// A raw SQL query whose rows are read as `T`.
#[derive(Debug)]
pub struct QueryAs<T> {
    sql: Sql,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for QueryAs<T> {
    fn clone(&self) -> Self {
        Self { sql: self.sql.clone(), row: PhantomData }
    }
}

impl<T: FromRow + Send + Sync + 'static> QueryAs<T> {
    /// Binds the next `?`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.sql = self.sql.bind(value);
        self
    }

    /// Reads the first row, or `None`.
    pub fn first(self) -> First<Self> {
        First::new(self)
    }

    /// Reads the first row; if there is none, that is an error.
    pub fn first_or_error(self) -> FirstOrError<Self> {
        FirstOrError::new(self)
    }

    /// Reads the first row; if there is none, takes this one.
    pub fn first_or(self, fallback: T) -> FirstOr<Self> {
        FirstOr::new(self, fallback)
    }
}

impl<T: FromRow + Send + Sync + 'static> Query for QueryAs<T> {
    type Output = Rows<T>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.sql.compile()
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<Rows<T>, SqliteError> {
        let places = places::<T>(&mut rows)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(T::from_row(row.by_places(&places))?);
        }
        Ok(out.into_iter().collect())
    }

    fn is_plain(&self) -> bool {
        true
    }
}

impl<T: FromRow + PartialEq + Send + Sync + 'static> Watch for QueryAs<T> {
    fn reuse(&self, before: &Rows<T>, now: Rows<T>) -> Rows<T> {
        now.reusing(before)
    }
}

impl<T: FromRow + Send + Sync + 'static> RowQuery for QueryAs<T> {
    type Row = T;

    fn collect_first(&self, mut rows: RowCursor<'_>) -> Result<Option<T>, SqliteError> {
        let places = places::<T>(&mut rows)?;
        Ok(rows.next()?.map(|row| T::from_row(row.by_places(&places))).transpose()?)
    }
}

/// Finds out where the columns of `T` stand in a result.
fn places<T: FromRow>(rows: &mut RowCursor<'_>) -> Result<Vec<usize>, SqliteError> {
    T::COLUMNS.find_in(&rows.column_names(), std::any::type_name::<T>()).or_else(|error| {
        // Some statements ask for permission only while they run, and their columns do not matter
        // if they must not run at all.
        rows.next()?;
        Err(error.into())
    })
}
