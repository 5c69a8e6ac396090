//! What a store, its live queries, its receipts and its driver share.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use livestore_core::{ClientId, GroupId, SessionId, StoreId};
use livestore_reactive::{Graph, Source};
use livestore_sqlite::{Durability, Query, SqliteError};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::eventlog::LoggedEvent;
use crate::live::Engine;
use crate::receipt::{Awaited, CommitReceipt};
use crate::replica::{Committed, GroupState, Replica, SyncStatus};
use crate::session::LeaderFile;
use crate::warning::Warnings;
use crate::{
    CommitError, NewEvent, QueryError, Schema, Unavailable, UnknownEvents, Warning, materializer,
};

/// What the store, its live queries, its receipts and its driver share.
pub(crate) struct Inner {
    pub(super) store_id: StoreId,
    pub(super) client_id: ClientId,
    pub(super) session_id: SessionId,
    pub(super) schema: Schema,
    pub(super) durability: Durability,
    pub(super) clock: Clock,
    /// Gone once the store is shut down.
    pub(super) replica: Mutex<Option<Replica>>,
    pub(super) graph: Graph,
    /// The live values.
    pub(super) live: Engine,
    /// Tells that the store was closed, and whether it was.
    pub(super) closed: Source,
    pub(super) is_closed: AtomicBool,
    /// Asks queries again that have failed for a reason which may have passed, if there are any.
    pub(super) retry: Source,
    pub(super) has_failed_queries: AtomicBool,
    /// What the status, the dead letters and the warnings are derived from.
    pub(super) status: Source,
    pub(super) dead_letters: Source,
    pub(super) warned: Source,
    /// Those that were handed out, and where new ones come from.
    pub(super) warnings: Mutex<Vec<Warning>>,
    pub(super) new_warnings: Arc<Warnings>,
    pub(super) waiters: Mutex<BTreeMap<(Awaited, u64), Waker>>,
    pub(super) driver_wake: Arc<Notify>,
    /// The file of the session that leads, if this one follows.
    pub(super) leader_file: Option<Arc<Path>>,
    /// True if this is the leader of a session of the same process, to which alone the app speaks.
    pub(super) is_hosted: bool,
    /// Tells those who serve sessions that there is something for them.
    pub(super) output: watch::Sender<()>,
    /// True while some thread calls the app with unknown events.
    pub(super) is_telling: AtomicBool,
}

/// Events of a log that is replayed to see whether the materializers are what they were.
const MAX_CHECKED_EVENTS: u64 = 2_000;

impl Inner {
    /// Locks the replica to look at it.
    fn lock(&self) -> Result<ReplicaGuard<'_>, Unavailable> {
        if materializer::is_running() {
            return Err(Unavailable::InMaterializer);
        }
        // A step that panicked was rolled back, and the replica's own fields follow only after a
        // step is committed, so what is behind the lock is sound.
        let guard = self.replica.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() { Err(Unavailable::Closed) } else { Ok(ReplicaGuard(guard)) }
    }

    /// Looks at the replica.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Replica) -> R) -> Result<R, Unavailable> {
        Ok(look(&*self.lock()?))
    }

    /// Does something with the replica; then live queries and receipts get to know.
    pub(crate) fn write<R>(&self, act: impl FnOnce(&mut Replica) -> R) -> Result<R, Unavailable> {
        if livestore_reactive::is_computing() {
            return Err(Unavailable::InComputed);
        }
        let mut step = self.begin()?;
        let result = act(&mut step.replica);
        self.tell_of(step);
        Ok(result)
    }

    fn begin(&self) -> Result<Step<'_>, Unavailable> {
        let replica = self.lock()?;
        let (status, had_failed) = (replica.status(), replica.has_disk_failed());
        let advances = replica.advances();
        Ok(Step { replica, status, had_failed, advances })
    }

    /// Lets live queries and receipts know what a step has done.
    fn tell_of(&self, step: Step<'_>) {
        let Step { mut replica, status: before, had_failed, advances } = step;
        let fates = replica.poll_fates().into_iter().map(|(group, _)| Awaited::Fate(group));
        let has_failed = replica.has_disk_failed() && !had_failed;
        let is_safer = has_failed || replica.poll_handed_over();
        let mut wakers = self.wakers(fates.chain(is_safer.then_some(Awaited::Durability)));
        if replica.poll_begun_anew() {
            wakers.extend(std::mem::take(&mut *self.waiters()).into_values());
        }
        let changes = replica.poll_changes();
        let concerned = if changes.is_empty() {
            Vec::new()
        } else {
            self.live.concerned(replica.connection(), changes)
        };
        let letters = replica.poll_dead_letters().then_some(&self.dead_letters);
        // Those of a leader on a thread of its session are for the session to hand out.
        let new = if self.is_hosted { Vec::new() } else { replica.poll_warnings() };
        let warned = self.keep(new).then_some(&self.warned);
        let met_unknown = replica.poll_met_unknown();
        let status = (replica.status() != before).then_some(&self.status);
        if replica.advances() != advances || status.is_some() {
            self.output.send_replace(());
        }
        let queries = concerned.iter().filter_map(|info| info.source());
        let retry = self.has_failed_queries.swap(false, Ordering::AcqRel).then_some(&self.retry);
        let sources = queries.chain(letters).chain(status).chain(warned).chain(retry);
        // Live queries are marked before anybody else can read the new state, so that none is ever
        // older than a query run afresh. Others are told when the lock is gone.
        self.graph.mark_changed_then(sources, || {
            drop(replica);
            wakers.into_iter().for_each(Waker::wake);
        });
        // Whoever has met them tells of them. A commit meets none, so it never runs the app's function.
        if met_unknown {
            self.tell_of_unknown();
        }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn live(&self) -> &Engine {
        &self.live
    }

    /// Returns what tells that the store was closed.
    pub(crate) fn closed(&self) -> &Source {
        &self.closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Returns what asks failed queries again.
    pub(crate) fn retry(&self) -> &Source {
        &self.retry
    }

    /// Notes that a query failed which is to be asked again with the next change, after it has begun to
    /// track [`Self::retry`].
    pub(crate) fn note_failed_query(&self) {
        self.has_failed_queries.store(true, Ordering::Release);
    }

    /// Keeps warnings for those who ask; tells whether there are any.
    pub(super) fn keep(&self, warnings: Vec<Warning>) -> bool {
        if warnings.is_empty() {
            return false;
        }
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
        true
    }

    /// Compares the state with a replay of its log, if that is short, and warns if they differ.
    pub(crate) fn check_materializers(&self) -> Result<(), Unavailable> {
        self.write(|replica| match replica.differs_from_replay(MAX_CHECKED_EVENTS) {
            Ok(true) => replica.warnings().tell(Warning::StateDiffersFromReplay),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the state could not be compared with a replay"),
        })
    }

    /// Returns where warnings go; they are handed out with the next change of the replica.
    pub(crate) fn warnings(&self) -> &Arc<Warnings> {
        &self.new_warnings
    }

    pub(crate) fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Calls the app with events that its schema does not know, in order.
    fn tell_of_unknown(&self) {
        let UnknownEvents::Callback(call) = self.schema.unknown_events() else { return };
        if self.is_hosted {
            return;
        }
        // One thread tells at a time, also if the app's function uses the store; it comes to what
        // others have brought meanwhile.
        if self.is_telling.swap(true, Ordering::AcqRel) {
            return;
        }
        loop {
            let page = self.next_unknown();
            if page.is_empty() {
                return;
            }
            for event in &page {
                // What the app's function leaves behind when it panics is its own business.
                if catch_unwind(AssertUnwindSafe(|| call(event))).is_err() {
                    tracing::error!(name = %event.name, "the callback for unknown events panicked");
                }
            }
        }
    }

    /// Takes the next of them from the log; if there are none, telling is over.
    ///
    /// It is over as well if they cannot be read. They stay where they are then, and whoever brings
    /// the next ones tells of all.
    fn next_unknown(&self) -> Vec<LoggedEvent> {
        // A store that is closed has nobody left to tell.
        let Ok(mut replica) = self.lock() else { return Vec::new() };
        // Handing them out changes nothing that anybody else is told of.
        let page = replica.poll_unknown().unwrap_or_else(|error| {
            tracing::error!(%error, "unknown events could not be read from the log");
            Vec::new()
        });
        if page.is_empty() {
            // While the replica is locked: whoever has brought some after this look tells of them.
            self.is_telling.store(false, Ordering::Release);
        }
        page
    }

    /// Returns the file of the session that leads, if this one follows.
    pub(crate) fn leader_file(&self) -> Option<&Path> {
        self.leader_file.as_deref()
    }

    /// Looks up what became of a group, here or in the leader's file.
    pub(crate) fn group_state(
        &self,
        replica: &Replica,
        group: GroupId,
    ) -> Result<GroupState, SqliteError> {
        match (replica.group_state(group)?, &self.leader_file) {
            (GroupState::Unknown, Some(file)) => LeaderFile::open(file)?.group_state(group),
            (known, _) => Ok(known),
        }
    }

    /// Returns what tells of new output for sessions.
    pub(crate) fn output(&self) -> watch::Receiver<()> {
        self.output.subscribe()
    }

    /// Makes those who serve sessions look for what there is to say.
    pub(crate) fn tell_sessions(&self) {
        self.output.send_replace(());
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Makes the driver look for what is to be done.
    pub(crate) fn wake_driver(&self) {
        self.driver_wake.notify_one();
    }

    /// Wakes those who wait for something.
    pub(crate) fn wake(&self, awaited: Awaited) {
        self.wakers([awaited]).into_iter().for_each(Waker::wake);
    }

    /// Takes out those who wait for one of these.
    pub(super) fn wakers(&self, awaited: impl IntoIterator<Item = Awaited>) -> Vec<Waker> {
        let mut awaited = awaited.into_iter().peekable();
        if awaited.peek().is_none() {
            return Vec::new();
        }
        let mut wakers = Vec::new();
        let mut waiters = self.waiters();
        for awaited in awaited {
            let range = (awaited, 0)..=(awaited, u64::MAX);
            let keys: Vec<_> = waiters.range(range).map(|(key, _)| *key).collect();
            wakers.extend(keys.iter().filter_map(|key| waiters.remove(key)));
        }
        wakers
    }

    pub(crate) fn waiters(&self) -> MutexGuard<'_, BTreeMap<(Awaited, u64), Waker>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what a closure commits; `None` if it finds that it should not.
    pub(super) fn commit_by<E: From<CommitError>>(
        self: &Arc<Self>,
        durability: Durability,
        commit: impl FnOnce(&mut Replica, u64) -> Result<Option<Committed>, E>,
    ) -> Result<Option<CommitReceipt>, E> {
        let now_ms = self.clock.now_ms();
        let needs_barrier = durability == Durability::Full;
        let done = self.write(|replica| {
            let committed = commit(replica, now_ms)?;
            if let Some(committed) = committed
                && needs_barrier
            {
                replica.require_full(committed.ordinal);
            }
            Ok::<_, E>((committed, replica.has_upstream() || replica.leader_link().is_some()))
        });
        let (committed, has_above) = done.map_err(CommitError::from)??;
        // Waking the driver for nothing costs about as much as writing a page.
        if has_above || needs_barrier {
            self.driver_wake.notify_one();
        }
        let receipt = |committed| CommitReceipt::new(Arc::downgrade(self), committed, durability);
        Ok(committed.map(receipt))
    }

    /// Commits events if a condition holds, with nothing in between.
    pub(crate) fn commit_if(
        self: &Arc<Self>,
        events: Vec<NewEvent>,
        condition: impl FnOnce(&Replica) -> Result<bool, SqliteError>,
    ) -> Result<Option<CommitReceipt>, CommitError> {
        self.commit_by(self.durability, |replica, now_ms| {
            if condition(replica)? { replica.commit(events, now_ms).map(Some) } else { Ok(None) }
        })
    }

    pub(crate) fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, QueryError> {
        Ok(self.read(|replica| replica.connection().read().query(query))??)
    }

    /// Drops the replica, which closes the file, and tells everyone who waits.
    pub(super) fn close(&self) {
        drop(self.replica.lock().unwrap_or_else(PoisonError::into_inner).take());
        let waiters = std::mem::take(&mut *self.waiters());
        waiters.into_values().for_each(Waker::wake);
        self.is_closed.store(true, Ordering::Release);
        // Where that must not be written, whoever follows the store hears of it later or not at all.
        if !livestore_reactive::is_computing() {
            self.closed.mark_changed();
        }
    }
}

/// A replica that something is done with, and what it was like before.
struct Step<'a> {
    replica: ReplicaGuard<'a>,
    status: SyncStatus,
    had_failed: bool,
    advances: u64,
}

/// A locked replica that is there.
struct ReplicaGuard<'a>(MutexGuard<'a, Option<Replica>>);

impl std::ops::Deref for ReplicaGuard<'_> {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        self.0.as_ref().expect("`Inner::lock` has checked that the replica is there")
    }
}

impl std::ops::DerefMut for ReplicaGuard<'_> {
    fn deref_mut(&mut self) -> &mut Replica {
        self.0.as_mut().expect("`Inner::lock` has checked that the replica is there")
    }
}
