//! One error type for each boundary: opening, committing, reading, waiting.

use livestore_core::{EventName, EventNameError, GroupError, JsonError, NameError, StoreId};
use livestore_sqlite::SqliteError;

use crate::materializer::MaterializeError;
use crate::replica::{DeadLetterReason, FollowError, PushLimits, ReplicaError};
use crate::session::Newer;

/// Why a store could not be opened. Whatever was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store id is not valid.
    #[error(transparent)]
    StoreId(#[from] NameError),
    /// Another process, or another `Store` of this one, has it open, and does not let others follow.
    #[error("{path} is in use by another process or another open store; close it there first")]
    InUse {
        /// The lock file.
        path: String,
    },
    /// The session that has the store open runs another version of the app.
    #[error("{message}")]
    SchemaMismatch {
        /// Which of both is newer; `Us` is the session that was to be opened.
        newer: Newer,
        /// What to do.
        message: String,
    },
    /// The session that has the store open does not let this one follow.
    #[error("the session that has the store open does not let this one follow: {message}")]
    NotLetIn {
        /// Why.
        message: String,
    },
    /// The session that has the store open does not answer.
    #[error(
        "the session that has {path} open did not answer within {patience:?}; it may be frozen"
    )]
    LeaderSilent {
        /// The file.
        path: String,
        /// How long it was waited for.
        patience: std::time::Duration,
    },
    /// What the session that leads has sent cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The file is a SQLite database, but not one of ours.
    #[error("{path} is not a LiveStore file; it was left as it is")]
    NotAStore {
        /// The file.
        path: String,
    },
    /// The file is no SQLite database at all, or its header is damaged.
    #[error("{path} is no SQLite database, or its header is damaged; it was left as it is")]
    NotADatabase {
        /// The file.
        path: String,
    },
    /// SQLite cannot make the files that a reader needs, and perhaps somebody has the store open.
    #[error(
        "{path} cannot be read where it is, since nothing can be written beside it and an app may \
         have it open; copy the file and its -wal file to another folder, and read the copy"
    )]
    ReadOnlyFolder {
        /// The file.
        path: String,
    },
    /// The file was written by another version of LiveStore.
    #[error(
        "{path} has storage format {found}, this version reads format {supported}; \
         use the version that wrote it, the file was left as it is"
    )]
    UnknownFormat {
        /// The file.
        path: String,
        /// The file's format.
        found: i64,
        /// The format that this code knows.
        supported: i64,
    },
    /// The file holds another store.
    #[error("{path} holds the store {found}, not {expected}")]
    OtherStore {
        /// The file.
        path: String,
        /// Whose it is.
        found: StoreId,
        /// Whose it should be.
        expected: StoreId,
    },
    /// Something that every store has is missing.
    #[error("{path} is damaged: {what} is missing or makes no sense")]
    Damaged {
        /// The file.
        path: String,
        /// What is missing.
        what: &'static str,
    },
    /// The state could not be derived from the log.
    #[error("the state could not be rebuilt from the log: {source}")]
    Rebuild {
        /// What failed.
        source: ReplicaError,
    },
    /// A folder or file could not be used.
    #[error("{path}: {source}")]
    Io {
        /// The folder or file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
}

/// Why a commit did not happen. Nothing has changed, and the store stays usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The session that has the store's file does not take what is committed here: it is frozen, or none
    /// is found.
    #[error(
        "{commits} commits of {bytes} bytes wait for the session that has the store's file; try again \
         when it answers, see SyncStatus::tier"
    )]
    Backpressure {
        /// Commits that wait.
        commits: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
    /// The schema has no such event.
    #[error("the schema has no event {name}; add it with SchemaBuilder::event")]
    UnknownEvent {
        /// The event's name.
        name: EventName,
    },
    /// The event's name is not valid.
    #[error(transparent)]
    EventName(#[from] EventNameError),
    /// The payload has no canonical JSON.
    #[error("the payload of event {name} cannot be stored: {source}{}", advice(.source))]
    Payload {
        /// The event's name.
        name: EventName,
        /// What is wrong with it.
        source: JsonError,
    },
    /// The schema has no such document.
    #[error("the schema has no document {name}; add it with SchemaBuilder::document")]
    UnknownDocument {
        /// The document's name.
        name: String,
    },
    /// A document cannot have such a value, or has no such field.
    #[error("document {document} cannot be set: {reason}")]
    Document {
        /// The document's name.
        document: String,
        /// What is wrong.
        reason: String,
    },
    /// Reading what the commit depends on failed.
    #[error(transparent)]
    Query(QueryError),
    /// The events do not make a group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The backend cannot take so much at once, and what it does not take at once others could see in
    /// part.
    #[error(
        "a commit of {events} events and {bytes} bytes is more than the backend takes at once ({} events, \
         {} bytes): commit it in several parts",
        .limits.events, .limits.bytes
    )]
    GroupTooLarge {
        /// Synced events of the commit.
        events: usize,
        /// Their bytes, as the limits count them.
        bytes: usize,
        /// What the backend takes.
        limits: PushLimits,
    },
    /// A materializer failed.
    #[error("event {name} could not be materialized: {source}")]
    Materialize {
        /// The event's name.
        name: EventName,
        /// What failed.
        source: MaterializeError,
    },
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The store cannot be used now.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

fn advice(source: &JsonError) -> &'static str {
    match source {
        JsonError::IntegerTooLarge { .. } => ", with #[serde(with = \"livestore::big_integer\")]",
        _ => "",
    }
}

/// Why a store cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// It was shut down.
    #[error("the store has been shut down")]
    Closed,
    /// A materializer, or another function of the schema, called it, which would wait for itself.
    #[error("a function of the schema must not call the store; use its context's `query`")]
    InMaterializer,
    /// The closure of a computed value, or one that chooses a query, wanted to change it.
    #[error("a computed value must not change the store")]
    InComputed,
}

/// Why a query gave no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query failed or was refused.
    #[error(transparent)]
    Sqlite(std::sync::Arc<SqliteError>),
    /// A materializer failed while the state was derived.
    #[error(transparent)]
    Replica(std::sync::Arc<ReplicaError>),
    /// The schema has no such document.
    #[error("the schema has no document {name}; add it with SchemaBuilder::document")]
    UnknownDocument {
        /// The document's name.
        name: String,
    },
    /// The closure of a definition failed.
    #[error("{0}")]
    Failed(std::sync::Arc<str>),
    /// The closure of a definition has read a live value of another store.
    #[error("a live value of another store was read; read a definition of it instead")]
    OtherStore,
    /// The file of the session that leads is not what it should be.
    #[error("the store's file has no meta row")]
    LeaderFile,
    /// The store cannot be used now.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

impl QueryError {
    /// Makes an error of a definition's closure.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string().into())
    }

    /// Tells whether the same query may succeed later although nothing that it reads has changed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Sqlite(error) => !error.is_deterministic(),
            Self::Store(Unavailable::InMaterializer | Unavailable::InComputed) => true,
            _ => false,
        }
    }
}

impl From<SqliteError> for QueryError {
    fn from(error: SqliteError) -> Self {
        Self::Sqlite(error.into())
    }
}

impl PartialEq for QueryError {
    /// Two failures are the same if they read the same; live queries tell "still failing" by it.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Why a receipt cannot tell of a confirmation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The store has no backend that could confirm anything.
    #[error("the store was opened without a backend, so nothing is ever confirmed")]
    NoBackend,
    /// The group is a dead letter.
    #[error("the group was rejected: {reason}")]
    Rejected {
        /// Why.
        reason: DeadLetterReason,
    },
    /// The group was left with the history of a backend, since the app discarded that.
    #[error("the group was left with a backend's history that was discarded; the archive has it")]
    Archived,
    /// The commit had no synced events.
    #[error("the commit had client-only events alone, which no backend ever sees")]
    NotSynced,
    /// The disk failed to sync, so that nothing can be promised until the store is opened again.
    #[error("the disk failed to sync; open the store again to see what is there")]
    DiskFailed,
    /// The group is not known here.
    #[error("the group is neither pending, nor confirmed, nor a dead letter")]
    Unknown,
    /// Looking it up failed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl From<Unavailable> for ReceiptError {
    fn from(error: Unavailable) -> Self {
        Self::Query(error.into())
    }
}
