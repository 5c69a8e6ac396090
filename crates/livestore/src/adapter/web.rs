//! Stores of browsers.

use std::path::PathBuf;

use livestore_core::{ClientId, SessionId, StoreId};

use super::{Adapter, Medium, MemoryAdapter};
use crate::OpenError;
use crate::sync_provider::{Capabilities, SyncProvider};

/// Keeps a store where a browser has it; so far, that is the memory of one page or worker.
///
/// Panics do not unwind there: one in a materializer or a subscriber, which elsewhere is an error or is
/// logged, ends the program.
#[derive(Debug)]
pub struct WebAdapter {
    memory: MemoryAdapter,
}

impl WebAdapter {
    /// Makes an adapter without a backend, whose store is gone when it is dropped, and with its page.
    pub fn in_memory() -> Self {
        Self { memory: MemoryAdapter::new() }
    }

    /// Syncs with a backend.
    #[must_use]
    pub fn sync(self, provider: impl SyncProvider) -> Self {
        Self { memory: self.memory.sync(provider) }
    }

    /// Sets who commits, instead of a random id.
    #[must_use]
    pub fn client_id(self, client_id: ClientId) -> Self {
        Self { memory: self.memory.client_id(client_id) }
    }

    /// Sets the session, which events and the documents of a session carry, instead of a random id.
    #[must_use]
    pub fn session_id(self, session_id: SessionId) -> Self {
        Self { memory: self.memory.session_id(session_id) }
    }
}

impl Adapter for WebAdapter {
    fn open(&self, store_id: &StoreId) -> Result<Medium, OpenError> {
        self.memory.open(store_id)
    }

    fn file(&self, store_id: &StoreId) -> Option<PathBuf> {
        self.memory.file(store_id)
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.memory.capabilities()
    }
}
