//! Looking after a store's file from outside: reading it, checking it, copying it, saving what is
//! left of it.
//!
//! An [`Inspector`] reads, also while an app has the store open, and can write nothing. It knows
//! the log and LiveStore's own tables, and the state only as SQL: what the state should be, the
//! app's schema alone tells. [`verify_file`] and [`Inspector::verify_state`] check, [`Inspector::backup`]
//! copies, [`recover()`] makes a new file of what a damaged one still holds, [`Inspector::compare`] says
//! whether a backend has the same history, and [`answer_divergence`] what to do if not.

mod backup;
mod history;
mod imported;
mod leader;
mod placing;
mod progress;
mod reading;
mod recover;
mod rows;
mod status;
mod verify;

use std::path::{Path, PathBuf};

use livestore_core::{GlobalSeqNum, StoreId};
use livestore_sqlite::{Connection, Query, RowCursor, SqliteError};
use serde::Serializer;

pub use backup::{Backup, BackupError};
pub use history::{CompareError, Comparison, Noted, answer_divergence};
pub use imported::{ImportError, Imported};
pub use leader::Leader;
pub use placing::{Draft, PlaceError};
pub use progress::{Progress, Work};
pub use recover::{
    Author, DamagedPlace, Kept, LostGroup, LostStretch, RecoverError, RecoverOptions,
    RecoverReport, Uncertain, recover,
};
pub use status::FileStatus;
pub use verify::{Check, Counted, Problem, StateVerdict, VerifyError, VerifyReport, verify_file};

use self::reading::{FileCopy, Reading};
use crate::adapter::{store_files, store_path};
use crate::eventlog::{Listing, LoggedEvent};
use crate::replica::format::Meta;
use crate::replica::{DeadLetter, Quarantined, exceptions};
use crate::{OpenError, QueryError};

/// A store's file, opened for reading.
#[derive(Debug)]
pub struct Inspector {
    connection: Connection,
    meta: Meta,
    path: PathBuf,
    /// What the connection reads, if it is not the file itself; it goes after the connection.
    _copy: Option<FileCopy>,
}

/// Returns the file of a store in a folder, whether it is there or not.
pub fn store_file(folder: &Path, store_id: &StoreId) -> PathBuf {
    store_path(folder, store_id)
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
    ///
    /// In a folder that cannot be written to, a file that has a `-wal` file is copied to the
    /// system's temporary folder first, together with it, and the copy is read.
    pub fn open_file(path: &Path) -> Result<Self, OpenError> {
        let Reading { connection, copy } = Reading::open(path)?;
        let shown = path.display().to_string();
        let meta = Meta::load(&connection)?
            .ok_or(OpenError::Damaged { path: shown, what: "its meta row" })?;
        Ok(Self { connection, meta, path: path.into(), _copy: copy })
    }

    /// Returns the store's id.
    pub fn store_id(&self) -> &StoreId {
        &self.meta.store_id
    }

    /// Runs a query on the state as the app has it at this moment.
    ///
    /// Tables of LiveStore's own cannot be read, and nothing can be written. Memory tables are not
    /// in the file, so a query of one fails.
    pub fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, QueryError> {
        Ok(self.connection.read().query(query)?)
    }

    /// Runs a query on the state as [`Self::query`] does, and hands its rows to a closure, which
    /// steps through them one by one: however many there are, none is kept.
    ///
    /// While it steps, SQLite keeps what the app writes out of the database file, so the `-wal`
    /// file beside it grows.
    pub fn rows<Q: Query, R>(
        &self,
        query: &Q,
        read: impl FnOnce(RowCursor<'_>) -> Result<R, SqliteError>,
    ) -> Result<R, QueryError> {
        Ok(self.connection.read().rows(query, read)?)
    }

    /// Ends whatever is read from now on with an error once the check says so, which is asked many
    /// times a second.
    pub fn interrupt_when(&self, check: impl FnMut() -> bool + Send + 'static) {
        self.connection.interrupt_when(check);
    }

    /// Calls a function with each event of the log after a confirmed position, pending ones last,
    /// until it says stop.
    pub fn for_each_event(
        &self,
        after: GlobalSeqNum,
        mut each: impl FnMut(LoggedEvent) -> bool,
    ) -> Result<(), QueryError> {
        let mut listing = Listing::after(after);
        loop {
            let page = self.snapshot(|| {
                let mut meta = Meta::load(&self.connection)?.unwrap_or_else(|| self.meta.clone());
                if meta.rebuild.is_some() {
                    // The log is all there; only the state is not.
                    meta.state_head = meta.head.seq;
                }
                listing.next_page(&self.connection, &meta)
            });
            let page: Vec<LoggedEvent> = page?;
            let at_end = page.is_empty();
            if at_end || !page.into_iter().all(&mut each) {
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

    fn snapshot<R, E: From<SqliteError>>(
        &self,
        read: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        snapshot(&self.connection, read)
    }
}

/// Reads inside one transaction, so that everything is of the same moment.
fn snapshot<R, E: From<SqliteError>>(
    connection: &Connection,
    read: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    connection.system().execute_batch("BEGIN")?;
    let result = read();
    // What was read is read. If the end fails, as it may on a damaged file, the next one does
    // not begin.
    let _ = connection.system().execute_batch("COMMIT");
    result
}

/// Writes a path as text, whatever its bytes are.
fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
