//! The file: its identity, its version, and LiveStore's own tables in it.
//!
//! `docs/storage-format.md` specifies what is here. A file that is not ours, or of a version that
//! this code does not know, is refused and left as it is.

use livestore_core::{BackendId, ClientId, GlobalSeqNum, LogHash, LogPosition, StoreId};
use livestore_sqlite::rusqlite::{self, Row};
use livestore_sqlite::{Connection, SqliteError, params};
use serde::{Deserialize, Serialize};

use super::{Divergence, HistoryAnswer};
use crate::OpenError;

/// `LvSt`, in the header of every file of ours.
pub(crate) const APPLICATION_ID: i64 = 0x4c76_5374;
/// The version of the format, in the header's user version.
pub(crate) const FORMAT_VERSION: i64 = 1;

/// More rebases than there can ever be.
pub(crate) const MAX_REBASES: u64 = u32::MAX as u64 - 1;

const CREATE: &str = "
CREATE TABLE __livestore_meta (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    store_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    state_version BLOB NOT NULL,
    backend_id BLOB,
    head INTEGER NOT NULL,
    head_hash BLOB NOT NULL,
    state_head INTEGER NOT NULL,
    rebuild_client INTEGER,
    rebuild_ordinal INTEGER,
    generation INTEGER NOT NULL,
    rebases INTEGER NOT NULL,
    synced_at INTEGER,
    revision_due INTEGER NOT NULL,
    republished INTEGER,
    answer TEXT,
    attempt_base INTEGER,
    attempt_events INTEGER
) STRICT;

CREATE TABLE __livestore_eventlog (
    seq INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    name TEXT NOT NULL,
    args TEXT NOT NULL,
    client_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    log_hash BLOB,
    submitted BLOB
) STRICT;
CREATE UNIQUE INDEX __livestore_eventlog_group ON __livestore_eventlog (group_id)
    WHERE log_hash IS NOT NULL;

CREATE TABLE __livestore_client_log (
    seq INTEGER NOT NULL,
    client INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    name TEXT NOT NULL,
    args TEXT NOT NULL,
    session_id TEXT NOT NULL,
    PRIMARY KEY (seq, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX __livestore_client_log_group ON __livestore_client_log (group_id);

CREATE TABLE __livestore_pending (
    ordinal INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    event_index INTEGER NOT NULL,
    events INTEGER,
    client_only INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    name TEXT NOT NULL,
    args TEXT NOT NULL,
    session_id TEXT NOT NULL,
    origin TEXT,
    undo BLOB
) STRICT;
CREATE INDEX __livestore_pending_unapplied ON __livestore_pending (ordinal)
    WHERE event_index = 0 AND undo IS NULL;

CREATE TABLE __livestore_pending_group (
    group_id BLOB PRIMARY KEY,
    client_only INTEGER NOT NULL,
    events INTEGER NOT NULL,
    ordinal INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE __livestore_dead_letter (
    group_id BLOB PRIMARY KEY,
    content TEXT NOT NULL,
    reason TEXT NOT NULL,
    rejected_at INTEGER NOT NULL,
    command TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE __livestore_forgotten (
    group_id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE __livestore_quarantine (
    seq INTEGER NOT NULL,
    client INTEGER NOT NULL,
    name TEXT NOT NULL,
    unknown INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (seq, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE __livestore_archive (
    id INTEGER PRIMARY KEY,
    backend_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    content TEXT NOT NULL
) STRICT;
";

/// The one row of `__livestore_meta`.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) store_id: StoreId,
    pub(crate) client_id: ClientId,
    pub(crate) state_version: Vec<u8>,
    pub(crate) backend_id: Option<BackendId>,
    /// The end of the confirmed log, as far as it is on disk.
    pub(crate) head: LogPosition,
    /// Up to where the confirmed log is in the state.
    pub(crate) state_head: GlobalSeqNum,
    /// Where a rebuild of the state stands, if there is one.
    pub(crate) rebuild: Option<Rebuild>,
    /// True if pending groups are still to be made anew on the state as it is.
    pub(crate) revision_due: bool,
    /// Up to where the backend has this log, while it is published there anew.
    pub(crate) republished: Option<GlobalSeqNum>,
    /// What somebody wants to be done when the backend turns out to have another history.
    pub(crate) answer: Option<GivenAnswer>,
    /// What was pushed to a backend that keeps no ids.
    pub(crate) attempt: Option<Attempt>,
    /// How often the pending tail that there is now has been rebased.
    pub(crate) generation: u32,
    /// How many rebases there ever were.
    pub(crate) rebases: u64,
    /// When everything was last in step with the backend, in milliseconds since 1970.
    pub(crate) synced_at_ms: Option<u64>,
}

/// A push to a backend that keeps no ids, by which what it took is recognized.
///
/// Such a backend takes a push only on top of the very end of its log. So once it has anything behind the
/// base, nothing is in doubt any more, and the next attempt takes the place of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// What the first group was to continue.
    pub(crate) base: GlobalSeqNum,
    /// How many synced events were pushed, from the beginning of the tail.
    pub(crate) events: u64,
}

/// An answer to a divergence that was seen before; it holds for that one alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GivenAnswer {
    pub(crate) answer: HistoryAnswer,
    /// What was seen then.
    to: Divergence,
}

impl GivenAnswer {
    pub(crate) fn new(answer: HistoryAnswer, to: Divergence) -> Self {
        Self { answer, to }
    }

    /// Tells whether it is an answer to this divergence. What the backend has got meanwhile changes
    /// nothing about what it would cost.
    pub(crate) fn is_to(&self, divergence: &Divergence) -> bool {
        self.to == Divergence { backend_head: self.to.backend_head, ..*divergence }
    }
}

/// Where a rebuild of the state stands, besides [`Meta::state_head`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rebuild {
    /// The last client-only event at the state head that is in the state.
    pub(crate) client: u32,
    /// The last pending event that is in the state; none while the log is not all there.
    pub(crate) ordinal: Option<i64>,
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
    // SQLite keeps the text, so it must have no comments of its own lines. What it keeps fits the first page together with that of a small app, so that
    // damage elsewhere leaves it alone.
    let statements: Vec<&str> = CREATE.split_ascii_whitespace().collect();
    system.execute_batch(&statements.join(" "))?;
    system.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}"
    ))?;
    system.execute(
        "INSERT INTO __livestore_meta VALUES (0, ?, ?, ?, NULL, ?, ?, 0, NULL, NULL, 0, 0, NULL, 0, NULL, NULL, NULL, NULL)",
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
            state_head: GlobalSeqNum::ROOT,
            rebuild: None,
            revision_due: false,
            republished: None,
            answer: None,
            attempt: None,
            generation: 0,
            rebases: 0,
            synced_at_ms: None,
        }
    }

    /// Reads the row; `None` if it is missing or makes no sense.
    pub(crate) fn load(connection: &Connection) -> Result<Option<Self>, SqliteError> {
        let sql = "SELECT store_id, client_id, state_version, backend_id, head, head_hash, \
                   state_head, rebuild_client, rebuild_ordinal, generation, rebases, synced_at, \
                   revision_due, republished, answer, attempt_base, attempt_events \
                   FROM __livestore_meta";
        let read = |row: &Row<'_>| -> rusqlite::Result<Option<Self>> {
            let blob = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_blob_or_null()?);
            let backend_id = match blob(3)? {
                None => None,
                Some(bytes) => match BackendId::from_slice(bytes) {
                    None => return Ok(None),
                    known => known,
                },
            };
            let (store_id, client_id) =
                (StoreId::new(row.get_ref(0)?.as_str()?), ClientId::new(row.get_ref(1)?.as_str()?));
            let (Ok(store_id), Ok(client_id), Some(hash)) =
                (store_id, client_id, LogHash::from_slice(row.get_ref(5)?.as_blob()?))
            else {
                return Ok(None);
            };
            let rebuild_client: Option<u32> = row.get(7)?;
            let ordinal = row.get(8)?;
            let answer = row.get_ref(14)?.as_str_or_null()?.map(serde_json::from_str);
            // One that another release has written, and this one does not know, is none.
            let answer = answer.and_then(Result::ok);
            let meta = Self {
                store_id,
                client_id,
                state_version: row.get(2)?,
                backend_id,
                head: LogPosition { seq: GlobalSeqNum(row.get(4)?), hash },
                state_head: GlobalSeqNum(row.get(6)?),
                rebuild: rebuild_client.map(|client| Rebuild { client, ordinal }),
                generation: row.get(9)?,
                rebases: row.get(10)?,
                synced_at_ms: row.get(11)?,
                revision_due: row.get(12)?,
                republished: row.get::<_, Option<u64>>(13)?.map(GlobalSeqNum),
                answer,
                attempt: match (row.get::<_, Option<u64>>(15)?, row.get(16)?) {
                    (Some(base), Some(events)) => {
                        Some(Attempt { base: GlobalSeqNum(base), events })
                    }
                    _ => None,
                },
            };
            Ok(Some(meta).filter(Self::is_possible))
        };
        Ok(connection.system().query_one(sql, [], read)?.flatten())
    }

    /// Tells whether a row can have been written by us, and can be counted on from.
    fn is_possible(&self) -> bool {
        self.head.seq <= GlobalSeqNum::MAX
            && self.state_head <= self.head.seq
            && self.republished <= Some(self.head.seq)
            && self.attempt.is_none_or(|attempt| attempt.base <= self.head.seq)
            && u64::from(self.generation) <= self.rebases
            && self.rebases <= MAX_REBASES
    }

    /// Writes what changes while the store is used.
    pub(crate) fn save(&self, connection: &Connection) -> Result<(), SqliteError> {
        connection.system().execute(
            "UPDATE __livestore_meta SET backend_id = ?, head = ?, head_hash = ?, state_head = ?, \
             rebuild_client = ?, rebuild_ordinal = ?, generation = ?, rebases = ?, \
             synced_at = ?, state_version = ?, revision_due = ?, republished = ?, answer = ?, \
             attempt_base = ?, attempt_events = ?",
            params![
                self.backend_id.as_ref().map(BackendId::as_bytes),
                self.head.seq.0 as i64,
                self.head.hash.as_bytes(),
                self.state_head.0 as i64,
                self.rebuild.map(|rebuild| rebuild.client),
                self.rebuild.and_then(|rebuild| rebuild.ordinal),
                self.generation,
                self.rebases as i64,
                self.synced_at_ms.map(|at| at as i64),
                self.state_version,
                self.revision_due,
                self.republished.map(|seq| seq.0 as i64),
                self.answer.as_ref().and_then(|answer| serde_json::to_string(answer).ok()),
                self.attempt.map(|attempt| attempt.base.0 as i64),
                self.attempt.map(|attempt| attempt.events as i64),
            ],
        )?;
        Ok(())
    }
}
