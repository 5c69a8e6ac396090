//! Starting and stopping a server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use livestore_core::{BackendId, StoreId};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::auth::Authenticator;
use crate::config::{ServerConfig, Timing};
use crate::http;
use crate::readers::Readers;
use crate::rules::Rules;
use crate::seat::Seats;
use crate::sqlite_storage::SqliteStorage;
use crate::storage::{LogStorage, StorageError};
use crate::stores::Stores;
use crate::writer::Writer;

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The log database cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system gives the server no thread to write with.
    #[error("cannot start the writer thread: {source}")]
    Thread {
        /// Why not.
        source: io::Error,
    },
}

/// The sync server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// Starts a server on its own SQLite database; it accepts connections when this returns.
    ///
    /// Runs on the current tokio runtime, which needs I/O and time enabled.
    pub async fn start(config: ServerConfig) -> Result<RunningServer, ServerError> {
        let dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || SqliteStorage::open(dir)).await;
        let storage = opened.map_err(|error| StorageError::Database { source: error.into() })??;
        Self::start_with_storage(config, Box::new(storage)).await
    }

    /// Starts a server on another storage; `config.data_dir` is not used.
    pub async fn start_with_storage(
        config: ServerConfig,
        storage: Box<dyn LogStorage>,
    ) -> Result<RunningServer, ServerError> {
        let ServerConfig { listen: addr, max_connections, max_introductions, timing, .. } = config;
        let ServerConfig { rules, authenticator, serve_livestore, .. } = config;
        let may_meet_rules = config.let_livestore_meet_rules;
        let listener =
            TcpListener::bind(addr).await.map_err(|source| ServerError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServerError::Listen { addr, source })?;
        let backend_id = storage.backend_id();
        let readers = Readers::open(storage.as_ref())?;
        let stores = Arc::new(Stores::default());
        let (writer, writer_thread) =
            Writer::start(storage, Arc::clone(&stores), Arc::clone(&rules))
                .map_err(|source| ServerError::Thread { source })?;
        let (shutdown_sender, shutdown) = watch::channel(false);
        let shared = Arc::new(Shared {
            backend_id,
            readers,
            writer,
            stores,
            seats: Seats::default(),
            timing,
            authenticator,
            rules,
            serve_livestore,
            may_meet_rules,
            max_connections,
            connections: Arc::new(Semaphore::new(max_connections as usize)),
            introductions: Arc::new(Semaphore::new(max_introductions as usize)),
            shutdown,
        });
        let accepting = tokio::spawn(http::accept(listener, Arc::clone(&shared)));
        tracing::info!(%addr, %backend_id, "the server listens");
        Ok(RunningServer { addr, shared, accepting, shutdown: shutdown_sender, writer_thread })
    }
}

/// What every part of a running server can reach.
pub(crate) struct Shared {
    pub(crate) backend_id: BackendId,
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    pub(crate) stores: Arc<Stores>,
    pub(crate) seats: Seats,
    pub(crate) timing: Timing,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) rules: Arc<dyn Rules>,
    pub(crate) serve_livestore: bool,
    /// In which stores LiveStore's own clients may meet rules.
    pub(crate) may_meet_rules: Arc<dyn Fn(&StoreId) -> bool + Send + Sync>,
    pub(crate) max_connections: u32,
    /// One permit for each further conversation.
    pub(crate) connections: Arc<Semaphore>,
    /// One permit for each further one that has not said who it is.
    pub(crate) introductions: Arc<Semaphore>,
    /// Turns true, or loses its sender, when the server stops.
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// A server that accepts connections.
///
/// Dropping it stops it too, but does not wait.
#[must_use = "dropping a running server stops it"]
pub struct RunningServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    shutdown: watch::Sender<bool>,
    writer_thread: thread::JoinHandle<()>,
}

impl RunningServer {
    /// Returns where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the id of its log.
    pub fn backend_id(&self) -> BackendId {
        self.shared.backend_id
    }

    /// Says goodbye to all clients, writes what has arrived, and frees the data directory.
    ///
    /// Conversations get [`Timing::shutdown`] to end; whoever needs longer is cut off.
    pub async fn shutdown(self) {
        let Self { addr, shared, accepting, shutdown, writer_thread } = self;
        let patience = shared.timing.shutdown;
        shutdown.send_replace(true);
        let all_ended = async {
            let _ = accepting.await;
            let _ = shared.connections.acquire_many(shared.max_connections).await;
        };
        if timeout(patience, all_ended).await.is_err() {
            tracing::warn!("stopped before all clients had left");
        }
        let written = async {
            shared.writer.stop().await;
            let _ = tokio::task::spawn_blocking(move || writer_thread.join()).await;
        };
        if timeout(patience, written).await.is_err() {
            tracing::error!("stopped while the database was still being written");
        }
        tracing::info!(%addr, "the server has stopped");
    }
}
