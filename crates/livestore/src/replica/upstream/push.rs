//! Pushing: as much of the tail as fits one message, when nothing stands against it.

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::mutant::{self, Mutant};
use livestore_core::protocol::Push;
use livestore_core::{GroupId, LogPosition};

use super::{Phase, Replica};
use crate::replica::ReplicaError;
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
        if tail.is_empty() {
            return Ok(None);
        }
        let base = self.head();
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
