//! Adapters: where a store keeps its data, and what it syncs with.

#[cfg(not(target_family = "wasm"))]
mod file;
mod memory;
#[cfg(target_family = "wasm")]
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_core::{ClientId, SessionId, StoreId};
use livestore_sqlite::{Connection, Durability, FileLock, SqliteError, rusqlite};

use crate::OpenError;
use crate::sync_provider::{Capabilities, SyncProvider};

#[cfg(not(target_family = "wasm"))]
pub use file::FileAdapter;
#[cfg(not(target_family = "wasm"))]
pub(crate) use file::{
    LOCK_EXTENSION, STORE_EXTENSION, io_error, store_files, store_named_by, store_path,
    sync_folder, sync_wal, wal_of,
};
pub use memory::MemoryAdapter;
#[cfg(target_family = "wasm")]
pub use web::WebAdapter;

/// Opens the medium of a store.
///
/// The adapters here are all there are; the trait exists so that [`Store::open`](crate::Store::open)
/// takes any of them.
pub trait Adapter: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    fn open(&self, store_id: &StoreId) -> Result<Medium, OpenError>;

    /// Returns the file that other sessions may have open, if there is one.
    #[doc(hidden)]
    fn file(&self, store_id: &StoreId) -> Option<PathBuf>;

    /// Returns what the backend is able to do, if there is one.
    #[doc(hidden)]
    fn capabilities(&self) -> Option<Capabilities>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::MemoryAdapter {}
    #[cfg(not(target_family = "wasm"))]
    impl Sealed for super::FileAdapter {}
    #[cfg(target_family = "wasm")]
    impl Sealed for super::WebAdapter {}
}

/// An opened medium.
#[doc(hidden)]
#[derive(Debug)]
pub struct Medium {
    pub(crate) connection: Connection,
    pub(crate) durability: Durability,
    pub(crate) path: Option<PathBuf>,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) sync: Option<Arc<dyn SyncProvider>>,
    /// Held as long as the store is open.
    pub(crate) lock: Option<FileLock>,
}

impl std::fmt::Debug for dyn SyncProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyncProvider({})", self.describe())
    }
}

/// Gives SQLite's ways of saying "no database" one name.
pub(crate) fn opening(path: &Path, error: SqliteError) -> OpenError {
    match &error {
        SqliteError::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) =>
        {
            OpenError::NotADatabase { path: path.display().to_string() }
        }
        _ => error.into(),
    }
}
