//! Executing a merge: confirming in place, and rebasing the pending tail.

use std::collections::HashSet;

use livestore_core::merge::{Merge, PendingGroup as MergeKey, merge};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, GroupId, LogHash, LogPosition};
use livestore_sqlite::{ChangedTables, Preimages, SqliteError};

use super::eventlog::{self, PendingGroup};
use super::exceptions::DeadLetterReason;
use super::format::Meta;
use super::{Fate, Replica, ReplicaError};

/// What a step did besides writing to the database; taken over only once the step is committed.
#[derive(Debug, Default)]
struct Outcome {
    changed: ChangedTables,
    fates: Vec<(GroupId, Fate)>,
    left_tail: Left,
    rebased: bool,
    quarantined: u64,
    dead_letters: u64,
}

/// What a step took out of the pending tail.
#[derive(Debug, Default)]
struct Left {
    groups: u64,
    events: u64,
}

impl Left {
    fn add(&mut self, ordinals: (i64, i64)) {
        self.groups += 1;
        self.events += events_in(ordinals);
    }
}

/// A pending group that the backend has confirmed where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct InPlace {
    pub(super) id: GroupId,
    pub(super) ordinals: (i64, i64),
    pub(super) hash: LogHash,
}

impl InPlace {
    /// Returns where the log stands after the group, if it stands after a position.
    pub(super) fn end(&self, after: GlobalSeqNum) -> LogPosition {
        LogPosition { seq: after.plus(events_in(self.ordinals)), hash: self.hash }
    }
}

/// Pending groups that the backend has, or may have, further on.
///
/// If they do not apply, they are no dead letters but wait, without effect, until that is settled.
#[derive(Debug)]
pub(super) enum InDoubt {
    All,
    These(HashSet<GroupId>),
}

impl InDoubt {
    fn has(&self, id: GroupId) -> bool {
        match self {
            Self::All => true,
            Self::These(ids) => ids.contains(&id),
        }
    }
}

impl Replica {
    /// Confirms the first pending groups at the positions after the head; nothing else changes.
    pub(super) fn confirm_in_place(&mut self, groups: &[InPlace]) -> Result<(), ReplicaError> {
        self.step(|replica, meta, outcome| {
            groups.iter().try_for_each(|group| replica.confirm_one(group, meta, outcome))
        })
    }

    fn confirm_one(
        &self,
        group: &InPlace,
        meta: &mut Meta,
        outcome: &mut Outcome,
    ) -> Result<(), ReplicaError> {
        let InPlace { id, ordinals, hash } = *group;
        let first = meta.head.seq.next();
        eventlog::confirm_pending(&self.connection, ordinals, first, &meta.client_id, hash)?;
        outcome.left_tail.add(ordinals);
        meta.head = group.end(meta.head.seq);
        outcome.fates.push((id, Fate::Confirmed { first, last: meta.head.seq }));
        Ok(())
    }

    /// Merges groups that continue the confirmed log, with the log's hash after each of them.
    pub(super) fn merge_upstream(
        &mut self,
        incoming: &[(ConfirmedGroup, LogHash)],
        in_doubt: &InDoubt,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        self.step(|replica, meta, outcome| {
            replica.execute_merge(incoming, in_doubt, now_ms, meta, outcome)
        })
    }

    fn execute_merge(
        &self,
        incoming: &[(ConfirmedGroup, LogHash)],
        in_doubt: &InDoubt,
        now_ms: u64,
        meta: &mut Meta,
        outcome: &mut Outcome,
    ) -> Result<(), ReplicaError> {
        let (pending, candidates) = match self.tail.groups {
            0 => (Vec::new(), Vec::new()),
            _ => (
                eventlog::pending_ids(&self.connection, eventlog::ALL)?,
                self.pending_groups(|groups| groups.len() >= incoming.len())?,
            ),
        };
        let keys = pending.iter().map(|id| MergeKey { id: *id, client_only: false });
        let ids: Vec<_> = incoming.iter().map(|(confirmed, _)| confirmed.group.id()).collect();
        // All incoming groups before the asked one were confirmed in place, so ours is at the
        // same index.
        let merge = merge(keys, &ids, |index| {
            candidates[index].undo.is_some() && candidates[index].group == incoming[index].0.group
        });

        let (in_place, rest) = incoming.split_at(merge.confirmed());
        for (own, (_, hash)) in candidates.iter().zip(in_place) {
            let ordinals = (own.first, own.last());
            let group = InPlace { id: own.group.id(), ordinals, hash: *hash };
            self.confirm_one(&group, meta, outcome)?;
        }
        let (tail, taken) = match merge {
            Merge::Advance { .. } => (Vec::new(), HashSet::new()),
            Merge::Rebase { taken, .. } => (self.pending_groups(|_| false)?, taken),
        };
        self.undo(&tail, outcome)?;
        for (confirmed, hash) in rest {
            eventlog::append_confirmed(&self.connection, confirmed, *hash)?;
            outcome.quarantined += self.apply_confirmed(confirmed)?;
            let (first, last) = (confirmed.first, confirmed.last());
            meta.head = LogPosition { seq: last, hash: *hash };
            if taken.contains(&confirmed.group.id()) {
                outcome.fates.push((confirmed.group.id(), Fate::Confirmed { first, last }));
            }
        }
        outcome.changed.extend(&self.connection.discard_changes());
        for own in &tail {
            if taken.contains(&own.group.id()) {
                eventlog::remove_pending(&self.connection, own.first, own.last())?;
                outcome.left_tail.add((own.first, own.last()));
            } else {
                self.redo(own, in_doubt, now_ms, outcome)?;
            }
        }
        outcome.rebased = !tail.is_empty();
        Ok(())
    }

    /// Takes a pending group that the backend will never accept out of the tail.
    pub(super) fn reject(
        &mut self,
        rejected: GroupId,
        reason: &DeadLetterReason,
        in_doubt: &InDoubt,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        self.step(|replica, _, outcome| {
            let is_rejected = |own: &PendingGroup| own.group.id() == rejected;
            let tail = replica.undo_from(is_rejected, outcome)?;
            let Some((first, others)) = tail.split_first() else { return Ok(()) };
            replica.bury_in_step(first, reason.clone(), now_ms, outcome)?;
            for own in others {
                replica.redo(own, in_doubt, now_ms, outcome)?;
            }
            outcome.rebased = !others.is_empty();
            Ok(())
        })
    }

    /// Applies the tail again from the first group on whose effects are not in the state.
    pub(super) fn try_unapplied(
        &mut self,
        in_doubt: &InDoubt,
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        self.step(|replica, _, outcome| {
            let tail = replica.undo_from(|own| own.undo.is_none(), outcome)?;
            for own in &tail {
                replica.redo(own, in_doubt, now_ms, outcome)?;
            }
            outcome.rebased = !tail.is_empty();
            Ok(())
        })
    }

    /// Undoes the tail from the first group on for which the closure holds, and returns it.
    fn undo_from(
        &self,
        is_first: impl FnMut(&PendingGroup) -> bool,
        outcome: &mut Outcome,
    ) -> Result<Vec<PendingGroup>, ReplicaError> {
        let mut all = self.pending_groups(|_| false)?;
        let from = all.iter().position(is_first).unwrap_or(all.len());
        let tail = all.split_off(from);
        self.undo(&tail, outcome)?;
        Ok(tail)
    }

    /// Runs one step: a transaction, and the replica's own fields only once that is committed.
    fn step(
        &mut self,
        run: impl FnOnce(&Self, &mut Meta, &mut Outcome) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        let (mut meta, mut outcome) = (self.meta.clone(), Outcome::default());
        self.connection.transaction(|| {
            run(self, &mut meta, &mut outcome)?;
            let tail_is_empty = outcome.left_tail.groups == self.tail.groups;
            meta.generation = match (tail_is_empty, outcome.rebased) {
                (true, _) => 0,
                (false, rebased) => meta.generation + u32::from(rebased),
            };
            meta.rebases += u64::from(outcome.rebased);
            meta.save(&self.connection)?;
            Ok::<_, ReplicaError>(())
        })?;
        self.meta = meta;
        self.changes.extend(&outcome.changed);
        self.fates.extend(outcome.fates);
        self.tail.groups -= outcome.left_tail.groups;
        self.tail.events -= outcome.left_tail.events;
        self.quarantined += outcome.quarantined;
        self.dead_letters += outcome.dead_letters;
        Ok(())
    }

    fn pending_groups(
        &self,
        enough: impl FnMut(&[PendingGroup]) -> bool,
    ) -> Result<Vec<PendingGroup>, SqliteError> {
        eventlog::pending_groups(&self.connection, 0, &self.meta.client_id, enough)
    }

    /// Brings the state back to what it was before these groups, which are the end of the tail.
    fn undo(&self, tail: &[PendingGroup], outcome: &mut Outcome) -> Result<(), ReplicaError> {
        let steps = tail.iter().filter_map(|own| own.undo.as_deref());
        let steps = steps.map(|undo| self.connection.decode_undo(undo));
        let preimages = Preimages::join(steps.collect::<Result<Vec<_>, _>>()?);
        outcome.changed.extend(&self.connection.undo(&preimages)?);
        Ok(())
    }

    /// Applies one group of the tail again, on the state as it is now.
    fn redo(
        &self,
        own: &PendingGroup,
        in_doubt: &InDoubt,
        now_ms: u64,
        outcome: &mut Outcome,
    ) -> Result<(), ReplicaError> {
        match self.apply_pending(&own.group)? {
            Ok(()) => {
                let preimages = self.connection.take_changes();
                outcome.changed.extend(&preimages.tables());
                eventlog::set_undo(&self.connection, own.first, Some(&preimages.encode()))?;
            }
            Err(_) if in_doubt.has(own.group.id()) => {
                eventlog::set_undo(&self.connection, own.first, None)?;
            }
            Err(reason) => self.bury_in_step(own, reason, now_ms, outcome)?,
        }
        Ok(())
    }

    fn bury_in_step(
        &self,
        own: &PendingGroup,
        reason: DeadLetterReason,
        now_ms: u64,
        outcome: &mut Outcome,
    ) -> Result<(), ReplicaError> {
        let fate = self.bury(own, reason, now_ms)?;
        outcome.fates.push((own.group.id(), fate));
        outcome.left_tail.add((own.first, own.last()));
        outcome.dead_letters += 1;
        Ok(())
    }
}

fn events_in((first, last): (i64, i64)) -> u64 {
    (last - first + 1) as u64
}
