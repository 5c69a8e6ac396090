//! Where a store's file stands.

use livestore_core::{BackendId, ClientId, GlobalSeqNum, SeqNum, StoreId};
use serde::Serialize;

use super::Inspector;
use crate::QueryError;
use crate::replica::exceptions::Counts;
use crate::replica::format::Meta;
use crate::replica::{exceptions, pending};

/// Where a store's file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileStatus {
    /// The store.
    pub store_id: StoreId,
    /// Who commits in it.
    pub client_id: ClientId,
    /// The backend that it syncs with, once there was contact.
    pub backend_id: Option<BackendId>,
    /// The last event, pending ones included.
    pub local_head: SeqNum,
    /// The last event that the backend has confirmed.
    pub confirmed_head: GlobalSeqNum,
    /// The end of what has been pulled.
    pub pulled_head: GlobalSeqNum,
    /// Groups that wait for the backend.
    pub pending_groups: u64,
    /// Events that wait for the backend.
    pub pending_events: u64,
    /// Pending groups without effect on the state: they failed, but the backend may have them.
    pub groups_in_doubt: u64,
    /// True if the state is not all derived; opening the store goes on with that.
    pub is_rebuilding: bool,
    /// When everything was last in step with the backend, in milliseconds since 1970.
    pub last_synced_ms: Option<u64>,
    /// Rebases since the store was created.
    pub rebases: u64,
    /// Groups in the dead letters.
    pub dead_letters: u64,
    /// Confirmed events that were skipped.
    pub quarantined: u64,
    /// Groups that left the log with the history that they were in: those of other clients, and own
    /// ones that were discarded.
    pub archived: u64,
    /// Size of the database file, in bytes.
    pub file_bytes: u64,
}

impl Inspector {
    /// Reads where the store stands.
    pub fn status(&self) -> Result<FileStatus, QueryError> {
        self.snapshot(|| self.read_status())
    }

    fn read_status(&self) -> Result<FileStatus, QueryError> {
        let meta = Meta::load(&self.connection)?.unwrap_or_else(|| self.meta.clone());
        let tail = pending::tail(&self.connection)?;
        let Counts { dead_letters, quarantined, archived } = exceptions::counts(&self.connection)?;
        let generation = if tail.events == 0 { 0 } else { meta.generation };
        Ok(FileStatus {
            store_id: meta.store_id,
            client_id: meta.client_id,
            backend_id: meta.backend_id,
            local_head: SeqNum { global: meta.state_head.plus(tail.events), client: 0, generation },
            confirmed_head: meta.state_head,
            pulled_head: meta.head.seq,
            pending_groups: tail.groups,
            pending_events: tail.events,
            groups_in_doubt: tail.unapplied,
            is_rebuilding: meta.rebuild.is_some(),
            last_synced_ms: meta.synced_at_ms,
            rebases: meta.rebases,
            dead_letters,
            quarantined,
            archived,
            file_bytes: std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()),
        })
    }
}
