//! The conversation with the upstream: a state machine without sockets and clocks.
//!
//! What may be told to the backend is decided here: one push at a time, only what a power cut
//! cannot take from its author any more, and only on top of a head that the backend is known to
//! have. What the backend says is believed only as far as the log's rolling hash confirms it.

use std::collections::{HashSet, VecDeque};

use livestore_core::limits::{MAX_ATTEMPTED_GROUPS, PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{
    AlreadyAccepted, ClientMessage, Goodbye, GoodbyeReason, GroupRejected, Hello, PROTOCOL_VERSION,
    Page, Push, PushAccepted, ServerAhead, ServerMessage, Welcome,
};
use livestore_core::{Cursor, GlobalSeqNum, GroupId, LogHash, LogPosition};
use livestore_sqlite::Durability;

use super::eventlog::{self, PendingGroup};
use super::exceptions::DeadLetterReason;
use super::merge::{InDoubt, InPlace};
use super::{Replica, ReplicaError};

/// The first pause before connecting again, in milliseconds; it doubles up to [`MAX_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 250;
/// The longest pause before connecting again, in milliseconds.
const MAX_PAUSE_MS: u64 = 30_000;

/// What the driver has to do for the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamAction {
    /// Connect, then call [`Replica::upstream_connected`].
    Connect,
    /// Send a message.
    Send(ClientMessage),
    /// Close the connection, then call [`Replica::upstream_disconnected`].
    Disconnect,
}

/// A request to sync the file to the disk; everything committed before it is then safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is pushed until the barrier is done"]
pub struct Barrier {
    last: i64,
}

/// The connection to the backend, as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The store was opened without a backend.
    NoBackend,
    /// Not connected; the driver tries again by itself.
    Offline,
    /// On the way.
    Connecting,
    /// Connected and introduced.
    Connected,
    /// Given up, until something is done about the reason.
    Stopped(StopReason),
}

/// Why the conversation was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The backend's log is another history than ours: it was re-created or restored.
    HistoryDiverged {
        /// What the backend said.
        message: String,
    },
    /// The backend speaks no version of the protocol that we speak.
    UnsupportedVersion {
        /// What the backend said.
        message: String,
    },
    /// A materializer panicked on an event; pulling on needs fixed code.
    MaterializerPanicked {
        /// The event and the panic.
        message: String,
    },
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HistoryDiverged { message } => {
                write!(f, "the backend's log is not the one that this store knows: {message}")
            }
            Self::UnsupportedVersion { message } => {
                write!(f, "the backend speaks another protocol version: {message}")
            }
            Self::MaterializerPanicked { message } => write!(f, "pulling stopped: {message}"),
        }
    }
}

#[derive(Debug)]
enum Phase {
    NoBackend,
    Offline { retry_at_ms: u64 },
    Connecting,
    Greeting,
    Live,
    Stopped(StopReason),
}

/// A push whose answer is awaited.
#[derive(Debug)]
struct InFlight {
    request: u64,
    /// What its first group continues.
    base: LogPosition,
    groups: Vec<InPlace>,
}

impl InFlight {
    fn has(&self, id: GroupId) -> bool {
        self.groups.iter().any(|group| group.id == id)
    }
}

/// The state of the conversation; nothing of it outlives the process.
#[derive(Debug)]
pub(super) struct Upstream {
    phase: Phase,
    outbox: VecDeque<ClientMessage>,
    disconnect: bool,
    in_flight: Option<InFlight>,
    next_request: u64,
    backend_head: Option<GlobalSeqNum>,
    /// The end of the backend's log when it welcomed us, and when that was.
    welcomed: Option<(GlobalSeqNum, u64)>,
    /// Pending groups that the backend is known to hold beyond our head.
    accepted: HashSet<GroupId>,
    /// Everything pending up to this ordinal survives a power cut.
    durable: i64,
    /// A barrier that the driver is working on.
    barrier: Option<i64>,
    failures: u32,
    last_error: Option<String>,
}

/// Something the backend said that cannot be.
struct Violation(String);

/// Why a message could not be taken.
enum Trouble {
    Violation(Violation),
    Replica(ReplicaError),
}

impl From<ReplicaError> for Trouble {
    fn from(error: ReplicaError) -> Self {
        Self::Replica(error)
    }
}

impl From<livestore_sqlite::SqliteError> for Trouble {
    fn from(error: livestore_sqlite::SqliteError) -> Self {
        Self::Replica(error.into())
    }
}

fn violation(message: impl Into<String>) -> Trouble {
    Trouble::Violation(Violation(message.into()))
}

impl Upstream {
    pub(super) fn new(is_configured: bool) -> Self {
        let phase =
            if is_configured { Phase::Offline { retry_at_ms: 0 } } else { Phase::NoBackend };
        Self {
            phase,
            outbox: VecDeque::new(),
            disconnect: false,
            in_flight: None,
            next_request: 1,
            backend_head: None,
            welcomed: None,
            accepted: HashSet::new(),
            durable: 0,
            barrier: None,
            failures: 0,
            last_error: None,
        }
    }

    pub(super) fn is_configured(&self) -> bool {
        !matches!(self.phase, Phase::NoBackend)
    }

    pub(super) fn backend_head(&self) -> Option<GlobalSeqNum> {
        self.backend_head
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    pub(super) fn state(&self) -> ConnectionState {
        match &self.phase {
            Phase::NoBackend => ConnectionState::NoBackend,
            Phase::Offline { .. } => ConnectionState::Offline,
            Phase::Connecting | Phase::Greeting => ConnectionState::Connecting,
            Phase::Live => ConnectionState::Connected,
            Phase::Stopped(reason) => ConnectionState::Stopped(reason.clone()),
        }
    }

    fn stop(&mut self, reason: StopReason) {
        self.last_error = Some(reason.to_string());
        self.phase = Phase::Stopped(reason);
        self.disconnect = true;
    }
}

impl Replica {
    /// Hands out the next thing to do for the conversation, if there is one now.
    pub fn poll_upstream(&mut self, now_ms: u64) -> Result<Option<UpstreamAction>, ReplicaError> {
        if std::mem::take(&mut self.upstream.disconnect) {
            self.upstream.outbox.clear();
            return Ok(Some(UpstreamAction::Disconnect));
        }
        if let Phase::Offline { retry_at_ms } = self.upstream.phase
            && retry_at_ms <= now_ms
        {
            self.upstream.phase = Phase::Connecting;
            return Ok(Some(UpstreamAction::Connect));
        }
        if let Some(message) = self.upstream.outbox.pop_front() {
            return Ok(Some(UpstreamAction::Send(message)));
        }
        if !self.may_push() {
            return Ok(None);
        }
        Ok(self.next_push()?.map(|push| UpstreamAction::Send(ClientMessage::Push(push))))
    }

    /// Returns when [`Self::poll_upstream`] has to be called again although nothing happened.
    pub fn next_timeout(&self) -> Option<u64> {
        match self.upstream.phase {
            Phase::Offline { retry_at_ms } => Some(retry_at_ms),
            _ => None,
        }
    }

    /// Hands out a barrier that has to be done before the next push can leave.
    pub fn poll_barrier(&mut self) -> Option<Barrier> {
        let needs_barrier = self.durability != Durability::Memory
            && self.upstream.barrier.is_none()
            && self.may_push()
            && self.upstream.durable < self.tail.last;
        if !needs_barrier {
            return None;
        }
        self.upstream.barrier = Some(self.tail.last);
        Some(Barrier { last: self.tail.last })
    }

    /// Takes note that a barrier's sync is done, or that it failed and has to be tried again.
    pub fn barrier_done(&mut self, barrier: Barrier, synced: bool) {
        self.upstream.barrier = None;
        if synced {
            self.upstream.durable = self.upstream.durable.max(barrier.last);
        }
    }

    /// Takes note that the connection is there.
    pub fn upstream_connected(&mut self) -> Result<(), ReplicaError> {
        self.upstream.phase = Phase::Greeting;
        // Only one push is ever under way, so only the beginning of the tail can be known to the
        // backend without our knowing.
        let attempted = eventlog::pending_ids(&self.connection, MAX_ATTEMPTED_GROUPS)?;
        let position = self.head();
        let cursor = self.meta.backend_id.map(|backend_id| Cursor { backend_id, position });
        self.upstream.outbox.push_back(ClientMessage::Hello(Hello {
            versions: vec![PROTOCOL_VERSION],
            store_id: self.meta.store_id.clone(),
            client_id: self.meta.client_id.clone(),
            cursor,
            attempted,
        }));
        Ok(())
    }

    /// Takes note that the connection is gone, and plans the next one.
    pub fn upstream_disconnected(&mut self, now_ms: u64, reason: &str) {
        let upstream = &mut self.upstream;
        upstream.outbox.clear();
        upstream.disconnect = false;
        upstream.in_flight = None;
        upstream.accepted.clear();
        let welcomed = upstream.welcomed.take();
        if matches!(upstream.phase, Phase::Stopped(_) | Phase::NoBackend) {
            return;
        }
        let ceiling = |failures: u32| MAX_PAUSE_MS.min(FIRST_PAUSE_MS << failures.min(16));
        // A welcome alone is no success: a backend that always fails right after it, or a disk
        // that never takes the first page, must not be tried again and again without a pause.
        if let Some((_, at_ms)) = welcomed
            && now_ms.saturating_sub(at_ms) >= ceiling(upstream.failures)
        {
            upstream.failures = 0;
        }
        let ceiling = ceiling(upstream.failures);
        upstream.failures += 1;
        // Half of the pause is left to chance, so that clients of one server do not come in step.
        let pause_ms = ceiling / 2 + self.ids.random() % (ceiling / 2 + 1);
        upstream.phase = Phase::Offline { retry_at_ms: now_ms + pause_ms };
        upstream.last_error = Some(reason.into());
    }

    /// Tries to connect at once instead of after the pause.
    pub fn retry_now(&mut self) {
        if let Phase::Offline { retry_at_ms } = &mut self.upstream.phase {
            *retry_at_ms = 0;
        }
    }

    /// Takes a message from upstream.
    ///
    /// A message that breaks the protocol ends the connection; it is no error of the replica.
    ///
    /// # Errors
    ///
    /// The database failed, or a materializer did in a way that says nothing about the event.
    /// Nothing of the message has been taken then, and the connection is to be closed, so that the
    /// message comes again.
    pub fn receive_upstream(
        &mut self,
        message: ServerMessage,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        let taken = match message {
            ServerMessage::Welcome(welcome) => self.receive_welcome(welcome, now_ms),
            ServerMessage::Page(page) => self.receive_page(page, now_ms),
            ServerMessage::PushAccepted(accepted) => self.receive_accepted(&accepted),
            ServerMessage::AlreadyAccepted(already) => self.receive_already(&already),
            ServerMessage::ServerAhead(ahead) => self.receive_ahead(ahead, now_ms),
            ServerMessage::GroupRejected(rejected) => self.receive_rejected(rejected, now_ms),
            ServerMessage::Goodbye(goodbye) => {
                self.receive_goodbye(goodbye);
                Ok(())
            }
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Trouble::Violation(Violation(message))) => {
                self.upstream.last_error =
                    Some(format!("the backend broke the protocol: {message}"));
                self.upstream.disconnect = true;
                Ok(())
            }
            Err(Trouble::Replica(error)) => {
                if let ReplicaError::Materializer { panicked: true, .. } = error {
                    let message = error.to_string();
                    self.upstream.stop(StopReason::MaterializerPanicked { message });
                } else {
                    self.upstream.last_error = Some(error.to_string());
                    self.upstream.disconnect = true;
                }
                Err(error)
            }
        }
    }

    fn receive_welcome(&mut self, welcome: Welcome, now_ms: u64) -> Result<(), Trouble> {
        if !matches!(self.upstream.phase, Phase::Greeting) {
            return Err(violation("a welcome without a hello"));
        }
        if welcome.version != PROTOCOL_VERSION {
            return Err(violation(format!("version {} was never offered", welcome.version)));
        }
        if self.meta.backend_id.is_some_and(|known| known != welcome.backend_id) {
            return Err(violation("a welcome from another backend to our cursor"));
        }
        if welcome.head < self.head_seq() {
            return Err(violation("a log that is shorter than our cursor"));
        }
        if !welcome.accepted.is_empty() {
            let attempted = eventlog::pending_ids(&self.connection, MAX_ATTEMPTED_GROUPS)?;
            let ahead = self.head_seq().next()..=welcome.head;
            for group in &welcome.accepted {
                if !ahead.contains(&group.first) || !attempted.contains(&group.id) {
                    let message = format!("group {} cannot stand at {}", group.id, group.first);
                    return Err(violation(message));
                }
            }
        }
        if self.meta.backend_id.is_none() {
            let mut meta = self.meta.clone();
            meta.backend_id = Some(welcome.backend_id);
            meta.save(&self.connection)?;
            self.meta = meta;
        }
        self.upstream.phase = Phase::Live;
        self.upstream.last_error = None;
        self.upstream.backend_head = Some(welcome.head);
        self.upstream.welcomed = Some((welcome.head, now_ms));
        self.upstream.accepted = welcome.accepted.iter().map(|group| group.id).collect();
        self.settle_doubts(now_ms)
    }

    /// Tells whether pages are still missing that the backend had when it welcomed us.
    fn is_catching_up(&self) -> bool {
        self.upstream.welcomed.is_some_and(|(head, _)| self.head_seq() < head)
    }

    /// Tries groups once more that failed while their acceptance was in doubt, if it is not any
    /// more: the backend does not have them, so they are either applied or dead letters now.
    fn settle_doubts(&mut self, now_ms: u64) -> Result<(), Trouble> {
        if self.is_catching_up() {
            return Ok(());
        }
        let unapplied = eventlog::unapplied_groups(&self.connection)?;
        if unapplied.iter().any(|id| !self.upstream.accepted.contains(id)) {
            let in_doubt = InDoubt::These(self.upstream.accepted.clone());
            self.try_unapplied(&in_doubt, now_ms)?;
        }
        Ok(())
    }

    fn receive_page(&mut self, page: Page, now_ms: u64) -> Result<(), Trouble> {
        if !matches!(self.upstream.phase, Phase::Live) {
            return Err(violation("a page before the welcome"));
        }
        let head = self.head();
        let mut hash = head.hash;
        let mut next = head.seq.next();
        let mut incoming = Vec::with_capacity(page.groups.len());
        for confirmed in page.groups {
            // Pages may repeat what a push was acknowledged with.
            if confirmed.last() < next {
                continue;
            }
            if confirmed.first != next {
                let first = confirmed.first;
                return Err(violation(format!("a page goes on at {first}, expected {next}")));
            }
            next = confirmed.last().next();
            hash = hash.extend(confirmed.group.content_hash());
            incoming.push((confirmed, hash));
        }
        if incoming.is_empty() {
            return Ok(());
        }
        if page.end.hash != hash {
            return Err(violation("a page whose content does not lead to its log hash"));
        }
        // A push that we have forgotten may still be on its way, and be taken at the end of what
        // the backend has: until we are there, no group of ours is given up.
        let in_doubt = match self.upstream.welcomed {
            Some((head, _)) if next <= head => InDoubt::All,
            _ => InDoubt::These(self.upstream.accepted.clone()),
        };
        let was_catching_up = self.is_catching_up();
        self.merge_upstream(&incoming, &in_doubt, now_ms)?;
        for (confirmed, _) in &incoming {
            self.upstream.accepted.remove(&confirmed.group.id());
        }
        self.learn_backend_head(page.head);
        if was_catching_up {
            self.settle_doubts(now_ms)?;
        }
        Ok(())
    }

    fn learn_backend_head(&mut self, head: GlobalSeqNum) {
        self.upstream.backend_head = self.upstream.backend_head.max(Some(head));
    }

    fn receive_accepted(&mut self, accepted: &PushAccepted) -> Result<(), Trouble> {
        let in_flight = self.answered(accepted.request)?;
        if accepted.first != in_flight.base.seq.next() {
            let (first, base) = (accepted.first, in_flight.base.seq);
            return Err(violation(format!("a push on {base} was accepted at {first}")));
        }
        // Pages may have brought some of the groups before the acknowledgement did.
        let head = self.head();
        let mut at = in_flight.base;
        let mut rest = in_flight.groups.as_slice();
        while let [group, others @ ..] = rest
            && at.seq < head.seq
        {
            at = group.end(at.seq);
            rest = others;
        }
        let end = rest.iter().fold(at, |at, group| group.end(at.seq));
        if accepted.end != end {
            return Err(violation(format!("a push was accepted up to {:?}", accepted.end)));
        }
        if at != head && eventlog::log_hash(&self.connection, at.seq)? != Some(at.hash) {
            return Err(violation("a push was accepted where pages say that others are"));
        }
        self.confirm_in_place(rest)?;
        self.learn_backend_head(accepted.end.seq);
        Ok(())
    }

    fn receive_already(&mut self, already: &AlreadyAccepted) -> Result<(), Trouble> {
        let in_flight = self.answered(already.request)?;
        if already.groups.is_empty() {
            return Err(violation("a push was refused as a repeat of nothing"));
        }
        let pending = eventlog::pending_ids(&self.connection, MAX_ATTEMPTED_GROUPS)?;
        for group in &already.groups {
            let is_here = group.first <= self.head_seq();
            if !in_flight.has(group.id) || is_here && pending.contains(&group.id) {
                let message = format!("group {} cannot stand at {}", group.id, group.first);
                return Err(violation(message));
            }
            if !is_here {
                self.learn_backend_head(group.first);
                self.upstream.accepted.insert(group.id);
            }
        }
        Ok(())
    }

    fn receive_ahead(&mut self, ahead: ServerAhead, now_ms: u64) -> Result<(), Trouble> {
        let in_flight = self.answered(ahead.request)?;
        if let Some(page) = ahead.missing {
            self.receive_page(page, now_ms)?;
        }
        if self.head_seq() <= in_flight.base.seq {
            return Err(violation("a push was refused although nothing was missing"));
        }
        Ok(())
    }

    fn receive_rejected(&mut self, rejected: GroupRejected, now_ms: u64) -> Result<(), Trouble> {
        let in_flight = self.answered(rejected.request)?;
        if !in_flight.has(rejected.group) {
            return Err(violation("a group was rejected that was not pushed"));
        }
        let reason = DeadLetterReason::RefusedByBackend { reason: rejected.reason };
        let in_doubt = InDoubt::These(self.upstream.accepted.clone());
        self.reject(rejected.group, &reason, &in_doubt, now_ms)?;
        Ok(())
    }

    fn receive_goodbye(&mut self, goodbye: Goodbye) {
        let Goodbye { reason, message } = goodbye;
        match reason {
            GoodbyeReason::HistoryDiverged => {
                self.upstream.stop(StopReason::HistoryDiverged { message });
            }
            GoodbyeReason::UnsupportedVersion => {
                self.upstream.stop(StopReason::UnsupportedVersion { message });
            }
            _ => {
                self.upstream.last_error = Some(format!("the backend said goodbye: {message}"));
                self.upstream.disconnect = true;
            }
        }
    }

    fn answered(&mut self, request: u64) -> Result<InFlight, Trouble> {
        match self.upstream.in_flight.take() {
            Some(in_flight) if in_flight.request == request => Ok(in_flight),
            _ => Err(violation(format!("an answer to request {request}, which is not open"))),
        }
    }

    /// Tells whether a push makes sense now: connected, nothing under way, and nothing missing
    /// that the backend is known to have.
    fn may_push(&self) -> bool {
        matches!(self.upstream.phase, Phase::Live)
            && self.upstream.in_flight.is_none()
            && self.tail.groups > 0
            && self.upstream.backend_head <= Some(self.head_seq())
            && self.upstream.accepted.is_empty()
    }

    /// Makes the push of as much of the tail as fits one, and as is safe on disk.
    fn next_push(&mut self) -> Result<Option<Push>, ReplicaError> {
        let durable = match self.durability {
            Durability::Memory => i64::MAX,
            _ => self.upstream.durable,
        };
        let is_full = |groups: &[PendingGroup]| {
            let bytes: usize = groups.iter().map(|own| own.group.size_bytes()).sum();
            let events: usize = groups.iter().map(|own| own.group.events().len()).sum();
            bytes >= PAGE_BYTES || events >= PAGE_EVENTS
        };
        let client_id = &self.meta.client_id;
        let mut tail = eventlog::pending_groups(&self.connection, 0, client_id, is_full)?;
        tail.retain(|own| own.last() <= durable);
        if tail.is_empty() {
            return Ok(None);
        }
        let base = self.head();
        let mut hash: LogHash = base.hash;
        let mut groups = Vec::with_capacity(tail.len());
        for own in &tail {
            hash = hash.extend(own.group.content_hash());
            let ordinals = (own.first, own.last());
            groups.push(InPlace { id: own.group.id(), ordinals, hash });
        }
        let request = self.upstream.next_request;
        self.upstream.next_request += 1;
        self.upstream.in_flight = Some(InFlight { request, base, groups });
        let groups = tail.into_iter().map(|own| own.group).collect();
        Ok(Some(Push { request, base: base.seq, groups }))
    }
}
