//! Opening the database: its place, its format, its settings, and what a crash left behind.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use livestore_core::{BackendId, IdGenerator};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::checkpoint::{self, Checkpoints};
use super::{Place, SqliteStorage, corrupt};
use crate::clock::unix_ms;
use crate::storage::StorageError;

/// `LSSR` in ASCII, in the header of every database of this server.
const APPLICATION_ID: i32 = 0x4c53_5352;

/// The format of the tables; every later version of the server opens a database of format 1.
pub(super) const FORMAT_VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  backend_id BLOB NOT NULL CHECK (length(backend_id) = 16)
) STRICT;

CREATE TABLE store (
  id INTEGER PRIMARY KEY,
  store_id TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE log_group (
  store INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  group_id BLOB NOT NULL CHECK (length(group_id) = 16),
  client_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
  log_hash BLOB NOT NULL CHECK (length(log_hash) = 32),
  PRIMARY KEY (store, last_seq),
  UNIQUE (store, group_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  store INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  event_id BLOB NOT NULL CHECK (length(event_id) = 16),
  name TEXT NOT NULL,
  args TEXT NOT NULL,
  PRIMARY KEY (store, seq)
) STRICT, WITHOUT ROWID;
";

impl SqliteStorage {
    pub(super) fn open_at(
        place: Place,
        lock: Option<File>,
        new_backend_id: impl FnOnce() -> Result<BackendId, StorageError>,
    ) -> Result<Self, StorageError> {
        let mut connection =
            place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let is_new = check_format(&connection, &place.path)?;
        prepare_writer(&connection, &place.path)?;
        if is_new {
            create_tables(&mut connection, new_backend_id()?)?;
        }
        // A process that died between writing a commit and syncing it has left a commit that
        // readers would be shown, and that a power cut could still take back.
        checkpoint::run(&connection)?;
        let checkpoints = Checkpoints::watch(&mut connection)?;
        let backend_id = read_backend_id(&connection)?;
        let may_come_back = false;
        Ok(Self { connection, place, checkpoints, may_come_back, backend_id, _lock: lock })
    }
}

/// Makes a directory and everything above it, so that a power cut does not take it back.
pub(super) fn create_dir_durably(dir: &Path) -> Result<(), StorageError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(dir).map_err(|source| StorageError::Io {
        action: "create the directory",
        path: dir.to_owned(),
        source,
    })?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(sync_dir)
}

/// Makes the names of the files in a directory durable, where that is a thing of its own.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| StorageError::Io {
        action: "sync the directory",
        path: dir.to_owned(),
        source,
    })
}

pub(super) fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("livestore-server.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| StorageError::Io {
        action: "open the lock file",
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(StorageError::Io { action: "lock the file", path, source })
        }
    }
}

/// Returns true if the database is empty and still has to be given its tables.
fn check_format(connection: &Connection, path: &Path) -> Result<bool, StorageError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application_id =
        pragma("application_id").map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StorageError::NotADatabase { path: path.to_owned() },
            _ => error.into(),
        })?;
    let is_empty = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        Ok(row.get::<_, i64>(0)? == 0)
    })?;
    if application_id == 0 && is_empty {
        return Ok(true);
    }
    if application_id != APPLICATION_ID {
        return Err(StorageError::ForeignDatabase { path: path.to_owned(), application_id });
    }
    let found = pragma("user_version")?;
    if found != FORMAT_VERSION {
        let path = path.to_owned();
        return Err(StorageError::UnknownFormat { path, found, known: FORMAT_VERSION });
    }
    Ok(false)
}

fn prepare_writer(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    // The switch to WAL deletes a rollback journal; if a power cut brought that back, it would take
    // the whole new database with it. EXTRA makes the deletion durable.
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    let mode = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    if mode != "wal" {
        return Err(StorageError::NoWriteAheadLog { path: path.to_owned() });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync leaves the data in the drive's cache; elsewhere these do nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // A write-ahead log that grew under a long read is cut back at the next checkpoint.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(())
}

fn create_tables(connection: &mut Connection, backend_id: BackendId) -> Result<(), StorageError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.execute("INSERT INTO meta (id, backend_id) VALUES (1, ?1)", [backend_id.as_bytes()])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", FORMAT_VERSION)?;
    tx.commit()?;
    Ok(())
}

fn read_backend_id(connection: &Connection) -> Result<BackendId, StorageError> {
    let bytes =
        connection.query_row("SELECT backend_id FROM meta", [], |row| row.get::<_, Vec<u8>>(0))?;
    BackendId::from_slice(&bytes).ok_or_else(|| corrupt("meta.backend_id"))
}

/// Makes up an id that no other database has.
pub(super) fn new_backend_id() -> Result<BackendId, StorageError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| StorageError::NoRandomness { reason: error.to_string() })?;
    Ok(backend_id(seed, unix_ms()))
}

/// Returns the id that follows from a seed and a time.
pub(super) fn backend_id(seed: [u8; 32], now_ms: u64) -> BackendId {
    IdGenerator::new(seed).backend_id(now_ms)
}
