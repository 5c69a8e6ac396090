//! Leading: other sessions of the client follow this replica.
//!
//! What a step does is written down as one [`Advance`], encoded once, and handed out to every session.
//! A session that has not taken the oldest advance that is kept attaches anew: that costs it the rows
//! of the state once more, and keeps what is held for the slowest one bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use livestore_core::mutant::{self, Mutant};
use livestore_core::{Group, GroupId, StoreId};
use livestore_sqlite::{Connection, SqliteError, Transfer};

use super::exceptions::{self, DeadLetter, DeadLetterReason};
use super::merge::NOTE_BYTES;
use super::pending::{self, Origin, PendingGroup};
use super::revise::Revision;
use super::step::Next;
use super::{GroupState, Replica, ReplicaError, log};
use crate::Warning;
use crate::session::link::MAX_LINK_FRAME_BYTES;
use crate::session::message::{
    Advance, Attached, LINK_VERSION, LeaderMessage, LeaderStatus, MessageError, Order,
    PushedCommit, RefusedReason, SessionInfo, SessionMessage, SessionPush, TailGroup, Taken, Visit,
};
use crate::session::{Newer, Outline};

/// Refreshes of live queries that visitors are told of.
const TOLD_REFRESHES: usize = 20;

/// Advances that are kept for sessions that have not taken them yet, in bytes.
const KEPT_BYTES: usize = 16 << 20;

/// Longest advance; after a longer one, sessions attach anew.
const MAX_ADVANCE_BYTES: usize = MAX_LINK_FRAME_BYTES / 2;

/// A chunk of rows, in bytes.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// A conversation with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey(u64);

/// Why a session is not listened to, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// What it says is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// It says it at the wrong time.
    #[error("a session says what it cannot say now")]
    OutOfTurn,
    /// It hands over what was committed by somebody else.
    #[error("a session hands over what is not its own")]
    NotItsOwn,
    /// No version of the link is spoken by both.
    #[error("the leader speaks version {LINK_VERSION} of the link between sessions alone")]
    Version,
    /// It wants another store.
    #[error("the leader has another store")]
    OtherStore,
    /// It has another schema.
    #[error("{}", mismatch(*newer))]
    OtherSchema {
        /// Which is newer; `Us` is the session.
        newer: Newer,
    },
    /// As many sessions follow as may.
    #[error("too many sessions follow already; close some")]
    Full,
    /// The leader has failed, not the session. Nothing of the message was taken.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

impl SessionError {
    /// Returns what the session is told.
    pub(crate) fn reason(&self) -> RefusedReason {
        match self {
            Self::OtherSchema { newer } => RefusedReason::Schema(*newer),
            _ => RefusedReason::Other,
        }
    }
}

/// Says that the schemas of a session and its leader differ.
fn mismatch(newer: Newer) -> &'static str {
    match newer {
        Newer::Us => {
            "the session that has the store open runs an older version of the app; close it, and open \
             the store again"
        }
        Newer::Them => {
            "the session that has the store open runs a newer version of the app; use that one"
        }
        Newer::Neither => {
            "the session that has the store open runs another version of the app; close it, or use that \
             one"
        }
    }
}

impl From<SqliteError> for SessionError {
    fn from(error: SqliteError) -> Self {
        Self::Replica(error.into())
    }
}

/// A session that may follow.
#[derive(Debug)]
pub struct Attachment {
    /// By which it is told apart from others.
    pub key: SessionKey,
    /// What it is told first; behind it come the rows of the state as it is now, then
    /// [`Replica::end_of_rows`], and then what [`Replica::poll_session`] hands out.
    pub answer: Vec<u8>,
}

/// What sessions are told, and who they are.
#[derive(Debug)]
pub(super) struct Feed {
    /// The last advance.
    number: u64,
    /// The last advances, encoded; the last one is that of `number`.
    kept: VecDeque<Arc<[u8]>>,
    kept_bytes: usize,
    /// How many bytes of them are kept.
    keeps_bytes: usize,
    sessions: BTreeMap<SessionKey, Following>,
    next_key: u64,
}

/// A session that follows.
#[derive(Debug)]
struct Following {
    session: SessionInfo,
    /// The last advance that was handed out to it.
    handed_out: u64,
    /// The last advance that was not its own doing alone.
    foreign: u64,
    /// Pushes that are not answered, and what has to be safe before they are.
    answers: VecDeque<(u64, Option<i64>)>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            // What was committed before anybody followed was seen as of advance 0.
            number: 1,
            kept: VecDeque::new(),
            kept_bytes: 0,
            keeps_bytes: KEPT_BYTES,
            sessions: BTreeMap::new(),
            next_key: 0,
        }
    }

    /// Tells whether anybody follows.
    pub(super) fn is_read(&self) -> bool {
        !self.sessions.is_empty()
    }

    fn publish(&mut self, mut advance: Advance, cause: Option<SessionKey>) {
        self.number += 1;
        advance.number = self.number;
        for (key, following) in &mut self.sessions {
            if Some(*key) != cause {
                following.foreign = self.number;
            }
        }
        let bytes = LeaderMessage::Advance(Box::new(advance)).encode();
        if bytes.len() > MAX_ADVANCE_BYTES {
            // The rows of the state are less than that, as a rule, and are cut into pieces.
            self.kept.clear();
            self.kept_bytes = 0;
            return;
        }
        self.kept_bytes += bytes.len();
        self.kept.push_back(bytes.into());
        // The newest is always kept, however large it is.
        while self.kept_bytes > self.keeps_bytes && self.kept.len() > 1 {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |oldest| oldest.len());
        }
    }

    /// Returns the advance that follows one, if it is kept.
    fn after(&self, number: u64) -> Option<&Arc<[u8]>> {
        let back = usize::try_from(self.number - number).ok()?;
        self.kept.get(self.kept.len().checked_sub(back)?)
    }
}

impl Replica {
    /// Takes in a session that says its first message, or says it again.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if it may not follow.
    pub fn attach_session(&mut self, message: &[u8]) -> Result<Attachment, SessionError> {
        let SessionMessage::Attach(attach) = SessionMessage::decode(message)? else {
            return Err(SessionError::OutOfTurn);
        };
        self.check_link(&attach.versions, &attach.store_id)?;
        let schema = Outline::of(&self.schema);
        if !attach.schema.agrees_with(&schema) {
            let newer = attach.schema.newer(&schema);
            if newer == Newer::Us {
                self.warnings.tell(Warning::NewerVersionWaits);
            }
            return Err(SessionError::OtherSchema { newer });
        }
        let mut ended = Vec::new();
        for group in &attach.open {
            match self.group_state(*group)? {
                GroupState::Pending => {}
                GroupState::Unknown if !exceptions::is_forgotten(&self.connection, *group)? => {}
                GroupState::Unknown | GroupState::Settled => ended.push((*group, None)),
                GroupState::Ended(fate) => ended.push((*group, Some(fate))),
            }
        }
        let key = SessionKey(self.feed.next_key);
        self.feed.next_key += 1;
        let following = Following {
            session: SessionInfo {
                session_id: attach.session_id,
                process: attach.process,
                leads: false,
            },
            handed_out: self.feed.number,
            foreign: self.feed.number,
            answers: VecDeque::new(),
        };
        self.feed.sessions.insert(key, following);
        let attached = Attached {
            version: LINK_VERSION,
            client_id: self.meta.client_id.clone(),
            backend_id: self.meta.backend_id,
            head: self.meta.head,
            state_head: self.state_head()?,
            generation: self.meta.generation,
            rebases: self.meta.rebases,
            seen: self.feed.number,
            ended,
            status: self.leader_message_status(),
        };
        Ok(Attachment { key, answer: LeaderMessage::Attached(Box::new(attached)).encode() })
    }

    /// Returns what sessions are told of where this replica stands.
    pub(crate) fn leader_message_status(&self) -> LeaderStatus {
        LeaderStatus { sync: self.status(), sessions: self.led_sessions(), refreshes: Vec::new() }
    }

    /// Tells whether a message is the first one of a session.
    pub(crate) fn is_hello(message: &[u8]) -> bool {
        matches!(SessionMessage::decode(message), Ok(SessionMessage::Attach(_)))
    }

    /// Takes a message of somebody who does not follow; returns the answer, or nothing if it is another
    /// message than theirs.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if they may not visit, or what they want cannot be done.
    pub fn receive_visit(
        &mut self,
        message: &[u8],
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        let SessionMessage::Visit(Visit { versions, store_id, order, queries }) =
            SessionMessage::decode(message)?
        else {
            return Ok(None);
        };
        self.check_link(&versions, &store_id)?;
        if let Some(order) = order {
            self.carry_out(&order, now_ms)?;
        }
        let mut status = self.leader_message_status();
        if queries {
            status.refreshes = self.refreshes.last(TOLD_REFRESHES);
        }
        Ok(Some(LeaderMessage::Visited(Box::new(status)).encode()))
    }

    fn check_link(&self, versions: &[u32], store_id: &StoreId) -> Result<(), SessionError> {
        if !versions.contains(&LINK_VERSION) {
            return Err(SessionError::Version);
        }
        if *store_id != self.meta.store_id {
            return Err(SessionError::OtherStore);
        }
        Ok(())
    }

    /// Returns what a session is told when all rows of the state were sent to it.
    pub fn end_of_rows() -> Vec<u8> {
        LeaderMessage::Whole.encode()
    }

    /// Takes note that a session is gone.
    pub fn detach_session(&mut self, key: SessionKey) {
        self.feed.sessions.remove(&key);
        if !self.feed.is_read() {
            self.feed.kept.clear();
            self.feed.kept_bytes = 0;
        }
    }

    /// Tells whether a session still follows.
    pub fn follows(&self, key: SessionKey) -> bool {
        self.feed.sessions.contains_key(&key)
    }

    /// Sets how many bytes of advances are kept for sessions that are slow.
    pub fn set_kept_bytes(&mut self, bytes: usize) {
        self.feed.keeps_bytes = bytes;
    }

    /// Returns how many advances were published to sessions.
    pub fn advances(&self) -> u64 {
        self.feed.number
    }

    /// Returns the sessions of the client: this one, and those that follow.
    pub(super) fn led_sessions(&self) -> Vec<SessionInfo> {
        let leader = SessionInfo {
            session_id: self.session_id.clone(),
            process: std::process::id(),
            leads: true,
        };
        let followers = self.feed.sessions.values().map(|following| following.session.clone());
        // A session that leads from a thread of its own follows that.
        let others = followers.filter(|session| session.session_id != self.session_id);
        std::iter::once(leader).chain(others).collect()
    }

    /// Returns how many sessions follow.
    pub(super) fn followers(&self) -> u64 {
        self.feed.sessions.len() as u64
    }

    /// Hands out the next message for a session.
    pub fn poll_session(&mut self, key: SessionKey) -> Option<Arc<[u8]>> {
        let Feed { number, sessions, .. } = &mut self.feed;
        let following = sessions.get_mut(&key)?;
        // What answers a push comes behind what it did.
        if following.handed_out == *number {
            return self.answer_of_push(key).map(|taken| taken.encode().into());
        }
        let next = following.handed_out;
        let Some(advance) = self.feed.after(next).cloned() else {
            self.detach_session(key);
            return Some(LeaderMessage::Restart.encode().into());
        };
        self.feed.sessions.get_mut(&key)?.handed_out = next + 1;
        Some(advance)
    }

    fn answer_of_push(&mut self, key: SessionKey) -> Option<LeaderMessage> {
        let (request, ordinal) = *self.feed.sessions.get(&key)?.answers.front()?;
        let full = ordinal.is_some_and(|ordinal| self.is_durable(ordinal));
        if ordinal.is_some() && !full && !self.has_disk_failed() {
            return None;
        }
        self.feed.sessions.get_mut(&key)?.answers.pop_front();
        Some(LeaderMessage::Taken(Taken { request, full }))
    }

    /// Takes a message of a session.
    ///
    /// What was committed there is pending here then, or a dead letter.
    ///
    /// # Errors
    ///
    /// Nothing of the message was taken, and the conversation is to be ended: if the database failed,
    /// or a materializer did in a way that says nothing about the event, the session comes again.
    pub fn receive_from_session(
        &mut self,
        key: SessionKey,
        message: &[u8],
        now_ms: u64,
    ) -> Result<(), SessionError> {
        let Some(Following { foreign, session, .. }) = self.feed.sessions.get(&key) else {
            // It has missed advances, and is told so.
            return Ok(());
        };
        let (foreign, session_id) = (*foreign, session.session_id.clone());
        let SessionPush { request, commits, full } = match SessionMessage::decode(message)? {
            SessionMessage::Push(push) => push,
            SessionMessage::Do(order) => return Ok(self.carry_out(&order, now_ms)?),
            SessionMessage::Attach(_) | SessionMessage::Visit(_) => {
                return Err(SessionError::OutOfTurn);
            }
        };
        let is_own = |group: &Group| {
            *group.client_id() == self.meta.client_id && *group.session_id() == session_id
        };
        let groups =
            commits.iter().flat_map(|commit| commit.synced.iter().chain(&commit.client_only));
        if !groups.into_iter().all(is_own) {
            return Err(SessionError::NotItsOwn);
        }
        self.step_for(Some(key), |replica, next| {
            commits
                .into_iter()
                .try_for_each(|commit| replica.take_commit(commit, foreign, now_ms, next))
        })?;
        let ordinal = full.then_some(self.tail.last);
        if let Some(ordinal) = ordinal {
            self.require_full(ordinal);
        }
        if let Some(following) = self.feed.sessions.get_mut(&key) {
            following.answers.push_back((request, ordinal));
        }
        Ok(())
    }

    fn carry_out(&mut self, order: &Order, now_ms: u64) -> Result<(), ReplicaError> {
        match order {
            Order::AnswerDivergence { answer, to } => {
                if self.divergence() != *to {
                    // It is an answer to what was seen, and to nothing else.
                    return Ok(());
                }
                match self.answer_divergence(*answer, now_ms) {
                    // The backend has changed since.
                    Err(ReplicaError::BackendNotEmpty { .. }) => Ok(()),
                    answered => answered.map(drop),
                }
            }
            Order::NoteAnswer { answer, to } => {
                if self.divergence() == Some(*to) {
                    let seen = Order::AnswerDivergence { answer: *answer, to: Some(*to) };
                    return self.carry_out(&seen, now_ms);
                }
                self.note_answer(*answer, *to)
            }
            Order::RetryNow => {
                self.retry_now();
                Ok(())
            }
        }
    }

    fn take_commit(
        &self,
        commit: PushedCommit,
        foreign: u64,
        now_ms: u64,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let PushedCommit { seen, synced, client_only, origin, forgets } = commit;
        let mut is_late = false;
        if let Some(letter) = forgets {
            if exceptions::forget(&self.connection, letter)? {
                next.counts.dead_letters -= 1;
                next.letters_changed = true;
                next.note(NOTE_BYTES, |advance| advance.forgotten.push(letter));
            } else {
                // Somebody else has tried it again, or has forgotten it.
                is_late = true;
            }
        }
        let groups = [(synced, false, origin), (client_only, true, Origin::default())];
        for (group, client_only, origin) in groups {
            let Some(group) = group else { continue };
            if self.is_known(group.id(), next)? {
                continue;
            }
            let first = next.tail.last + 1;
            let own = PendingGroup { first, group, client_only, undo: None, origin };
            if is_late {
                self.bury_new(own, DeadLetterReason::LetterGone, now_ms, next)?;
                continue;
            }
            // The session has seen all that anybody else did: its state was this one.
            let is_as_seen = seen >= foreign && !next.deviates;
            self.take_group(own, is_as_seen, now_ms, next)?;
        }
        Ok(())
    }

    /// Tells whether a group was taken before.
    fn is_known(&self, id: GroupId, next: &Next) -> Result<bool, SqliteError> {
        Ok(pending::find(&self.connection, &next.tail, id)?.is_some()
            || log::positions(&self.connection, id)?.is_some()
            || exceptions::dead_letter(&self.connection, id)?.is_some()
            || log::has_client_only(&self.connection, id)?
            || exceptions::is_forgotten(&self.connection, id)?)
    }

    fn take_group(
        &self,
        mut own: PendingGroup,
        is_as_seen: bool,
        now_ms: u64,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let after = self.tail_end(own.client_only, &mut next.tail)?;
        // The state is not what it is going to be: nothing is made anew or given up on it, and what does
        // not apply waits, like what stands before it.
        let is_open = next.tail.unapplied > 0
            || next.meta.revision_due
            || self.has_backlog()
            || !self.has_all_pages();
        let is_to_be_revised = !is_as_seen && self.is_revisable(&own);
        if is_to_be_revised && is_open {
            next.meta.revision_due = true;
        } else if is_to_be_revised {
            match self.revise(&own)? {
                Revision::Keep => {}
                Revision::Rewrite(group) => {
                    let submitted = own.group.content_hash();
                    own.origin.submitted.get_or_insert(submitted);
                    own.group = group;
                    next.deviates = true;
                }
                Revision::GiveUp(reason) => return self.bury_new(own, reason, now_ms, next),
            }
        }
        let undo = match self.try_pending(&own, after)? {
            Ok(()) => {
                let preimages = self.connection.take_changes();
                let undo = preimages.encode();
                next.changed.extend(self.connection.changes_of(preimages));
                Some(undo)
            }
            Err(_) if is_open && !own.client_only => {
                next.tail.unapplied += 1;
                next.deviates = true;
                None
            }
            Err(reason) => return self.bury_new(own, reason, now_ms, next),
        };
        let PendingGroup { first: ordinal, group, client_only, origin, .. } = own;
        let undo = undo.as_deref();
        self.append_pending(&group, client_only, &origin, undo, &mut next.tail)?;
        next.note(group.size_bytes() + origin.size_bytes(), |advance| {
            advance.added.push(TailGroup { ordinal, group, client_only, origin });
        });
        Ok(())
    }

    /// Keeps a group as a dead letter that was never in the tail.
    fn bury_new(
        &self,
        own: PendingGroup,
        reason: DeadLetterReason,
        now_ms: u64,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        // A barrier that was done before says nothing of it.
        next.tail.last += 1;
        next.deviates = true;
        let (group, command) = (own.group, own.origin.command);
        let letter = DeadLetter { group, reason, rejected_at_ms: now_ms, command };
        self.keep_letter(letter, next)
    }

    /// Publishes what a step has done, if anybody follows.
    pub(super) fn publish(&mut self, advance: Option<Box<Advance>>, cause: Option<SessionKey>) {
        if let Some(mut advance) = advance
            && *advance != Advance::default()
        {
            advance.backend_id = self.meta.backend_id;
            self.feed.publish(*advance, cause);
        }
    }

    /// Makes all sessions attach anew, since the log is not a continuation of what they have.
    pub(super) fn restart_sessions(&mut self) {
        // An advance that nobody is ever handed out, and that everybody has to see.
        self.feed.number += 1;
        let number = self.feed.number;
        self.feed.sessions.values_mut().for_each(|following| following.foreign = number);
        self.feed.kept.clear();
        self.feed.kept_bytes = 0;
    }
}

/// Returns how the rows of a store go to a session.
pub(super) fn transfers(connection: &Connection) -> Vec<Transfer> {
    let mut transfers = connection.state_transfers();
    let head = "(SELECT state_head FROM __livestore_meta)";
    for (select, insert) in [
        (
            "SELECT * FROM __livestore_pending ORDER BY ordinal".to_owned(),
            "INSERT INTO __livestore_pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ),
        (
            "SELECT group_id, client_only, events, ordinal FROM __livestore_pending \
             WHERE event_index = 0 ORDER BY group_id"
                .into(),
            "INSERT INTO __livestore_pending_group VALUES (?, ?, ?, ?)",
        ),
        (
            // From the last group on that is in the state, with which the log's hash stands.
            format!(
                "SELECT * FROM __livestore_eventlog WHERE seq > coalesce(\
                 (SELECT max(seq) FROM __livestore_eventlog \
                 WHERE seq < {head} AND log_hash IS NOT NULL), 0) ORDER BY seq"
            ),
            "INSERT INTO __livestore_eventlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ),
        (
            // It tells where the next one stands.
            format!(
                "SELECT * FROM __livestore_client_log WHERE seq = {head} \
                 ORDER BY client DESC LIMIT 1"
            ),
            "INSERT INTO __livestore_client_log VALUES (?, ?, ?, ?, ?, ?, ?)",
        ),
        (
            "SELECT * FROM __livestore_dead_letter ORDER BY group_id".into(),
            "INSERT INTO __livestore_dead_letter VALUES (?, ?, ?, ?, ?)",
        ),
        (
            "SELECT * FROM __livestore_quarantine ORDER BY seq, client".into(),
            "INSERT INTO __livestore_quarantine VALUES (?, ?, ?, ?, ?)",
        ),
    ] {
        transfers.push(Transfer { select, insert: insert.into() });
    }
    transfers
}

/// Reads the rows of a store for a session, in chunks: each with the number of its transfer.
///
/// The connection sees one moment of the store, which has to be that of the session's
/// [`Attachment`]: it is that of the replica, or reads in a transaction that was begun then.
pub fn read_rows<E: From<SqliteError>>(
    connection: &Connection,
    mut emit: impl FnMut(u16, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    for (number, transfer) in (0..).zip(transfers(connection)) {
        let sql = &transfer.select;
        if sql.contains("__livestore_pending") && mutant::is_active(Mutant::BootstrapMissesTail) {
            continue;
        }
        connection.system().read_chunks(sql, [], CHUNK_BYTES, |chunk| emit(number, chunk))?;
    }
    Ok(())
}

/// Writes such a chunk into a session, with its own [`transfers`].
pub(super) fn write_rows(
    connection: &Connection,
    transfers: &[Transfer],
    number: u16,
    chunk: &[u8],
) -> Result<(), SqliteError> {
    let Some(transfer) = transfers.get(usize::from(number)) else {
        return Err(SqliteError::DamagedRows { at: 0 });
    };
    connection.system().write_chunk(&transfer.insert, chunk)
}
