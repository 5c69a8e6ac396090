//! Files on a medium that nothing can be written to.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::{ErrorCode, OpenFlags};

use crate::{Connection, SqliteError};

impl Connection {
    /// Opens a database file that nobody changes meanwhile, without locks and without files beside
    /// it. A `-wal` file is left out, so there should be none, or an empty one.
    pub fn open_unchanging(path: &Path) -> Result<Self, SqliteError> {
        let flags = Self::READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI);
        let uri = format!("{}?immutable=1", uri(path));
        Self::set_up(rusqlite::Connection::open_with_flags(uri, flags)?)
    }
}

impl SqliteError {
    /// Tells whether SQLite could not make the files that a reader needs beside the database.
    pub fn is_refused_by_folder(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    }
}

/// Writes a path as SQLite takes it in a URI.
fn uri(path: &Path) -> String {
    let path_bytes = path.as_os_str().as_encoded_bytes();
    // A path that begins with a drive follows on another slash.
    let mut uri = String::from(match (path.is_absolute(), path_bytes.starts_with(b"/")) {
        (false, _) => "file:",
        (true, true) => "file://",
        (true, false) => "file:///",
    });
    for byte in path_bytes {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            _ => _ = write!(uri, "%{byte:02X}"),
        }
    }
    uri
}
