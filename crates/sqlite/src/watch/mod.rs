//! Which queries a change concerns.
//!
//! A query is interested in the rows that its conditions admit, and in the columns that it reads.
//! [`Interest`] says so for one table, and [`Index`] finds those that a [`RowChange`] concerns.
//!
//! [`RowChange`]: crate::RowChange

mod analysis;
mod compare;
mod guard;
mod index;
mod intervals;
mod kind;
mod view;

use crate::ast::Select;
use crate::{Connection, TableDef, TableRead};

pub(crate) use analysis::has_sub_queries;
pub(crate) use compare::compare;
pub use guard::Guard;
pub use index::{Id, Index, Interest};
pub(crate) use view::{CountView, ListView, Mapped};
pub use view::{News, Refreshed, View};

/// Returns what exactly a selection's rows fulfil, if each is a row of its table and that is
/// understood.
pub(crate) fn exact_guard(select: &Select, tables: &[TableDef]) -> Option<Guard> {
    let is_all = select.is_of_rows()
        && select.joins.is_empty()
        && select.limit.is_none()
        && select.offset == 0
        && !has_sub_queries(select);
    let mut guards = if is_all { analysis::guards(select, tables) } else { Vec::new() };
    let guard = guards.pop().map(|(_, guard)| guard);
    guard.filter(|guard| guard.is_exact)
}

/// Tells whether a selection is of the one row that has a certain key.
pub(crate) fn is_of_one_row(select: &Select, tables: &[TableDef]) -> bool {
    let Some(table) = tables.iter().find(|table| table.name() == select.from.table) else {
        return false;
    };
    let guards =
        if select.joins.is_empty() { analysis::guards(select, tables) } else { Vec::new() };
    let is_given = |guard: &Guard, key: usize| match &guard.any[..] {
        [tests] => tests.iter().any(|test| test.is_one_value(key)),
        _ => false,
    };
    guards.first().is_some_and(|(_, guard)| table.key().all(|key| is_given(guard, key)))
}

impl Connection {
    /// Returns what concerns a query that reads this, given its selection, if it is one.
    pub fn interests(&self, reads: Vec<TableRead>, select: Option<&Select>) -> Vec<Interest> {
        let mut guards = select.map(|s| analysis::guards(s, self.tables())).unwrap_or_default();
        let interest = |TableRead { table, columns }| {
            let name = self.tables()[table].name();
            let at = guards.iter().position(|(guarded, _)| guarded == name);
            let mut guard = at.map_or_else(Guard::all, |at| guards.swap_remove(at).1);
            guard.any.shrink_to_fit();
            Interest { table, columns, guard }
        };
        reads.into_iter().map(interest).collect()
    }
}
