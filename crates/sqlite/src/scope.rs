//! Scopes of tables: what a table is derived from, and which events may touch it.
//!
//! The rules stand here and are enforced by the authorizer. They keep what is equal on every
//! client from depending on what is not: a synced event that read one client's own rows would
//! fail there alone, and that client's state would differ for ever.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who derives a table, and who may see its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Derived from synced events alone; equal on every client.
    Synced,
    /// Derived from persisted client-only events; one client's own, on disk.
    Client,
    /// Derived from memory events; gone when the store closes. Lives in an attached in-memory
    /// database.
    Memory,
}

impl Scope {
    /// Tells whether the rows are on disk, so that a new definition asks for a rebuild.
    pub fn is_on_disk(self) -> bool {
        self != Self::Memory
    }

    /// Tells whether the materializer of an event of this scope may read a table of that one.
    pub fn may_read(self, table: Self) -> bool {
        table <= self
    }

    /// Tells whether the materializer of an event of this scope may write to a table of that one.
    pub fn may_write(self, table: Self) -> bool {
        table == self
    }

    /// Names the database in which the tables are.
    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::Synced | Self::Client => "main",
            Self::Memory => "memory",
        }
    }

    /// Names the events that write to such tables, for messages.
    pub(crate) fn event_kind(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Client => "persisted client-only",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Client => "client",
            Self::Memory => "memory",
        })
    }
}

/// What a statement does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableAccess {
    /// It reads rows, or asks whether there are any.
    Read,
    /// It inserts rows.
    Insert,
    /// It changes rows.
    Update,
    /// It deletes rows.
    Delete,
}

impl fmt::Display for TableAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading",
            Self::Insert => "inserting into",
            Self::Update => "updating",
            Self::Delete => "deleting from",
        })
    }
}
