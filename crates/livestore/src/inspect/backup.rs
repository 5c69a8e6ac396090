//! A copy of a store while an app uses it.
//!
//! `VACUUM INTO` makes it rather than SQLite's backup interface: it reads row by row inside one
//! read transaction, so the copy is of one moment however much is committed meanwhile, nobody
//! waits for it, and a page that makes no sense makes it fail, where a copy of pages would carry the
//! damage along. It also leaves behind what free pages still hold of deleted rows.
//!
//! A backup is for restoring, in place of a store that is lost. It is the same client as the store
//! that it was made of: opened beside it, two clients would commit under one name.

use std::path::{Path, PathBuf};

use livestore_sqlite::SqliteError;

use super::placing::{Draft, io_error};
use super::verify::{VerifyError, VerifyReport, verify_file};
use super::{Inspector, PlaceError, Progress, Work};

/// Why there is no backup. Nothing was overwritten, and nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file cannot be where it should be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The store could not be read or the copy not be written.
    #[error("the store cannot be copied: {0}; `livestore verify` tells whether it is damaged")]
    Sqlite(#[from] SqliteError),
    /// The copy could not be checked.
    #[error("the copy cannot be checked: {0}")]
    Verify(#[source] VerifyError),
    /// The caller asked to end it.
    #[error("cancelled; there is no backup")]
    Cancelled,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What checking it has found: the problems that the store itself has, if any.
    pub report: VerifyReport,
}

impl Inspector {
    /// Copies the store into a new file, also while an app has it open, and checks the copy.
    pub fn backup(&mut self, to: &Path, progress: &Progress) -> Result<Backup, BackupError> {
        let draft = Draft::begin(to)?;
        self.copy(&draft, progress)?;
        progress.begin(Work::CheckingResult, 0);
        let mut report = verify_file(draft.path(), progress).map_err(|error| match error {
            VerifyError::Cancelled => BackupError::Cancelled,
            other => BackupError::Verify(other),
        })?;
        report.file = to.into();
        let metadata = std::fs::metadata(draft.path()).map_err(io_error(draft.path()))?;
        draft.place()?;
        Ok(Backup { file: to.into(), bytes: metadata.len(), report })
    }

    fn copy(&mut self, draft: &Draft, progress: &Progress) -> Result<(), BackupError> {
        let system = self.connection.system();
        let number = |pragma| -> Result<u64, SqliteError> {
            Ok(system.query_one(pragma, [], |row| row.get(0))?.unwrap_or(0))
        };
        let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        progress.begin(Work::Writing, (pages - free) * number("PRAGMA page_size")?);
        let (watched, path) = (progress.clone(), draft.path().to_owned());
        self.connection.interrupt_when(move || {
            watched.set(std::fs::metadata(&path).map_or(0, |metadata| metadata.len()));
            watched.is_cancelled()
        });
        let copied = self.connection.system().execute("VACUUM INTO ?", [draft.path_text()?]);
        match copied {
            Ok(_) => Ok(()),
            Err(_) if progress.is_cancelled() => Err(BackupError::Cancelled),
            Err(error) => Err(error.into()),
        }
    }
}
