//! Stores in memory.

use std::path::PathBuf;
use std::sync::Arc;

use livestore_core::{ClientId, SessionId, StoreId};
use livestore_sqlite::{Connection, Durability};

use super::{Adapter, Medium};
use crate::OpenError;
use crate::sync_provider::{Capabilities, SyncProvider};

/// Keeps a store in memory; it is gone when the store is dropped.
#[derive(Debug, Default)]
pub struct MemoryAdapter {
    sync: Option<Arc<dyn SyncProvider>>,
    client_id: Option<ClientId>,
    session_id: Option<SessionId>,
}

impl MemoryAdapter {
    /// Makes an adapter without a backend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Syncs with a backend.
    #[must_use]
    pub fn sync(mut self, provider: impl SyncProvider) -> Self {
        self.sync = Some(Arc::new(provider));
        self
    }

    /// Sets who commits, instead of a random id.
    #[must_use]
    pub fn client_id(mut self, client_id: ClientId) -> Self {
        self.client_id = Some(client_id);
        self
    }

    /// Sets the session, which events and the documents of a session carry, instead of a random id.
    #[must_use]
    pub fn session_id(mut self, session_id: SessionId) -> Self {
        self.session_id = Some(session_id);
        self
    }
}

impl Adapter for MemoryAdapter {
    fn open(&self, _store_id: &StoreId) -> Result<Medium, OpenError> {
        Ok(Medium {
            connection: Connection::open_memory()?,
            durability: Durability::Memory,
            path: None,
            client_id: self.client_id.clone(),
            session_id: self.session_id.clone(),
            sync: self.sync.clone(),
            lock: None,
        })
    }

    fn file(&self, _store_id: &StoreId) -> Option<PathBuf> {
        None
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.sync.as_ref().map(|provider| provider.capabilities())
    }
}
