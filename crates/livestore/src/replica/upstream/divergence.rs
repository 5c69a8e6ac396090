//! Another history: finding what both logs have in common, and going back to it.
//!
//! A backend that was restored from an old backup and then written to, or made anew, refuses our
//! cursor. Then its log is searched for ours, many positions at a time, before anything is
//! decided; so whoever decides knows what it costs.

use livestore_core::limits::MAX_LOCATE_POSITIONS;
use livestore_core::protocol::{ClientMessage, Locate, Located, PROTOCOL_VERSION};
use livestore_core::{BackendId, ClientId, ConfirmedGroup, GlobalSeqNum, LogPosition};
use livestore_sqlite::{Connection, SqliteError};

use super::receive::{Trouble, violation};
use super::{Phase, Replica, StopReason};
use crate::replica::exceptions::DeadLetterReason;
use crate::replica::format::GivenAnswer;
use crate::replica::merge::{InDoubt, Redo};
use crate::replica::pending::{self, Origin};
use crate::replica::step::Next;
use crate::replica::{Divergence, HistoryAnswer, ReplicaError, exceptions, log};

/// A search for the end of the history that two logs have in common.
#[derive(Debug)]
pub(crate) struct Search {
    /// The last position that is known to be common.
    low: LogPosition,
    /// Everything from here on is known to differ.
    high: GlobalSeqNum,
    /// What was asked and not answered.
    asked: Vec<LogPosition>,
    /// Whose log the answers so far were about.
    backend_id: Option<BackendId>,
}

impl Search {
    /// Begins to compare a log up to a position.
    pub(crate) fn up_to(head: GlobalSeqNum) -> Self {
        Self { low: LogPosition::ROOT, high: head.next(), asked: Vec::new(), backend_id: None }
    }

    /// Returns the last position that is known to be common.
    pub(crate) fn common(&self) -> GlobalSeqNum {
        self.low.seq
    }

    /// Returns the positions to ask about next.
    pub(crate) fn question(
        &mut self,
        connection: &Connection,
    ) -> Result<Vec<LogPosition>, SqliteError> {
        let mut positions =
            log::group_ends(connection, self.low.seq, self.high, MAX_LOCATE_POSITIONS)?;
        if positions.is_empty() {
            // Our log is empty, and the question is only whose the other one is.
            positions.push(self.low);
        }
        self.asked.clone_from(&positions);
        Ok(positions)
    }

    /// Takes an answer; tells what is wrong with it, if anything is.
    pub(crate) fn take(&mut self, located: &Located) -> Result<(), String> {
        if self.asked.is_empty() {
            return Err("an answer about positions that nobody asked for".into());
        }
        if self.backend_id.replace(located.backend_id).is_some_and(|id| id != located.backend_id) {
            return Err("another backend answers than before".into());
        }
        let asked = std::mem::take(&mut self.asked);
        let common = asked.iter().rposition(|position| position.seq == located.common);
        if common.is_none() && located.common != GlobalSeqNum::ROOT {
            return Err(format!("{} was not asked about", located.common));
        }
        if let Some(at) = common {
            self.low = asked[at];
        }
        let first_other = common.map_or(0, |at| at + 1);
        self.high = asked.get(first_other).map_or(self.high, |position| position.seq);
        Ok(())
    }

    /// Tells whether the end of what is common is found.
    pub(crate) fn is_over(&self, connection: &Connection) -> Result<bool, SqliteError> {
        Ok(log::group_ends(connection, self.low.seq, self.high, 1)?.is_empty())
    }
}

/// Tells whether a backend that is not the one we know has our whole log, so that there is nothing to
/// decide: somebody has published it there. Two empty logs are no such proof.
pub(crate) fn has_all_of(head: GlobalSeqNum, common: GlobalSeqNum) -> bool {
    common == head && head > GlobalSeqNum::ROOT
}

/// Measures how a log differs from that of a backend, whose answer says what both have in common.
pub(crate) fn divergence(
    connection: &Connection,
    client_id: &ClientId,
    pending_groups: u64,
    common: GlobalSeqNum,
    located: &Located,
) -> Result<Divergence, SqliteError> {
    let (own_groups, others_events) = log::authors_after(connection, common, client_id)?;
    let Located { backend_id, head: backend_head, .. } = *located;
    Ok(Divergence { backend_id, backend_head, common, own_groups, others_events, pending_groups })
}

impl Replica {
    /// Starts to look for the end of the common history, on the next connection.
    pub(super) fn search_common_history(&mut self) {
        self.upstream.search = Some(Search::up_to(self.head().seq));
    }

    /// Asks about the next positions.
    pub(super) fn go_on_searching(&mut self) -> Result<(), ReplicaError> {
        let Some(search) = &mut self.upstream.search else { return Ok(()) };
        let positions = search.question(&self.connection)?;
        self.upstream.outbox.push_back(ClientMessage::Locate(Locate {
            versions: vec![PROTOCOL_VERSION],
            store_id: self.meta.store_id.clone(),
            client_id: self.meta.client_id.clone(),
            positions,
        }));
        Ok(())
    }

    /// Takes an answer: either there is more to ask, or the end of the common history is found.
    pub(super) fn receive_located(
        &mut self,
        located: &Located,
        now_ms: u64,
    ) -> Result<(), Trouble> {
        let Some(search) = &mut self.upstream.search else {
            return Err(violation("an answer about positions that nobody asked for"));
        };
        if let Err(what) = search.take(located) {
            // The next conversation begins anew.
            self.search_common_history();
            return Err(violation(what));
        }
        if !search.is_over(&self.connection)? {
            return Ok(self.go_on_searching()?);
        }
        let common = search.common();
        self.upstream.search = None;
        if has_all_of(self.meta.head.seq, common) {
            self.adopt(located.backend_id, None)?;
            return Ok(self.say_hello()?);
        }
        let (client_id, pending) = (&self.meta.client_id, self.tail.groups);
        let divergence = divergence(&self.connection, client_id, pending, common, located)?;
        match self.answer_to(&divergence) {
            HistoryAnswer::Stop => self.upstream.stop(StopReason::HistoryDiverged(divergence)),
            HistoryAnswer::Republish if !divergence.allows_republishing() => {
                self.upstream.stop(StopReason::HistoryDiverged(divergence));
            }
            answer => {
                self.follow(answer, divergence, now_ms)?;
                self.say_hello()?;
            }
        }
        Ok(())
    }

    /// Returns the answer that somebody has given to this very divergence, or else the app's usual
    /// one.
    fn answer_to(&self, divergence: &Divergence) -> HistoryAnswer {
        let given = self.meta.answer.as_ref().filter(|given| given.is_to(divergence));
        given.map_or(self.on_history_diverged, |given| given.answer)
    }

    /// Goes on with a backend that has another history, if that is what syncing has stopped for;
    /// returns whether there was anything to do.
    ///
    /// # Errors
    ///
    /// Nothing has changed then. [`ReplicaError::BackendNotEmpty`] if the log was to be published anew
    /// to a backend that has one.
    pub fn answer_divergence(
        &mut self,
        answer: HistoryAnswer,
        now_ms: u64,
    ) -> Result<bool, ReplicaError> {
        if let Some(ordered) = self.order_answer(answer) {
            return ordered;
        }
        let divergence = match self.upstream.phase {
            Phase::Stopped(StopReason::HistoryDiverged(divergence)) => divergence,
            // Some of the log was published, and the rest was refused.
            Phase::Stopped(StopReason::NotRepublished { .. }) => self.not_republished()?,
            _ => return Ok(false),
        };
        if answer == HistoryAnswer::Stop {
            return Ok(false);
        }
        if answer == HistoryAnswer::Republish && !divergence.allows_republishing() {
            let Divergence { backend_id, backend_head: head, .. } = divergence;
            return Err(ReplicaError::BackendNotEmpty { backend_id, head });
        }
        self.follow(answer, divergence, now_ms)?;
        self.upstream.phase = Phase::Offline { retry_at_ms: 0 };
        Ok(true)
    }

    /// Notes what is to be done about a divergence when it is met; [`HistoryAnswer::Stop`] takes back what
    /// was noted before.
    pub(in crate::replica) fn note_answer(
        &mut self,
        answer: HistoryAnswer,
        to: Divergence,
    ) -> Result<(), ReplicaError> {
        let mut meta = self.meta.clone();
        let given = GivenAnswer::new(answer, to);
        meta.answer = Some(given).filter(|given| given.answer != HistoryAnswer::Stop);
        meta.save(&self.connection)?;
        self.meta = meta;
        Ok(())
    }

    /// Returns the divergence that syncing has stopped for, if it is one that was measured.
    pub(in crate::replica) fn divergence(&self) -> Option<Divergence> {
        match self.upstream.phase {
            Phase::Stopped(StopReason::HistoryDiverged(divergence)) => Some(divergence),
            _ => None,
        }
    }

    /// Measures how the log differs from that of a backend to which it was not published to its end.
    fn not_republished(&self) -> Result<Divergence, ReplicaError> {
        let common = self.meta.republished.unwrap_or(self.meta.head.seq);
        let located = Located {
            backend_id: self.meta.backend_id.unwrap_or(BackendId::from_bytes([0; 16])),
            common,
            head: self.upstream.backend_head.unwrap_or(common),
        };
        let (client_id, pending) = (&self.meta.client_id, self.tail.groups);
        Ok(divergence(&self.connection, client_id, pending, common, &located)?)
    }

    /// Does what was answered.
    fn follow(
        &mut self,
        answer: HistoryAnswer,
        divergence: Divergence,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        match answer {
            HistoryAnswer::Stop => Ok(()),
            HistoryAnswer::RebasePending => self.go_back(divergence, true, now_ms),
            HistoryAnswer::Discard => self.go_back(divergence, false, now_ms),
            HistoryAnswer::Republish => {
                let anew = Some(GlobalSeqNum::ROOT).filter(|root| *root < self.meta.head.seq);
                self.adopt(divergence.backend_id, anew)
            }
        }
    }

    /// Goes on with another backend as it is, which has the log up to somewhere.
    fn adopt(
        &mut self,
        backend_id: BackendId,
        republished: Option<GlobalSeqNum>,
    ) -> Result<(), ReplicaError> {
        let mut meta = self.meta.clone();
        meta.backend_id = Some(backend_id);
        meta.answer = None;
        if self.meta.backend_id != Some(backend_id) {
            // With the same backend, what was tried may still be there.
            meta.attempt = None;
        }
        meta.republished = republished;
        meta.save(&self.connection)?;
        self.meta = meta;
        // A push waits until a power cut cannot take this either.
        self.barriers.forget();
        self.upstream.republish_barrier = self.tail.last;
        Ok(())
    }

    fn go_back(
        &mut self,
        to: Divergence,
        keeps_own: bool,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        // Whatever was pushed to the other history is not known to be in this one.
        let redo = Redo { in_doubt: &InDoubt::All, revises: false, now_ms };
        let common = log::group_end(&self.connection, to.common)?;
        self.step(|replica, next| {
            let from = next.meta.backend_id.unwrap_or(to.backend_id);
            if !keeps_own {
                replica.discard_pending(now_ms, next)?;
            }
            replica.take_back(common.seq, from, keeps_own, next)?;
            next.meta.head = common;
            next.meta.backend_id = Some(to.backend_id);
            next.meta.republished = None;
            next.meta.answer = None;
            next.meta.attempt = None;
            next.restarts_sessions = true;
            replica.rederive(redo, next)
        })?;
        self.barriers.forget();
        Ok(())
    }

    /// Makes dead letters of the pending groups that the backend was to get.
    fn discard_pending(&self, now_ms: u64, next: &mut Next) -> Result<(), ReplicaError> {
        let mut from = i64::MIN;
        loop {
            let chunk = self.pending_chunk(from, next)?;
            let Some(last) = chunk.last() else { return Ok(()) };
            from = last.last() + 1;
            for own in chunk.iter().filter(|own| !own.client_only) {
                self.bury(own, DeadLetterReason::HistoryDiscarded, now_ms, next)?;
            }
        }
    }

    /// Empties the log above a position: own groups become pending if they are kept, and all others are
    /// archived.
    fn take_back(
        &self,
        common: GlobalSeqNum,
        from: BackendId,
        keeps_own: bool,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let own_id = next.meta.client_id.clone();
        let lowest = pending::lowest_ordinal(&self.connection)?.unwrap_or(next.tail.last + 1);
        let total = log::events_after(&self.connection, common, &own_id)?;
        let mut ordinal = lowest - total as i64;
        // Client-only events right behind the common position stay where they are.
        let mut after = (common, u32::MAX);
        while let Some(group) = log::next_group(&self.connection, after, &own_id)? {
            let (first, client_only) = (group.first, group.client_only);
            if client_only || keeps_own && group.group.client_id() == &own_id {
                // A group that was pulled but not merged yet is still pending.
                if pending::find(&self.connection, &next.tail, group.group.id())?.is_none() {
                    let (id, events) = (group.group.id(), group.group.event_count());
                    let submitted = log::submitted(&self.connection, id)?;
                    // What was confirmed is a fact: it is not made anew by the command it came from.
                    let origin = Origin { command: None, submitted };
                    let group = &group.group;
                    pending::insert(&self.connection, group, ordinal, client_only, &origin)?;
                    next.tail.insert(client_only, events);
                    next.tail.unapplied += 1;
                    ordinal += events as i64;
                }
            } else {
                let confirmed = ConfirmedGroup { first, group: group.group };
                exceptions::archive(&self.connection, from, &confirmed)?;
                next.counts.archived += 1;
            }
            after = group.end;
        }
        next.tail.last = next.tail.last.max(ordinal - 1);
        next.tail.indexed = next.tail.indexed.max(ordinal - 1);
        log::truncate(&self.connection, common)?;
        Ok(())
    }
}
