//! A step: one transaction, and the replica's own fields only once that is committed.

use livestore_core::GroupId;
use livestore_sqlite::{Changes, SqliteError};

use super::exceptions::Counts;
use super::format::Meta;
use super::leader::SessionKey;
use super::materialize::Place;
use super::pending::{self, Tail};
use super::session::OWN;
use super::{Fate, Replica, ReplicaError, log};
use crate::session::message::Advance;

/// What a step leads to; taken over only once the step is committed.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that a step may have done")]
pub(super) struct Next {
    pub(super) meta: Meta,
    pub(super) tail: Tail,
    pub(super) counts: Counts,
    pub(super) changed: Changes,
    pub(super) fates: Vec<(GroupId, Fate)>,
    /// The first event of the log that it met and the schema does not know, if the app wants to hear
    /// of each.
    pub(super) unknown: Option<Place>,
    /// True if pending groups were undone and done again.
    pub(super) rebased: bool,
    /// True if pending groups were made anew, so that what is on the disk of them is not safe yet.
    pub(super) rewritten: bool,
    /// What sessions are told of it, if there are any.
    pub(super) advance: Option<Box<Advance>>,
    /// Bytes of what they are told.
    told_bytes: usize,
    /// True if the log is no continuation of what sessions have, or so much has changed that they had
    /// better begin anew.
    pub(super) restarts_sessions: bool,
    /// True if something of a session's was taken otherwise than it was there.
    pub(super) deviates: bool,
    /// True if there are other dead letters than before.
    pub(super) letters_changed: bool,
}

/// Bytes that one advance tells of at most.
const MAX_TOLD_BYTES: usize = 8 << 20;

impl Next {
    /// Returns a copy for something that may not be done after all, which knows of no changes yet, and
    /// of which sessions are told nothing.
    pub(super) fn branch(&mut self) -> Self {
        let (advance, changed) = (self.advance.take(), std::mem::take(&mut self.changed));
        let branch = self.clone();
        (self.advance, self.changed) = (advance, changed);
        branch
    }

    /// Takes over what was done on a branch.
    pub(super) fn become_branch(&mut self, branch: Self) {
        let (advance, mut changed) = (self.advance.take(), std::mem::take(&mut self.changed));
        changed.extend(branch.changed);
        *self = Self { changed, advance, ..branch };
    }

    /// Writes something of so many bytes down for the sessions, if there are any.
    pub(super) fn note(&mut self, bytes: usize, note: impl FnOnce(&mut Advance)) {
        let Some(advance) = &mut self.advance else { return };
        note(advance);
        self.told_bytes += bytes;
        if self.told_bytes > MAX_TOLD_BYTES {
            self.advance = None;
            self.restarts_sessions = true;
        }
    }
}

impl Replica {
    /// Runs one step.
    pub(super) fn step(
        &mut self,
        run: impl FnOnce(&Self, &mut Next) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        self.step_for(None, run)
    }

    /// Runs one step that a session has asked for.
    pub(super) fn step_for(
        &mut self,
        cause: Option<SessionKey>,
        run: impl FnOnce(&Self, &mut Next) -> Result<(), ReplicaError>,
    ) -> Result<(), ReplicaError> {
        let done = self.try_step(cause, run);
        if let Err(ReplicaError::Sqlite(error)) = &done {
            self.note_disk(error);
        }
        done
    }

    /// Runs one step that can fail in other ways than those of a replica.
    pub(super) fn try_step<R, E: From<SqliteError>>(
        &mut self,
        cause: Option<SessionKey>,
        run: impl FnOnce(&Self, &mut Next) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut next = Next {
            meta: self.meta.clone(),
            tail: self.tail,
            counts: self.counts,
            changed: Changes::default(),
            fates: Vec::new(),
            unknown: None,
            rebased: false,
            rewritten: false,
            advance: self.feed.is_read().then(Box::default),
            told_bytes: 0,
            restarts_sessions: false,
            deviates: false,
            letters_changed: false,
        };
        let result = self.connection.transaction(|| {
            let result = run(self, &mut next)?;
            self.settle_client_only(&mut next)?;
            let rebased = std::mem::take(&mut next.rebased);
            next.meta.rebases += u64::from(rebased);
            next.meta.generation =
                if next.tail.is_empty() { 0 } else { next.meta.generation + u32::from(rebased) };
            next.meta.save(&self.connection)?;
            Ok::<_, E>(result)
        })?;
        let letters_before = self.counts.dead_letters;
        let Next { meta, tail, counts, changed, fates, unknown, rewritten, advance, .. } = next;
        if next.restarts_sessions {
            self.restart_sessions();
        }
        if rewritten {
            self.barriers.forget();
        }
        (self.meta, self.tail, self.counts) = (meta, tail, counts);
        self.changes.extend(changed);
        let is_rejection = |(_, fate): &(_, Fate)| matches!(fate, Fate::Rejected { .. });
        self.dead_letters_changed |= next.letters_changed
            || fates.iter().any(is_rejection)
            || letters_before != counts.dead_letters;
        self.fates.extend(fates);
        if let Some(place) = unknown {
            self.note_unknown_from(place);
        }
        if !next.restarts_sessions {
            // What a session did not do itself, it has to see before it is taken at its word.
            self.publish(advance, cause.filter(|_| !next.deviates));
        }
        self.tidy_wal();
        Ok(result)
    }

    /// Moves client-only groups that no synced one stands before any more to their place.
    ///
    /// In a session that is for those alone which the leader has.
    pub(super) fn settle_client_only(&self, next: &mut Next) -> Result<(), SqliteError> {
        if next.tail.client_only_groups == 0 || next.meta.rebuild.is_some() {
            return Ok(());
        }
        let before = if self.is_session() { OWN } else { i64::MAX };
        let leading = pending::leading_client_only(&self.connection, before)?;
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
