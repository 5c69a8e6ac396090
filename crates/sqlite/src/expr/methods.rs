//! What columns and expressions alike can be asked.
//!
//! The methods are written once, for both. A column's expression belongs to whichever tables it
//! turns out to be used with (`S`), if the column's table is among them; an expression's stay.

use super::{Column, Expr, Operand, Order};
use crate::ColumnValue;
use crate::ast::{self, Arithmetic, CastType, Collation, Comparison, Direction, Function};
use crate::expr::Matches;
use crate::query::{Contains, InScopeOf, Select, Source, Sources};

fn call<S, V>(function: Function, arguments: Vec<ast::Expr>) -> Expr<S, V> {
    Expr::new(ast::Expr::Call { function, arguments })
}

/// `$value` is the type of the value itself, where it is used.
macro_rules! methods {
    ($value:ty; $($of:tt)*) => {
        /// Holds where both are equal; the value `None` equals null. Two columns that are null are
        /// not equal, see [`is`](Self::is).
        pub fn eq<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::Equal, operand)
        }

        /// Holds where they differ; null differs from every value.
        pub fn ne<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::NotEqual, operand)
        }

        /// Holds where both are equal or both null.
        pub fn is<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::Is, operand)
        }

        /// Holds where it is less than the operand.
        pub fn lt<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::Less, operand)
        }

        /// Holds where it is at most the operand.
        pub fn le<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::AtMost, operand)
        }

        /// Holds where it is greater than the operand.
        pub fn gt<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::Greater, operand)
        }

        /// Holds where it is at least the operand.
        pub fn ge<$($of)* J>(self, operand: impl Operand<S, V, J>) -> Expr<S> {
            self.compare(Comparison::AtLeast, operand)
        }

        fn compare<$($of)* J>(
            self,
            operator: Comparison,
            operand: impl Operand<S, V, J>,
        ) -> Expr<S> {
            let operand = operand.into_operand(self.label());
            Expr::new(self.into_ast().compare(operator, operand))
        }

        /// Holds where it is at least `low` and at most `high`.
        pub fn between<$($of)* J, K>(
            self,
            low: impl Operand<S, V, J>,
            high: impl Operand<S, V, K>,
        ) -> Expr<S> {
            let (low, high) = (low.into_operand(self.label()), high.into_operand(self.label()));
            let expr = self.into_ast().into();
            Expr::new(ast::Expr::Between { expr, low: low.into(), high: high.into() })
        }

        /// Holds where it equals one of the operands, among which `None` equals null; never, if
        /// there is none.
        pub fn is_in<$($of)* J>(
            self,
            operands: impl IntoIterator<Item = impl Operand<S, V, J>>,
        ) -> Expr<S> {
            let operand = |operand: _| Operand::into_operand(operand, self.label());
            let list = operands.into_iter().map(operand).collect();
            Expr::new(ast::Expr::In { expr: self.into_ast().into(), list })
        }

        /// Holds where it equals none of the operands.
        pub fn not_in<$($of)* J>(
            self,
            operands: impl IntoIterator<Item = impl Operand<S, V, J>>,
        ) -> Expr<S> {
            !self.is_in(operands)
        }

        /// Holds where it equals one of the values that a selection of one column gives; null
        /// equals none.
        pub fn in_select<$($of)* Q: Sources + InScopeOf<S>, W: Matches<V>>(
            self,
            select: Select<Q, W>,
        ) -> Expr<S> {
            let (expr, select) = (self.into_ast().into(), select.into_ast().into());
            Expr::new(ast::Expr::InSelect { expr, select })
        }

        /// Holds where it is null.
        pub fn is_null<$($of)*>(self) -> Expr<S> {
            Expr::new(ast::Expr::IsNull(self.into_ast().into()))
        }

        /// Holds where it is not null.
        pub fn is_not_null<$($of)*>(self) -> Expr<S> {
            !self.is_null()
        }

        /// Holds where the text matches SQL's LIKE pattern (`%` any text, `_` any character); ASCII
        /// letters match in either case.
        pub fn like<$($of)*>(self, pattern: impl Into<String>) -> Expr<S> {
            let pattern = ast::Expr::Value(pattern.into().into());
            Expr::new(self.into_ast().compare(Comparison::Like, pattern))
        }

        /// Holds where the text does not match the LIKE pattern.
        pub fn not_like<$($of)*>(self, pattern: impl Into<String>) -> Expr<S> {
            !self.like(pattern)
        }

        /// Holds where the text matches the pattern (`*` any text, `?` any character, `[a-z]` one of
        /// these); letters match in their own case.
        pub fn glob<$($of)*>(self, pattern: impl Into<String>) -> Expr<S> {
            let pattern = ast::Expr::Value(pattern.into().into());
            Expr::new(self.into_ast().compare(Comparison::Glob, pattern))
        }

        /// Compares texts as the collation says, in the comparison or order that it is used in.
        pub fn collate<$($of)*>(self, collation: Collation) -> Expr<S, $value> {
            Expr::new(ast::Expr::Collate { expr: self.into_ast().into(), collation })
        }

        /// Makes the value optional, such as that of an expression over columns whose row a left
        /// join may not find.
        pub fn optional<$($of)*>(self) -> Expr<S, V::Optional>
        where
            V: ColumnValue,
        {
            Expr::new(self.into_ast())
        }

        /// The sum; `+` does the same within one table.
        pub fn plus<$($of)* J, W>(
            self,
            operand: impl Operand<S, V, J, Value: Matches<$value, Both = W>>,
        ) -> Expr<S, W> {
            self.calculate(Arithmetic::Add, operand)
        }

        /// The difference; `-` does the same within one table.
        pub fn minus<$($of)* J, W>(
            self,
            operand: impl Operand<S, V, J, Value: Matches<$value, Both = W>>,
        ) -> Expr<S, W> {
            self.calculate(Arithmetic::Subtract, operand)
        }

        /// The product; `*` does the same within one table.
        pub fn times<$($of)* J, W>(
            self,
            operand: impl Operand<S, V, J, Value: Matches<$value, Both = W>>,
        ) -> Expr<S, W> {
            self.calculate(Arithmetic::Multiply, operand)
        }

        /// Both texts, one after the other.
        pub fn concat<$($of)* J, W>(
            self,
            operand: impl Operand<S, V, J, Value: Matches<$value, Both = W>>,
        ) -> Expr<S, W> {
            self.calculate(Arithmetic::Concat, operand)
        }

        pub(super) fn calculate<$($of)* J, W>(
            self,
            operator: Arithmetic,
            operand: impl Operand<S, V, J>,
        ) -> Expr<S, W> {
            let operand = operand.into_operand(self.label());
            Expr::new(self.into_ast().calculate(operator, operand))
        }

        /// The absolute value.
        pub fn abs<$($of)*>(self) -> Expr<S, $value> {
            call(Function::Abs, vec![self.into_ast()])
        }

        /// The text with ASCII letters in lower case.
        pub fn lower<$($of)*>(self) -> Expr<S, $value> {
            call(Function::Lower, vec![self.into_ast()])
        }

        /// The text with ASCII letters in upper case.
        pub fn upper<$($of)*>(self) -> Expr<S, $value> {
            call(Function::Upper, vec![self.into_ast()])
        }

        /// The text without spaces at both ends.
        pub fn trim<$($of)*>(self) -> Expr<S, $value> {
            call(Function::Trim, vec![self.into_ast()])
        }

        /// The number of characters of a text, or of bytes of a blob; null of null.
        pub fn length<$($of)*>(self) -> Expr<S, <$value as ColumnValue>::Mapped<i64>>
        where
            $value: ColumnValue,
        {
            call(Function::Length, vec![self.into_ast()])
        }

        /// The value as a text, as SQL's CAST makes it; null of null.
        pub fn to_text<$($of)*>(self) -> Expr<S, <$value as ColumnValue>::Mapped<String>>
        where
            $value: ColumnValue,
        {
            self.cast(CastType::Text)
        }

        /// The value as an integer, as SQL's CAST makes it: of a text the number that it begins
        /// with, or 0; of a real without its fraction; null of null.
        pub fn to_integer<$($of)*>(self) -> Expr<S, <$value as ColumnValue>::Mapped<i64>>
        where
            $value: ColumnValue,
        {
            self.cast(CastType::Integer)
        }

        /// The value as a real, as SQL's CAST makes it: of a text the number that it begins with,
        /// or 0.0; null of null.
        pub fn to_real<$($of)*>(self) -> Expr<S, <$value as ColumnValue>::Mapped<f64>>
        where
            $value: ColumnValue,
        {
            self.cast(CastType::Real)
        }

        fn cast<$($of)* W>(self, to: CastType) -> Expr<S, W> {
            Expr::new(ast::Expr::Cast { expr: self.into_ast().into(), to })
        }

        /// Orders by it, smallest first.
        pub fn asc<$($of)*>(self) -> Order<S> {
            Order::new(self.into_ast(), Direction::Ascending)
        }

        /// Orders by it, greatest first.
        pub fn desc<$($of)*>(self) -> Order<S> {
            Order::new(self.into_ast(), Direction::Descending)
        }
    };
}

impl<T: Source, V: ColumnValue> Column<T, V> {
    methods!(S::Found<V>; S: Contains<T, I>, I,);
}

impl<S, V> Expr<S, V> {
    methods!(V;);

    /// Uses an expression over one table in a statement over several; it is optional where a left
    /// join may not find a row of the table. [`is(true)`](Self::is) makes a condition of one again.
    pub fn lift<Q: Contains<S, I>, I>(self) -> Expr<Q, Q::Found<V>>
    where
        V: ColumnValue,
    {
        Expr::new(self.ast)
    }
}

impl<T: Source, V> Column<T, Option<V>> {
    /// The value, or the other one where it is null; optional, if the other one is.
    pub fn coalesce<S: Contains<T, I>, I, J, W>(
        self,
        other: impl Operand<S, V, J, Value = W>,
    ) -> Expr<S, W> {
        let other = other.into_operand(self.name());
        call(Function::Coalesce, vec![self.into_ast(), other])
    }
}

impl<S, V> Expr<S, Option<V>> {
    /// The value, or the other one where it is null; optional, if the other one is.
    pub fn coalesce<J, W>(self, other: impl Operand<S, V, J, Value = W>) -> Expr<S, W> {
        let other = other.into_operand(self.label());
        call(Function::Coalesce, vec![self.ast, other])
    }
}
