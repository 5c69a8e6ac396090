//! What lets a query be live.

use crate::watch::View;
use crate::{Query, TableDef};

/// A query whose result can be followed.
///
/// For a query of one's own an empty implementation does: it is run again whenever a column that it
/// reads has changed.
///
/// Results and rows are compared and dropped while the state is locked: their `PartialEq`, `Clone` and
/// `Drop` must not use the store.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made live",
    label = "expected a query whose rows can be compared",
    note = "derive `PartialEq` for the type of its rows"
)]
pub trait Watch: Query<Output: PartialEq> {
    /// Makes a view that keeps the result up to date; none if it has to be run again.
    fn view(&self, _tables: &[TableDef]) -> Option<Box<dyn View<Self::Output>>> {
        None
    }

    /// Takes from an earlier result whatever did not change.
    fn reuse(&self, _before: &Self::Output, now: Self::Output) -> Self::Output {
        now
    }
}
