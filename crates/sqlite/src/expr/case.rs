//! Choices among values.

use std::marker::PhantomData;

use super::{Condition, Expr, Fits, Operand};
use crate::{ColumnValue, ast};

/// A choice among values by conditions, until it says what stands where none holds.
#[derive(Debug)]
#[must_use = "say what stands where no condition holds, with `otherwise` or `or_null`"]
pub struct Case<S, V> {
    whens: Vec<ast::When>,
    types: PhantomData<fn() -> (S, V)>,
}

/// Starts a choice among values of type `V`, SQL's CASE.
///
/// ```
/// # use livestore_sqlite::{Expr, Column, case};
/// # fn state<S: livestore_sqlite::Source>(late: Column<S, bool>, done: Column<S, bool>) -> Expr<S, String> {
/// case::<_, String>().when(done, "done").when(late, "late").otherwise("open")
/// # }
/// ```
pub fn case<S, V: ColumnValue>() -> Case<S, V> {
    Case { whens: Vec::new(), types: PhantomData }
}

impl<S, V: ColumnValue> Case<S, V> {
    /// Takes a value where the condition holds and none before it does.
    pub fn when<I, J>(
        mut self,
        condition: impl Condition<S, I>,
        value: impl Operand<S, V, J, Value: Fits<V>>,
    ) -> Self {
        let condition = condition.into_condition().into_ast();
        self.whens.push(ast::When { condition, value: value.into_operand("a case") });
        self
    }

    /// Takes a value where no condition holds.
    pub fn otherwise<J>(self, value: impl Operand<S, V, J, Value: Fits<V>>) -> Expr<S, V> {
        let otherwise = Some(value.into_operand("a case").into());
        Expr::new(ast::Expr::Case { whens: self.whens, otherwise })
    }

    /// Is null where no condition holds.
    pub fn or_null(self) -> Expr<S, V::Optional> {
        Expr::new(ast::Expr::Case { whens: self.whens, otherwise: None })
    }
}
