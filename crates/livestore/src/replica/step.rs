//! A step: one transaction, and the replica's own fields only once that is committed.

use livestore_core::GroupId;
use livestore_sqlite::ChangedTables;

use super::exceptions::Counts;
use super::format::Meta;
use super::materialize::Place;
use super::pending::{self, Tail};
use super::{Fate, Replica, ReplicaError, log};

/// What a step leads to; taken over only once the step is committed.
#[derive(Debug, Clone)]
pub(super) struct Next {
    pub(super) meta: Meta,
    pub(super) tail: Tail,
    pub(super) counts: Counts,
    pub(super) changed: ChangedTables,
    pub(super) fates: Vec<(GroupId, Fate)>,
    /// The first event of the log that it met and the schema does not know, if the app wants to hear
    /// of each.
    pub(super) unknown: Option<Place>,
    /// True if pending groups were undone and done again.
    pub(super) rebased: bool,
    /// True if pending groups were made anew, so that what is on the disk of them is not safe yet.
    pub(super) rewritten: bool,
}

impl Replica {
    /// Runs one step.
    pub(super) fn step(
        &mut self,
        run: impl FnOnce(&Self, &mut Next) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        let mut next = Next {
            meta: self.meta.clone(),
            tail: self.tail,
            counts: self.counts,
            changed: ChangedTables::default(),
            fates: Vec::new(),
            unknown: None,
            rebased: false,
            rewritten: false,
        };
        let done = self.connection.transaction(|| {
            run(self, &mut next)?;
            self.settle_client_only(&mut next)?;
            let rebased = std::mem::take(&mut next.rebased);
            next.meta.rebases += u64::from(rebased);
            next.meta.generation =
                if next.tail.is_empty() { 0 } else { next.meta.generation + u32::from(rebased) };
            next.meta.save(&self.connection)?;
            Ok::<_, ReplicaError>(())
        });
        if let Err(error) = done {
            if let ReplicaError::Sqlite(error) = &error {
                self.note_disk(error);
            }
            return Err(error);
        }
        let letters_before = self.counts.dead_letters;
        let Next { meta, tail, counts, changed, fates, unknown, rewritten, .. } = next;
        if rewritten {
            self.barriers.forget();
        }
        (self.meta, self.tail, self.counts) = (meta, tail, counts);
        self.changes.extend(&changed);
        let is_rejection = |(_, fate): &(_, Fate)| matches!(fate, Fate::Rejected { .. });
        self.dead_letters_changed |=
            fates.iter().any(is_rejection) || letters_before != counts.dead_letters;
        self.fates.extend(fates);
        if let Some(place) = unknown {
            self.note_unknown_from(place);
        }
        self.tidy_wal();
        Ok(())
    }

    /// Moves client-only groups that no synced one stands before any more to their place.
    pub(super) fn settle_client_only(&self, next: &mut Next) -> Result<(), ReplicaError> {
        if next.tail.client_only_groups == 0 || next.meta.rebuild.is_some() {
            return Ok(());
        }
        let leading = pending::leading_client_only(&self.connection)?;
        if leading.is_empty() {
            return Ok(());
        }
        let mut place = log::next_client_only(&self.connection, next.meta.state_head)?;
        for ordinals in leading {
            next.tail.remove(true, events_in(ordinals));
            place = pending::settle(&self.connection, ordinals, place)?;
        }
        Ok(())
    }
}

/// Counts the events from one ordinal to another.
pub(super) fn events_in((first, last): (i64, i64)) -> u64 {
    (last - first + 1) as u64
}
