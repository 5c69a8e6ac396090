//! Writing a new file such that it is there whole or not at all, and never in place of another.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::OpenError;
use crate::adapter::sync_folder;

/// What SQLite may keep beside a database, and would take for a part of it.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why a new file could not be put where it should be. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// There is something already.
    #[error("{path} exists already; name another file, or move it away")]
    Exists {
        /// What is there.
        path: String,
    },
    /// The name cannot be handed to SQLite.
    #[error("{path} cannot be used as a file name: it is not UTF-8")]
    Name {
        /// The name, as far as it can be shown.
        path: String,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

/// A file that is being written under another name; it is removed unless it is placed.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// Begins a file that will be at the target, where nothing may be.
    pub fn begin(target: &Path) -> Result<Self, PlaceError> {
        static DRAFTS: AtomicU32 = AtomicU32::new(0);
        let free = [""].iter().chain(&COMPANIONS);
        for path in free.map(|companion| with_suffix(target, companion)) {
            if fs::symlink_metadata(&path).is_ok() {
                return Err(PlaceError::Exists { path: path.display().to_string() });
            }
        }
        let (process, draft) = (std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed));
        let path = with_suffix(target, &format!(".{process}-{draft}.partial"));
        let draft = Self { path, target: target.into() };
        // What is left of a process that was killed under the same number.
        draft.remove();
        Ok(draft)
    }

    /// Returns the name under which it is to be written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path as SQLite wants it.
    pub(super) fn path_text(&self) -> Result<&str, PlaceError> {
        let path = || self.path.display().to_string();
        self.path.to_str().ok_or_else(|| PlaceError::Name { path: path() })
    }

    /// Makes the file safe on the disk and gives it its name.
    pub fn place(self) -> Result<(), PlaceError> {
        let Self { path, target } = &self;
        File::options()
            .read(true)
            .write(true)
            .open(path)
            .and_then(|file| file.sync_all())
            .map_err(io_error(path))?;
        match fs::hard_link(path, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(PlaceError::Exists { path: target.display().to_string() });
            }
            // A file system without links; then a file that somebody puts there just now is lost.
            Err(_) if fs::symlink_metadata(target).is_err() => {
                fs::rename(path, target).map_err(io_error(target))?;
            }
            Err(source) => return Err(io_error(target)(source)),
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        match sync_folder(folder.unwrap_or(Path::new("."))) {
            Err(OpenError::Io { path, source }) => Err(PlaceError::Io { path, source }),
            _ => Ok(()),
        }
    }

    fn remove(&self) {
        for companion in [""].iter().chain(&COMPANIONS) {
            let _ = fs::remove_file(with_suffix(&self.path, companion));
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.display().to_string();
    move |source| PlaceError::Io { path, source }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
