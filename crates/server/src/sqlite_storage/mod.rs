//! The storage of a server on one machine: all logs in one SQLite file, written by one writer.
//!
//! `docs/server-storage.md` specifies the tables, and says what happens when the disk fails. Nothing
//! is visible to a reader before it is on disk: SQLite publishes a transaction of the write-ahead
//! log only after the log's fsync, and what a crash left behind is synced when the database opens.

mod append;
mod checkpoint;
mod open;
mod read;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use livestore_core::{BackendId, GlobalSeqNum};
use rusqlite::config::DbConfig;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::checkpoint::Checkpoints;
use self::open::FORMAT_VERSION;
use crate::rules::Rules;
use crate::storage::{AppendOutcome, AppendRequest, LogReader, LogStorage, StorageError};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The logs of many stores in one SQLite file, `livestore-server.db`.
#[derive(Debug)]
pub struct SqliteStorage {
    connection: Connection,
    place: Place,
    checkpoints: Checkpoints,
    /// A commit has failed, and nothing has taken its place yet.
    may_come_back: bool,
    backend_id: BackendId,
    // Declared last: the directory is free for another server once the connection is closed.
    _lock: Option<File>,
}

/// Where the database is.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The virtual file system that holds it; none for the system's own.
    vfs: Option<String>,
}

impl Place {
    fn connect(&self, flags: OpenFlags) -> Result<Connection, StorageError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?,
            None => Connection::open_with_flags(&self.path, flags)?,
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Without it SQLite plans a statement anew whenever some of its values are bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    }
}

impl SqliteStorage {
    /// Opens the database in a directory; makes both if they are missing.
    ///
    /// The directory stays locked for other servers until the storage is dropped.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StorageError> {
        let dir = dir.as_ref();
        open::create_dir_durably(dir)?;
        let lock = open::lock(dir)?;
        let place = Place { path: dir.join("livestore-server.db"), vfs: None };
        let storage = Self::open_at(place, Some(lock), open::new_backend_id)?;
        // SQLite does this too, when it has made its files, but does not tell if it failed.
        open::sync_dir(dir)?;
        Ok(storage)
    }

    /// Opens the database at a path in a virtual file system; makes it if it is missing.
    ///
    /// Nothing is locked, and nothing is random: a new backend id follows from the seed and the
    /// time.
    #[doc(hidden)]
    pub fn open_in_vfs(
        path: &str,
        vfs: &str,
        backend_id_seed: [u8; 32],
        now_ms: u64,
    ) -> Result<Self, StorageError> {
        let place = Place { path: path.into(), vfs: Some(vfs.to_owned()) };
        Self::open_at(place, None, || Ok(open::backend_id(backend_id_seed, now_ms)))
    }

    /// Takes back a commit that failed.
    ///
    /// If all of it was written and only the sync failed, it lies behind the end of the log like a
    /// good one. Nobody sees it there and the next commit takes its place, but if the process died
    /// before that, the log would be read to its last good commit, and this one would be part of
    /// it. A commit that changes nothing takes its place; if the disk fails again, the next call
    /// tries again.
    fn overwrite_failed_commit(&mut self) -> Result<(), StorageError> {
        if self.may_come_back {
            self.connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
            self.may_come_back = false;
        }
        Ok(())
    }
}

impl LogStorage for SqliteStorage {
    fn backend_id(&self) -> BackendId {
        self.backend_id
    }

    fn append(
        &mut self,
        batch: &[AppendRequest],
        rules: &dyn Rules,
    ) -> Result<Vec<AppendOutcome>, StorageError> {
        self.overwrite_failed_commit()?;
        // Dropping the transaction on an error rolls it back.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let decide = |request| append::append(&tx, request, rules);
        let outcomes = batch.iter().map(decide).collect::<Result<_, _>>()?;
        if let Err(error) = tx.commit() {
            self.may_come_back = true;
            return Err(match self.overwrite_failed_commit() {
                Ok(()) => error.into(),
                Err(_) => StorageError::Unsettled { source: error.into() },
            });
        }
        self.checkpoints.run_if_due(&self.connection);
        Ok(outcomes)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError> {
        let connection = self.place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Box::new(read::SqliteReader::new(connection)))
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database { source: Box::new(error) }
    }
}

impl From<FromSqlError> for StorageError {
    fn from(error: FromSqlError) -> Self {
        corrupt(&error.to_string())
    }
}

fn corrupt(what: &str) -> StorageError {
    StorageError::Corrupt { what: what.to_owned() }
}

/// SQLite counts in `i64`. A position beyond is in no log, and neither is the largest `i64`.
fn sql_seq(seq: GlobalSeqNum) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn seq_from_sql(value: i64) -> Result<GlobalSeqNum, StorageError> {
    let seq = u64::try_from(value).map_err(|_| corrupt("a negative position"))?;
    Ok(GlobalSeqNum(seq))
}

#[cfg(test)]
mod tests;
