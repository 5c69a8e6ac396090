//! Updates.

use std::marker::PhantomData;

use super::{Returning, Write, check_written};
use crate::expr::{Condition, Fits, Operand};
use crate::query::{Outputs, Source};
use crate::row::FromRow;
use crate::{Column, Table, ValueError, ast};

/// A column of table `T` with the value or expression that it gets; made by [`Column::set`].
#[derive(Debug)]
pub struct Assignment<T> {
    pub(super) set: ast::Set,
    table: PhantomData<fn() -> T>,
}

impl<T> Clone for Assignment<T> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone(), table: PhantomData }
    }
}

impl<T: Source, V> Column<T, V> {
    /// Gives the column a value, for an update or an insert of some columns.
    pub fn set<J>(self, value: impl Operand<T, V, J, Value: Fits<V>>) -> Assignment<T> {
        let value = value.into_operand(self.name());
        Assignment { set: ast::Set { column: self.name().into(), value }, table: PhantomData }
    }
}

/// Sets columns of the rows of table `T` that a filter names.
#[derive(Debug)]
#[must_use = "an update does nothing until a materializer returns or runs it"]
pub struct Update<T> {
    ast: ast::Update,
    table: PhantomData<fn() -> T>,
}

impl<T: Table> Update<T> {
    pub(crate) fn new() -> Self {
        let ast = ast::Update { table: T::NAME.into(), set: Vec::new(), filter: None };
        Self { ast, table: PhantomData }
    }

    /// Sets a column to a value, or to an expression over the row as it was: `count + 1`.
    pub fn set<V, J>(
        mut self,
        column: Column<T, V>,
        value: impl Operand<T, V, J, Value: Fits<V>>,
    ) -> Self {
        self.ast.set.push(column.set(value).set);
        self
    }

    /// Keeps to the rows for which the condition holds; without a filter, all rows are updated.
    pub fn filter<I>(mut self, condition: impl Condition<T, I>) -> Self {
        condition.into_condition().into_ast().narrow(&mut self.ast.filter);
        self
    }

    /// Gives these back of each row that is updated: a column, an expression, or a tuple of two to
    /// eight.
    ///
    /// They are what the row holds now.
    pub fn returning<V: FromRow, I>(self, outputs: impl Outputs<T, I, Row = V>) -> Returning<V> {
        Returning::new(&outputs.into_outputs(), |outputs| self.into_write(outputs))
    }

    fn into_write(self, returning: &[ast::Expr]) -> Result<Write, ValueError> {
        if self.ast.set.is_empty() {
            return Err(ValueError::NothingToSet { table: T::NAME.into() });
        }
        check_written::<T>(&self.ast.set)?;
        Write::build_returning(returning, |writer| writer.update(&self.ast))
    }
}

impl<T: Table> TryFrom<Update<T>> for Write {
    type Error = ValueError;

    fn try_from(update: Update<T>) -> Result<Self, ValueError> {
        update.into_write(&[])
    }
}
