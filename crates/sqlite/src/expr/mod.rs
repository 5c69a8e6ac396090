//! Typed expressions over the columns of a query's tables.
//!
//! A thin layer over [`ast`]: an [`Expr`] is an expression of there with two types, of
//! the tables that it belongs to and of its value.

mod aggregate;
mod arithmetic;
mod case;
mod column;
mod json;
mod methods;
mod operand;
mod order;

use std::marker::PhantomData;

use crate::ast;

pub use aggregate::{Number, count_rows};
pub use case::{Case, case};
pub use column::Column;
pub use operand::{Condition, Fits, Matches, Operand, value};
pub use order::{IntoOrder, Order};

/// An expression over the tables `S` with a value of type `V`; a condition, if `V` is `bool`.
///
/// Expressions are made by the methods of [`Column`] and of other expressions. Conditions are
/// combined with [`and`](Self::and), [`or`](Self::or) and `!`.
#[derive(Debug)]
#[must_use = "an expression does nothing by itself"]
pub struct Expr<S, V = bool> {
    pub(crate) ast: ast::Expr,
    types: PhantomData<fn() -> (S, V)>,
}

impl<S, V> Clone for Expr<S, V> {
    fn clone(&self) -> Self {
        Self::new(self.ast.clone())
    }
}

impl<S, V> Expr<S, V> {
    pub(crate) fn new(ast: ast::Expr) -> Self {
        Self { ast, types: PhantomData }
    }

    pub(crate) fn into_ast(self) -> ast::Expr {
        self.ast
    }

    /// Names the expression in messages.
    fn label(&self) -> &str {
        match &self.ast {
            ast::Expr::Column(column) => &column.name,
            _ => "an expression",
        }
    }

    /// Returns the expression as plain data, which other languages understand.
    pub fn ast(&self) -> &ast::Expr {
        &self.ast
    }
}

impl<S> Expr<S> {
    /// Holds where both hold.
    pub fn and(self, other: Self) -> Self {
        Self::new(self.ast.and(other.ast))
    }

    /// Holds where at least one holds.
    pub fn or(self, other: Self) -> Self {
        Self::new(self.ast.or(other.ast))
    }

    /// Holds where all hold; everywhere, if there is none.
    pub fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::new(ast::Expr::And(conditions.into_iter().map(Self::into_ast).collect()))
    }

    /// Holds where at least one holds; nowhere, if there is none.
    pub fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::new(ast::Expr::Or(conditions.into_iter().map(Self::into_ast).collect()))
    }
}

impl<S> std::ops::Not for Expr<S> {
    type Output = Self;

    /// Holds exactly where the condition does not, also where that is null.
    fn not(self) -> Self {
        Self::new(ast::Expr::Not(self.ast.into()))
    }
}
