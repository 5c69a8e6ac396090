//! Operators of Rust on columns and expressions of one table.

use std::ops::{Add, Div, Mul, Rem, Sub};

use super::{Column, Expr, Matches, Operand};
use crate::ast::Arithmetic;
use crate::query::Source;

macro_rules! operators {
    ($($operator:ident $method:ident $arithmetic:ident,)*) => {$(
        impl<T: Source, V, O: Operand<T, V, Value: Matches<V>>> $operator<O> for Column<T, V> {
            type Output = Expr<T, <O::Value as Matches<V>>::Both>;

            fn $method(self, operand: O) -> Self::Output {
                let operand = operand.into_operand(self.label());
                Expr::new(self.into_ast().calculate(Arithmetic::$arithmetic, operand))
            }
        }

        impl<S, V, O: Operand<S, V, Value: Matches<V>>> $operator<O> for Expr<S, V> {
            type Output = Expr<S, <O::Value as Matches<V>>::Both>;

            fn $method(self, operand: O) -> Self::Output {
                self.calculate(Arithmetic::$arithmetic, operand)
            }
        }
    )*};
}
operators! {
    Add add Add,
    Sub sub Subtract,
    Mul mul Multiply,
    Div div Divide,
    Rem rem Remainder,
}
