//! Looking into a store's file without its schema, also while an app has it open.

use std::path::{Path, PathBuf};

use livestore_core::{BackendId, ClientId, GlobalSeqNum, SeqNum, StoreId};
use livestore_sqlite::Connection;
use serde::Serialize;

use crate::adapter::{opening, store_files, store_path};
use crate::eventlog::{LoggedEvent, next_page};
use crate::replica::exceptions::Counts;
use crate::replica::format::{self, FileKind, Meta};
use crate::replica::{DeadLetter, Quarantined, exceptions, pending};
use crate::{OpenError, QueryError};

/// A store's file, opened for reading.
#[derive(Debug)]
pub struct Inspector {
    connection: Connection,
    meta: Meta,
    path: PathBuf,
}

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
    /// Groups of other clients that left the log with the history that they were in.
    pub archived: u64,
    /// Size of the database file, in bytes.
    pub file_bytes: u64,
}

/// Lists the stores' files in a folder, by name.
pub fn stores_in(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    store_files(folder)
}

impl Inspector {
    /// Opens the file of a store in a folder.
    pub fn open(folder: &Path, store_id: &StoreId) -> Result<Self, OpenError> {
        Self::open_file(&store_path(folder, store_id))
    }

    /// Opens a store's file.
    pub fn open_file(path: &Path) -> Result<Self, OpenError> {
        let shown = path.display().to_string();
        let io = |source| OpenError::Io { path: shown.clone(), source };
        std::fs::metadata(path).map_err(io)?;
        let connection = Connection::open_read_only(path).map_err(|error| opening(path, error))?;
        let kind = format::recognize(&connection, &shown).map_err(|error| match error {
            OpenError::Sqlite(error) => opening(path, error),
            other => other,
        })?;
        if kind == FileKind::New {
            return Err(OpenError::NotAStore { path: shown });
        }
        let meta = Meta::load(&connection)?
            .ok_or(OpenError::Damaged { path: shown, what: "its meta row" })?;
        Ok(Self { connection, meta, path: path.into() })
    }

    /// Reads where the store stands.
    pub fn status(&self) -> Result<FileStatus, QueryError> {
        // One read transaction, so that the figures belong together.
        self.connection.system().execute_batch("BEGIN")?;
        let status = self.read_status();
        self.connection.system().execute_batch("COMMIT")?;
        status
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

    /// Calls a function with each event of the log after a confirmed position, pending ones last,
    /// until it says stop.
    pub fn for_each_event(
        &self,
        after: GlobalSeqNum,
        mut each: impl FnMut(LoggedEvent) -> bool,
    ) -> Result<(), QueryError> {
        let mut after = (after, 0);
        loop {
            let meta = Meta::load(&self.connection)?.unwrap_or_else(|| self.meta.clone());
            self.connection.system().execute_batch("BEGIN")?;
            let page = next_page(&self.connection, after, &meta);
            self.connection.system().execute_batch("COMMIT")?;
            let (events, at_end) = page?;
            for event in events {
                if event.confirmed {
                    after = event.place();
                }
                if !each(event) {
                    return Ok(());
                }
            }
            if at_end {
                return Ok(());
            }
        }
    }

    /// Reads the confirmed events that were skipped, in the order of the log.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, QueryError> {
        Ok(exceptions::quarantined(&self.connection)?)
    }

    /// Reads the dead letters, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, QueryError> {
        Ok(exceptions::dead_letters(&self.connection)?)
    }
}
