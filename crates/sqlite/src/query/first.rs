//! Queries for less than all rows: the first one, or how many there are.

use std::sync::Arc;

use super::{Query, RowQuery, Watch};
use crate::row::{RowCursor, Rows};
use crate::watch::{CountView, Mapped, View, exact_guard};
use crate::{SqliteError, TableDef, Value, ValueError, ast};

/// The number of rows of a selection.
#[derive(Debug, Clone)]
pub struct Count<Q>(Q);

impl<Q> Count<Q> {
    pub(super) fn new(query: Q) -> Self {
        Self(query)
    }
}

impl<Q: RowQuery> Query for Count<Q> {
    type Output = u64;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        let (selected, binds) = self.0.compile_unordered()?;
        Ok((format!("SELECT count(*) FROM ({selected})"), binds))
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<u64, SqliteError> {
        let count: Option<i64> = rows.next()?.map(|row| row.get(0, "count(*)")).transpose()?;
        Ok(count.unwrap_or(0).unsigned_abs())
    }

    fn is_plain(&self) -> bool {
        self.0.is_plain()
    }

    fn selection(&self) -> Option<&ast::Select> {
        self.0.selection()
    }

    fn collector(&self) -> Self {
        Self(self.0.collector())
    }
}

impl<Q: RowQuery> Watch for Count<Q> {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<u64>>> {
        let guard = self.0.selection().and_then(|select| exact_guard(select, tables));
        let (text, binds) = self.compile().ok()?;
        Some(Box::new(CountView::new(text, binds, guard?)))
    }
}

/// The first row of a selection or of a write, or `None`.
#[derive(Debug, Clone)]
pub struct First<Q>(pub(crate) Q);

impl<Q> First<Q> {
    pub(crate) fn new(query: Q) -> Self {
        Self(query)
    }
}

impl<Q: RowQuery> Query for First<Q> {
    type Output = Option<Arc<Q::Row>>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Self::Output, SqliteError> {
        Ok(self.0.collect_first(rows)?.map(Arc::new))
    }

    fn is_plain(&self) -> bool {
        self.0.is_plain()
    }

    fn selection(&self) -> Option<&ast::Select> {
        self.0.selection()
    }

    fn collector(&self) -> Self {
        Self(self.0.collector())
    }
}

impl<Q: Watch + RowQuery<Row: PartialEq>> Watch for First<Q> {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Self::Output>>> {
        let first = |rows: Rows<Q::Row>| Ok(rows.first().cloned());
        Some(Box::new(Mapped::new(self.0.view(tables)?, first)))
    }

    fn reuse(&self, before: &Self::Output, now: Self::Output) -> Self::Output {
        if *before == now { before.clone() } else { now }
    }
}

/// The first row of a selection or of a write; that there is none is an error,
/// [`SqliteError::NoRow`].
#[derive(Debug, Clone)]
pub struct FirstOrError<Q>(pub(crate) Q);

impl<Q> FirstOrError<Q> {
    pub(crate) fn new(query: Q) -> Self {
        Self(query)
    }
}

impl<Q: RowQuery> Query for FirstOrError<Q> {
    type Output = Arc<Q::Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Self::Output, SqliteError> {
        let sql = rows.sql();
        let row = self.0.collect_first(rows)?;
        row.map(Arc::new).ok_or_else(|| SqliteError::NoRow { sql: sql.into() })
    }

    fn is_plain(&self) -> bool {
        self.0.is_plain()
    }

    fn selection(&self) -> Option<&ast::Select> {
        self.0.selection()
    }

    fn collector(&self) -> Self {
        Self(self.0.collector())
    }
}

impl<Q: Watch + RowQuery<Row: PartialEq>> Watch for FirstOrError<Q> {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Self::Output>>> {
        // Of others there may be no row, for which the query has to be run anyway.
        if !self.selection().is_some_and(ast::Select::is_of_all_rows) {
            return None;
        }
        let (sql, _) = self.compile().ok()?;
        let first = move |rows: Rows<Q::Row>| {
            let row = rows.first().cloned();
            row.ok_or_else(|| SqliteError::NoRow { sql: sql.as_str().into() })
        };
        Some(Box::new(Mapped::new(self.0.view(tables)?, first)))
    }

    fn reuse(&self, before: &Self::Output, now: Self::Output) -> Self::Output {
        if *before == now { Arc::clone(before) } else { now }
    }
}

/// The first row of a selection, or another if there is none.
#[derive(Debug)]
pub struct FirstOr<Q: RowQuery> {
    query: Q,
    fallback: Arc<Q::Row>,
}

impl<Q: RowQuery> FirstOr<Q> {
    pub(super) fn new(query: Q, fallback: Q::Row) -> Self {
        Self { query, fallback: Arc::new(fallback) }
    }
}

impl<Q: RowQuery> Clone for FirstOr<Q> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), fallback: Arc::clone(&self.fallback) }
    }
}

impl<Q: RowQuery> Query for FirstOr<Q> {
    type Output = Arc<Q::Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.query.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Self::Output, SqliteError> {
        let row = self.query.collect_first(rows)?;
        Ok(row.map_or_else(|| Arc::clone(&self.fallback), Arc::new))
    }

    fn selection(&self) -> Option<&ast::Select> {
        self.query.selection()
    }
}

impl<Q: Watch + RowQuery<Row: PartialEq>> Watch for FirstOr<Q> {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Self::Output>>> {
        let fallback = Arc::clone(&self.fallback);
        let first = move |rows: Rows<Q::Row>| Ok(rows.first().unwrap_or(&fallback).clone());
        Some(Box::new(Mapped::new(self.query.view(tables)?, first)))
    }

    fn reuse(&self, before: &Self::Output, now: Self::Output) -> Self::Output {
        if *before == now { Arc::clone(before) } else { now }
    }
}
