//! Deletes.

use std::marker::PhantomData;

use super::Write;
use crate::expr::Condition;
use crate::{Table, ValueError, ast};

/// Deletes the rows of table `T` that a filter names.
#[derive(Debug)]
#[must_use = "a delete does nothing until a materializer returns it"]
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
}

impl<T: Table> TryFrom<Delete<T>> for Write {
    type Error = ValueError;

    fn try_from(delete: Delete<T>) -> Result<Self, ValueError> {
        Self::build(|writer| writer.delete(&delete.ast))
    }
}
