//! The replica: a confirmed log, a pending tail, and the state that both lead to.
//!
//! It is sans-IO but for SQLite: no sockets, threads, timers or clocks. What happens outside comes
//! in as method calls with the time; what has to happen outside is drained with the `poll`
//! methods. The driver does both, and so does the simulator.

mod barrier;
mod capabilities;
mod commit;
pub(crate) mod exceptions;
pub(crate) mod format;
mod leader;
pub(crate) mod log;
mod materialize;
mod merge;
pub(crate) mod pending;
mod rebuild;
mod revise;
mod session;
mod status;
mod step;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use livestore_core::mutant::{self, Mutant};
use livestore_core::{
    BackendId, ClientId, ConfirmedGroup, Event as StoredEvent, GlobalSeqNum, GroupId, IdGenerator,
    LogPosition, SeqNum, SessionId, StoreId,
};
use livestore_sqlite::{Changes, Connection, Durability, SqliteError, StateHash};

pub use barrier::Barrier;
pub use capabilities::{Capabilities, PushLimits};
pub use exceptions::{DeadLetter, DeadLetterReason, Quarantined};
pub use leader::{Attachment, SessionError, SessionKey, read_rows};
pub(crate) use rebuild::{knows_more, replay_hash};
pub use session::{FollowError, FromLeader, LeaderLink, is_end_of_rows};
pub(crate) use session::{Refusal, answer_of};
pub use status::{
    Committed, Divergence, Fate, GroupState, HistoryAnswer, PoisonAnswer, RebuildProgress,
    ReplicaError, SyncStatus, Tier,
};
pub use upstream::{ConnectionState, StopReason, UpstreamAction};
pub(crate) use upstream::{Search, divergence, has_all_of};

use crate::group::NewEvent;
use crate::live::RefreshLog;
use crate::session::message::Advance;
use crate::warning::Warnings;
use crate::{
    CommitError, ExecuteError, LoggedEvent, OpenError, Schema, StoredCommand, UnknownEvents,
    Warning,
};
use barrier::Barriers;
use exceptions::Counts;
use format::{FileKind, Meta};
use leader::Feed;
use materialize::{Place, Stops};
use pending::{Found, Origin, Tail};
use session::{OWN, Session};
use upstream::Upstream;

/// Events that [`Replica::poll_unknown`] hands out at a time.
const UNKNOWN_EVENTS: usize = 256;

/// How a replica is opened.
#[derive(Debug)]
pub struct ReplicaConfig {
    /// The tables, events and materializers.
    pub schema: Schema,
    /// The log.
    pub store_id: StoreId,
    /// Who commits, if the file does not say so yet.
    pub client_id: ClientId,
    /// This opening of the store.
    pub session_id: SessionId,
    /// Where the medium stands between memory and disk.
    pub durability: Durability,
    /// What the backend to sync with is able to do, if there is one.
    pub upstream: Option<Capabilities>,
    /// What to do with a confirmed event that cannot be materialized.
    pub on_poison: PoisonAnswer,
    /// What to do when the backend's log turns out to be another history.
    pub on_history_diverged: HistoryAnswer,
    /// 32 random bytes, for ids and jitter.
    pub seed: [u8; 32],
}

/// Confirmed head, pending tail and state, with one upstream.
#[derive(Debug)]
pub struct Replica {
    schema: Schema,
    connection: Connection,
    ids: IdGenerator,
    session_id: SessionId,
    durability: Durability,
    on_poison: PoisonAnswer,
    on_history_diverged: HistoryAnswer,
    meta: Meta,
    tail: Tail,
    counts: Counts,
    /// What the backend is able to do.
    capabilities: Capabilities,
    upstream: Upstream,
    barriers: Barriers,
    /// What sessions are told that follow this replica.
    feed: Feed,
    /// What it knows of its leader, if it follows one.
    session: Option<Session>,
    /// The time of the last sync as the file has it.
    stored_synced_at_ms: Option<u64>,
    /// How many rebases there were when the time of one was last told, and that time.
    timed_rebases: u64,
    last_rebase: Option<Duration>,
    /// Pending events after which the index of the tail is brought up to date.
    index_events: u32,
    changes: Changes,
    fates: Vec<(GroupId, Fate)>,
    /// From where on there may be events of the log that the schema does not know, and that were not
    /// handed out to those who want to hear of each.
    untold: Option<Place>,
    /// True if there are new ones since that was asked last.
    met_unknown: bool,
    warnings: Arc<Warnings>,
    /// What changes meant for live queries, for those who visit.
    refreshes: Arc<RefreshLog>,
    dead_letters_changed: bool,
}

impl Replica {
    /// Opens a replica on a connection; `path` is for messages.
    ///
    /// A new database is set up. If the schema derives another state than the one that is there,
    /// the state is derived anew from the log, in batches; one that was cut short goes on. Before
    /// each of them `progress` is called.
    pub fn open(
        connection: Connection,
        config: ReplicaConfig,
        path: &str,
        now_ms: u64,
        progress: &mut dyn FnMut(RebuildProgress),
    ) -> Result<Self, OpenError> {
        let ReplicaConfig { schema, store_id, client_id, .. } = &config;
        if format::recognize(&connection, path)? == FileKind::New {
            let version = schema.state_version();
            let meta = Meta::new(store_id.clone(), client_id.clone(), version.as_bytes());
            connection.transaction(|| {
                format::create(&connection, &meta)?;
                connection.recreate_state(schema.tables())
            })?;
        }
        let damaged = || OpenError::Damaged { path: path.into(), what: "its meta row" };
        let meta = Meta::load(&connection)?.ok_or_else(damaged)?;
        if meta.store_id != *store_id {
            let (path, found, expected) = (path.into(), meta.store_id, store_id.clone());
            return Err(OpenError::OtherStore { path, found, expected });
        }
        if mutant::is_active(Mutant::UndoLostOnRestart) {
            let sql = "UPDATE __livestore_pending SET undo = x'00' WHERE undo IS NOT NULL";
            connection.system().execute(sql, [])?;
        }
        let mut replica = Self::assemble(connection, config, meta)?;
        replica.derive_state(progress, now_ms).map_err(|source| OpenError::Rebuild { source })?;
        Ok(replica)
    }

    /// Makes a replica of a database whose state is not opened yet.
    fn assemble(
        connection: Connection,
        config: ReplicaConfig,
        meta: Meta,
    ) -> Result<Self, SqliteError> {
        let (tail, counts) = (pending::tail(&connection)?, exceptions::counts(&connection)?);
        Ok(Self {
            schema: config.schema,
            connection,
            ids: IdGenerator::new(config.seed),
            session_id: config.session_id,
            durability: config.durability,
            on_poison: config.on_poison,
            on_history_diverged: config.on_history_diverged,
            stored_synced_at_ms: meta.synced_at_ms,
            timed_rebases: meta.rebases,
            last_rebase: None,
            meta,
            tail,
            counts,
            capabilities: config.upstream.unwrap_or(Capabilities::OURS),
            upstream: Upstream::new(config.upstream.is_some(), tail.last),
            barriers: Barriers::new(),
            feed: Feed::new(),
            session: None,
            index_events: pending::INDEX_EVENTS,
            changes: Changes::default(),
            fates: Vec::new(),
            untold: None,
            met_unknown: false,
            warnings: Arc::default(),
            refreshes: Arc::default(),
            dead_letters_changed: false,
        })
    }

    /// Brings the state to where the file says that it should be.
    fn derive_state(
        &mut self,
        progress: &mut dyn FnMut(RebuildProgress),
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        let is_anew = self.needs_rebuild()?;
        if is_anew || self.meta.rebuild.is_some() {
            progress(RebuildProgress::Begins);
        }
        if is_anew {
            self.start_rebuild()?;
        }
        if self.meta.rebuild.is_some()
            && matches!(self.schema.unknown_events(), UnknownEvents::Callback(_))
        {
            // Those of a rebuild that was cut short were not handed out then.
            self.note_unknown_from((GlobalSeqNum::ROOT, 0));
        }
        self.connection.open_state(self.schema.tables().to_vec())?;
        self.finish_rebuild(progress, now_ms)?;
        if mutant::is_active(Mutant::CursorAheadOfState) {
            self.meta.state_head = self.meta.head.seq;
        }
        self.show_backlog(now_ms);
        Ok(())
    }

    /// Sets after how many pending events the index of the tail by group id is brought up to date;
    /// 256 by default. Fewer make commits slower, more make it slower to find a group.
    pub fn set_index_events(&mut self, events: u32) {
        self.index_events = events;
    }

    /// Returns which events of the log that cannot be applied stop the replica.
    fn stops(&self) -> Stops {
        if self.is_session() {
            // The leader has not stopped for it.
            return Stops::WHILE_REBUILDING;
        }
        Stops::new(self.on_poison, self.schema.unknown_events())
    }

    /// Hands out what changed in the state since the last call.
    pub fn poll_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Hands out the fates that groups met since the last call.
    pub fn poll_fates(&mut self) -> Vec<(GroupId, Fate)> {
        std::mem::take(&mut self.fates)
    }

    /// Hands out the next events of the log that the schema does not know, if it wants to hear of
    /// each; nothing if there are no more.
    ///
    /// They are read from the log, up to 256 at a time, so that they take no memory meanwhile. If that
    /// fails, the next call tries again.
    pub fn poll_unknown(&mut self) -> Result<Vec<LoggedEvent>, SqliteError> {
        let Some(from) = self.untold else { return Ok(Vec::new()) };
        let rows = log::unknown_rows(&self.connection, from, UNKNOWN_EVENTS, &self.meta.client_id)?;
        self.untold = rows.last().map(|row| (row.place().0, row.place().1 + 1));
        Ok(rows.into_iter().map(LoggedEvent::confirmed).collect())
    }

    /// Notes that there are events for [`Replica::poll_unknown`] from a place on.
    fn note_unknown_from(&mut self, place: Place) {
        self.untold = Some(self.untold.map_or(place, |from| from.min(place)));
        self.met_unknown = true;
    }

    /// Tells whether there may be new events for [`Replica::poll_unknown`] since the last call.
    pub(crate) fn poll_met_unknown(&mut self) -> bool {
        std::mem::take(&mut self.met_unknown)
    }

    /// Returns where warnings go, for those that others have.
    pub(crate) fn warnings(&self) -> &Arc<Warnings> {
        &self.warnings
    }

    /// Returns the log of what changes meant for live queries.
    pub(crate) fn refreshes(&self) -> &Arc<RefreshLog> {
        &self.refreshes
    }

    /// Tells those who visit of others' live queries from now on.
    pub(crate) fn tell_of(&mut self, refreshes: Arc<RefreshLog>) {
        self.refreshes = refreshes;
    }

    /// Tells warnings to others from now on, beginning with those that nobody was handed.
    pub(crate) fn warn(&mut self, others: Arc<Warnings>) {
        others.adopt(self.warnings.take());
        self.warnings = others;
    }

    /// Hands out the warnings since the last call; each was logged already.
    pub fn poll_warnings(&mut self) -> Vec<Warning> {
        self.warnings.take()
    }

    /// Tells whether the dead letters changed since the last call.
    pub fn poll_dead_letters(&mut self) -> bool {
        std::mem::take(&mut self.dead_letters_changed)
    }

    /// Looks up what became of a group.
    pub fn group_state(&self, group: GroupId) -> Result<GroupState, SqliteError> {
        group_state(&self.connection, &self.tail, group)
    }

    /// Looks up a group of this client that was committed at any time: what its commit returned.
    pub fn committed(&self, group: GroupId) -> Result<Option<Committed>, SqliteError> {
        let (ordinal, synced) = match pending::find(&self.connection, &self.tail, group)? {
            // What a leader has says nothing of where its own commits stand.
            Some(Found { last, client_only, .. }) if self.is_session() && last < OWN => {
                (self.tail.last, !client_only)
            }
            Some(Found { last, client_only, .. }) => (last, !client_only),
            None => match self.group_state(group)? {
                GroupState::Unknown => return Ok(None),
                GroupState::Settled => (self.tail.last, false),
                // What was confirmed was made safe before it was pushed; what was rejected may
                // never have been pushed.
                GroupState::Ended(Fate::Rejected { .. }) => (self.tail.last, true),
                GroupState::Pending | GroupState::Ended(_) => (i64::MIN, true),
            },
        };
        Ok(Some(Committed { group_id: group, ordinal, synced, stored: true }))
    }

    /// Returns what the commit of a group returned that only the leader's file knows of.
    pub(crate) fn committed_elsewhere(
        &self,
        group_id: GroupId,
        state: &GroupState,
    ) -> Option<Committed> {
        let synced = !matches!(state, GroupState::Settled);
        let ordinal = self.tail.last;
        (*state != GroupState::Unknown).then_some(Committed {
            group_id,
            ordinal,
            synced,
            stored: true,
        })
    }

    /// Commits the events of a dead letter again, as a new group, or executes its command again, and
    /// forgets the letter.
    ///
    /// # Errors
    ///
    /// `None` if there is no such dead letter. If the commit fails, the letter stays.
    pub fn retry_dead_letter(
        &mut self,
        group: GroupId,
        now_ms: u64,
    ) -> Result<Option<Committed>, ExecuteError<serde_json::Value>> {
        let letter = exceptions::dead_letter(&self.connection, group).map_err(CommitError::from)?;
        let Some(letter) = letter else { return Ok(None) };
        let again = |event: &StoredEvent| {
            let StoredEvent { name, args, .. } = event.clone();
            NewEvent { name, args }
        };
        let committed = match letter.command {
            Some(StoredCommand { name, args, .. })
                if self.schema.commands().handlers.contains_key(&name) =>
            {
                self.execute_and(name, args, now_ms, Some(group)).map_err(ExecuteError::of)?
            }
            _ => {
                let events = letter.group.events().iter().map(again).collect();
                self.commit_and(events, now_ms, Some(group))?
            }
        };
        Ok(Some(committed))
    }

    /// Forgets a dead letter, payload included; tells whether it was there.
    pub fn acknowledge_dead_letter(&mut self, group: GroupId) -> Result<bool, SqliteError> {
        let connection = &self.connection;
        let was_there = connection.transaction(|| exceptions::forget(connection, group))?;
        if was_there {
            self.counts.dead_letters -= 1;
            self.dead_letters_changed = true;
            let forgotten = Advance { forgotten: vec![group], ..Advance::default() };
            self.publish(self.feed.is_read().then(|| Box::new(forgotten)), None);
            self.note_own([None, None], &Origin::default(), Some(group), self.tail.last);
        }
        Ok(was_there)
    }

    /// Returns the connection, to read the state and the log.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns the end of the confirmed log, as far as it is on the medium.
    pub fn head(&self) -> LogPosition {
        self.meta.head
    }

    /// Returns the end of the confirmed log, as far as it is in the state.
    pub fn state_head(&self) -> Result<LogPosition, SqliteError> {
        if !self.has_backlog() {
            return Ok(self.meta.head);
        }
        let hash = log::log_hash(&self.connection, self.meta.state_head)?;
        Ok(LogPosition { seq: self.meta.state_head, hash: hash.unwrap_or(LogPosition::ROOT.hash) })
    }

    /// Returns who commits here.
    pub fn client_id(&self) -> &ClientId {
        &self.meta.client_id
    }

    /// Returns what a commit survives.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Tells whether there is a backend to sync with, be it the leader who does.
    pub fn has_upstream(&self) -> bool {
        match self.leader_status() {
            Some(leader) => leader.connection != ConnectionState::NoBackend,
            None => self.upstream.is_configured(),
        }
    }

    /// Returns where the replica stands.
    pub fn status(&self) -> SyncStatus {
        let Tail { groups, events, .. } = self.tail;
        let generation = if events == 0 { 0 } else { self.meta.generation };
        let global = self.meta.state_head.plus(events);
        if let Some(leader) = self.leader_status() {
            return SyncStatus {
                tier: Tier::Session {
                    leader: self.leader_link().cloned().unwrap_or(LeaderLink::Searching),
                    commits_not_handed_over: self.not_handed_over(),
                },
                local_head: SeqNum { global, client: 0, generation },
                confirmed_head: self.meta.state_head,
                pending_groups: groups,
                pending_events: events,
                groups_in_doubt: self.tail.unapplied,
                dead_letters: self.counts.dead_letters,
                quarantined: self.counts.quarantined,
                ..leader.clone()
            };
        }
        SyncStatus {
            tier: Tier::Leader { followers: self.followers() },
            local_head: SeqNum { global, client: 0, generation },
            confirmed_head: self.meta.state_head,
            pulled_head: self.meta.head.seq,
            backend_head: self.upstream.backend_head(),
            republished: self.meta.republished,
            pending_groups: groups,
            pending_events: events,
            groups_in_doubt: self.tail.unapplied,
            connection: self.upstream.state(),
            best_effort: self.has_upstream() && !self.capabilities.gives_turns,
            last_error: self.upstream.last_error().map(Into::into),
            last_synced_ms: self.meta.synced_at_ms,
            rebases: self.meta.rebases,
            last_rebase: self.last_rebase,
            dead_letters: self.counts.dead_letters,
            quarantined: self.counts.quarantined,
            archived: self.counts.archived,
        }
    }

    /// Reads the dead letters, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, SqliteError> {
        exceptions::dead_letters(&self.connection)
    }

    /// Reads the groups that left the log with the history that they were in, each with the backend that
    /// it came from: those of other clients, and own ones that were discarded.
    pub fn archived(&self) -> Result<Vec<(BackendId, ConfirmedGroup)>, SqliteError> {
        exceptions::archived(&self.connection)
    }

    /// Reads the confirmed events that were skipped, in the order of the log.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, SqliteError> {
        exceptions::quarantined(&self.connection)
    }

    /// Hashes the state that synced events have led to.
    pub fn state_hash(&self) -> Result<StateHash, SqliteError> {
        self.connection.state_hash()
    }
}

/// Looks up what became of a group, in a database with a tail.
pub(crate) fn group_state(
    connection: &Connection,
    tail: &Tail,
    group: GroupId,
) -> Result<GroupState, SqliteError> {
    if pending::find(connection, tail, group)?.is_some() {
        return Ok(GroupState::Pending);
    }
    if let Some((first, last)) = log::positions(connection, group)? {
        let is_rewritten = log::submitted(connection, group)?.is_some();
        let fate = if is_rewritten {
            Fate::Rewritten { first, last }
        } else {
            Fate::Confirmed { first, last }
        };
        return Ok(GroupState::Ended(fate));
    }
    if let Some(letter) = exceptions::dead_letter(connection, group)? {
        return Ok(GroupState::Ended(Fate::Rejected { reason: letter.reason }));
    }
    if log::has_client_only(connection, group)? {
        return Ok(GroupState::Settled);
    }
    let is_archived = exceptions::is_archived(connection, group)?;
    Ok(if is_archived { GroupState::Ended(Fate::Archived) } else { GroupState::Unknown })
}
