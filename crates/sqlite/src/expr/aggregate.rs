//! Functions of all rows of a group.

use super::{Column, Expr};
use crate::ColumnValue;
use crate::ast::{self, Aggregate, AggregateFunction};
use crate::query::{Contains, Source};

/// A type of column that can be summed up.
#[diagnostic::on_unimplemented(
    message = "values of type `{Self}` have no sum and no mean",
    note = "`to_integer` and `to_real` make numbers of them, `count` counts them"
)]
pub trait Number {
    /// What the sum of many is.
    type Sum;
}

macro_rules! numbers {
    ($sum:ty: $($number:ty),*) => {$(
        impl Number for $number {
            type Sum = $sum;
        }
    )*};
}
numbers!(i64: i8, i16, i32, i64, u8, u16, u32, u64);
numbers!(f64: f32, f64);

impl<N: Number> Number for Option<N> {
    type Sum = N::Sum;
}

fn aggregate<S, V>(
    function: AggregateFunction,
    argument: Option<ast::Expr>,
    distinct: bool,
) -> Expr<S, V> {
    let argument = argument.map(Box::new);
    Expr::new(ast::Expr::Aggregate(Aggregate { function, distinct, argument, separator: None }))
}

/// The number of rows of the group.
pub fn count_rows<S>() -> Expr<S, i64> {
    aggregate(AggregateFunction::Count, None, false)
}

macro_rules! aggregates {
    ($($of:tt)*) => {
        /// The number of the group's values that are not null.
        pub fn count<$($of)*>(self) -> Expr<S, i64> {
            aggregate(AggregateFunction::Count, Some(self.into_ast()), false)
        }

        /// The number of the group's different values that are not null.
        pub fn count_distinct<$($of)*>(self) -> Expr<S, i64> {
            aggregate(AggregateFunction::Count, Some(self.into_ast()), true)
        }

        /// The sum of the group's values; null if there is none. An integer that grows too large
        /// is an error.
        // With `V::Sum` in place of `N`, the compiler would say of a type without a sum that there is
        // no such method, and not what `Number` says.
        pub fn sum<$($of)* N>(self) -> Expr<S, Option<N>>
        where
            V: Number<Sum = N>,
        {
            aggregate(AggregateFunction::Sum, Some(self.into_ast()), false)
        }

        /// The sum of the group's values as a real; 0.0 if there is none.
        pub fn total<$($of)*>(self) -> Expr<S, f64>
        where
            V: Number,
        {
            aggregate(AggregateFunction::Total, Some(self.into_ast()), false)
        }

        /// The mean of the group's values; null if there is none.
        pub fn avg<$($of)*>(self) -> Expr<S, Option<f64>>
        where
            V: Number,
        {
            aggregate(AggregateFunction::Avg, Some(self.into_ast()), false)
        }

        /// The least of the group's values; null if there is none.
        pub fn min<$($of)*>(self) -> Expr<S, V::Optional>
        where
            V: ColumnValue,
        {
            aggregate(AggregateFunction::Min, Some(self.into_ast()), false)
        }

        /// The greatest of the group's values; null if there is none.
        pub fn max<$($of)*>(self) -> Expr<S, V::Optional>
        where
            V: ColumnValue,
        {
            aggregate(AggregateFunction::Max, Some(self.into_ast()), false)
        }

        /// The group's texts with a separator between them; null if there is none. They come in
        /// the order in which SQLite visits the rows.
        pub fn group_concat<$($of)*>(self, separator: impl Into<String>) -> Expr<S, Option<String>> {
            Expr::new(ast::Expr::Aggregate(Aggregate {
                function: AggregateFunction::GroupConcat,
                distinct: false,
                argument: Some(Box::new(self.into_ast())),
                separator: Some(separator.into()),
            }))
        }
    };
}

impl<T: Source, V> Column<T, V> {
    aggregates!(S: Contains<T, I>, I,);
}

impl<S, V> Expr<S, V> {
    aggregates!();
}
