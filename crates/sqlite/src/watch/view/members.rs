//! What the entries of a maintained list are, and which of them a changed row concerns.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{RowChange, SqliteError, StateRead, Value};

/// What identifies an entry of a list.
pub(super) type Key = Box<[Value]>;

/// The entries of a list: rows of a table, or groups of them.
pub(super) trait Members: Send {
    /// Forgets what is known of the state, of which anything may have changed.
    fn forget(&mut self) {}

    /// Returns the most changed rows that are to be looked at one by one, given the length of the list.
    fn most(&self, len: usize) -> usize;

    /// Returns the keys of the entries that changed rows concern, each once; none if all have to be
    /// read.
    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
    ) -> Result<Option<Vec<Key>>, SqliteError>;

    /// Tells how the entry with a key is read.
    fn one(&self, key: &[Value]) -> One<'_>;
}

/// How an entry is read.
pub(super) enum One<'a> {
    /// It is what this statement finds, or gone if that finds nothing.
    Asked(&'a str, Vec<Value>),
    Gone,
    /// It is not known; all have to be read.
    Unknown,
}

/// Rows of one table by their primary key.
pub(super) struct RowMembers {
    text: String,
    /// The values that come before the key.
    binds: Vec<Value>,
}

/// Changed rows that are always looked at one by one.
pub(super) const FEW: usize = 16;

impl RowMembers {
    /// Makes it of the statement for a row, which ends with its key, and the values before that.
    pub(super) fn new(text: String, binds: Vec<Value>) -> Self {
        Self { text, binds }
    }
}

impl Members for RowMembers {
    fn most(&self, len: usize) -> usize {
        // From a quarter of the rows on, reading all of them takes less time.
        FEW + len / 4
    }

    fn concerned(
        &mut self,
        _: StateRead<'_>,
        changes: &[Arc<RowChange>],
    ) -> Result<Option<Vec<Key>>, SqliteError> {
        let mut keys: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
        once(&mut keys);
        Ok(Some(keys))
    }

    fn one(&self, key: &[Value]) -> One<'_> {
        One::Asked(&self.text, self.binds.iter().chain(key).cloned().collect())
    }
}

/// Leaves out keys that have come before.
pub(super) fn once(keys: &mut Vec<Key>) {
    if keys.len() > 1 {
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
}
