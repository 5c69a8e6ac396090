//! What a selection reads of its tables.

use super::{Contains, Source};
use crate::expr::{Column, Expr};
use crate::row::FromRow;
use crate::{ColumnValue, ast};

/// A column, an expression, or a tuple of two to eight of them.
///
/// `S` are the tables of the selection; `I` is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be selected from `{S}`",
    label = "expected a column, an expression, or a tuple of two to eight of them"
)]
pub trait Outputs<S, I = ()> {
    /// What is read of a row: a value, or a tuple of values.
    type Row: FromRow + Send + Sync + 'static;

    /// Turns it into a list of expressions.
    fn into_outputs(self) -> Vec<ast::Expr>;
}

/// A column of a table that a left join may not find a row of is optional.
impl<S: Contains<T, I>, T: Source, V: ColumnValue, I> Outputs<S, I> for Column<T, V>
where
    S::Found<V>: Send + Sync + 'static,
{
    type Row = S::Found<V>;

    fn into_outputs(self) -> Vec<ast::Expr> {
        vec![self.into_ast()]
    }
}

impl<S, V: ColumnValue + Send + Sync + 'static> Outputs<S> for Expr<S, V> {
    type Row = V;

    fn into_outputs(self) -> Vec<ast::Expr> {
        vec![self.into_ast()]
    }
}

macro_rules! tuple_outputs {
    ($($output:ident $place:ident),*) => {
        impl<S, $($output, $place),*> Outputs<S, ($($place,)*)> for ($($output,)*)
        where
            $($output: Outputs<S, $place, Row: ColumnValue>,)*
        {
            type Row = ($($output::Row,)*);

            #[allow(non_snake_case, reason = "the type parameters name the elements")]
            fn into_outputs(self) -> Vec<ast::Expr> {
                let ($($output,)*) = self;
                let mut all = Vec::new();
                $(all.extend($output.into_outputs());)*
                all
            }
        }
    };
}
tuple_outputs!(A IA, B IB);
tuple_outputs!(A IA, B IB, C IC);
tuple_outputs!(A IA, B IB, C IC, D ID);
tuple_outputs!(A IA, B IB, C IC, D ID, E IE);
tuple_outputs!(A IA, B IB, C IC, D ID, E IE, F IF);
tuple_outputs!(A IA, B IB, C IC, D ID, E IE, F IF, G IG);
tuple_outputs!(A IA, B IB, C IC, D ID, E IE, F IF, G IG, H IH);
