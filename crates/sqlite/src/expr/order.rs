//! Keys of an order.

use std::marker::PhantomData;

use super::{Column, Expr};
use crate::ColumnValue;
use crate::ast::{self, Collation, Direction, Nulls};
use crate::query::{Contains, Source};

/// One key of an order over the tables `S`.
#[derive(Debug)]
pub struct Order<S> {
    ast: ast::Order,
    tables: PhantomData<fn() -> S>,
}

impl<S> Clone for Order<S> {
    fn clone(&self) -> Self {
        Self { ast: self.ast.clone(), tables: PhantomData }
    }
}

impl<S> Order<S> {
    pub(crate) fn new(expr: ast::Expr, direction: Direction) -> Self {
        Self { ast: ast::Order::new(expr, direction), tables: PhantomData }
    }

    pub(crate) fn into_ast(self) -> ast::Order {
        self.ast
    }

    /// Puts null before all values, which is where it is in an ascending order anyway.
    #[must_use]
    pub fn nulls_first(mut self) -> Self {
        self.ast.nulls = Some(Nulls::First);
        self
    }

    /// Puts null after all values, which is where it is in a descending order anyway.
    #[must_use]
    pub fn nulls_last(mut self) -> Self {
        self.ast.nulls = Some(Nulls::Last);
        self
    }

    /// Compares texts as the collation says; without it, byte by byte.
    #[must_use]
    pub fn collate(mut self, collation: Collation) -> Self {
        self.ast.collation = Some(collation);
        self
    }
}

/// What rows can be ordered by: a column or an expression, ascending, or an [`Order`].
#[diagnostic::on_unimplemented(message = "rows of `{S}` cannot be ordered by `{Self}`")]
pub trait IntoOrder<S, I = ()> {
    /// Turns it into a key.
    fn into_order(self) -> Order<S>;
}

impl<S> IntoOrder<S> for Order<S> {
    fn into_order(self) -> Self {
        self
    }
}

impl<S, V> IntoOrder<S> for Expr<S, V> {
    fn into_order(self) -> Order<S> {
        self.asc()
    }
}

impl<S, T: Source, V: ColumnValue, I> IntoOrder<S, I> for Column<T, V>
where
    S: Contains<T, I>,
{
    fn into_order(self) -> Order<S> {
        self.asc()
    }
}
