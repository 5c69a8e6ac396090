//! The file: its identity, its version, and LiveStore's own tables in it.
//!
//! `docs/storage-format.md` specifies what is here. A file that is not ours, or of a version that
//! this code does not know, is refused and left as it is.

use livestore_core::{BackendId, ClientId, GlobalSeqNum, LogHash, LogPosition, StoreId};
use livestore_sqlite::{Connection, SqliteError, params};

use crate::OpenError;

/// `LvSt`, in the header of every file of ours.
pub(crate) const APPLICATION_ID: i64 = 0x4c76_5374;
/// The version of the format, in the header's user version.
pub(crate) const FORMAT_VERSION: i64 = 0;

const CREATE: &str = "
CREATE TABLE __livestore_meta (
    id          INTEGER PRIMARY KEY CHECK (id = 0),
    store_id    TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    state_version BLOB NOT NULL,
    backend_id  BLOB,
    head        INTEGER NOT NULL,
    head_hash   BLOB NOT NULL,
    generation  INTEGER NOT NULL,
    rebases     INTEGER NOT NULL
) STRICT;

CREATE TABLE __livestore_eventlog (
    seq         INTEGER PRIMARY KEY,
    event_id    BLOB NOT NULL,
    group_id    BLOB NOT NULL,
    name        TEXT NOT NULL,
    args        TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    log_hash    BLOB
) STRICT;
CREATE INDEX __livestore_eventlog_group ON __livestore_eventlog (group_id);

CREATE TABLE __livestore_pending (
    ordinal     INTEGER PRIMARY KEY,
    group_id    BLOB NOT NULL,
    event_index INTEGER NOT NULL,
    event_id    BLOB NOT NULL,
    name        TEXT NOT NULL,
    args        TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    undo        BLOB
) STRICT;

CREATE TABLE __livestore_dead_letter (
    group_id    BLOB PRIMARY KEY,
    content     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    rejected_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE __livestore_quarantine (
    seq         INTEGER PRIMARY KEY,
    reason      TEXT NOT NULL
) STRICT;
";

/// The one row of `__livestore_meta`.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) store_id: StoreId,
    pub(crate) client_id: ClientId,
    pub(crate) state_version: Vec<u8>,
    pub(crate) backend_id: Option<BackendId>,
    /// The end of the confirmed log.
    pub(crate) head: LogPosition,
    /// How often the pending tail that there is now has been rebased.
    pub(crate) generation: u32,
    /// How many rebases there ever were.
    pub(crate) rebases: u64,
}

/// What kind of file a connection has in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    New,
    Store,
}

/// Recognizes the file, or says why it cannot be used.
pub(crate) fn recognize(connection: &Connection, path: &str) -> Result<FileKind, OpenError> {
    let system = connection.system();
    let number = |sql: &str| -> Result<i64, SqliteError> {
        Ok(system.query_one(sql, [], |row| row.get(0))?.unwrap_or(0))
    };
    let application_id = number("PRAGMA application_id")?;
    let objects = number("SELECT count(*) FROM sqlite_schema")?;
    if application_id == 0 && objects == 0 {
        return Ok(FileKind::New);
    }
    if application_id != APPLICATION_ID {
        return Err(OpenError::NotAStore { path: path.into() });
    }
    let found = number("PRAGMA user_version")?;
    if found != FORMAT_VERSION {
        let (path, supported) = (path.into(), FORMAT_VERSION);
        return Err(OpenError::UnknownFormat { path, found, supported });
    }
    Ok(FileKind::Store)
}

/// Creates our tables in an empty database; run it inside a transaction.
pub(crate) fn create(connection: &Connection, meta: &Meta) -> Result<(), SqliteError> {
    let system = connection.system();
    system.execute_batch(CREATE)?;
    system.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}"
    ))?;
    system.execute(
        "INSERT INTO __livestore_meta VALUES (0, ?, ?, ?, NULL, ?, ?, 0, 0)",
        params![
            meta.store_id.as_str(),
            meta.client_id.as_str(),
            meta.state_version,
            meta.head.seq.0 as i64,
            meta.head.hash.as_bytes(),
        ],
    )?;
    Ok(())
}

impl Meta {
    /// The meta row of a store that has seen nothing yet.
    pub(crate) fn new(store_id: StoreId, client_id: ClientId, state_version: &[u8]) -> Self {
        Self {
            store_id,
            client_id,
            state_version: state_version.into(),
            backend_id: None,
            head: LogPosition::ROOT,
            generation: 0,
            rebases: 0,
        }
    }

    /// Reads the row; `None` if it is missing or makes no sense.
    pub(crate) fn load(connection: &Connection) -> Result<Option<Self>, SqliteError> {
        let sql = "SELECT store_id, client_id, state_version, backend_id, head, head_hash, \
                   generation, rebases FROM __livestore_meta";
        let row = connection.system().query_one(sql, [], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, Vec<u8>>(2)?,
                row.get::<_, Option<Vec<u8>>>(3)?,
                row.get::<_, u64>(4)?,
                row.get::<_, Vec<u8>>(5)?,
                row.get::<_, u32>(6)?,
                row.get::<_, u64>(7)?,
            ))
        })?;
        let Some((store_id, client_id, state_version, backend, seq, hash, generation, rebases)) =
            row
        else {
            return Ok(None);
        };
        let read = || {
            let backend_id = match backend {
                None => None,
                Some(bytes) => Some(BackendId::from_slice(&bytes)?),
            };
            let hash = LogHash::from_slice(&hash)?;
            Some(Self {
                store_id: StoreId::new(store_id).ok()?,
                client_id: ClientId::new(client_id).ok()?,
                state_version,
                backend_id,
                head: LogPosition { seq: GlobalSeqNum(seq), hash },
                generation,
                rebases,
            })
        };
        Ok(read())
    }

    /// Writes what changes while the store is used.
    pub(crate) fn save(&self, connection: &Connection) -> Result<(), SqliteError> {
        connection.system().execute(
            "UPDATE __livestore_meta SET backend_id = ?, head = ?, head_hash = ?, generation = ?, \
             rebases = ?, state_version = ?",
            params![
                self.backend_id.as_ref().map(BackendId::as_bytes),
                self.head.seq.0 as i64,
                self.head.hash.as_bytes(),
                self.generation,
                self.rebases as i64,
                self.state_version,
            ],
        )?;
        Ok(())
    }
}
