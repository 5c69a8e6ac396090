//! What the backend says, and how far it is believed.

use std::collections::HashSet;

use livestore_core::limits::MAX_ATTEMPTED_GROUPS;
use livestore_core::mutant::{self, Mutant};
use livestore_core::protocol::{
    AlreadyAccepted, Goodbye, GoodbyeReason, GroupPosition, GroupRejected, PROTOCOL_VERSION, Page,
    PushAccepted, ServerAhead, ServerMessage, Welcome,
};
use livestore_core::{ConfirmedGroup, Event, GlobalSeqNum, Group, GroupId, LogHash};

use super::push::InFlight;
use super::{Phase, Replica, StopReason};
use crate::replica::exceptions::DeadLetterReason;
use crate::replica::merge::{InDoubt, InPlace, Redo};
use crate::replica::{ReplicaError, log, pending};

/// How much older than the truth the stored time of the last sync may be.
const SYNCED_AT_PRECISION_MS: u64 = 60_000;

/// Something the backend said that cannot be.
pub(super) struct Violation(String);

/// Why a message could not be taken.
pub(super) enum Trouble {
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

pub(super) fn violation(message: impl Into<String>) -> Trouble {
    Trouble::Violation(Violation(message.into()))
}

impl Replica {
    /// Takes a message from upstream.
    ///
    /// A message that breaks the protocol ends the connection; it is no error of the replica. What comes
    /// after the replica has asked for the connection's end is not looked at.
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
        if self.upstream.has_hung_up() {
            return Ok(());
        }
        let was_waiting = self.upstream.waiting_since_ms.take();
        let taken = match message {
            ServerMessage::Page(page) if self.is_republishing() => {
                self.receive_while_republishing(ServerMessage::Page(page), now_ms)
            }
            ServerMessage::PushAccepted(_)
            | ServerMessage::AlreadyAccepted(_)
            | ServerMessage::ServerAhead(_)
            | ServerMessage::GroupRejected(_)
                if self.is_republishing() || self.has_republished() =>
            {
                self.receive_while_republishing(message, now_ms)
            }
            ServerMessage::Located(located) => self.receive_located(&located, now_ms),
            ServerMessage::Welcome(welcome) => self.receive_welcome(welcome, now_ms),
            ServerMessage::Page(page) => self.receive_page(page, now_ms),
            ServerMessage::PushAccepted(accepted) => self.receive_accepted(&accepted, now_ms),
            ServerMessage::AlreadyAccepted(already) => self.receive_already(&already),
            ServerMessage::ServerAhead(ahead) => self.receive_ahead(ahead, now_ms),
            ServerMessage::GroupRejected(rejected) => self.receive_rejected(rejected, now_ms),
            ServerMessage::Goodbye(goodbye) => {
                self.receive_goodbye(goodbye);
                Ok(())
            }
        };
        match taken.and_then(|()| self.revise_if_due(now_ms)) {
            Ok(()) => {
                self.upstream.waiting_since_ms = match self.upstream.in_flight {
                    // Pages that the backend has announced are owed from now on.
                    _ if self.has_backlog() => Some(now_ms),
                    // Pages come by themselves, beside what was asked for.
                    Some(_) => was_waiting,
                    None => None,
                };
                self.note_sync(now_ms)
            }
            Err(Trouble::Violation(Violation(message))) => {
                self.upstream.last_error =
                    Some(format!("the backend broke the protocol: {message}"));
                self.upstream.disconnect = true;
                Ok(())
            }
            Err(Trouble::Replica(error)) => {
                self.upstream.fail(&error);
                Err(error)
            }
        }
    }

    /// Remembers when everything was in step with the backend.
    fn note_sync(&mut self, now_ms: u64) -> Result<(), ReplicaError> {
        if !self.status().is_synced() {
            return Ok(());
        }
        let stored_ms = self.stored_synced_at_ms.unwrap_or(0);
        self.meta.synced_at_ms = Some(now_ms);
        if now_ms.abs_diff(stored_ms) >= SYNCED_AT_PRECISION_MS {
            self.meta.save(&self.connection)?;
            self.stored_synced_at_ms = Some(now_ms);
        }
        Ok(())
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
        let at_backend = self.position_at_backend()?.seq;
        if welcome.head < at_backend {
            return Err(violation("a log that is shorter than our cursor"));
        }
        // The published log has nothing of what is pending, so this is another one.
        let is_within = |group: &GroupPosition| group.first <= self.meta.head.seq;
        if self.is_republishing() && welcome.accepted.iter().any(is_within) {
            return Ok(self.stop_republishing()?);
        }
        if !welcome.accepted.is_empty() {
            let attempted = pending::first_ids(&self.connection, MAX_ATTEMPTED_GROUPS)?;
            let ahead = self.meta.state_head.next()..=welcome.head;
            for group in &welcome.accepted {
                if !ahead.contains(&group.first) || !attempted.contains(&group.id) {
                    let message = format!("group {} cannot stand at {}", group.id, group.first);
                    return Err(violation(message));
                }
            }
        }
        if self.meta.backend_id.is_none() || self.meta.answer.is_some() {
            let mut meta = self.meta.clone();
            meta.backend_id = Some(welcome.backend_id);
            // There is no other history to which it could be an answer any more.
            meta.answer = None;
            meta.save(&self.connection)?;
            self.meta = meta;
            // A push waits until a power cut cannot take this either.
            self.barriers.forget();
        }
        self.upstream.phase = Phase::Live;
        self.upstream.last_error = None;
        self.upstream.backend_head = Some(welcome.head);
        self.upstream.welcomed_at_ms = Some(now_ms);
        let head = self.head().seq;
        let ahead = welcome.accepted.iter().filter(|group| group.first > head);
        self.upstream.accepted = ahead.map(|group| group.id).collect();
        if self.has_backlog() && !self.is_catching_up() {
            let in_doubt = self.known_doubts()?;
            self.catch_up(self.as_known(&in_doubt, now_ms))?;
        }
        self.settle_doubts(now_ms)
    }

    /// Tells whether it is known of every pending group what the backend has made of it.
    fn knows_outcomes(&self) -> bool {
        matches!(self.upstream.phase, Phase::Live)
            && self.upstream.in_flight.is_none()
            && self.upstream.accepted.is_empty()
            && self.has_all_pages()
    }

    /// Says how the tail is to be done again with what is known now.
    fn as_known<'a>(&self, in_doubt: &'a InDoubt, now_ms: u64) -> Redo<'a> {
        Redo { in_doubt, revises: self.knows_outcomes(), now_ms }
    }

    /// Makes pending groups anew whose turn could not come before.
    fn revise_if_due(&mut self, now_ms: u64) -> Result<(), Trouble> {
        if !self.may_revise_now() {
            return Ok(());
        }
        let in_doubt = self.known_doubts()?;
        Ok(self.revise_tail(self.as_known(&in_doubt, now_ms))?)
    }

    /// Tells whether the turn of pending groups has come that could not be made anew before.
    fn may_revise_now(&self) -> bool {
        self.meta.revision_due && self.knows_outcomes() && !self.has_backlog()
    }

    /// Tells whether pages are still missing that the backend is known to have.
    fn is_catching_up(&self) -> bool {
        !self.has_all_pages()
    }

    /// Tells whether the log on disk reaches as far as the backend is known to have it.
    pub(in crate::replica) fn has_all_pages(&self) -> bool {
        self.upstream.backend_head <= Some(self.head().seq)
    }

    /// Tries groups once more that failed while their acceptance was in doubt, if it is not any
    /// more: the backend does not have them, so they are either applied or dead letters now.
    fn settle_doubts(&mut self, now_ms: u64) -> Result<(), Trouble> {
        if self.tail.unapplied == 0 {
            return Ok(());
        }
        if mutant::is_active(Mutant::PageMergedEarly) {
            let in_doubt = InDoubt::These(HashSet::new());
            return Ok(self.try_unapplied(self.as_known(&in_doubt, now_ms))?);
        }
        // The whole tail is about to be done again: what stands at its end must not be judged by a
        // beginning that is going to change.
        if self.is_catching_up() || self.may_revise_now() {
            return Ok(());
        }
        let unapplied = pending::unapplied_ids(&self.connection)?;
        if unapplied.iter().any(|id| !self.upstream.accepted.contains(id)) {
            let in_doubt = self.known_doubts()?;
            self.try_unapplied(self.as_known(&in_doubt, now_ms))?;
        }
        Ok(())
    }

    /// Returns the pending groups that the backend is known to have further on: it said so, or its
    /// pages have brought them and are not merged yet.
    fn known_doubts(&self) -> Result<InDoubt, ReplicaError> {
        let mut known = self.upstream.accepted.clone();
        if self.has_backlog() {
            let after = self.meta.state_head;
            known.extend(log::pending_groups_after(&self.connection, after, &self.tail)?);
        }
        Ok(InDoubt::These(known))
    }

    /// Merges the pages that were put off because more messages were waiting.
    pub(super) fn merge_backlog(&mut self, now_ms: u64) {
        if !self.has_backlog() {
            return;
        }
        let merge = |replica: &mut Self| {
            let in_doubt = replica.known_doubts()?;
            replica.catch_up(replica.as_known(&in_doubt, now_ms))?;
            replica.settle_doubts(now_ms)?;
            replica.revise_if_due(now_ms)
        };
        match merge(self) {
            // The pages are all here; an answer to a push may still be owed.
            Ok(()) if self.upstream.in_flight.is_none() => self.upstream.waiting_since_ms = None,
            Ok(()) => {}
            Err(Trouble::Replica(error)) => self.upstream.fail(&error),
            Err(Trouble::Violation(Violation(message))) => {
                self.upstream.last_error = Some(message);
                self.upstream.hang_up();
            }
        }
    }

    pub(super) fn receive_page(&mut self, page: Page, now_ms: u64) -> Result<(), Trouble> {
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
            self.learn_backend_head(page.head);
            return Ok(());
        }
        if page.end.hash != hash {
            return Err(violation("a page whose content does not lead to its log hash"));
        }
        self.learn_backend_head(page.head);
        let is_last = self.upstream.backend_head < Some(next);
        let more_to_come = !is_last || self.upstream.more_waits;
        // A push that we have forgotten may still be on its way, and be taken at the end of what
        // the backend has: until we are there, no group of ours is given up.
        let in_doubt = if mutant::is_active(Mutant::PageMergedEarly) {
            InDoubt::These(HashSet::new())
        } else if !is_last {
            InDoubt::All
        } else {
            self.known_doubts()?
        };
        // The page may bring the rest of what the backend has.
        let is_here = |id: &GroupId| incoming.iter().any(|(group, _)| group.group.id() == *id);
        let all_here = is_last && self.upstream.accepted.iter().all(is_here);
        let revises = all_here && self.upstream.in_flight.is_none();
        let redo = Redo { in_doubt: &in_doubt, revises, now_ms };
        if let Err(error) = self.take_in_whole(&incoming, more_to_come, redo) {
            return Err(match self.repeated_group(&incoming)? {
                Some(id) => violation(format!("the log holds group {id} a second time")),
                None => error.into(),
            });
        }
        for (confirmed, _) in &incoming {
            self.upstream.accepted.remove(&confirmed.group.id());
        }
        self.settle_doubts(now_ms)
    }

    /// Finds a group that the log holds already, or that comes twice.
    ///
    /// The log's index refuses such a group, so it is looked for only when a step has failed.
    fn repeated_group(
        &self,
        incoming: &[(ConfirmedGroup, LogHash)],
    ) -> Result<Option<GroupId>, ReplicaError> {
        let mut seen = HashSet::new();
        for (confirmed, _) in incoming {
            let id = confirmed.group.id();
            if !seen.insert(id) || log::positions(&self.connection, id)?.is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Takes groups in, in one step.
    fn take_in_whole(
        &mut self,
        incoming: &[(ConfirmedGroup, LogHash)],
        more_to_come: bool,
        redo: Redo<'_>,
    ) -> Result<(), ReplicaError> {
        if mutant::is_active(Mutant::HalfGroupVisible)
            && let [before @ .., (confirmed, hash)] = incoming
            && let [first, others @ ..] = confirmed.group.events()
            && !others.is_empty()
        {
            let group = &confirmed.group;
            let part = |at, events: &[Event]| {
                let (client_id, session_id) = (group.client_id().clone(), group.session_id());
                let part = Group::new(group.id(), client_id, session_id.clone(), events.to_vec());
                let group = part.expect("a part of a group is a group");
                (ConfirmedGroup { first: at, group }, *hash)
            };
            let halves = [
                part(confirmed.first, std::slice::from_ref(first)),
                part(confirmed.first.next(), others),
            ];
            self.take_in(before, more_to_come, redo)?;
            self.take_in(&halves[..1], more_to_come, redo)?;
            // The log refuses a second end of the group.
            let sql = "UPDATE __livestore_eventlog SET log_hash = NULL WHERE seq = ?";
            self.connection.system().execute(sql, [confirmed.first.0 as i64])?;
            return self.take_in(&halves[1..], more_to_come, redo);
        }
        self.take_in(incoming, more_to_come, redo)
    }

    pub(super) fn learn_backend_head(&mut self, head: GlobalSeqNum) {
        self.upstream.backend_head = self.upstream.backend_head.max(Some(head));
    }

    fn receive_accepted(&mut self, accepted: &PushAccepted, now_ms: u64) -> Result<(), Trouble> {
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
        if at != head && log::log_hash(&self.connection, at.seq)? != Some(at.hash) {
            return Err(violation("a push was accepted where pages say that others are"));
        }
        if self.has_backlog() {
            // Pages have brought some of the groups, and are not merged yet; the others stand behind.
            let incoming = self.as_confirmed(rest, at.seq)?;
            let in_doubt = self.known_doubts()?;
            self.take_in(&incoming, false, self.as_known(&in_doubt, now_ms))?;
        } else {
            self.confirm_in_place(rest)?;
        }
        self.learn_backend_head(accepted.end.seq);
        Ok(())
    }

    /// Reads pending groups as what stands in the log after a position.
    fn as_confirmed(
        &self,
        groups: &[InPlace],
        after: GlobalSeqNum,
    ) -> Result<Vec<(ConfirmedGroup, LogHash)>, ReplicaError> {
        let mut incoming: Vec<(ConfirmedGroup, LogHash)> = Vec::with_capacity(groups.len());
        for InPlace { ordinals, hash, .. } in groups {
            let client_id = &self.meta.client_id;
            if let Some(own) = pending::group_at(&self.connection, ordinals.0, client_id)? {
                let first = incoming.last().map_or(after, |(before, _)| before.last()).next();
                incoming.push((ConfirmedGroup { first, group: own.group }, *hash));
            }
        }
        Ok(incoming)
    }

    fn receive_already(&mut self, already: &AlreadyAccepted) -> Result<(), Trouble> {
        let in_flight = self.answered(already.request)?;
        if already.groups.is_empty() {
            return Err(violation("a push was refused as a repeat of nothing"));
        }
        for group in &already.groups {
            let is_here = group.first <= self.head().seq;
            // A page may have brought it, be it merged yet or not.
            let stands = log::positions(&self.connection, group.id)?.map(|(first, _)| first);
            if !in_flight.has(group.id) || is_here && stands != Some(group.first) {
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
        // What the page brings may be here already, from an acknowledgement; then more follows.
        if let Some(page) = ahead.missing {
            self.receive_page(page, now_ms)?;
        }
        if self.upstream.backend_head <= Some(in_flight.base.seq) {
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
        // Those behind it are judged on the whole of what the backend has.
        let in_doubt = if self.is_catching_up() { InDoubt::All } else { self.known_doubts()? };
        self.reject(rejected.group, reason, self.as_known(&in_doubt, now_ms))?;
        if self.meta.attempt.is_some() {
            // That was the outcome of it.
            self.note_attempt(None)?;
        }
        Ok(())
    }

    fn receive_goodbye(&mut self, goodbye: Goodbye) {
        let Goodbye { reason, message } = goodbye;
        match reason {
            GoodbyeReason::HistoryDiverged => {
                self.search_common_history();
                self.upstream.last_error = Some(format!("the histories differ: {message}"));
                self.upstream.disconnect = true;
            }
            GoodbyeReason::UnsupportedVersion => {
                self.upstream.stop(StopReason::UnsupportedVersion { message });
            }
            GoodbyeReason::Unauthenticated | GoodbyeReason::Forbidden => {
                self.upstream.stop(StopReason::NotAuthorized { message });
            }
            _ => {
                self.upstream.token_expired = reason == GoodbyeReason::AuthExpired;
                if self.upstream.token_expired && mutant::is_active(Mutant::TokenExpiryDropsQueue) {
                    self.drop_queue();
                }
                if reason == GoodbyeReason::Superseded {
                    // Two stores with one client id end each other's conversations: that one has
                    // lasted for as long as the other has paused says nothing good of it.
                    self.upstream.welcomed_at_ms = None;
                }
                self.upstream.last_error = Some(format!("the backend said goodbye: {message}"));
                self.upstream.disconnect = true;
            }
        }
    }

    /// What must never happen to pending groups.
    fn drop_queue(&self) {
        for table in ["__livestore_pending", "__livestore_pending_group"] {
            _ = self.connection.system().execute(&format!("DELETE FROM {table}"), []);
        }
    }

    pub(super) fn answered(&mut self, request: u64) -> Result<InFlight, Trouble> {
        match self.upstream.in_flight.take() {
            Some(in_flight) if in_flight.request == request => Ok(in_flight),
            _ => Err(violation(format!("an answer to request {request}, which is not open"))),
        }
    }
}
