//! Copying the write-ahead log into the database file.
//!
//! SQLite would do this by itself after a commit, and keep it to itself if it failed. That is not
//! good enough: an operating system may drop pages that it could not write and then call them
//! clean, so that the next sync succeeds without them. The write-ahead log has these pages still,
//! as long as no checkpoint succeeds and lets the next commit begin it anew. So after an I/O error
//! there is none any more until the database is opened again, where all of the log is copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

/// Length of the write-ahead log at which it is copied, in pages; SQLite's own choice.
const DUE_PAGES: i32 = 1000;

/// Decides when the log is copied.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// The log's length after the last commit.
    pages: Arc<AtomicI32>,
    pub(super) is_suspended: bool,
}

/// Syncs the log, whoever has written it, and copies as much of it as readers allow.
pub(super) fn run(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

impl Checkpoints {
    /// Takes the checkpoints of a connection into own hands.
    pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let after_commit = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut _, pages| {
            after_commit.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, is_suspended: false })
    }

    /// Copies the log after a commit that has made it long.
    ///
    /// The commit is safe in the log, so an error is the operator's business, not the clients'.
    pub(super) fn run_if_due(&mut self, connection: &Connection) {
        let is_due = self.pages.swap(0, Ordering::Relaxed) >= DUE_PAGES;
        if is_due
            && !self.is_suspended
            && let Err(error) = run(connection)
        {
            self.take_note(connection, &error);
        }
    }

    pub(super) fn take_note(&mut self, connection: &Connection, error: &rusqlite::Error) {
        if error.sqlite_error_code() != Some(ErrorCode::SystemIoFailure) {
            tracing::warn!(%error, "a checkpoint failed; it is tried again after the next commit");
            return;
        }
        self.is_suspended = true;
        // Closing is a checkpoint too. There is nothing to be done if this fails.
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        tracing::error!(
            %error,
            "a checkpoint failed: the write-ahead log grows until the server is started again; \
             look after the disk first"
        );
    }
}
