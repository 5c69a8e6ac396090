//! Typed handles of columns.

use std::marker::PhantomData;

use crate::ast;
use crate::query::Source;

/// A typed handle of a table's column, made by `#[derive(Table)]`.
#[derive(Debug)]
pub struct Column<T, V> {
    name: &'static str,
    types: PhantomData<fn() -> (T, V)>,
}

impl<T, V> Clone for Column<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V> Copy for Column<T, V> {}

impl<T, V> Column<T, V> {
    /// Names a column; for the derive macro.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Returns the column's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Names the same column of an alias of the table, see [`alias!`](crate::alias).
    pub const fn of<A: Source<Table = T>>(self) -> Column<A, V> {
        Column::new(self.name)
    }

    /// Names the column in messages.
    pub(crate) fn label(&self) -> &'static str {
        self.name
    }
}

impl<T: Source, V> Column<T, V> {
    pub(crate) fn into_ast(self) -> ast::Expr {
        ast::Expr::Column(ast::Column::of(T::ALIAS, self.name))
    }
}
