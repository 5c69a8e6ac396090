//! Deletes.

use std::marker::PhantomData;

use super::{Returning, Write};
use crate::expr::Condition;
use crate::query::Outputs;
use crate::row::FromRow;
use crate::{Table, ValueError, ast};

/// Deletes the rows of table `T` that a filter names.
#[derive(Debug)]
#[must_use = "a delete does nothing until a materializer returns or runs it"]
pub struct Delete<T> {
    ast: ast::Delete,
    table: PhantomData<fn() -> T>,
}

impl<T: Table> Delete<T> {
    pub(crate) fn new() -> Self {
        let ast = ast::Delete { table: T::NAME.into(), filter: None };
        Self { ast, table: PhantomData }
    }

    /// Keeps to the rows for which the condition holds; without a filter, all rows are deleted.
    pub fn filter<I>(mut self, condition: impl Condition<T, I>) -> Self {
        condition.into_condition().into_ast().narrow(&mut self.ast.filter);
        self
    }

    /// Gives these back of each row that is deleted: a column, an expression, or a tuple of two to
    /// eight.
    ///
    /// They are what the row held.
    pub fn returning<V: FromRow, I>(self, outputs: impl Outputs<T, I, Row = V>) -> Returning<V> {
        Returning::new(&outputs.into_outputs(), |outputs| self.into_write(outputs))
    }

    fn into_write(self, returning: &[ast::Expr]) -> Result<Write, ValueError> {
        Write::build_returning(returning, |writer| writer.delete(&self.ast))
    }
}

impl<T: Table> TryFrom<Delete<T>> for Write {
    type Error = ValueError;

    fn try_from(delete: Delete<T>) -> Result<Self, ValueError> {
        delete.into_write(&[])
    }
}
