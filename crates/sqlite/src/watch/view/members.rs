//! What the entries of a maintained list are, and which of them a changed row concerns.

use std::collections::HashSet;
use std::sync::Arc;

use super::given::{GivenRow, Statement};
use crate::{RowChange, SqliteError, StateRead, Value};

/// What identifies one or several entries of a list, which are read together: what their keys begin
/// with.
pub(super) type Key = Box<[Value]>;

/// The entries of a list: rows of a table, or groups of them.
pub(super) trait Members: Send {
    /// Forgets what is known of the state, of which anything may have changed.
    fn forget(&mut self) {}

    /// Returns the most changed rows that are to be looked at one by one, given the length of the list;
    /// and the most entries.
    fn most(&self, len: usize) -> usize;

    /// Returns the keys of the entries that changed rows concern, each once; none if all have to be
    /// read.
    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
    ) -> Result<Option<Vec<Key>>, SqliteError>;

    /// Tells how the entries with a key are read.
    fn one(&self, key: &[Value]) -> One<'_>;
}

/// How entries are read.
pub(super) enum One<'a> {
    /// They are what this statement finds.
    Asked(&'a str, Vec<Value>),
    /// There are none.
    Gone,
    /// It is not known; all have to be read.
    Unknown,
}

/// Rows of a table by their primary key, maybe with those of another that are joined to each.
pub(super) struct RowMembers {
    /// The table, by index among all.
    table: usize,
    /// The statement for a row, which ends with its key, and the values before that.
    one: Statement,
    joined: Option<Joined>,
}

/// A table that is joined to another.
pub(super) struct Joined {
    /// By index among all.
    pub(super) table: usize,
    /// Finds the keys of rows of the other to which a row of this is joined.
    pub(super) partners: GivenRow,
}

/// Changed rows that are always looked at one by one.
const FEW: usize = 16;

impl RowMembers {
    pub(super) fn new(table: usize, one: Statement, joined: Option<Joined>) -> Self {
        Self { table, one, joined }
    }
}

impl Members for RowMembers {
    fn most(&self, len: usize) -> usize {
        // From so many on, reading all takes less time.
        FEW + len / if self.joined.is_some() { 16 } else { 4 }
    }

    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
    ) -> Result<Option<Vec<Key>>, SqliteError> {
        let own = changes.iter().filter(|change| change.table == self.table);
        let mut keys: Vec<Key> = own.map(|change| change.key.clone()).collect();
        if let Some(Joined { table, partners }) = &self.joined {
            // Rows to which it was joined are either what they were, or have changed themselves.
            let changes = changes.iter().filter(|change| change.table == *table);
            for row in changes.flat_map(|change| change.old.iter().chain(&change.new)) {
                let (text, binds) = partners.of(row);
                read.run(text, &binds, |mut rows| {
                    let columns = rows.column_count();
                    while let Some(row) = rows.next()? {
                        keys.push((0..columns).map(|index| row.value(index)).collect());
                    }
                    Ok(())
                })?;
            }
        }
        once(&mut keys);
        Ok(Some(keys))
    }

    fn one(&self, key: &[Value]) -> One<'_> {
        let (text, binds) = &self.one;
        One::Asked(text, binds.iter().chain(key).cloned().collect())
    }
}

/// Leaves out keys that have come before.
pub(super) fn once(keys: &mut Vec<Key>) {
    if keys.len() > 1 {
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
}
