//! What can stand beside a column or an expression.

use super::{Column, Expr};
use crate::query::{Contains, Source};
use crate::{ColumnValue, ast};

/// A value type that can be compared with `V`: the same, or either of them optional.
#[diagnostic::on_unimplemented(
    message = "a value of type `{Self}` cannot be compared with one of type `{V}`",
    label = "expected a column or an expression of type `{V}`"
)]
pub trait Matches<V> {}

impl<V> Matches<V> for V {}
impl<V> Matches<Option<V>> for V {}
impl<V> Matches<V> for Option<V> {}

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
    /// Turns it into an expression; `column` is for the message if a value has no SQLite form.
    fn into_operand(self, column: &str) -> ast::Expr;
}

impl<S, V: ColumnValue> Operand<S, V> for V {
    fn into_operand(self, column: &str) -> ast::Expr {
        ast::Expr::value(self.into_value(column))
    }
}

impl<S, V: ColumnValue> Operand<S, Option<V>> for V {
    fn into_operand(self, column: &str) -> ast::Expr {
        ast::Expr::value(self.into_value(column))
    }
}

macro_rules! borrowed_operand {
    ($($borrowed:ty as $owned:ty => $convert:path),*) => {$(
        impl<S> Operand<S, $owned> for $borrowed {
            fn into_operand(self, _column: &str) -> ast::Expr {
                ast::Expr::Value($convert(self).into())
            }
        }

        impl<S> Operand<S, Option<$owned>> for $borrowed {
            fn into_operand(self, _column: &str) -> ast::Expr {
                ast::Expr::Value($convert(self).into())
            }
        }
    )*};
}
borrowed_operand!(&str as String => std::convert::identity, &String as String => String::as_str, &[u8] as Vec<u8> => std::convert::identity);

impl<S, T: Source, V, W: Matches<V>, I> Operand<S, V, I> for Column<T, W>
where
    S: Contains<T, I>,
{
    fn into_operand(self, _column: &str) -> ast::Expr {
        self.into_ast()
    }
}

impl<S, V, W: Matches<V>> Operand<S, V> for Expr<S, W> {
    fn into_operand(self, _column: &str) -> ast::Expr {
        self.ast
    }
}

/// A column or an expression over the tables `S` with a value of type `V`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no expression of type `{V}` over the tables `{S}`",
    label = "expected a column or an expression of type `{V}`"
)]
pub trait IntoExpr<S, V, I = ()> {
    /// Turns it into an expression.
    fn into_expr(self) -> Expr<S, V>;
}

impl<S, T: Source, V, I> IntoExpr<S, V, I> for Column<T, V>
where
    S: Contains<T, I>,
{
    fn into_expr(self) -> Expr<S, V> {
        Expr::new(self.into_ast())
    }
}

impl<S, V> IntoExpr<S, V> for Expr<S, V> {
    fn into_expr(self) -> Expr<S, V> {
        self
    }
}

/// Makes a value an expression.
pub fn value<S, V: ColumnValue>(value: V) -> Expr<S, V> {
    Expr::new(ast::Expr::value(value.into_value("an expression")))
}
