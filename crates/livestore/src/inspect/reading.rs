//! Opening a store's file for reading, wherever it is.
//!
//! SQLite shares a database by files beside it, and cannot open one in a folder where it may not make
//! them. If they are not there, no app here has the file open; so it can be read as it is, or, if a
//! `-wal` file belongs to it, as a copy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use livestore_sqlite::{Connection, SqliteError};

use crate::adapter::{io_error, opening, wal_of};
use crate::replica::format::{self, FileKind};
use crate::{OpenError, clock};

/// A store's file that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) connection: Connection,
    /// What the connection reads, if it is not the file itself; it has to outlive it.
    pub(super) copy: Option<FileCopy>,
}

impl Reading {
    /// Opens a store's file for reading, if it looks like one.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        File::open(path).map_err(io_error(path))?;
        let opened = recognized(Connection::open_read_only(path), path);
        match opened {
            Err(OpenError::Sqlite(error)) if error.is_refused_by_folder() => {
                if !is_idle(path) {
                    return Err(OpenError::ReadOnlyFolder { path: path.display().to_string() });
                }
                Self::open_unshared(path)
            }
            opened => Ok(Self { connection: opened?, copy: None }),
        }
    }

    fn open_unshared(path: &Path) -> Result<Self, OpenError> {
        if fs::metadata(wal_of(path)).is_ok_and(|wal| wal.len() > 0) {
            let copy = FileCopy::make(path)?;
            let connection = Connection::open_read_only(&copy.file());
            let connection = recognized(connection, path)?;
            return Ok(Self { connection, copy: Some(copy) });
        }
        let connection = recognized(Connection::open_unchanging(path), path)?;
        Ok(Self { connection, copy: None })
    }
}

fn recognized(
    connection: Result<Connection, SqliteError>,
    path: &Path,
) -> Result<Connection, OpenError> {
    let connection = connection.map_err(|error| opening(path, error))?;
    let shown = path.display().to_string();
    let kind = format::recognize(&connection, &shown).map_err(|error| match error {
        OpenError::Sqlite(error) => opening(path, error),
        other => other,
    })?;
    if kind == FileKind::New {
        return Err(OpenError::NotAStore { path: shown });
    }
    Ok(connection)
}

/// Tells whether no process of this machine has a database open.
fn is_idle(path: &Path) -> bool {
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    fs::symlink_metadata(index).is_err()
}

/// A copy of a store's file and its `-wal` file in a temporary folder; it goes with this.
#[derive(Debug)]
pub(super) struct FileCopy {
    folder: PathBuf,
}

impl FileCopy {
    fn make(path: &Path) -> Result<Self, OpenError> {
        let random = clock::seed().map_err(io_error(Path::new("random numbers")))?;
        let number = random.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
        let folder = std::env::temp_dir().join(format!("livestore-{number:032x}"));
        create_private(&folder).map_err(io_error(&folder))?;
        let copy = Self { folder };
        let to = copy.file();
        for (from, to) in [(path.to_owned(), to.clone()), (wal_of(path), wal_of(&to))] {
            // Not its permissions, which may be for reading only.
            let copied = File::open(&from)
                .and_then(|mut from| std::io::copy(&mut from, &mut File::create_new(&to)?));
            copied.map_err(io_error(&to))?;
        }
        Ok(copy)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("copy.livestore")
    }
}

impl Drop for FileCopy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Creates a folder for nobody else.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
