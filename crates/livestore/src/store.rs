//! The store: what an app holds in its hands.

mod inner;
mod opener;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;

use livestore_core::{BackendId, ClientId, ConfirmedGroup, GroupId, SessionId, StoreId};
use livestore_reactive::Source;
use livestore_sqlite::{Durability, Query, SqliteError, StateHash};
use serde::Serialize;
use web_time::Instant;

pub(crate) use inner::Inner;
use opener::Opener;

use crate::adapter::Adapter;
use crate::boot::{BootListeners, BootStatus, InitialSync};
use crate::command::{self, Command, ExecuteError, NotExecuted};
use crate::document::{ClientDocument, Document, DocumentDef};
use crate::driver::Driver;
use crate::eventlog::{Events, LoggedEvent};
use crate::group::{GroupBuilder, IntoGroup};
use crate::live::{Instance, LiveQuery, Refresh};
use crate::options::{StoreOptions, Topology};
use crate::receipt::CommitReceipt;
use crate::replica::{
    Committed, ConnectionState, DeadLetter, HistoryAnswer, Quarantined, Replica, ReplicaError,
    SyncStatus,
};
use crate::session::{LeaderFile, SessionInfo};
use crate::{CommitError, OpenError, QueryError, Schema, Unavailable, Warning, materializer};

/// How long a store that is closed waits for its leader to take what was committed.
const FAREWELL: Duration = Duration::from_secs(2);

/// A local database that is derived from a log of events, and syncs the log with a backend.
///
/// Clones share the store. It closes when [`Store::shutdown`] is called or the last clone is
/// dropped. All calls are synchronous; none waits for the network.
#[derive(Clone)]
pub struct Store(Arc<Open>);

/// What the clones of a store own together; dropping it closes the store.
struct Open {
    inner: Arc<Inner>,
    driver: Mutex<Option<Driver>>,
}

impl Store {
    /// Opens a store, or creates it.
    ///
    /// If another session of this client has it open, on this machine, this one follows it; see
    /// [`Topology`]. If the schema's state is not the one in the file, the state is derived anew from the log
    /// before this returns. Syncing, if the adapter has a provider, starts in the background.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if the file is open elsewhere and nobody can follow; the other variants tell what is wrong
    /// with the file or the folder. Nothing is changed or deleted then.
    pub fn open(
        schema: Schema,
        store_id: impl AsRef<str>,
        adapter: impl Adapter,
    ) -> Result<Self, OpenError> {
        Self::open_with(schema, store_id, adapter, StoreOptions::default())
    }

    /// Opens a store as [`Store::open`] does, with other options than the default ones.
    pub fn open_with(
        schema: Schema,
        store_id: impl AsRef<str>,
        adapter: impl Adapter,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        let boot = options.boot.clone();
        boot.tell(BootStatus::Loading);
        let store_id = StoreId::new(store_id)?;
        let (initial_sync, topology) = (options.initial_sync, options.topology);
        let file = adapter.file(&store_id);
        let adapter = Arc::new(adapter);
        let how = Opener { schema, store_id, adapter, options, host: None };
        let store = match (topology, file) {
            (Topology::Direct, _) | (_, None) => how.open_direct(false)?,
            #[cfg(not(target_family = "wasm"))]
            (Topology::Auto, Some(file)) => match how.open_direct(true) {
                Err(OpenError::InUse { .. }) => how.follow(&file)?,
                opened => opened?,
            },
            #[cfg(not(target_family = "wasm"))]
            (Topology::Split, Some(file)) => how.follow(&file)?,
            #[cfg(target_family = "wasm")]
            (_, Some(_)) => how.open_direct(true)?,
        };
        let has_backend = store.0.inner.read(Replica::has_upstream).unwrap_or(false);
        if let InitialSync::Blocking { timeout } = initial_sync
            && has_backend
        {
            store.wait_for_first_pull(timeout, &boot);
        }
        for warning in store.warnings() {
            boot.tell(BootStatus::Warning { warning });
        }
        boot.tell(BootStatus::Done);
        Ok(store)
    }

    /// Lets a session of this process follow.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn serve(&self, pipe: tokio::io::DuplexStream) {
        let driver = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = &*driver {
            driver.serve(pipe);
        }
    }

    /// Says that nobody can wait here: the only thread is the one that syncs.
    #[cfg(target_family = "wasm")]
    fn wait_for_first_pull(&self, _: Duration, _: &BootListeners) {
        let reason = "nothing can wait for it on the thread that syncs".into();
        self.0.inner.warnings().tell(Warning::InitialSyncIncomplete { reason });
    }

    /// Waits until everything is in the state that the backend has, syncing stops, or time is over.
    #[cfg(not(target_family = "wasm"))]
    fn wait_for_first_pull(&self, timeout: Duration, boot: &BootListeners) {
        let deadline = Instant::now() + timeout;
        let (sender, statuses) = mpsc::channel();
        // Nobody listens any more once the wait is over.
        let _subscription =
            self.live_sync_status().subscribe(move |status| drop(sender.send(status.clone())));
        let mut last = None;
        let mut last_error = None;
        let reason = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(status) = statuses.recv_timeout(left) else {
                let error = last_error.map_or_else(String::new, |error| format!(": {error}"));
                break format!("it took longer than {timeout:?}{error}");
            };
            let (done, total) = (status.confirmed_head.0, status.backend_head.map(|head| head.0));
            if last.replace((done, total)) != Some((done, total)) {
                boot.tell(BootStatus::Syncing { done, total });
            }
            if let ConnectionState::Stopped(reason) = status.connection {
                break reason.to_string();
            }
            if total == Some(done) {
                return;
            }
            last_error = status.last_error;
        };
        self.0.inner.warnings().tell(Warning::InitialSyncIncomplete { reason });
    }

    /// Commits an event, or an array, vector or tuple of events as one group.
    ///
    /// When it returns, the events are in the log and their effects in the state, and the live
    /// queries that they touch have run. If this session follows another one, the log is that one's, and
    /// [`CommitReceipt::persisted`] tells when they are in it. Nothing waits for the backend; the receipt can.
    ///
    /// # Errors
    ///
    /// On any error nothing has changed, and the store goes on as before.
    pub fn commit<Kind>(&self, events: impl IntoGroup<Kind>) -> Result<CommitReceipt, CommitError> {
        self.commit_at(self.0.inner.durability, events)
    }

    /// Commits as [`Store::commit`] does, with another durability than the store's.
    ///
    /// It returns as soon as without; [`CommitReceipt::persisted`] waits for what was asked for.
    pub fn commit_at<Kind>(
        &self,
        durability: Durability,
        events: impl IntoGroup<Kind>,
    ) -> Result<CommitReceipt, CommitError> {
        let events = events.into_events()?;
        self.commit_by(durability, |replica, now_ms| replica.commit(events, now_ms))
    }

    /// Commits the events that a closure collects, as one group.
    ///
    /// If the closure fails, nothing is committed and its error is returned.
    pub fn commit_with<E: From<CommitError>>(
        &self,
        collect: impl FnOnce(&mut GroupBuilder) -> Result<(), E>,
    ) -> Result<CommitReceipt, E> {
        let mut group = GroupBuilder::default();
        collect(&mut group)?;
        Ok(self.commit(group.into_events())?)
    }

    /// Executes a command: its handler looks at the state and makes events, which are committed.
    ///
    /// As long as they are pending, the handler runs again whenever other clients' events have come
    /// in before them; [`CommitReceipt::fate`] tells what became of it.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Refused`] is the handler's own error; the others tell what is wrong with the
    /// handler or the events that it made. On any error nothing has changed.
    pub fn execute<C: Command>(&self, command: C) -> Result<CommitReceipt, ExecuteError<C::Error>> {
        self.execute_encoded(C::NAME, &command).map_err(ExecuteError::of)
    }

    /// Executes a command by its name, as [`Store::execute`] does; for commands that were defined at
    /// run time, and for generic tools.
    ///
    /// The error of a typed command's handler comes as [`ExecuteError::Failed`], with its JSON form.
    pub fn execute_json<T: Serialize + ?Sized>(
        &self,
        name: &str,
        args: &T,
    ) -> Result<CommitReceipt, ExecuteError<serde_json::Value>> {
        self.execute_encoded(name, args).map_err(ExecuteError::of)
    }

    fn execute_encoded<T: Serialize + ?Sized>(
        &self,
        name: &str,
        args: &T,
    ) -> Result<CommitReceipt, NotExecuted> {
        let (name, args) = (name.to_owned(), command::encode(name, args)?);
        let inner = &self.0.inner;
        let executed =
            |replica: &mut Replica, now_ms| replica.execute_stored(name, args, now_ms).map(Some);
        let receipt = inner.commit_by(inner.durability, executed)?;
        receipt.ok_or(NotExecuted::Commit(CommitError::Store(Unavailable::Closed)))
    }

    fn commit_by(
        &self,
        durability: Durability,
        commit: impl FnOnce(&mut Replica, u64) -> Result<Committed, CommitError>,
    ) -> Result<CommitReceipt, CommitError> {
        let committed = |replica: &mut Replica, now_ms| commit(replica, now_ms).map(Some);
        let receipt = self.0.inner.commit_by(durability, committed)?;
        receipt.ok_or(CommitError::Store(Unavailable::Closed))
    }

    /// Returns a client document: that of the session if it is keyed by session, else the one whose
    /// id is `default`; [`Document::with_id`] leads to others.
    ///
    /// Using it fails if the schema does not have it.
    pub fn document<T: ClientDocument>(&self) -> Document<T> {
        let inner = &self.0.inner;
        let known = inner.schema.document(T::NAME).cloned();
        let def = known.unwrap_or_else(|| DocumentDef::unknown(T::NAME));
        Document::new(inner, def, T::default())
    }

    /// Returns a client document as JSON, as [`Store::document`] does; `None` if the schema does
    /// not have it.
    pub fn document_json(&self, name: &str) -> Option<Document<serde_json::Value>> {
        let def = self.0.inner.schema.document(name)?.clone();
        let default = (*def.default).clone();
        Some(Document::new(&self.0.inner, def, default))
    }

    /// Finds the receipt of a group that was committed by this client, in this opening of the
    /// store or an earlier one; `None` if there is no such group.
    pub fn receipt(&self, group: GroupId) -> Result<Option<CommitReceipt>, QueryError> {
        let inner = &self.0.inner;
        let committed = inner.write(|replica| {
            let committed = match (replica.committed(group)?, inner.leader_file()) {
                (None, Some(_)) => {
                    let state = inner.group_state(replica, group)?;
                    replica.committed_elsewhere(group, &state)
                }
                (known, _) => known,
            };
            if let Some(committed) = committed
                && inner.durability == Durability::Full
            {
                replica.require_full(committed.ordinal);
            }
            Ok::<_, SqliteError>(committed)
        })??;
        inner.driver_wake.notify_one();
        let receipt =
            |committed| CommitReceipt::new(Arc::downgrade(inner), committed, inner.durability);
        Ok(committed.map(receipt))
    }

    /// Reads the state once.
    pub fn query<Q: Query>(&self, query: Q) -> Result<Q::Output, QueryError> {
        self.0.inner.query(&query)
    }

    /// Returns what the last changes meant for the live queries, up to a hundred, the oldest first:
    /// which were considered, which were run, whose results changed, and how long it took.
    pub fn explain_refresh(&self) -> Vec<Refresh> {
        self.0.inner.live().refreshes()
    }

    /// Walks over the log from its beginning: confirmed events, then pending ones.
    pub fn events(&self) -> Events {
        Events::new(Arc::downgrade(&self.0.inner))
    }

    /// Returns where the store stands towards the backend.
    pub fn sync_status(&self) -> Result<SyncStatus, Unavailable> {
        self.0.inner.read(Replica::status)
    }

    /// Returns the sessions of this client that are open now, the leader first.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>, Unavailable> {
        self.0.inner.read(Replica::sessions)
    }

    /// Makes the sync status live: subscribers are called whenever something of it changes.
    pub fn live_sync_status(&self) -> LiveQuery<SyncStatus> {
        self.follow(self.0.inner.status.clone(), |inner| Ok(inner.read(Replica::status)?))
    }

    /// Returns what is not as it should be and hinders nobody, such as a deprecated event that was
    /// applied; each once, in the order in which it was noticed.
    pub fn warnings(&self) -> Vec<Warning> {
        // Those that came while the state was only read; a store that is closed has no new ones.
        let _ = self.0.inner.write(|_| ());
        self.0.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the warnings live, for a developer's tool that shows them.
    pub fn live_warnings(&self) -> LiveQuery<Vec<Warning>> {
        self.follow(self.0.inner.warned.clone(), |inner| {
            Ok(inner.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone())
        })
    }

    /// Reads the groups that could not be applied or were refused, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, QueryError> {
        Ok(self.0.inner.read(Replica::dead_letters)??)
    }

    /// Makes the dead letters live, for a user interface that shows what did not make it.
    pub fn live_dead_letters(&self) -> LiveQuery<Vec<DeadLetter>> {
        self.follow(self.0.inner.dead_letters.clone(), |inner| {
            Ok(inner.read(Replica::dead_letters)??)
        })
    }

    fn follow<T: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        source: Source,
        read: impl Fn(&Inner) -> Result<T, QueryError> + Send + Sync + 'static,
    ) -> LiveQuery<T> {
        LiveQuery::new(&self.0.inner, Instance::of_store(&self.0.inner, source, read))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// Commits the events of a dead letter again, as a new group, or executes its command again, and
    /// forgets the letter.
    ///
    /// `None` if there is no such letter. If it fails, the letter stays.
    pub fn retry_dead_letter(
        &self,
        group: GroupId,
    ) -> Result<Option<CommitReceipt>, ExecuteError<serde_json::Value>> {
        let retry = |replica: &mut Replica, now_ms| replica.retry_dead_letter(group, now_ms);
        self.0.inner.commit_by(self.0.inner.durability, retry)
    }

    /// Forgets a dead letter for good, payload included; tells whether it was there.
    pub fn acknowledge_dead_letter(&self, group: GroupId) -> Result<bool, QueryError> {
        Ok(self.0.inner.write(|replica| replica.acknowledge_dead_letter(group))??)
    }

    /// Reads the groups that left the log with the history that they were in, each with the backend that
    /// it came from: those of other clients, and own ones that were discarded.
    pub fn archived(&self) -> Result<Vec<(BackendId, ConfirmedGroup)>, QueryError> {
        if let Some(file) = self.0.inner.leader_file() {
            return Ok(LeaderFile::open(file)?.archived()?);
        }
        Ok(self.0.inner.read(Replica::archived)??)
    }

    /// Reads the confirmed events that could not be materialized, in the order of the log.
    ///
    /// They are tried again whenever the state is derived anew.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, QueryError> {
        Ok(self.0.inner.read(Replica::quarantined)??)
    }

    /// Goes on with a backend that has another history, if that is what syncing has stopped for; returns
    /// whether there was anything to do.
    ///
    /// What each answer means in numbers is in
    /// [`StopReason::HistoryDiverged`](crate::StopReason::HistoryDiverged).
    ///
    /// # Errors
    ///
    /// Nothing has changed then; so it is with [`HistoryAnswer::Republish`] if the backend is not empty.
    pub fn answer_divergence(&self, answer: HistoryAnswer) -> Result<bool, QueryError> {
        let now_ms = self.0.inner.clock.now_ms();
        let went_on = self.0.inner.write(|replica| replica.answer_divergence(answer, now_ms))?;
        let went_on = went_on.map_err(replica_error)?;
        self.0.inner.driver_wake.notify_one();
        Ok(went_on)
    }

    /// Hashes the state; equal for equal states of one schema, on every machine.
    pub fn state_hash(&self) -> Result<StateHash, QueryError> {
        Ok(self.0.inner.read(Replica::state_hash)??)
    }

    /// Derives the state anew from the log, beside the present one, and hashes it.
    ///
    /// If it differs from [`Store::state_hash`], a materializer is not a function of its
    /// arguments, or the file was changed from outside.
    pub fn replay_hash(&self) -> Result<StateHash, QueryError> {
        if let Some(file) = self.0.inner.leader_file() {
            return LeaderFile::open(file)?.replay_hash(&self.0.inner.schema);
        }
        self.0.inner.read(Replica::replay_hash)?.map_err(replica_error)
    }

    /// Tries to reach the backend at once, instead of after the present pause; also if syncing has
    /// stopped for a reason that somebody may have done something about, such as
    /// [`StopReason::NotAuthorized`](crate::StopReason::NotAuthorized).
    pub fn retry_now(&self) -> Result<(), Unavailable> {
        self.0.inner.write(Replica::retry_now)?;
        self.0.inner.driver_wake.notify_one();
        Ok(())
    }

    /// Returns the store's id.
    pub fn store_id(&self) -> &StoreId {
        &self.0.inner.store_id
    }

    /// Returns who commits here.
    pub fn client_id(&self) -> &ClientId {
        &self.0.inner.client_id
    }

    /// Returns the id of this opening of the store.
    pub fn session_id(&self) -> &SessionId {
        &self.0.inner.session_id
    }

    /// Returns the schema.
    pub fn schema(&self) -> &Schema {
        &self.0.inner.schema
    }

    /// Closes the store for all its clones; committed events are in the file.
    ///
    /// A session that follows another one waits up to two seconds for that to take them: if it does not
    /// answer for so long, those are lost that [`CommitReceipt::persisted`] has not told of.
    ///
    /// Pending events are pushed when the store is opened again; to wait for that now, wait for
    /// the last receipt's [`CommitReceipt::confirmed`] first. Later calls fail with
    /// [`Unavailable::Closed`]. A second call does nothing.
    pub fn shutdown(&self) -> Result<(), Unavailable> {
        self.0.close()
    }
}

impl Open {
    /// Closes the store, unless a materializer asks for it, which holds the lock.
    fn close(&self) -> Result<(), Unavailable> {
        if materializer::is_running() {
            return Err(Unavailable::InMaterializer);
        }
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        // On its own thread nothing is handed over while it waits.
        if driver.as_ref().is_some_and(|driver| !driver.is_this_thread()) {
            self.hand_over();
        }
        self.inner.close();
        drop(driver);
        Ok(())
    }

    /// Waits until the session that leads has everything that was committed here.
    fn hand_over(&self) {
        let deadline = Instant::now() + FAREWELL;
        while let Ok(false) = self.inner.read(Replica::handed_over) {
            if Instant::now() >= deadline {
                let store = &self.inner.store_id;
                tracing::warn!(%store, "closed with commits that the session that leads has not taken");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("store_id", &self.0.inner.store_id)
            .field("client_id", &self.0.inner.client_id)
            .finish_non_exhaustive()
    }
}

fn replica_error(error: ReplicaError) -> QueryError {
    match error {
        ReplicaError::Sqlite(error) => error.into(),
        other => QueryError::Replica(Arc::new(other)),
    }
}

/// Returns the store behind a weak reference, or says that it is closed.
pub(crate) fn upgrade(inner: &Weak<Inner>) -> Result<Arc<Inner>, Unavailable> {
    inner.upgrade().ok_or(Unavailable::Closed)
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Store>();
    is_send_and_sync::<LoggedEvent>();
};
