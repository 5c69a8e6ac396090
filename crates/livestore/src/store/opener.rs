//! Opening a store: on its file, or as a session that follows whoever leads.

#[cfg(not(target_family = "wasm"))]
mod follow;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use livestore_core::{ClientId, SessionId, StoreId};
use livestore_reactive::Graph;
use livestore_sqlite::Durability;
use tokio::sync::{Notify, watch};

use super::{Inner, Open, Store};
use crate::adapter::Adapter;
use crate::boot::BootStatus;
use crate::clock::{self, Clock};
use crate::driver::{Driver, Machine};
use crate::live::{Engine, RefreshLog};
use crate::options::StoreOptions;
use crate::replica::{RebuildProgress, Replica, ReplicaConfig};
use crate::warning::Warnings;
use crate::{OpenError, Schema, Warning};

/// How a store is opened, and opened once more if it comes to lead.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) schema: Schema,
    pub(super) store_id: StoreId,
    pub(super) adapter: Arc<dyn Adapter>,
    pub(super) options: StoreOptions,
    /// The session of this very process for which it is opened, and which is what the app has in its
    /// hands; if there is one.
    pub(super) host: Option<Host>,
}

/// A session that leads from another thread.
#[derive(Clone)]
pub(super) struct Host {
    session_id: SessionId,
    /// Where its warnings go.
    warnings: Arc<Warnings>,
    /// What changes mean for its live queries.
    refreshes: Arc<RefreshLog>,
}

/// What every store is made of, whether it leads or follows.
struct Parts {
    replica: Replica,
    session_id: SessionId,
    clock: Clock,
    wake: Arc<Notify>,
    /// The file of whoever leads.
    leader_file: Option<Arc<Path>>,
}

impl Opener {
    /// Opens the file, or the memory, that the adapter has.
    pub(super) fn open_direct(&self, leads: bool) -> Result<Store, OpenError> {
        let Self { schema, store_id, adapter, options, .. } = self;
        let medium = adapter.open(store_id)?;
        let path = medium.path.as_deref().unwrap_or(Path::new(":memory:")).to_path_buf();
        let (random, clock) = self.chance()?;
        let client_id = medium.client_id.unwrap_or_else(|| ClientId::from_random(&random[..8]));
        let hosted = self.host.as_ref().map(|host| host.session_id.clone());
        let session_id = hosted.or(medium.session_id);
        let session_id = session_id.unwrap_or_else(|| SessionId::from_random(&random[8..16]));
        let config = ReplicaConfig {
            durability: medium.durability,
            upstream: medium.sync.as_ref().map(|provider| provider.capabilities()),
            ..self.config(client_id, session_id.clone(), random)
        };
        let shown = path.display().to_string();
        let mut was_rebuilt = false;
        let mut progress = |progress| match progress {
            RebuildProgress::Begins => {
                was_rebuilt = true;
                options.boot.tell(BootStatus::Migrating);
            }
            RebuildProgress::Derived { done, total } => {
                options.boot.tell(BootStatus::Rehydrating { done, total });
                tracing::info!(store = %store_id, done, total, "deriving the state from the log");
            }
        };
        let now_ms = clock.now_ms();
        let replica = Replica::open(medium.connection, config, &shown, now_ms, &mut progress);
        let mut replica = replica.map_err(|error| match error {
            OpenError::Sqlite(error) => crate::adapter::opening(&path, error),
            other => other,
        })?;
        if let Some(host) = &self.host {
            replica.warn(Arc::clone(&host.warnings));
            replica.tell_of(Arc::clone(&host.refreshes));
        }
        let wake = Arc::new(Notify::new());
        let inner = self.inner(Parts {
            replica,
            session_id,
            clock,
            wake: Arc::clone(&wake),
            leader_file: None,
        });
        // Nobody has closed the store yet, and it says so itself if anybody has.
        let _ = inner.write(|replica| {
            let count = replica.status().quarantined;
            if was_rebuilt && count > 0 {
                replica.warnings().tell(Warning::EventsSkipped { count });
            }
        });
        let check_materializers =
            options.check_materializers && !was_rebuilt && medium.path.is_some();
        let machine = Machine {
            provider: medium.sync,
            path: medium.path,
            lock: medium.lock,
            wake,
            check_materializers,
            leads,
        };
        let driver = Driver::start(&inner, machine)?;
        debug_assert_eq!(inner.schema.state_version(), schema.state_version());
        Ok(Store(Arc::new(Open { inner, driver: Mutex::new(Some(driver)) })))
    }

    /// Returns what ids are made of, and the time.
    fn chance(&self) -> Result<([u8; 32], Clock), OpenError> {
        if let Some(number) = self.options.reproducible {
            return Ok((clock::reproducible_seed(number), Clock::counting()));
        }
        let path = "the system's random numbers".into();
        let random = clock::seed().map_err(|source| OpenError::Io { path, source })?;
        Ok((random, Clock::System))
    }

    fn config(&self, client_id: ClientId, session_id: SessionId, seed: [u8; 32]) -> ReplicaConfig {
        ReplicaConfig {
            schema: self.schema.clone(),
            store_id: self.store_id.clone(),
            client_id,
            session_id,
            durability: Durability::Memory,
            upstream: self.adapter.capabilities(),
            on_poison: self.options.on_poison,
            on_history_diverged: self.options.on_history_diverged,
            seed,
        }
    }

    fn inner(&self, parts: Parts) -> Arc<Inner> {
        let Parts { replica, session_id, clock, wake, leader_file } = parts;
        let graph = Graph::new();
        let new_warnings = Arc::clone(replica.warnings());
        let warnings = Arc::clone(&new_warnings);
        graph.on_unsettled(move |unsettled| {
            warnings.tell(Warning::SubscribersUnsettled { subscribers: unsettled.effects });
        });
        let live = Engine::new(replica.connection().watched().clone(), replica.refreshes().clone());
        Arc::new(Inner {
            store_id: self.store_id.clone(),
            client_id: replica.client_id().clone(),
            session_id,
            schema: self.schema.clone(),
            durability: self.options.durability,
            clock,
            replica: Mutex::new(Some(replica)),
            live,
            closed: graph.source(),
            is_closed: AtomicBool::new(false),
            retry: graph.source(),
            has_failed_queries: AtomicBool::new(false),
            status: graph.source(),
            dead_letters: graph.source(),
            warned: graph.source(),
            warnings: Mutex::default(),
            new_warnings,
            graph,
            waiters: Mutex::default(),
            driver_wake: wake,
            leader_file,
            output: watch::Sender::new(()),
            is_hosted: self.host.is_some(),
            is_telling: AtomicBool::new(false),
        })
    }
}
