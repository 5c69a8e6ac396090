//! The storage of a server on one machine: all logs in one SQLite file, written by one writer.
//!
//! `docs/server-storage.md` specifies the tables. Nothing is visible to a reader before it is on
//! disk: SQLite publishes a transaction of the write-ahead log only after the log's fsync.

mod append;
mod read;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use livestore_core::{BackendId, GlobalSeqNum, IdGenerator};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::storage::{AppendOutcome, AppendRequest, LogReader, LogStorage, StorageError};

/// `LSSR` in ASCII, in the header of every database of this server.
const APPLICATION_ID: i32 = 0x4c53_5352;

/// The format of the tables. Stays 0 until the format is declared stable.
const FORMAT_VERSION: i32 = 0;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

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

/// The logs of many stores in one SQLite file, `livestore-server.db`.
#[derive(Debug)]
pub struct SqliteStorage {
    connection: Connection,
    path: PathBuf,
    backend_id: BackendId,
    // Declared last: the directory is free for another server once the connection is closed.
    _lock: File,
}

impl SqliteStorage {
    /// Opens the database in a directory; makes both if they are missing.
    ///
    /// The directory stays locked for other servers until the storage is dropped.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StorageError> {
        let dir = dir.as_ref();
        create_dir_durably(dir)?;
        let lock = lock(dir)?;
        let path = dir.join("livestore-server.db");
        let mut connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let is_new = check_format(&connection, &path)?;
        prepare_writer(&connection, &path)?;
        if is_new {
            create_tables(&mut connection)?;
        }
        let backend_id = connection
            .query_row("SELECT backend_id FROM meta", [], |row| row.get::<_, Vec<u8>>(0))
            .map_err(StorageError::from)
            .and_then(|bytes| {
                BackendId::from_slice(&bytes).ok_or_else(|| corrupt("meta.backend_id"))
            })?;
        Ok(Self { connection, path, backend_id, _lock: lock })
    }
}

impl LogStorage for SqliteStorage {
    fn backend_id(&self) -> BackendId {
        self.backend_id
    }

    fn append(&mut self, batch: &[AppendRequest]) -> Result<Vec<AppendOutcome>, StorageError> {
        // Dropping the transaction on an error rolls it back.
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcomes =
            batch.iter().map(|request| append::append(&tx, request)).collect::<Result<_, _>>()?;
        tx.commit()?;
        Ok(outcomes)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
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

/// Makes a directory and everything above it, so that a power cut does not take it back.
fn create_dir_durably(dir: &Path) -> Result<(), StorageError> {
    let io_error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| StorageError::Io { action, path, source }
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(dir).map_err(io_error("create the directory", dir))?;
    if cfg!(unix) {
        for path in missing.iter().filter_map(|path| path.parent()) {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let sync = File::open(path).and_then(|parent| parent.sync_all());
            sync.map_err(io_error("sync the directory", path))?;
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, StorageError> {
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

fn create_tables(connection: &mut Connection) -> Result<(), StorageError> {
    let backend_id = new_backend_id()?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.execute("INSERT INTO meta (id, backend_id) VALUES (1, ?1)", [backend_id.as_bytes()])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", FORMAT_VERSION)?;
    tx.commit()?;
    Ok(())
}

fn new_backend_id() -> Result<BackendId, StorageError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| StorageError::NoRandomness { reason: error.to_string() })?;
    Ok(IdGenerator::new(seed).backend_id(unix_ms()))
}

#[expect(clippy::disallowed_methods, reason = "the server's only look at the calendar")]
fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(0, |elapsed| elapsed.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use livestore_core::{
        CanonicalJson, ClientId, Event, EventId, EventName, Group, GroupId, SessionId, StoreId,
    };

    use super::*;

    fn append(
        storage: &mut SqliteStorage,
        base: u64,
        number: u8,
        payload_bytes: usize,
    ) -> Result<Vec<AppendOutcome>, StorageError> {
        let event = Event {
            id: EventId::from_bytes([number; 16]),
            name: EventName::new("v1.NoteAdded").unwrap(),
            args: CanonicalJson::encode(&"x".repeat(payload_bytes)).unwrap(),
        };
        let (client, session) = (ClientId::new("c").unwrap(), SessionId::new("s").unwrap());
        let group = Group::new(GroupId::from_bytes([number; 16]), client, session, vec![event]);
        let store_id = StoreId::new("notes").unwrap();
        let groups = vec![group.unwrap()];
        storage.append(&[AppendRequest { store_id, base: GlobalSeqNum(base), groups }])
    }

    #[test]
    fn a_full_disk_takes_nothing_and_breaks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = SqliteStorage::open(dir.path()).unwrap();
        let limit_pages = |storage: &SqliteStorage, pages: i64| {
            let limit =
                storage.connection.pragma_update_and_check(None, "max_page_count", pages, |row| {
                    row.get::<_, i64>(0)
                });
            assert_eq!(limit.unwrap(), pages);
        };
        append(&mut storage, 0, 1, 10).unwrap();
        limit_pages(&storage, 40);
        let error = append(&mut storage, 1, 2, 500_000).unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        let id = GroupId::from_bytes([2; 16]);
        let mut reader = storage.reader().unwrap();
        let view = reader.view(&StoreId::new("notes").unwrap(), GlobalSeqNum::ROOT, &[id]).unwrap();
        assert_eq!((view.head, view.positions.len()), (GlobalSeqNum(1), 0));

        let accepted = |outcomes: Vec<AppendOutcome>| {
            assert!(matches!(outcomes[..], [AppendOutcome::Appended { .. }]), "{outcomes:?}");
        };
        accepted(append(&mut storage, 1, 3, 10).unwrap());
        limit_pages(&storage, 4000);
        accepted(append(&mut storage, 2, 2, 500_000).unwrap());
    }
}
