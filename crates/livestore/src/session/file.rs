//! The leader's file, for what a session does not keep itself: the log, and what became of old groups.

use std::path::Path;

use livestore_core::{BackendId, ConfirmedGroup, GroupId};
use livestore_sqlite::{Connection, SqliteError, StateHash};

use crate::eventlog::{Listing, LoggedEvent};
use crate::replica::format::Meta;
use crate::replica::{GroupState, ReplicaError, exceptions, group_state, pending, replay_hash};
use crate::{QueryError, Schema};

/// The file, opened for reading beside the leader.
#[derive(Debug)]
pub(crate) struct LeaderFile(Connection);

/// How far a state is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Derived {
    /// Confirmed events that are in it, and in the log.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// The last pending event that is in it, if it has come to these.
    ordinal: Option<i64>,
}

impl LeaderFile {
    pub(crate) fn open(path: &Path) -> Result<Self, SqliteError> {
        Connection::open_read_only(path).map(Self)
    }

    /// Returns how far whoever has the file open has come with deriving its state; none if nobody does.
    pub(crate) fn derived(&self) -> Option<Derived> {
        let meta = self.meta().ok()?;
        let ordinal = meta.rebuild?.ordinal;
        Some(Derived { done: meta.state_head.0, total: meta.head.seq.0, ordinal })
    }

    fn meta(&self) -> Result<Meta, QueryError> {
        Meta::load(&self.0)?.ok_or(QueryError::LeaderFile)
    }

    /// Reads the next page of the log.
    pub(crate) fn next_page(&self, listing: &mut Listing) -> Result<Vec<LoggedEvent>, QueryError> {
        Ok(listing.next_page(&self.0, &self.meta()?)?)
    }

    /// Looks up what became of a group.
    pub(crate) fn group_state(&self, group: GroupId) -> Result<GroupState, SqliteError> {
        group_state(&self.0, &pending::tail(&self.0)?, group)
    }

    /// Reads the groups that left the log with the history that they were in.
    pub(crate) fn archived(&self) -> Result<Vec<(BackendId, ConfirmedGroup)>, SqliteError> {
        exceptions::archived(&self.0)
    }

    /// Derives the state from the log.
    pub(crate) fn replay_hash(&self, schema: &Schema) -> Result<StateHash, QueryError> {
        // One moment of it, however long that takes.
        self.0.system().execute_batch("BEGIN")?;
        let replayed = replay_hash(&self.0, schema, &self.meta()?, &mut |_| ());
        self.0.system().execute_batch("ROLLBACK")?;
        replayed.map_err(|error: ReplicaError| QueryError::Replica(error.into()))
    }
}
