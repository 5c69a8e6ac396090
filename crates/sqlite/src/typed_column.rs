//! Typed handles of columns, for queries and writes.

use std::marker::PhantomData;

use crate::expr::{Comparison, Direction, Expr, Order};
use crate::{ColumnValue, Value, ValueError};

/// Something that can stand beside a column of type `V` in a comparison or assignment.
pub trait Operand<V> {
    /// Turns it into what SQLite stores; `column` is for the message.
    fn into_operand(self, column: &str) -> Result<Value, ValueError>;
}

impl<V: ColumnValue> Operand<V> for V {
    fn into_operand(self, column: &str) -> Result<Value, ValueError> {
        self.into_value(column)
    }
}

impl<V: ColumnValue> Operand<Option<V>> for V {
    fn into_operand(self, column: &str) -> Result<Value, ValueError> {
        self.into_value(column)
    }
}

impl Operand<String> for &str {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

impl Operand<Option<String>> for &str {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

impl Operand<String> for &String {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.as_str().into())
    }
}

impl Operand<Vec<u8>> for &[u8] {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

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

    fn compare(self, comparison: Comparison, operand: impl Operand<V>) -> Expr<T> {
        Expr::compare(self.name, comparison, operand.into_operand(self.name))
    }

    /// Holds where the column equals the operand; `None` equals null.
    pub fn eq(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Equal, operand)
    }

    /// Holds where the column differs from the operand; null differs from every value.
    pub fn ne(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::NotEqual, operand)
    }

    /// Holds where the column is less than the operand.
    pub fn lt(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Less, operand)
    }

    /// Holds where the column is at most the operand.
    pub fn le(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::AtMost, operand)
    }

    /// Holds where the column is greater than the operand.
    pub fn gt(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Greater, operand)
    }

    /// Holds where the column is at least the operand.
    pub fn ge(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::AtLeast, operand)
    }

    /// Holds where the column equals one of the operands; never, if there is none.
    pub fn is_in<O: Operand<V>>(self, operands: impl IntoIterator<Item = O>) -> Expr<T> {
        let values = operands.into_iter().map(|operand| operand.into_operand(self.name));
        Expr::is_in(self.name, values.collect())
    }

    /// Holds where the column is null.
    pub fn is_null(self) -> Expr<T> {
        Expr::compare(self.name, Comparison::Equal, Ok(Value::Null))
    }

    /// Holds where the text matches SQL's LIKE pattern (`%` any text, `_` any character).
    pub fn like(self, pattern: impl Into<String>) -> Expr<T> {
        Expr::compare(self.name, Comparison::Like, Ok(pattern.into().into()))
    }

    /// Orders by this column, smallest first.
    pub fn asc(self) -> Order<T> {
        Order::new(self.name, Direction::Ascending)
    }

    /// Orders by this column, greatest first.
    pub fn desc(self) -> Order<T> {
        Order::new(self.name, Direction::Descending)
    }
}

impl<T, V> From<Column<T, V>> for Order<T> {
    fn from(column: Column<T, V>) -> Self {
        column.asc()
    }
}
