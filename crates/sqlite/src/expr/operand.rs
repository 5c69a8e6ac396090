//! What can stand beside a column or an expression.

use super::{Column, Expr};
use crate::query::{Contains, Source};
use crate::{ColumnValue, ast};

/// A value type that can be compared and calculated with `V`: the same, or either of them optional.
#[diagnostic::on_unimplemented(
    message = "a value of type `{Self}` cannot be compared or calculated with one of type `{V}`",
    label = "expected a column or an expression of type `{V}`"
)]
pub trait Matches<V> {
    /// What is calculated from both: optional, if one of them is.
    type Both;
}

impl<V> Matches<V> for V {
    type Both = V;
}

impl<V> Matches<Option<V>> for V {
    type Both = Option<V>;
}

impl<V> Matches<V> for Option<V> {
    type Both = Self;
}

/// A value type that can stand where a `V` is expected: the same, or not optional where `V` is.
#[diagnostic::on_unimplemented(
    message = "a value of type `{Self}` cannot stand where one of type `{V}` is expected",
    label = "expected a value, column or expression of type `{V}`",
    note = "one that may be null gets another value in its place with `coalesce`"
)]
pub trait Fits<V> {}

impl<V> Fits<V> for V {}
impl<V> Fits<Option<V>> for V {}

/// Something that can stand beside a `V` in a comparison or assignment: a value, a column or an
/// expression.
///
/// `S` are the tables of the statement, `I` says where a column's table stands among them and is
/// always found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with or assigned to a column of type `{V}`",
    label = "expected a value, column or expression of type `{V}`"
)]
pub trait Operand<S, V, I = ()> {
    /// The type of its value in the statement: of a column of a table that a left join may not
    /// find a row of, optional.
    type Value;

    /// Turns it into an expression; `column` is for the message if a value has no SQLite form.
    fn into_operand(self, column: &str) -> ast::Expr;
}

impl<S, V: ColumnValue> Operand<S, V> for V {
    type Value = V;

    fn into_operand(self, column: &str) -> ast::Expr {
        ast::Expr::value(self.into_value(column))
    }
}

impl<S, V: ColumnValue> Operand<S, Option<V>> for V {
    type Value = V;

    fn into_operand(self, column: &str) -> ast::Expr {
        ast::Expr::value(self.into_value(column))
    }
}

macro_rules! borrowed_operand {
    ($($borrowed:ty as $owned:ty => $convert:path),*) => {$(
        impl<S> Operand<S, $owned> for $borrowed {
            type Value = $owned;

            fn into_operand(self, _column: &str) -> ast::Expr {
                ast::Expr::Value($convert(self).into())
            }
        }

        impl<S> Operand<S, Option<$owned>> for $borrowed {
            type Value = $owned;

            fn into_operand(self, _column: &str) -> ast::Expr {
                ast::Expr::Value($convert(self).into())
            }
        }
    )*};
}
borrowed_operand!(&str as String => std::convert::identity, &String as String => String::as_str, &[u8] as Vec<u8> => std::convert::identity);

impl<S, T: Source, V, W: ColumnValue + Matches<V>, I> Operand<S, V, I> for Column<T, W>
where
    S: Contains<T, I>,
{
    type Value = S::Found<W>;

    fn into_operand(self, _column: &str) -> ast::Expr {
        self.into_ast()
    }
}

impl<S, V, W: Matches<V>> Operand<S, V> for Expr<S, W> {
    type Value = W;

    fn into_operand(self, _column: &str) -> ast::Expr {
        self.ast
    }
}

/// What rows can be chosen by: a boolean column or expression over the tables `S`.
///
/// A null does not hold, so a column may be of a table that a left join may not find a row of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no condition on the rows of `{S}`",
    label = "expected a comparison, or a boolean column or expression",
    note = "`is(true)` makes a condition of a boolean that may be null"
)]
pub trait Condition<S, I = ()> {
    /// Turns it into an expression.
    fn into_condition(self) -> Expr<S>;
}

impl<S: Contains<T, I>, T: Source, I> Condition<S, I> for Column<T, bool> {
    fn into_condition(self) -> Expr<S> {
        Expr::new(self.into_ast())
    }
}

impl<S> Condition<S> for Expr<S> {
    fn into_condition(self) -> Self {
        self
    }
}

/// Makes a value an expression.
pub fn value<S, V: ColumnValue>(value: V) -> Expr<S, V> {
    Expr::new(ast::Expr::value(value.into_value("an expression")))
}
