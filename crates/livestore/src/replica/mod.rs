//! The replica: a confirmed log, a pending tail, and the state that both lead to.
//!
//! It is sans-IO but for SQLite: no sockets, threads, timers or clocks. What happens outside comes
//! in as method calls with the time; what has to happen outside is drained with the `poll`
//! methods. The driver does both, and so will the simulator.

pub(crate) mod eventlog;
pub(crate) mod exceptions;
pub(crate) mod format;
mod materialize;
mod merge;
mod upstream;

use livestore_core::{
    ClientId, Event as StoredEvent, GlobalSeqNum, Group, GroupId, IdGenerator, LogPosition, SeqNum,
    SessionId, StoreId,
};
use livestore_sqlite::{ChangedTables, Connection, Durability, SqliteError, StateHash};

pub use exceptions::{DeadLetter, DeadLetterReason};
pub use upstream::{Barrier, ConnectionState, StopReason, UpstreamAction};

use crate::event::NewEvent;
use crate::{CommitError, OpenError, Schema};
use eventlog::{PendingGroup, Tail};
use format::{FileKind, Meta};
use upstream::Upstream;

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
    /// True if there is a backend to sync with.
    pub has_upstream: bool,
    /// 32 random bytes, for ids and jitter.
    pub seed: [u8; 32],
}

/// What a commit produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The group.
    pub group_id: GroupId,
    /// The ordinal of its first event in the pending tail.
    pub ordinal: i64,
}

/// What became of a group so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupState {
    /// It is in the tail.
    Pending,
    /// It met its fate.
    Ended(Fate),
    /// It is nowhere.
    Unknown,
}

/// The end of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The backend ordered it.
    Confirmed {
        /// The position of its first event.
        first: GlobalSeqNum,
        /// The position of its last event.
        last: GlobalSeqNum,
    },
    /// It could not be applied or was refused, and is a dead letter now.
    Rejected {
        /// Why.
        reason: DeadLetterReason,
    },
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncStatus {
    /// The last event, pending ones included.
    pub local_head: SeqNum,
    /// The last event that the backend has confirmed to us.
    pub confirmed_head: GlobalSeqNum,
    /// The end of the backend's log, as far as we know; `None` before the first contact.
    pub backend_head: Option<GlobalSeqNum>,
    /// Groups that the backend has not confirmed.
    pub pending_groups: u64,
    /// Events that the backend has not confirmed.
    pub pending_events: u64,
    /// The connection to the backend.
    pub connection: ConnectionState,
    /// What went wrong last, until something goes right.
    pub last_error: Option<String>,
    /// Rebases since the store was created.
    pub rebases: u64,
    /// Groups in the dead letters.
    pub dead_letters: u64,
    /// Confirmed events that could not be materialized and were skipped.
    pub quarantined: u64,
}

impl SyncStatus {
    /// Tells whether everything here is confirmed and everything that the backend has is here.
    pub fn is_synced(&self) -> bool {
        self.connection == ConnectionState::Connected
            && self.pending_events == 0
            && self.backend_head == Some(self.confirmed_head)
    }
}

/// A failure of the replica itself; nothing of the step that failed has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// A materializer failed on an event in a way that says nothing about the event.
    #[error("event {name} ({id}) could not be materialized: {message}")]
    Materializer {
        /// The event's name.
        name: livestore_core::EventName,
        /// The event.
        id: livestore_core::EventId,
        /// What happened.
        message: String,
        /// True if the materializer panicked, so that trying again is no use.
        panicked: bool,
    },
}

/// Confirmed head, pending tail and state, with one upstream.
#[derive(Debug)]
pub struct Replica {
    schema: Schema,
    connection: Connection,
    ids: IdGenerator,
    session_id: SessionId,
    durability: Durability,
    meta: Meta,
    tail: Tail,
    upstream: Upstream,
    dead_letters: u64,
    quarantined: u64,
    changes: ChangedTables,
    fates: Vec<(GroupId, Fate)>,
}

impl Replica {
    /// Opens a replica on a connection; `path` is for messages.
    ///
    /// A new database is set up. If the schema derives another state than the one that is there,
    /// the state is rebuilt from the log, in one transaction.
    pub fn open(
        mut connection: Connection,
        config: ReplicaConfig,
        path: &str,
        now_ms: u64,
    ) -> Result<Self, OpenError> {
        let ReplicaConfig { schema, store_id, client_id, session_id, .. } = config;
        let version = schema.state_version();
        let is_new = format::recognize(&connection, path)? == FileKind::New;
        if is_new {
            let meta = Meta::new(store_id.clone(), client_id, version.as_bytes());
            connection.transaction(|| {
                format::create(&connection, &meta)?;
                connection.recreate_state(schema.tables())
            })?;
        }
        let damaged = || OpenError::Damaged { path: path.into(), what: "its meta row" };
        let meta = Meta::load(&connection)?.ok_or_else(damaged)?;
        if meta.store_id != store_id {
            let (path, found) = (path.into(), meta.store_id);
            return Err(OpenError::OtherStore { path, found, expected: store_id });
        }
        let is_stale = meta.state_version != version.as_bytes();
        if is_stale {
            // The triggers that capture changes are made for the new tables, so these come first;
            // their rows follow in the same transaction.
            connection.system().execute_batch("BEGIN IMMEDIATE")?;
            connection.recreate_state(schema.tables())?;
        }
        connection.watch_state(schema.tables().to_vec())?;
        let tail = eventlog::tail(&connection)?;
        let (dead_letters, quarantined) = exceptions::counts(&connection)?;
        let mut replica = Self {
            schema,
            connection,
            ids: IdGenerator::new(config.seed),
            session_id,
            durability: config.durability,
            meta,
            tail,
            upstream: Upstream::new(config.has_upstream),
            dead_letters,
            quarantined,
            changes: ChangedTables::default(),
            fates: Vec::new(),
        };
        if is_stale {
            replica.rebuild(now_ms).map_err(|source| OpenError::Rebuild { source })?;
            replica.connection.system().execute_batch("COMMIT")?;
        }
        Ok(replica)
    }

    /// Commits events as one group; when it returns, they are in the log and in the state.
    ///
    /// # Errors
    ///
    /// On any error nothing has changed, and the replica goes on as before.
    pub fn commit(&mut self, events: Vec<NewEvent>, now_ms: u64) -> Result<Committed, CommitError> {
        for event in &events {
            if self.schema.materializer(&event.name).is_none() {
                return Err(CommitError::UnknownEvent { name: event.name.clone() });
            }
        }
        let group_id = self.ids.group_id(now_ms);
        let identify = |NewEvent { name, args }| {
            let id = self.ids.event_id(now_ms);
            StoredEvent { id, name, args }
        };
        let events = events.into_iter().map(identify).collect();
        let client_id = self.meta.client_id.clone();
        let group = Group::new(group_id, client_id, self.session_id.clone(), events)?;
        let (first, count) = (self.tail.last + 1, group.event_count());

        let changed = self.connection.transaction(|| {
            for event in group.events() {
                self.materialize(event, group.client_id(), group.session_id()).map_err(
                    |source| CommitError::Materialize { name: event.name.clone(), source },
                )?;
            }
            let preimages = self.connection.take_changes();
            let pending = PendingGroup { first, group, undo: Some(preimages.encode()) };
            eventlog::append_pending(&self.connection, &pending)?;
            Ok::<_, CommitError>(preimages.tables())
        })?;
        self.changes.extend(&changed);
        self.tail.last += count as i64;
        self.tail.events += count;
        self.tail.groups += 1;
        Ok(Committed { group_id, ordinal: first })
    }

    /// Hands out the tables that changed since the last call.
    pub fn poll_changes(&mut self) -> Option<ChangedTables> {
        (!self.changes.is_empty()).then(|| std::mem::take(&mut self.changes))
    }

    /// Hands out the fates that groups met since the last call.
    pub fn poll_fates(&mut self) -> Vec<(GroupId, Fate)> {
        std::mem::take(&mut self.fates)
    }

    /// Looks up what became of a committed group.
    pub fn group_state(&self, committed: Committed) -> Result<GroupState, SqliteError> {
        let Committed { group_id, ordinal } = committed;
        if eventlog::is_pending(&self.connection, ordinal, group_id)? {
            return Ok(GroupState::Pending);
        }
        if let Some((first, last)) = eventlog::confirmed_positions(&self.connection, group_id)? {
            return Ok(GroupState::Ended(Fate::Confirmed { first, last }));
        }
        let reason = exceptions::rejection(&self.connection, group_id)?;
        Ok(reason
            .map_or(GroupState::Unknown, |reason| GroupState::Ended(Fate::Rejected { reason })))
    }

    /// Returns the connection, to read the state and the log.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the end of the confirmed log.
    fn head(&self) -> LogPosition {
        self.meta.head
    }

    /// Returns the position of the last confirmed event.
    fn head_seq(&self) -> GlobalSeqNum {
        self.meta.head.seq
    }

    /// Returns who commits here.
    pub fn client_id(&self) -> &ClientId {
        &self.meta.client_id
    }

    /// Returns what a commit survives.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Tells whether there is a backend to sync with.
    pub fn has_upstream(&self) -> bool {
        self.upstream.is_configured()
    }

    /// Returns where the replica stands.
    pub fn status(&self) -> SyncStatus {
        let pending = self.tail.events;
        let generation = if pending == 0 { 0 } else { self.meta.generation };
        let global = self.meta.head.seq.plus(pending);
        SyncStatus {
            local_head: SeqNum { global, client: 0, generation },
            confirmed_head: self.meta.head.seq,
            backend_head: self.upstream.backend_head(),
            pending_groups: self.tail.groups,
            pending_events: pending,
            connection: self.upstream.state(),
            last_error: self.upstream.last_error().map(Into::into),
            rebases: self.meta.rebases,
            dead_letters: self.dead_letters,
            quarantined: self.quarantined,
        }
    }

    /// Reads the dead letters, oldest first.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, SqliteError> {
        exceptions::dead_letters(&self.connection)
    }

    /// Hashes the state.
    pub fn state_hash(&self) -> Result<StateHash, SqliteError> {
        self.connection.state_hash()
    }
}
