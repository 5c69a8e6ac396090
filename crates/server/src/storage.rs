//! What the server asks of a database: compare-and-append, and reads of a log.
//!
//! The traits know nothing of sockets and messages in flight. A storage has one writer, which is
//! the value itself, and any number of readers that live on other threads.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use livestore_core::protocol::{GroupPosition, Page, Refusal};
use livestore_core::{BackendId, GlobalSeqNum, Group, GroupId, LogHash, LogPosition, StoreId};

use crate::auth::Principal;
use crate::rules::Rules;

/// The logs of many stores, with the right to append to them.
pub trait LogStorage: Send {
    /// Returns the id under which these logs are known; it never changes.
    fn backend_id(&self) -> BackendId;

    /// Decides on every request in order, in one durable transaction.
    ///
    /// For each request, against the log as the requests before it left it:
    ///
    /// 1. A group id twice in the request, or in the log with another content hash, is a
    ///    [`AppendOutcome::Conflict`].
    /// 2. If the log holds any of the groups: [`AppendOutcome::AlreadyAccepted`].
    /// 3. If the log does not end at `base`: [`AppendOutcome::ServerAhead`].
    /// 4. If the rules refuse one of the groups, as [`judge`](crate::judge) tells:
    ///    [`AppendOutcome::Refused`], or [`AppendOutcome::RuleFailed`].
    /// 5. Else all groups are appended: [`AppendOutcome::Appended`].
    ///
    /// Returns one outcome for each request, after everything that they say is on disk.
    ///
    /// # Errors
    ///
    /// On an error nothing of the batch was taken, as far as the storage can tell, and nothing of
    /// it may be acknowledged. The storage stays usable.
    ///
    /// After [`StorageError::Unsettled`] a crash may bring it back, until a later call has
    /// succeeded, if only one with an empty batch. No reader is shown any of it before it is
    /// durable.
    fn append(
        &mut self,
        batch: &[AppendRequest],
        rules: &dyn Rules,
    ) -> Result<Vec<AppendOutcome>, StorageError>;

    /// Opens one more reader.
    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError>;
}

/// Reads of committed logs, beside the writer.
pub trait LogReader: Send {
    /// Looks at a log: its head, its hash at each of `at`, and where it has the given groups.
    ///
    /// The answer is one consistent view. This matters: a client takes a group that is not in
    /// `positions` for one that is not in the log up to `head`.
    fn view(
        &mut self,
        store_id: &StoreId,
        at: &[GlobalSeqNum],
        groups: &[GroupId],
    ) -> Result<LogView, StorageError>;

    /// Reads the groups that follow `after`; none if the log ends there. If that is within a group, the
    /// page begins with the whole of it.
    ///
    /// The page is cut at the first group that reaches
    /// [`PAGE_BYTES`](livestore_core::limits::PAGE_BYTES) or
    /// [`PAGE_EVENTS`](livestore_core::limits::PAGE_EVENTS). It has at least one group, whole.
    fn page(
        &mut self,
        store_id: &StoreId,
        after: GlobalSeqNum,
    ) -> Result<Option<Page>, StorageError>;
}

/// Groups to append to one log, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRequest {
    /// The log; it comes into being with its first group.
    pub store_id: StoreId,
    /// Where the log has to end for the groups to fit.
    pub base: GlobalSeqNum,
    /// The groups, in order; at least one.
    pub groups: Vec<Group>,
    /// Who pushes them; none if the server asks nobody who they are.
    pub principal: Option<Arc<Principal>>,
}

/// What became of an [`AppendRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The groups are in the log.
    Appended {
        /// The position of the first event.
        first: GlobalSeqNum,
        /// Where the log stands after the last group.
        end: LogPosition,
    },
    /// Some of the groups were in the log before; nothing was taken.
    AlreadyAccepted {
        /// Those groups, and where they are, in the order of the request.
        groups: Vec<GroupPosition>,
    },
    /// The log or the request holds another group of this id; nothing was taken.
    Conflict {
        /// The id.
        group: GroupId,
    },
    /// The log does not end at the base; nothing was taken.
    ServerAhead {
        /// Where it ends.
        head: GlobalSeqNum,
    },
    /// A rule has something against a group; nothing was taken.
    Refused {
        /// The group.
        group: GroupId,
        /// What it has against it.
        refusal: Refusal,
    },
    /// A rule failed, so nothing is decided and nothing was taken.
    RuleFailed,
}

/// A consistent look at one log. A store that nobody has written to has the empty log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// The end of the log.
    pub head: GlobalSeqNum,
    /// For each position asked about, the hash there; none if no group ends there.
    pub hashes: Vec<Option<LogHash>>,
    /// Those of the groups asked about that are in the log, in the order asked.
    pub positions: Vec<GroupPosition>,
}

/// A log database that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another server holds the directory.
    #[error(
        "another server is running on {}: stop it, or give this one another data directory",
        dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// The file is there, but SQLite does not know it.
    #[error(
        "{} is not a SQLite database, or its first page is damaged: move it away, or restore it",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error(
        "{} is a database of another program (application id {application_id}): \
         give the server a data directory of its own",
        path.display()
    )]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
        /// What its header says.
        application_id: i32,
    },
    /// The file was written by another version of the server.
    #[error(
        "{} has storage format {found}, this server knows format {known}: \
         use the version of the server that wrote it",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: i32,
        /// The format of this server.
        known: i32,
    },
    /// A commit failed, and what it wrote is still there.
    #[error("{source}; after a crash, what was to be written may be in the log")]
    Unsettled {
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file system cannot hold the database safely.
    #[error(
        "the file system of {} does not support SQLite's write-ahead log: use a local disk",
        path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// The database contradicts itself.
    #[error("the log database is damaged ({what}): stop the server and restore a backup")]
    Corrupt {
        /// Where it does.
        what: String,
    },
    /// The operating system refused something around the database file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The system gave no randomness for a new backend id.
    #[error("the system gives no random bytes for a new backend id: {reason}")]
    NoRandomness {
        /// Why.
        reason: String,
    },
    /// The database failed: full disk, I/O error, lost connection.
    #[error("the log database failed: {source}; check the disk's space and health")]
    Database {
        /// What it says.
        source: Box<dyn Error + Send + Sync>,
    },
}
