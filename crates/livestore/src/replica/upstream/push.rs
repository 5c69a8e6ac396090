//! Pushing: as much of the tail as fits one message, when nothing stands against it.

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::mutant::{self, Mutant};
use livestore_core::protocol::Push;
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, GroupId, LogPosition};
use livestore_sqlite::SqliteError;

use super::{Phase, Replica};
use crate::replica::ReplicaError;
use crate::replica::format::{Attempt, Meta};
use crate::replica::log;
use crate::replica::merge::InPlace;
use crate::replica::pending::{self, PendingGroup};

/// A push whose answer is awaited.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) request: u64,
    /// What its first group continues.
    pub(super) base: LogPosition,
    pub(super) groups: Vec<InPlace>,
}

impl InFlight {
    pub(super) fn has(&self, id: GroupId) -> bool {
        self.groups.iter().any(|group| group.id == id)
    }
}

impl Replica {
    /// Tells whether a push makes sense now: connected, nothing under way, nothing in doubt, and
    /// nothing missing that the backend is known to have.
    pub(in crate::replica) fn may_push(&self) -> bool {
        matches!(self.upstream.phase, Phase::Live)
            && self.upstream.in_flight.is_none()
            && self.tail.groups > 0
            && self.tail.unapplied == 0
            && !self.meta.revision_due
            && !self.is_republishing()
            && !self.has_backlog()
            && self.upstream.backend_head <= Some(self.head().seq)
            && self.upstream.accepted.is_empty()
    }

    /// Makes the push of as much of the tail as fits one, and as is safe on disk.
    pub(super) fn next_push(&mut self) -> Result<Option<Push>, ReplicaError> {
        let is_full = |groups: &[PendingGroup]| {
            let bytes: usize = groups.iter().map(|own| own.group.size_bytes()).sum();
            let events: usize = groups.iter().map(|own| own.group.events().len()).sum();
            bytes >= PAGE_BYTES || events >= PAGE_EVENTS
        };
        let client_id = &self.meta.client_id;
        let mut tail = pending::groups(&self.connection, i64::MIN, client_id, is_full)?;
        tail.retain(|own| !own.client_only && self.is_durable(own.last()));
        tail.truncate(self.capabilities.push.fitting(tail.iter().map(|own| &own.group)));
        if let Some(noted) = self.open_attempt().filter(|_| !self.capabilities.keeps_ids) {
            // What was committed since then waits for the next push, or this one would wait for it.
            let mut events = 0;
            let is_noted = |own: &&PendingGroup| {
                events += own.group.event_count();
                events <= noted.events
            };
            let known = tail.iter().take_while(is_noted).count();
            if known > 0 {
                tail.truncate(known);
            }
        }
        let Some(last) = tail.last().map(PendingGroup::last) else { return Ok(None) };
        let base = self.head();
        let events = tail.iter().map(|own| own.group.event_count()).sum();
        let attempt = Attempt { base: base.seq, events };
        // What does not fit is never sent: the provider refuses it.
        let is_sent = self.capabilities.push.fits(&tail[0].group);
        if is_sent && !self.capabilities.keeps_ids && !self.is_noted(attempt) {
            self.note_attempt(Some(attempt))?;
            // It is as safe as what it is about, but for a power cut.
            if !self.is_durable(last) {
                return Ok(None);
            }
        }
        let mut hash = base.hash;
        let mut groups = Vec::with_capacity(tail.len());
        for own in &tail {
            hash = hash.extend(own.group.content_hash());
            groups.push(InPlace::new(own, hash));
        }
        let request = self.upstream.next_request;
        self.upstream.next_request += 1;
        self.upstream.in_flight = Some(InFlight { request, base, groups });
        let groups = tail.into_iter().map(|own| own.group).collect();
        Ok(Some(Push { request, base: base.seq, groups }))
    }

    /// Tells whether all of a push is known to have been tried.
    fn is_noted(&self, attempt: Attempt) -> bool {
        let is_part = |noted: Attempt| noted.base == attempt.base && attempt.events <= noted.events;
        self.meta.attempt.is_some_and(is_part)
    }

    /// Writes down what is going to be pushed to a backend that keeps no ids; the push waits until a power
    /// cut cannot take that either.
    pub(super) fn note_attempt(&mut self, attempt: Option<Attempt>) -> Result<(), ReplicaError> {
        let meta = Meta { attempt, ..self.meta.clone() };
        meta.save(&self.connection)?;
        self.meta = meta;
        self.barriers.forget();
        Ok(())
    }

    /// Returns the groups that were pushed on top of the log's end, to a backend that keeps no ids, and may
    /// be there; nothing if they are not safe from a power cut yet.
    pub(crate) fn attempted(&self) -> Result<Option<Vec<Group>>, SqliteError> {
        let Some(attempt) = self.open_attempt() else { return Ok(Some(Vec::new())) };
        let count = |groups: &[PendingGroup]| -> u64 {
            let synced = groups.iter().filter(|own| !own.client_only);
            synced.map(|own| own.group.event_count()).sum()
        };
        let is_enough = |groups: &[PendingGroup]| count(groups) >= attempt.events;
        let mut groups =
            pending::groups(&self.connection, i64::MIN, &self.meta.client_id, is_enough)?;
        groups.retain(|own| !own.client_only);
        while count(&groups) > attempt.events {
            groups.pop();
        }
        if groups.last().is_some_and(|own| !self.is_durable(own.last())) {
            return Ok(None);
        }
        Ok(Some(groups.into_iter().map(|own| own.group).collect()))
    }

    /// Returns the attempt whose outcome may not be known.
    fn open_attempt(&self) -> Option<Attempt> {
        self.meta.attempt.filter(|attempt| attempt.base == self.head().seq)
    }

    /// Sees to it that what was tried can be pushed once more at the beginning of a conversation.
    pub(super) fn secure_attempt(&mut self) {
        if !self.capabilities.keeps_ids && self.open_attempt().is_some() {
            self.require_full(self.tail.last);
        }
    }

    /// Reads confirmed groups behind a position, in order, as many as make a page.
    pub(crate) fn confirmed_after(
        &self,
        after: GlobalSeqNum,
    ) -> Result<Vec<ConfirmedGroup>, SqliteError> {
        log::confirmed_after(&self.connection, after, &self.meta.client_id)
    }

    /// Reads the confirmed group that ends at a position.
    pub(crate) fn confirmed_until(
        &self,
        last: GlobalSeqNum,
    ) -> Result<Option<ConfirmedGroup>, SqliteError> {
        log::confirmed_until(&self.connection, last, &self.meta.client_id)
    }

    /// Forgets the push that is under way: its outcome is learned at the next welcome.
    pub(super) fn forget_push(&mut self) {
        let Some(in_flight) = self.upstream.in_flight.take() else { return };
        if mutant::is_active(Mutant::LostAckPushedAsNew) {
            for group in in_flight.groups {
                let new = self.ids.group_id(0);
                let ids = [&new.as_bytes()[..], &group.id.as_bytes()[..]];
                for table in ["__livestore_pending", "__livestore_pending_group"] {
                    let sql = format!("UPDATE {table} SET group_id = ? WHERE group_id = ?");
                    _ = self.connection.system().execute(&sql, ids);
                }
            }
        }
    }
}
