//! Following a leader: a replica in memory, whose pending tail begins with the leader's.
//!
//! What the leader has of the tail comes first, under the leader's ordinals. Behind it stands what was
//! committed here and is not known to be there, under ordinals of its own from [`OWN`] on. The leader
//! alone decides: whatever does not apply here waits, without effect, for its word.

mod follow;

use std::collections::{HashSet, VecDeque};

use livestore_core::mutant::{self, Mutant};
use livestore_core::{GlobalSeqNum, Group, GroupId, SessionId, StoreId};
use livestore_sqlite::{Connection, Durability, SqliteError};
use serde::{Deserialize, Serialize};

use self::follow::Follow;
use super::exceptions;
use super::format::{self, Meta};
use super::leader::{transfers, write_rows};
use super::log::LogRow;
use super::merge::{InDoubt, Redo, Taken};
use super::pending::{self, Found, Origin, PendingGroup};
use super::step::Next;
use super::{
    Capabilities, ConnectionState, Divergence, HistoryAnswer, Replica, ReplicaConfig, ReplicaError,
    StopReason, SyncStatus, log,
};
use crate::session::Outline;
use crate::session::message::{
    Advance, Attach, Attached, LINK_VERSION, LeaderMessage, LeaderStatus, MAX_OPEN_GROUPS,
    MAX_PUSHED_COMMITS, MessageError, Order, PushedCommit, Refused, SessionInfo, SessionMessage,
    SessionPush, Taken as PushTaken,
};
use crate::{CommitError, Schema};

/// The first ordinal of what is not known to be in the leader's tail.
pub(super) const OWN: i64 = 1 << 61;

/// Bytes of payloads after which a push ends.
const PUSH_BYTES: usize = livestore_core::limits::PAGE_BYTES;

/// Rows of the log that are read at a time.
const OWN_ROWS: usize = 500;
/// Orders that may wait for a leader.
const MAX_ORDERS: usize = 16;

/// Commits that may wait for a leader.
const MAX_OWN_COMMITS: usize = 100_000;
/// Bytes of their payloads (64 MiB).
const MAX_OWN_BYTES: usize = 64 << 20;

/// Positions of the log that are kept behind the head, for whoever looks up what became of a group.
const KEPT_LOG: u64 = 4_096;

/// What a session knows of its leader, and what it has not handed over.
#[derive(Debug)]
pub(super) struct Session {
    /// The last advance that is in the state.
    seen: u64,
    /// What was committed here and is not known to be in the leader's tail, in order.
    own: VecDeque<Own>,
    /// Bytes of payloads in them.
    own_bytes: usize,
    /// The push that has no answer.
    in_flight: Option<InFlight>,
    next_request: u64,
    link: LeaderLink,
    /// What the leader said of itself last.
    leader: LeaderStatus,
    /// What the leader is to do for this session.
    orders: VecDeque<Order>,
    /// Up to where the log was cut off.
    cut: GlobalSeqNum,
    /// The leader has got something of this session's since that was asked last.
    has_handed_over: bool,
    has_begun_anew: bool,
    /// What was committed here up to this ordinal survives a power cut.
    full: i64,
    /// Somebody waits for what was committed up to this ordinal to do so.
    wanted: i64,
}

/// A push that has no answer.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    request: u64,
    /// How many of the first commits it has.
    commits: usize,
    full: bool,
}

/// Where a session stands towards its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LeaderLink {
    /// It follows.
    Following,
    /// It has not heard of its leader for a while, which may be frozen. What is committed meanwhile is
    /// in memory alone.
    Unresponsive,
    /// There is no leader; it looks for one, or becomes one.
    Searching,
    /// There is no leader, and this session has failed to become one; it tries again now and then.
    Failed {
        /// Why, for people.
        message: String,
    },
    /// There is one that does not let it follow.
    Refused {
        /// Why, for people.
        message: String,
    },
}

/// A commit that is not known to be in the leader's tail.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    synced: Option<GroupId>,
    client_only: Option<GroupId>,
    seen: u64,
    forgets: Option<GroupId>,
    /// The highest ordinal that it has.
    last: i64,
    bytes: usize,
}

/// Why a leader is not followed, or no longer; attaching anew helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// What it says is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// What it says does not fit to what it said before.
    #[error("the leader says what does not fit: {0}")]
    Inconsistent(String),
    /// The session itself has failed; nothing of the message was taken.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

/// What a message of the leader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromLeader {
    /// Nothing: it was taken.
    Taken,
    /// The session has missed something: it has to send [`Replica::session_hello`] once more.
    Restart,
}

impl From<SqliteError> for FollowError {
    fn from(error: SqliteError) -> Self {
        Self::Replica(error.into())
    }
}

fn inconsistent<T>(what: impl Into<String>) -> Result<T, FollowError> {
    Err(FollowError::Inconsistent(what.into()))
}

impl Replica {
    /// Makes a replica that follows a leader, of the answer to its first message and the rows that came
    /// behind it.
    pub fn open_session(
        config: ReplicaConfig,
        answer: &[u8],
        rows: impl IntoIterator<Item = (u16, Vec<u8>)>,
    ) -> Result<Self, FollowError> {
        let attached = attached(answer)?;
        let connection = Connection::open_memory()?;
        let version = config.schema.state_version();
        let client_id = attached.client_id.clone();
        let mut meta = Meta::new(config.store_id.clone(), client_id, version.as_bytes());
        attached.put_into(&mut meta);
        connection.transaction(|| {
            format::create(&connection, &meta)?;
            meta.save(&connection)?;
            connection.recreate_state(config.schema.tables())
        })?;
        let capabilities = config.upstream.unwrap_or(Capabilities::OURS);
        let config = ReplicaConfig { durability: Durability::Memory, upstream: None, ..config };
        let mut replica = Self::assemble(connection, config, meta)?;
        // What is committed here gets there in the end.
        replica.capabilities = capabilities;
        replica.connection.open_state(replica.schema.tables().to_vec())?;
        replica.connection.transaction(|| replica.bring_in(rows))?;
        replica.connection.capture_changes()?;
        replica.measure()?;
        let (seen, leader) = (attached.seen, attached.status);
        replica.session = Some(Session {
            seen,
            own: VecDeque::new(),
            own_bytes: 0,
            in_flight: None,
            next_request: 1,
            link: LeaderLink::Following,
            leader,
            orders: VecDeque::new(),
            cut: attached.state_head.seq,
            has_handed_over: false,
            has_begun_anew: false,
            full: i64::MIN,
            wanted: i64::MIN,
        });
        Ok(replica)
    }

    fn bring_in(&self, rows: impl IntoIterator<Item = (u16, Vec<u8>)>) -> Result<(), SqliteError> {
        let transfers = transfers(&self.connection);
        self.connection.bring_in(|| {
            let mut rows = rows.into_iter();
            rows.try_for_each(|(number, rows)| {
                write_rows(&self.connection, &transfers, number, &rows)
            })
        })
    }

    /// Counts what the rows of a leader have brought.
    fn measure(&mut self) -> Result<(), SqliteError> {
        self.tail = pending::tail(&self.connection)?;
        (self.tail.last, self.tail.indexed, self.tail.unindexed) = (OWN - 1, OWN - 1, 0);
        self.counts = exceptions::counts(&self.connection)?;
        Ok(())
    }

    /// Tells whether this replica follows a leader.
    pub(super) fn is_session(&self) -> bool {
        self.session.is_some()
    }

    /// Returns the first message of a session to a leader, from what it would be opened with.
    pub fn first_session_hello(config: &ReplicaConfig) -> Vec<u8> {
        let ReplicaConfig { schema, store_id, session_id, .. } = config;
        hello(schema, store_id, session_id, Vec::new())
    }

    /// Returns what the session has to say to a new leader, or to the same one after a break.
    pub fn session_hello(&self) -> Result<Vec<u8>, SqliteError> {
        // A push of an earlier conversation may have arrived late.
        let own = self.session.iter().flat_map(|session| session.own.iter().flat_map(Own::ids));
        let mut open: Vec<_> = own.take(MAX_OPEN_GROUPS).collect();
        let limit = MAX_OPEN_GROUPS - open.len();
        open.extend(pending::ids_of_session(&self.connection, &self.session_id, OWN, limit)?);
        Ok(hello(&self.schema, &self.meta.store_id, &self.session_id, open))
    }

    /// Begins anew with the rows that a leader has sent; what was committed here and is not there stays
    /// on top.
    pub fn attach_anew(
        &mut self,
        answer: &[u8],
        rows: Vec<(u16, Vec<u8>)>,
        now_ms: u64,
    ) -> Result<(), FollowError> {
        let attached = attached(answer)?;
        let Some(session) = &self.session else { return Ok(()) };
        if attached.client_id != self.meta.client_id {
            return inconsistent(format!("this is client {}", attached.client_id));
        }
        let mut own = session.own.clone();
        let (status, cut) = (attached.status.clone(), attached.state_head.seq);
        let seen = attached.seen;
        let ended = attached.ended.clone();
        let kept = self.try_step(None, |replica, next| {
            let is_own = |groups: &[PendingGroup]| groups.len() > own.len() * 2;
            let client_id = &next.meta.client_id;
            let mine = pending::groups(&replica.connection, OWN, client_id, is_own)?;
            next.changed.extend(replica.connection.clear_state()?);
            for table in TABLES {
                let sql = format!("DELETE FROM {table}");
                replica.connection.system().execute(&sql, [])?;
            }
            attached.put_into(&mut next.meta);
            replica.bring_in(rows)?;
            next.tail = pending::tail(&replica.connection)?;
            // What is brought back gets into the index one by one.
            (next.tail.last, next.tail.indexed) = (replica.tail.last, replica.tail.last);
            next.tail.unindexed = 0;
            next.counts = exceptions::counts(&replica.connection)?;
            let mut gone: HashSet<GroupId> = ended.iter().map(|(id, _)| *id).collect();
            next.fates.extend(ended.into_iter().filter_map(|(id, fate)| Some((id, fate?))));
            for pending in mine {
                let id = pending.group.id();
                if pending::find(&replica.connection, &next.tail, id)?.is_some() {
                    gone.insert(id);
                }
                if gone.contains(&id) {
                    continue;
                }
                let PendingGroup { first, group, client_only, origin, .. } = &pending;
                pending::insert(&replica.connection, group, *first, *client_only, origin)?;
                next.tail.insert(*client_only, group.event_count());
                next.tail.unapplied += 1;
            }
            replica.redo_from(OWN, &Taken::new(), leaders_word(now_ms), next)?;
            for own in &mut own {
                // It was made on another leader's state.
                own.seen = 0;
                if let Some(letter) = own.forgets
                    && exceptions::forget(&replica.connection, letter)?
                {
                    next.counts.dead_letters -= 1;
                }
            }
            next.letters_changed = true;
            own.retain_mut(|own| {
                let is_gone = |id: &mut GroupId| gone.contains(id);
                own.synced.take_if(is_gone);
                own.client_only.take_if(is_gone);
                own.synced.is_some() || own.client_only.is_some() || own.forgets.is_some()
            });
            Ok::<_, FollowError>(own)
        })?;
        if let Some(session) = &mut self.session {
            session.own_bytes = kept.iter().map(|own| own.bytes).sum();
            session.own = kept;
            // They were meant for how things stood then.
            session.orders.clear();
            session.in_flight = None;
            session.link = LeaderLink::Following;
            (session.has_handed_over, session.has_begun_anew) = (true, true);
            (session.seen, session.leader, session.cut) = (seen, status, cut);
            if session.wanted > session.full {
                // What is in the leader's file has to be made safe there; what is not stands behind.
                let before_own = session.own.front().map_or(i64::MAX, |own| own.last - 1);
                let last = session.wanted.min(before_own);
                session.own.push_front(Own { last, ..Own::default() });
            }
        }
        Ok(())
    }

    /// Returns the last advance of the leader that is in the state; none if this is no session.
    pub fn followed(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.seen)
    }

    /// Tells whether the leader is known to have everything that was committed here.
    pub fn handed_over(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.own.is_empty())
    }

    /// Takes note that nobody leads any more, or that the conversation is broken.
    pub fn leader_is_gone(&mut self) {
        self.set_link(LeaderLink::Searching);
    }

    /// Takes note that the leader has said nothing for long, or is heard again.
    pub fn leader_is_silent(&mut self, is_silent: bool) {
        let link = if is_silent { LeaderLink::Unresponsive } else { LeaderLink::Following };
        self.set_link(link);
    }

    /// Takes note that there is a leader which this session may not follow, and why.
    pub fn leader_refuses(&mut self, why: &str) {
        self.set_link(LeaderLink::Refused { message: why.into() });
    }

    /// Takes note that nobody leads, and why this session cannot.
    pub fn nobody_leads(&mut self, why: String) {
        self.set_link(LeaderLink::Failed { message: why });
    }

    fn set_link(&mut self, link: LeaderLink) {
        if let Some(session) = &mut self.session {
            session.link = link;
        }
    }

    /// Returns what the leader said of itself last; none if this is no session.
    pub(super) fn leader_status(&self) -> Option<&SyncStatus> {
        self.session.as_ref().map(|session| &session.leader.sync)
    }

    /// Returns the sessions of the client, as far as this one knows of them.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        match &self.session {
            Some(session) => session.leader.sessions.clone(),
            None => self.led_sessions(),
        }
    }

    /// Reads the events that are not known to be in the leader's file.
    pub(crate) fn own_rows(&self) -> Result<Vec<LogRow>, SqliteError> {
        let (mut rows, mut after) = (Vec::new(), OWN - 1);
        loop {
            let (connection, own) = (&self.connection, &self.meta.client_id);
            let page = log::pending_rows(connection, after, i64::MAX, OWN_ROWS, own)?;
            let Some((last, _)) = page.last() else { return Ok(rows) };
            after = *last;
            rows.extend(page.into_iter().map(|(_, row)| row));
        }
    }

    /// Asks the leader to do something.
    pub(crate) fn order(&mut self, order: Order) {
        if let Some(session) = &mut self.session
            && session.orders.len() < MAX_ORDERS
        {
            session.orders.push_back(order);
        }
    }

    /// Goes on with a backend that has another history, by order to the leader; none if this replica
    /// is no session.
    pub(super) fn order_answer(
        &mut self,
        answer: HistoryAnswer,
    ) -> Option<Result<bool, ReplicaError>> {
        let connection = &self.leader_status()?.connection;
        let divergence = match connection {
            ConnectionState::Stopped(StopReason::HistoryDiverged(divergence)) => Some(*divergence),
            ConnectionState::Stopped(StopReason::NotRepublished { .. }) => None,
            _ => return Some(Ok(false)),
        };
        match (answer, divergence) {
            (HistoryAnswer::Stop, _) => return Some(Ok(false)),
            (HistoryAnswer::Republish, Some(divergence)) if !divergence.allows_republishing() => {
                let Divergence { backend_id, backend_head: head, .. } = divergence;
                return Some(Err(ReplicaError::BackendNotEmpty { backend_id, head }));
            }
            _ => {}
        }
        self.order(Order::AnswerDivergence { answer, to: divergence });
        Some(Ok(true))
    }

    /// Returns how many commits are not known to be in the leader's file.
    pub(super) fn not_handed_over(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.own.len() as u64)
    }

    /// Tells where the session stands towards its leader; none if this is no session.
    pub fn leader_link(&self) -> Option<&LeaderLink> {
        self.session.as_ref().map(|session| &session.link)
    }

    /// Tells whether the session has begun anew since that was asked last: fates may have been missed.
    pub(crate) fn poll_begun_anew(&mut self) -> bool {
        self.session.as_mut().is_some_and(|session| std::mem::take(&mut session.has_begun_anew))
    }

    /// Tells whether the leader has got something of this session's since that was asked last.
    pub(crate) fn poll_handed_over(&mut self) -> bool {
        self.session.as_mut().is_some_and(|session| std::mem::take(&mut session.has_handed_over))
    }

    /// Asks the leader to make everything up to an ordinal safe from power cuts.
    pub(super) fn require_full_of_leader(&mut self, ordinal: i64) {
        let Some(session) = &mut self.session else { return };
        session.wanted = session.wanted.max(ordinal);
        let is_on_its_way = session
            .in_flight
            .is_some_and(|InFlight { commits, full, .. }| commits == session.own.len() && !full);
        if is_on_its_way || session.own.back().is_none_or(|own| own.last < ordinal) {
            let seen = session.seen;
            session.own.push_back(Own { seen, last: ordinal, ..Own::default() });
        }
    }

    /// Tells whether everything that was committed here up to an ordinal survives a power cut; none if
    /// the leader is still to say so.
    pub fn is_full_at_leader(&self, ordinal: i64) -> Option<bool> {
        let session = self.session.as_ref()?;
        let is_full = ordinal <= session.full;
        (is_full || self.is_handed_over(ordinal)).then_some(is_full)
    }

    /// Tells whether the leader has everything that was committed here up to an ordinal.
    pub fn is_handed_over(&self, ordinal: i64) -> bool {
        let Some(session) = &self.session else { return true };
        let said = session.in_flight.filter(|_| mutant::is_active(Mutant::AcknowledgedEarly));
        let oldest = session.own.get(said.map_or(0, |push| push.commits));
        oldest.is_none_or(|own| own.last > ordinal)
    }

    /// Remembers what was committed, so that it is handed over.
    pub(super) fn note_own(
        &mut self,
        groups: [Option<&Group>; 2],
        origin: &Origin,
        forgets: Option<GroupId>,
        last: i64,
    ) {
        if let Some(session) = &mut self.session {
            let bytes = groups.iter().flatten().map(|group| group.size_bytes()).sum::<usize>();
            let bytes = bytes + origin.size_bytes();
            let [synced, client_only] = groups.map(|group| group.map(Group::id));
            if synced.is_some() || client_only.is_some() || forgets.is_some() {
                session.own_bytes += bytes;
                let seen = session.seen;
                session.own.push_back(Own { synced, client_only, seen, forgets, last, bytes });
            }
        }
    }

    /// Refuses a commit if too much waits for a leader.
    pub(super) fn check_backpressure(&self) -> Result<(), CommitError> {
        match &self.session {
            Some(Session { own, own_bytes, .. })
                if own.len() >= MAX_OWN_COMMITS || *own_bytes >= MAX_OWN_BYTES =>
            {
                Err(CommitError::Backpressure { commits: own.len(), bytes: *own_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Hands out the next message for the leader: what was committed here, if the last of it is
    /// answered.
    pub fn poll_leader(&mut self) -> Result<Option<Vec<u8>>, SqliteError> {
        let Some(session) = &mut self.session else { return Ok(None) };
        let is_attached = matches!(session.link, LeaderLink::Following | LeaderLink::Unresponsive);
        if is_attached && let Some(order) = session.orders.pop_front() {
            return Ok(Some(SessionMessage::Do(order).encode()));
        }
        let Some(session) = &self.session else { return Ok(None) };
        if !is_attached || session.in_flight.is_some() || session.own.is_empty() {
            return Ok(None);
        }
        let (mut commits, mut bytes) = (Vec::new(), 0);
        for own in session.own.iter().take(MAX_PUSHED_COMMITS) {
            let (synced, client_only) =
                (self.own_group(own.synced)?, self.own_group(own.client_only)?);
            let groups = synced.iter().chain(&client_only);
            bytes += groups.map(|own| own.group.size_bytes()).sum::<usize>();
            let origin = synced.as_ref().map(|own| own.origin.clone()).unwrap_or_default();
            bytes += origin.command.as_ref().map_or(0, |command| command.args.as_str().len());
            let group = |own: Option<PendingGroup>| own.map(|own| own.group);
            commits.push(PushedCommit {
                seen: own.seen,
                synced: group(synced),
                client_only: group(client_only),
                origin,
                forgets: own.forgets,
            });
            if bytes >= PUSH_BYTES {
                break;
            }
        }
        let Some(session) = &mut self.session else { return Ok(None) };
        let full = session.own[0].last <= session.wanted && session.wanted > session.full;
        let request = session.next_request;
        session.next_request += 1;
        session.in_flight = Some(InFlight { request, commits: commits.len(), full });
        Ok(Some(SessionMessage::Push(SessionPush { request, commits, full }).encode()))
    }

    /// Reads a group that is not known to be in the leader's tail.
    fn own_group(&self, id: Option<GroupId>) -> Result<Option<PendingGroup>, SqliteError> {
        let Some(id) = id else { return Ok(None) };
        let found = pending::find(&self.connection, &self.tail, id)?;
        let Some(Found { first, .. }) = found.filter(|found| found.first >= OWN) else {
            return Ok(None);
        };
        pending::group_at(&self.connection, first, &self.meta.client_id)
    }

    /// Takes a message of the leader.
    ///
    /// # Errors
    ///
    /// Nothing of it was taken; the conversation is to be ended, and begun anew.
    pub fn receive_from_leader(
        &mut self,
        message: &[u8],
        now_ms: u64,
    ) -> Result<FromLeader, FollowError> {
        match LeaderMessage::decode(message)? {
            LeaderMessage::Advance(advance) => self.follow_advance(*advance, now_ms)?,
            LeaderMessage::Taken(taken) => self.receive_taken(taken)?,
            LeaderMessage::Status(status) => {
                if let Some(session) = &mut self.session {
                    session.leader = *status;
                }
            }
            LeaderMessage::Restart => {
                self.leader_is_gone();
                return Ok(FromLeader::Restart);
            }
            LeaderMessage::Attached(_)
            | LeaderMessage::Refused(_)
            | LeaderMessage::Visited(_)
            | LeaderMessage::Whole => {
                return inconsistent("an answer that was not asked for");
            }
        }
        Ok(FromLeader::Taken)
    }

    /// Takes the answer to a push.
    fn receive_taken(&mut self, taken: PushTaken) -> Result<(), FollowError> {
        let PushTaken { request, full } = taken;
        let Some(session) = &mut self.session else { return Ok(()) };
        let commits = match session.in_flight {
            Some(InFlight { request: asked, commits, .. }) if asked == request => commits,
            _ => return inconsistent(format!("an answer to push {request}, which is not open")),
        };
        // The advances before it have told what became of each group.
        if session.own.iter().take(commits).flat_map(Own::ids).next().is_some() {
            return inconsistent(format!("push {request} was taken without a word of its groups"));
        }
        session.in_flight = None;
        for own in session.own.drain(..commits) {
            session.own_bytes -= own.bytes;
            if full {
                session.full = session.full.max(own.last);
            }
        }
        session.has_handed_over = true;
        Ok(())
    }

    /// Follows what a step of the leader did.
    fn follow_advance(&mut self, advance: Advance, now_ms: u64) -> Result<(), FollowError> {
        let Some(session) = &self.session else { return Ok(()) };
        if advance.number != session.seen + 1 {
            return inconsistent(format!("advance {} after {}", advance.number, session.seen));
        }
        let number = advance.number;
        let cut = session.cut;
        // They are taken off only when the step has succeeded.
        let (accepted, cut) = self.try_step(None, |replica, next| {
            let mut follow = Follow { replica, next, accepted: Vec::new(), now_ms };
            follow.run(advance)?;
            let accepted = follow.accepted;
            replica.forget_letters(next)?;
            Ok::<_, FollowError>((accepted, replica.cut_log(cut, next)?))
        })?;
        if let Some(session) = &mut self.session {
            for id in accepted {
                session.accept(id);
            }
            (session.seen, session.cut) = (number, cut);
        }
        Ok(())
    }

    /// Cuts off the beginning of the log, which the leader has.
    fn cut_log(&self, cut: GlobalSeqNum, next: &Next) -> Result<GlobalSeqNum, FollowError> {
        let end = GlobalSeqNum(next.meta.state_head.0.saturating_sub(KEPT_LOG));
        if end.0 < cut.0 + KEPT_LOG {
            return Ok(cut);
        }
        let end = log::group_end(&self.connection, end)?.seq;
        let system = self.connection.system();
        system.execute("DELETE FROM __livestore_eventlog WHERE seq <= ?", [end.0 as i64])?;
        system.execute("DELETE FROM __livestore_client_log WHERE seq <= ?", [end.0 as i64])?;
        Ok(end)
    }
}

/// LiveStore's own tables that the rows of a leader fill.
const TABLES: [&str; 6] = [
    "__livestore_pending",
    "__livestore_pending_group",
    "__livestore_eventlog",
    "__livestore_client_log",
    "__livestore_dead_letter",
    "__livestore_quarantine",
];

/// Nothing is given up and nothing made anew here: the leader says what becomes of it.
fn leaders_word<'a>(now_ms: u64) -> Redo<'a> {
    Redo { in_doubt: &InDoubt::All, revises: false, now_ms }
}

impl Session {
    /// Takes note that the leader has a group of ours, or has decided about it.
    fn accept(&mut self, id: GroupId) {
        let is_of = |own: &Own| own.synced == Some(id) || own.client_only == Some(id);
        if let Some(own) = self.own.iter_mut().find(|own| is_of(own)) {
            own.take(id);
        }
    }
}

impl Own {
    fn ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        self.synced.into_iter().chain(self.client_only)
    }

    fn take(&mut self, id: GroupId) {
        self.synced.take_if(|own| *own == id);
        self.client_only.take_if(|own| *own == id);
    }
}

impl Attached {
    fn put_into(&self, meta: &mut Meta) {
        meta.backend_id = self.backend_id;
        meta.head = self.head;
        meta.state_head = self.state_head.seq;
        meta.generation = self.generation;
        meta.rebases = self.rebases;
    }
}

/// What the leader says to a hello.
pub(crate) enum Refusal {
    /// The session may follow.
    None,
    Of(Refused),
    /// It is no answer to a hello.
    NoAnswer,
}

/// Reads what the leader says to a hello.
pub(crate) fn answer_of(message: &[u8]) -> Refusal {
    match LeaderMessage::decode(message) {
        Ok(LeaderMessage::Attached(_)) => Refusal::None,
        Ok(LeaderMessage::Refused(refused)) => Refusal::Of(refused),
        _ => Refusal::NoAnswer,
    }
}

/// Tells whether a message of the leader is the end of the rows of its state.
pub fn is_end_of_rows(message: &[u8]) -> bool {
    matches!(LeaderMessage::decode(message), Ok(LeaderMessage::Whole))
}

fn attached(answer: &[u8]) -> Result<Attached, FollowError> {
    match LeaderMessage::decode(answer)? {
        LeaderMessage::Attached(attached) => Ok(*attached),
        other => inconsistent(format!("{other:?} to a hello")),
    }
}

fn hello(
    schema: &Schema,
    store_id: &StoreId,
    session_id: &SessionId,
    open: Vec<GroupId>,
) -> Vec<u8> {
    let message = SessionMessage::Attach(Attach {
        versions: vec![LINK_VERSION],
        store_id: store_id.clone(),
        session_id: session_id.clone(),
        process: std::process::id(),
        schema: Outline::of(schema),
        open,
    });
    message.encode()
}
