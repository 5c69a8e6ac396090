//! The conversation with the upstream: a state machine without sockets and clocks.
//!
//! What may be told to the backend is decided here: one push at a time, only what a power cut
//! cannot take from its author any more, and only on top of a head that the backend is known to
//! have. What the backend says is believed only as far as the log's rolling hash confirms it.

mod divergence;
mod push;
mod receive;
mod republish;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use livestore_core::limits::MAX_ATTEMPTED_GROUPS;
use livestore_core::protocol::{ClientMessage, Hello, PROTOCOL_VERSION};
use livestore_core::{Cursor, GlobalSeqNum, GroupId, LogPosition};
use serde::{Deserialize, Serialize};

use super::merge::Redo;
use super::{Divergence, Replica, ReplicaError, pending};
use crate::session::message::Order;
pub(crate) use divergence::{Search, divergence, has_all_of};
use push::InFlight;

/// The first pause before connecting again, in milliseconds; it doubles up to [`MAX_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 250;
/// The longest pause before connecting again, in milliseconds.
const MAX_PAUSE_MS: u64 = 30_000;
/// How long a token has to hold if another one is to be shown without a pause, in milliseconds.
const MIN_TOKEN_MS: u64 = 1_000;
/// How long the backend may take for an answer, or for a page that it has announced.
const ANSWER_MS: u64 = 30_000;

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

/// The connection to the backend, as the app sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum StopReason {
    /// The backend's log is another history than ours: it was re-created or restored.
    ///
    /// Nothing was changed; [`Store::answer_divergence`](crate::Store::answer_divergence) goes on.
    HistoryDiverged(Divergence),
    /// The backend speaks no version of the protocol that we speak.
    UnsupportedVersion {
        /// What the backend said.
        message: String,
    },
    /// The backend does not let us in: it wants to know who we are and is shown nothing that it knows,
    /// or we may not use the store.
    ///
    /// Once that has changed, [`Store::retry_now`](crate::Store::retry_now) goes on.
    NotAuthorized {
        /// What the backend said, or why there is no token.
        message: String,
    },
    /// The backend does not take the log that was to be published to it anew.
    NotRepublished {
        /// What it has against it.
        message: String,
    },
    /// A materializer panicked on an event; pulling on needs fixed code.
    MaterializerPanicked {
        /// The event and the panic.
        message: String,
    },
    /// The disk failed to write or sync; whether what it has is whole shows when the store is
    /// opened again.
    DiskFailed {
        /// What failed.
        message: String,
    },
    /// A confirmed event cannot be materialized, and [`PoisonAnswer::Stop`](super::PoisonAnswer)
    /// was asked for.
    PoisonEvent {
        /// The event and why.
        message: String,
    },
    /// The schema does not know a confirmed event, and says
    /// [`UnknownEvents::Fail`](crate::UnknownEvents::Fail).
    UnknownEvent {
        /// The event.
        message: String,
    },
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HistoryDiverged(divergence) => divergence.fmt(f),
            Self::UnsupportedVersion { message } => {
                write!(f, "the backend speaks another protocol version: {message}")
            }
            Self::NotRepublished { message } => {
                write!(f, "the backend does not take the log that is published to it: {message}")
            }
            Self::NotAuthorized { message } => {
                write!(f, "the backend does not let us in: {message}")
            }
            Self::DiskFailed { message } => {
                write!(f, "the disk failed ({message}); open the store again")
            }
            Self::MaterializerPanicked { message }
            | Self::PoisonEvent { message }
            | Self::UnknownEvent { message } => {
                write!(f, "pulling stopped: {message}")
            }
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

/// The state of the conversation; nothing of it outlives the process.
#[derive(Debug)]
pub(super) struct Upstream {
    phase: Phase,
    outbox: VecDeque<ClientMessage>,
    disconnect: bool,
    /// Since when the backend owes us something.
    waiting_since_ms: Option<u64>,
    /// Messages have come that the driver has not handed over yet.
    more_waits: bool,
    in_flight: Option<InFlight>,
    /// The log that is published anew is safe once everything up to this ordinal is.
    republish_barrier: i64,
    /// Where the backend stands if it accepts the piece of the log that is pushed to it anew.
    republished_end: LogPosition,
    next_request: u64,
    backend_head: Option<GlobalSeqNum>,
    /// When the backend welcomed us.
    welcomed_at_ms: Option<u64>,
    /// Pending groups that the backend is known to hold beyond our head.
    accepted: HashSet<GroupId>,
    /// Looks for the end of what both logs have in common, once the backend refused our cursor.
    search: Option<Search>,
    failures: u32,
    /// True if another token is all that is missing.
    token_expired: bool,
    last_error: Option<String>,
}

impl Upstream {
    pub(super) fn new(is_configured: bool, last_ordinal: i64) -> Self {
        let phase =
            if is_configured { Phase::Offline { retry_at_ms: 0 } } else { Phase::NoBackend };
        Self {
            phase,
            outbox: VecDeque::new(),
            disconnect: false,
            waiting_since_ms: None,
            more_waits: false,
            in_flight: None,
            republish_barrier: last_ordinal,
            republished_end: LogPosition::ROOT,
            next_request: 1,
            backend_head: None,
            welcomed_at_ms: None,
            accepted: HashSet::new(),
            search: None,
            failures: 0,
            token_expired: false,
            last_error: None,
        }
    }

    /// Returns up to where everything has to be safe before the log is published anew.
    pub(super) fn republish_barrier(&self) -> i64 {
        self.republish_barrier
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

    /// Gives up: what is pushed could be lost here.
    pub(super) fn disk_failed(&mut self, what: &str) {
        self.stop(StopReason::DiskFailed { message: what.into() });
    }

    fn stop(&mut self, reason: StopReason) {
        self.last_error = Some(reason.to_string());
        if self.is_configured() {
            self.hang_up();
            self.phase = Phase::Stopped(reason);
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live) && !self.disconnect
    }

    /// Tells whether the conversation has ended for us, whatever still comes of it.
    pub(super) fn has_hung_up(&self) -> bool {
        self.disconnect || matches!(self.phase, Phase::Stopped(_) | Phase::Offline { .. })
    }

    /// Asks the driver to end the conversation, if there is one.
    fn hang_up(&mut self) {
        self.disconnect |= matches!(self.phase, Phase::Connecting | Phase::Greeting | Phase::Live);
    }

    /// Gives up after an error of ours if trying again is no use; else hangs up for a while.
    fn fail(&mut self, error: &ReplicaError) {
        let message = error.to_string();
        match error {
            ReplicaError::Materializer { panicked: true, .. } => {
                self.stop(StopReason::MaterializerPanicked { message });
            }
            ReplicaError::PoisonEvent { .. } => self.stop(StopReason::PoisonEvent { message }),
            ReplicaError::UnknownEvent { .. } => self.stop(StopReason::UnknownEvent { message }),
            _ => {
                self.last_error = Some(message);
                self.hang_up();
            }
        }
    }
}

impl Replica {
    /// Hands out the next thing to do for the conversation, if there is one now.
    pub fn poll_upstream(&mut self, now_ms: u64) -> Result<Option<UpstreamAction>, ReplicaError> {
        if self.is_overdue(now_ms) {
            self.upstream.last_error = Some("the backend does not answer".into());
            self.upstream.disconnect = true;
        }
        if !self.upstream.more_waits && self.upstream.is_live() && self.has_all_pages() {
            self.merge_backlog(now_ms);
        }
        if std::mem::take(&mut self.upstream.disconnect) {
            self.upstream.outbox.clear();
            self.upstream.waiting_since_ms = None;
            return Ok(Some(UpstreamAction::Disconnect));
        }
        if let Phase::Offline { retry_at_ms } = self.upstream.phase
            // A clock that was set back must not keep us waiting.
            && (retry_at_ms <= now_ms || retry_at_ms > now_ms + MAX_PAUSE_MS)
        {
            self.upstream.phase = Phase::Connecting;
            return Ok(Some(UpstreamAction::Connect));
        }
        let message = match self.upstream.outbox.pop_front() {
            Some(message) => message,
            None if self.may_republish() => match self.next_republished()? {
                Some(push) => ClientMessage::Push(push),
                None => return Ok(None),
            },
            None if self.may_push() => match self.next_push()? {
                Some(push) => ClientMessage::Push(push),
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        self.upstream.waiting_since_ms = Some(now_ms);
        Ok(Some(UpstreamAction::Send(message)))
    }

    /// Tells whether the backend has owed us something for too long.
    fn is_overdue(&mut self, now_ms: u64) -> bool {
        let Some(since_ms) = &mut self.upstream.waiting_since_ms else { return false };
        // A clock that was set back starts the wait anew.
        *since_ms = now_ms.min(*since_ms);
        now_ms - *since_ms >= ANSWER_MS
    }

    /// Says whether further messages have come, which follow at once.
    ///
    /// A page that is not the last one is written to the log and not merged yet: a client with a long
    /// tail, for which each rebase takes longer than others need for their next push, would merge
    /// old pages one by one and never come to its own push.
    pub fn more_messages_wait(&mut self, more_waits: bool) {
        self.upstream.more_waits = more_waits;
    }

    /// Tells how long the last call took, which has no clock of its own.
    ///
    /// The backend gets as much more time for its answer as we have taken ourselves, and the status
    /// tells how long a rebase has held up the app.
    pub fn step_took(&mut self, time: Duration) {
        if let Some(since_ms) = &mut self.upstream.waiting_since_ms {
            *since_ms += time.as_millis() as u64;
        }
        if self.timed_rebases < self.meta.rebases {
            self.timed_rebases = self.meta.rebases;
            self.last_rebase = Some(time);
        }
    }

    /// Takes note that the backend is at work on what it was asked.
    pub fn upstream_works(&mut self, now_ms: u64) {
        if let Some(since_ms) = &mut self.upstream.waiting_since_ms {
            *since_ms = now_ms;
        }
    }

    /// Returns when [`Self::poll_upstream`] and [`Self::poll_barrier`] have to be called again
    /// although nothing happened.
    pub fn next_timeout(&self) -> Option<u64> {
        let retry = match self.upstream.phase {
            Phase::Offline { retry_at_ms } => Some(retry_at_ms),
            _ => None,
        };
        let answer = self.upstream.waiting_since_ms.map(|since_ms| since_ms + ANSWER_MS);
        retry.into_iter().chain(answer).min()
    }

    /// Takes note that the connection is there.
    pub fn upstream_connected(&mut self) -> Result<(), ReplicaError> {
        self.upstream.phase = Phase::Greeting;
        if self.upstream.search.is_some() {
            return self.go_on_searching();
        }
        self.say_hello()
    }

    fn say_hello(&mut self) -> Result<(), ReplicaError> {
        self.secure_attempt();
        // Only one push is ever under way, so only the beginning of the tail can be known to the
        // backend without our knowing.
        let attempted = pending::first_ids(&self.connection, MAX_ATTEMPTED_GROUPS)?;
        let position = self.position_at_backend()?;
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
        self.forget_push();
        let upstream = &mut self.upstream;
        upstream.outbox.clear();
        upstream.more_waits = false;
        upstream.disconnect = false;
        upstream.waiting_since_ms = None;
        upstream.accepted.clear();
        let welcomed_at_ms = upstream.welcomed_at_ms.take();
        if matches!(upstream.phase, Phase::Stopped(_) | Phase::NoBackend) {
            return;
        }
        let ceiling = |failures: u32| MAX_PAUSE_MS.min(FIRST_PAUSE_MS << failures.min(16));
        // A welcome alone is no success: a backend that always fails right after it, or a disk
        // that never takes the first page, must not be tried again and again without a pause.
        if let Some(at_ms) = welcomed_at_ms
            && now_ms.saturating_sub(at_ms) >= ceiling(upstream.failures)
        {
            upstream.failures = 0;
        }
        let ceiling = ceiling(upstream.failures);
        upstream.failures += 1;
        // Half of the pause is left to chance, so that clients of one server do not come in step.
        let mut pause_ms = ceiling / 2 + self.ids.random() % (ceiling / 2 + 1);
        // Another token is shown at once; unless the last one did not hold for a moment.
        if std::mem::take(&mut upstream.token_expired)
            && welcomed_at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) >= MIN_TOKEN_MS)
        {
            pause_ms = 0;
        }
        upstream.phase = Phase::Offline { retry_at_ms: now_ms + pause_ms };
        upstream.last_error = Some(reason.into());
        self.show_backlog(now_ms);
    }

    /// Brings what was pulled into the state, now that no more of it comes for a while.
    pub(super) fn show_backlog(&mut self, now_ms: u64) {
        if !self.has_backlog() {
            return;
        }
        let in_doubt = self.doubts();
        if let Err(error) = self.catch_up(Redo { in_doubt: &in_doubt, revises: false, now_ms }) {
            self.upstream.fail(&error);
        }
    }

    /// Tries to connect at once instead of after the pause; also if syncing has stopped for a reason
    /// that somebody may have done something about, such as [`StopReason::NotAuthorized`].
    pub fn retry_now(&mut self) {
        self.order(Order::RetryNow);
        match &self.upstream.phase {
            Phase::Offline { .. }
            | Phase::Stopped(
                StopReason::NotAuthorized { .. }
                | StopReason::UnsupportedVersion { .. }
                | StopReason::HistoryDiverged(_)
                | StopReason::NotRepublished { .. },
            ) => self.upstream.phase = Phase::Offline { retry_at_ms: 0 },
            _ => {}
        }
    }

    /// Gives up syncing, since there is nothing to show the backend who we are.
    pub fn upstream_unauthorized(&mut self, message: String) {
        self.upstream.stop(StopReason::NotAuthorized { message });
    }
}
