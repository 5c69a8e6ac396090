//! Following upstream: confirming in place, applying what is new, and rebasing the pending tail.
//!
//! A rebase works from the disk and in slices, so that a long tail costs no memory. While more is
//! to come, it also gathers about as many upstream events as the tail is long before it undoes
//! and does the tail again: the log on disk is then ahead of the state.

use std::collections::{HashMap, HashSet};

use livestore_core::merge::merge;
use livestore_core::mutant::{self, Mutant};
use livestore_core::{
    ConfirmedGroup, ContentHash, GlobalSeqNum, Group, GroupId, LogHash, LogPosition, SeqNum,
};
use livestore_sqlite::Preimages;

use super::exceptions::{self, DeadLetter, DeadLetterReason};
use super::log::SLICE_BYTES;
use super::materialize::{Authored, Place};
use super::pending::{self, Found, Origin, PendingGroup};
use super::revise::Revision;
use super::step::{Next, events_in};
use super::{Fate, Replica, ReplicaError, log};
use crate::event::EventKind;
use crate::session::message::TailGroup;

/// Undo data that is in memory at a time, in bytes.
const UNDO_BYTES: usize = 1 << 20;
/// Pending groups that are in memory at a time, in events.
const REDO_EVENTS: usize = 1_000;
/// What the note of an id and a hash takes, in bytes.
pub(super) const NOTE_BYTES: usize = 128;
/// Rows of the log that are in memory at a time.
pub(super) const LOG_ROWS: usize = 500;

/// A pending group that the backend has confirmed where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct InPlace {
    pub(super) id: GroupId,
    pub(super) ordinals: (i64, i64),
    pub(super) hash: LogHash,
    /// Its content as it was first, if it has another one now.
    pub(super) submitted: Option<ContentHash>,
}

impl InPlace {
    pub(super) fn new(own: &PendingGroup, hash: LogHash) -> Self {
        let (id, submitted) = (own.group.id(), own.origin.submitted);
        Self { id, ordinals: own.ordinals(), hash, submitted }
    }

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

/// The pending groups that the log holds, and from where to where.
pub(super) type Taken = HashMap<GroupId, (GlobalSeqNum, GlobalSeqNum)>;

/// Where a rebase puts what it finds in the tail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redo<'a> {
    pub(super) in_doubt: &'a InDoubt,
    /// True if it is known of every group what the backend has made of it, so that commands may be
    /// run again.
    pub(super) revises: bool,
    pub(super) now_ms: u64,
}

impl Replica {
    /// Confirms the first pending groups at the positions after the head; nothing else changes.
    pub(super) fn confirm_in_place(&mut self, groups: &[InPlace]) -> Result<(), ReplicaError> {
        self.step(|replica, next| {
            groups.iter().try_for_each(|group| replica.confirm_one(group, next))
        })
    }

    pub(super) fn confirm_one(&self, group: &InPlace, next: &mut Next) -> Result<(), ReplicaError> {
        let InPlace { id, ordinals, hash, submitted } = *group;
        let (first, client_id) = (next.meta.head.seq.next(), &next.meta.client_id);
        pending::confirm(&self.connection, ordinals, first, client_id, hash)?;
        next.tail.remove(false, events_in(ordinals));
        next.meta.head = group.end(next.meta.head.seq);
        next.meta.state_head = next.meta.head.seq;
        let last = next.meta.head.seq;
        next.fates.push((id, self.confirmed(id, (first, last), submitted)?));
        next.note(NOTE_BYTES, |advance| advance.confirmed.push((id, hash)));
        // At once: what comes next in the log was not there yet when they were committed.
        Ok(self.settle_client_only(next)?)
    }

    /// Takes groups that continue the log, with the log's hash after each of them.
    ///
    /// `more_to_come` tells that the backend has further groups, which are on their way.
    pub(super) fn take_in(
        &mut self,
        incoming: &[(ConfirmedGroup, LogHash)],
        more_to_come: bool,
        redo: Redo<'_>,
    ) -> Result<(), ReplicaError> {
        if mutant::is_active(Mutant::HeadBeforeEvents)
            && let Some((last, hash)) = incoming.last()
        {
            let mut meta = self.meta.clone();
            meta.head = LogPosition { seq: last.last(), hash: *hash };
            meta.save(&self.connection)?;
        }
        let is_behind = self.has_backlog();
        self.step(|replica, next| {
            let rest = if is_behind { incoming } else { replica.confirm_prefix(incoming, next)? };
            let is_clear = !is_behind && next.tail.is_empty();
            for (confirmed, hash) in rest {
                log::append(&replica.connection, confirmed, *hash)?;
                next.meta.head = LogPosition { seq: confirmed.last(), hash: *hash };
                let bytes = confirmed.group.size_bytes();
                next.note(bytes, |advance| advance.logged.push((confirmed.clone(), *hash)));
            }
            if is_clear {
                let events = rest.iter().flat_map(|(confirmed, _)| confirmed_events(confirmed));
                replica.apply_all(events, replica.stops(), next)?;
                next.meta.state_head = next.meta.head.seq;
                next.note(0, |advance| advance.is_merged = true);
            }
            let backlog = next.meta.head.seq.0 - next.meta.state_head.0;
            let tail = next.tail.events + next.tail.client_only_events;
            if backlog > 0 && !(more_to_come && backlog < tail) {
                replica.rebase(redo, next)?;
            }
            replica.forget_letters(next)
        })
    }

    /// Forgets dead letters that the log holds after all.
    ///
    /// That can be if the backend was restored from a backup that had them still, or if it took a
    /// group that an opening without a backend had given up.
    pub(super) fn forget_letters(&self, next: &mut Next) -> Result<(), ReplicaError> {
        if next.counts.dead_letters == 0 || next.meta.state_head == self.meta.state_head {
            return Ok(());
        }
        let up_to = next.meta.state_head;
        for id in exceptions::letters_in_log(&self.connection, self.meta.state_head, up_to)? {
            exceptions::exhume(&self.connection, id)?;
            next.counts.dead_letters -= 1;
            next.letters_changed = true;
            if let Some((first, last)) = log::positions(&self.connection, id)? {
                next.fates.push((id, Fate::Confirmed { first, last }));
            }
        }
        Ok(())
    }

    /// Confirms the pending groups that come first in the incoming ones as well; returns the rest.
    fn confirm_prefix<'a>(
        &self,
        incoming: &'a [(ConfirmedGroup, LogHash)],
        next: &mut Next,
    ) -> Result<&'a [(ConfirmedGroup, LogHash)], ReplicaError> {
        if next.tail.groups == 0 {
            return Ok(incoming);
        }
        let events_in = |(confirmed, _): &(ConfirmedGroup, LogHash)| confirmed.group.event_count();
        let many: u64 = incoming.iter().map(events_in).sum::<u64>() + REDO_EVENTS as u64;
        let (mut events, mut synced, mut counted) = (0, 0, 0);
        let enough = |groups: &[PendingGroup]| {
            for own in &groups[counted..] {
                events += own.group.event_count();
                synced += usize::from(!own.client_only);
            }
            counted = groups.len();
            synced >= incoming.len() || events >= 2 * many
        };
        let own = pending::groups(&self.connection, i64::MIN, &next.meta.client_id, enough)?;
        let synced: Vec<_> = own.iter().filter(|own| !own.client_only).collect();
        let ids: Vec<_> = incoming.iter().map(|(confirmed, _)| confirmed.group.id()).collect();
        let keys = own.iter().map(PendingGroup::key);
        let merge = merge(keys, &ids, |index| {
            synced[index].undo.is_some() && synced[index].group == incoming[index].0.group
        });
        let confirmed = merge.confirmed();
        let confirmed_own: Vec<&PendingGroup> = if mutant::is_active(Mutant::ConfirmByPosition) {
            own.iter().collect()
        } else {
            synced
        };
        for (own, (_, hash)) in confirmed_own.iter().zip(&incoming[..confirmed]) {
            self.confirm_one(&InPlace::new(own, *hash), next)?;
        }
        Ok(&incoming[confirmed..])
    }

    /// Tells whether the log on disk is ahead of the state.
    pub(super) fn has_backlog(&self) -> bool {
        self.meta.state_head < self.meta.head.seq
    }

    /// Brings the state to the end of the log on disk.
    pub(super) fn catch_up(&mut self, redo: Redo<'_>) -> Result<(), ReplicaError> {
        self.step(|replica, next| {
            replica.rebase(redo, next)?;
            replica.forget_letters(next)
        })
    }

    /// Undoes the tail, applies what the log has beyond the state, and does the tail again.
    fn rebase(&self, redo: Redo<'_>, next: &mut Next) -> Result<(), ReplicaError> {
        self.undo_from(i64::MIN, next)?;
        self.rebase_undone(redo, next)
    }

    /// Applies what the log has beyond the state, and does the tail again, which is undone.
    pub(super) fn rebase_undone(
        &self,
        redo: Redo<'_>,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let from = next.meta.state_head;
        next.note(0, |advance| advance.is_merged = true);
        self.apply_backlog(next)?;
        let taken = self.taken_after(from, next)?;
        next.meta.revision_due &= !redo.revises;
        self.redo_from(i64::MIN, &taken, redo, next)
    }

    /// Makes the pending groups anew whose turn has not come yet since the state under them changed.
    pub(super) fn revise_tail(&mut self, redo: Redo<'_>) -> Result<(), ReplicaError> {
        self.step(|replica, next| replica.rebase(redo, next))
    }

    /// Applies what the log has beyond the state.
    fn apply_backlog(&self, next: &mut Next) -> Result<(), ReplicaError> {
        let own = next.meta.client_id.clone();
        let mut after = (next.meta.state_head, u32::MAX);
        loop {
            let rows = log::rows(&self.connection, after, next.meta.head.seq, LOG_ROWS, &own)?;
            let Some(last) = rows.last() else { break };
            after = (GlobalSeqNum(last.at), last.client);
            let events = rows.iter().map(|row| (row.place(), row.authored()));
            self.apply_all(events, self.stops(), next)?;
        }
        next.meta.state_head = next.meta.head.seq;
        Ok(())
    }

    /// Finds the pending groups that the log holds behind a position, and where.
    fn taken_after(&self, after: GlobalSeqNum, next: &Next) -> Result<Taken, ReplicaError> {
        let mut taken = Taken::new();
        for id in log::pending_groups_after(&self.connection, after, &next.tail)? {
            if let Some(positions) = log::positions(&self.connection, id)? {
                taken.insert(id, positions);
            }
        }
        Ok(taken)
    }

    /// Returns the fate of a group that the log holds; `submitted` is its content as it was first, if
    /// the log has another one.
    fn confirmed(
        &self,
        id: GroupId,
        (first, last): (GlobalSeqNum, GlobalSeqNum),
        submitted: Option<ContentHash>,
    ) -> Result<Fate, ReplicaError> {
        let Some(submitted) = submitted else { return Ok(Fate::Confirmed { first, last }) };
        log::note_rewritten(&self.connection, id, submitted)?;
        Ok(Fate::Rewritten { first, last })
    }

    /// Takes a pending group that the backend will never accept out of the tail.
    pub(super) fn reject(
        &mut self,
        rejected: GroupId,
        reason: DeadLetterReason,
        redo: Redo<'_>,
    ) -> Result<(), ReplicaError> {
        self.step(|replica, next| {
            let Some(Found { first, last, .. }) =
                pending::find(&replica.connection, &next.tail, rejected)?
            else {
                return Ok(());
            };
            if mutant::is_active(Mutant::TailOvertakesRejected) && last < next.tail.last {
                return replica.move_to_end((first, last), next);
            }
            let leaves_later = mutant::is_active(Mutant::RejectionLeavesLater);
            // Those before it may have to be made anew, and those behind it are judged by that.
            let is_due = next.meta.revision_due && redo.revises;
            let is_rebase = is_due || replica.has_backlog() && replica.has_all_pages();
            if leaves_later {
                replica.undo_between(first, last + 1, next)?;
            } else {
                replica.undo_from(if is_rebase { i64::MIN } else { first }, next)?;
            }
            let own = pending::group_at(&replica.connection, first, &next.meta.client_id)?;
            if let Some(own) = own {
                replica.bury(&own, reason.clone(), redo.now_ms, next)?;
            }
            if leaves_later {
                return Ok(());
            }
            if is_rebase {
                replica.rebase_undone(redo, next)?;
                return replica.forget_letters(next);
            }
            replica.redo_from(last + 1, &Taken::new(), redo, next)
        })
    }

    /// Applies the tail again from the first group on whose effects are not in the state.
    pub(super) fn try_unapplied(&mut self, redo: Redo<'_>) -> Result<(), ReplicaError> {
        self.step(|replica, next| {
            let Some(first) = pending::first_unapplied(&replica.connection)? else {
                return Ok(());
            };
            replica.undo_from(first, next)?;
            // If those before it are to be made anew, those behind it are not yet.
            let revises = redo.revises && !next.meta.revision_due;
            replica.redo_from(first, &Taken::new(), Redo { revises, ..redo }, next)
        })
    }

    /// Brings the state back to what it was before the pending groups from an ordinal on.
    pub(super) fn undo_from(&self, from: i64, next: &mut Next) -> Result<(), ReplicaError> {
        self.undo_between(from, i64::MAX, next)
    }

    /// Undoes the pending groups from an ordinal up to, but not including, another one.
    fn undo_between(
        &self,
        from: i64,
        mut before: i64,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        loop {
            let (steps, rest) = pending::undo_before(&self.connection, (from, before), UNDO_BYTES)?;
            let oldest_first = steps.iter().rev().map(|undo| self.connection.decode_undo(undo));
            let preimages = Preimages::join(oldest_first.collect::<Result<Vec<_>, _>>()?);
            next.changed.extend(self.connection.undo(&preimages)?);
            match rest {
                Some(rest) => before = rest,
                None => return Ok(()),
            }
        }
    }

    /// Applies the pending groups from an ordinal on again; those that were taken just leave.
    pub(super) fn redo_from(
        &self,
        mut from: i64,
        taken: &Taken,
        redo: Redo<'_>,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let mut after = log::pending_seq(&self.connection, &next.meta, from.saturating_sub(1))?;
        loop {
            let chunk = self.pending_chunk(from, next)?;
            let Some(last) = chunk.last() else { return Ok(()) };
            // It may have become longer by the time that the next ones are read.
            from = last.last_ever() + 1;
            after = self.redo_chunk(&chunk, after, taken, redo, next)?;
        }
    }

    /// Applies some pending groups again, from a place on; those that were taken just leave.
    /// Returns the place of the last event that stays.
    pub(super) fn redo_chunk(
        &self,
        chunk: &[PendingGroup],
        after: SeqNum,
        taken: &Taken,
        redo: Redo<'_>,
        next: &mut Next,
    ) -> Result<SeqNum, ReplicaError> {
        // As with confirmed events, most chunks need no savepoint for each group.
        let mut afterwards = next.branch();
        let done = |own: &PendingGroup| match taken.get(&own.group.id()) {
            Some(positions) => self.leave_confirmed(own, *positions, &mut afterwards),
            None => self.redone(own, &mut afterwards),
        };
        let stays = |own: &PendingGroup| !taken.contains_key(&own.group.id());
        let groups = chunk.iter().map(|own| (own, stays(own)));
        let is_plain = |own: &PendingGroup| !stays(own) || !self.is_revisable(own);
        if chunk.iter().all(is_plain) && self.try_together(groups, after, done)? {
            next.become_branch(afterwards);
            let staying = chunk.iter().filter(|own| stays(own));
            return Ok(staying.fold(after, |after, own| own.end(after)));
        }
        let mut after = after;
        for own in chunk {
            match taken.get(&own.group.id()) {
                Some(positions) => self.leave_confirmed(own, *positions, next)?,
                None => after = self.redo(own, after, redo, next)?,
            }
        }
        Ok(after)
    }

    /// Reads as many pending groups as may be in memory at a time.
    pub(super) fn pending_chunk(
        &self,
        from: i64,
        next: &Next,
    ) -> Result<Vec<PendingGroup>, ReplicaError> {
        let (mut events, mut bytes, mut counted) = (0, 0, 0);
        let enough = |groups: &[PendingGroup]| {
            for event in groups[counted..].iter().flat_map(|own| own.group.events()) {
                events += 1;
                bytes += event.args.as_str().len();
            }
            let commands = groups[counted..].iter().filter_map(|own| own.origin.command.as_ref());
            bytes += commands.map(|command| command.args.as_str().len()).sum::<usize>();
            counted = groups.len();
            events >= REDO_EVENTS || bytes >= SLICE_BYTES
        };
        Ok(pending::groups(&self.connection, from, &next.meta.client_id, enough)?)
    }

    /// Applies one group of the tail again behind a place, on the state as it is now; returns the
    /// place of the last event that stays.
    ///
    /// A group that waits keeps its places: whatever becomes of it, all behind it is done again.
    fn redo(
        &self,
        own: &PendingGroup,
        after: SeqNum,
        redo: Redo<'_>,
        next: &mut Next,
    ) -> Result<SeqNum, ReplicaError> {
        // In a session it is for the leader to say what becomes of any.
        let may_be_in_doubt = !own.client_only || self.is_session();
        let is_in_doubt = may_be_in_doubt && redo.in_doubt.has(own.group.id());
        let is_known = redo.revises && !is_in_doubt;
        let revision = if self.is_session() || !self.is_revisable(own) {
            Revision::Keep
        } else if is_known || mutant::is_active(Mutant::CommandRerunInFlight) {
            self.revise(own)?
        } else {
            next.meta.revision_due = true;
            self.revise_later(own)?
        };
        let rewritten;
        let own = match revision {
            Revision::Keep => own,
            Revision::Rewrite(group) => {
                rewritten = self.rewrite(own, group, next)?;
                &rewritten
            }
            Revision::GiveUp(reason) => {
                self.bury(own, reason, redo.now_ms, next)?;
                return Ok(after);
            }
        };
        match self.try_pending(own, after)? {
            Ok(()) => self.redone(own, next)?,
            // The backend may have it; that is settled once everything that it has is here.
            Err(_) if is_in_doubt => {
                next.tail.unapplied += u64::from(own.undo.is_some());
                pending::set_undo(&self.connection, own.first, None)?;
            }
            Err(reason) => {
                self.bury(own, reason, redo.now_ms, next)?;
                return Ok(after);
            }
        }
        Ok(own.end(after))
    }

    /// Decides about a group that the backend may have already: nothing, except with a known bug, see
    /// [`Mutant::ConflictBeforeOutcome`].
    fn revise_later(&self, own: &PendingGroup) -> Result<Revision, ReplicaError> {
        if mutant::is_active(Mutant::ConflictBeforeOutcome)
            && let conflict @ Revision::GiveUp(_) = self.revise(own)?
        {
            return Ok(conflict);
        }
        Ok(Revision::Keep)
    }

    /// Puts another group in the place of one of the tail.
    fn rewrite(
        &self,
        own: &PendingGroup,
        group: Group,
        next: &mut Next,
    ) -> Result<PendingGroup, ReplicaError> {
        let before = own.origin.submitted.unwrap_or_else(|| own.group.content_hash());
        let submitted = Some(before).filter(|before| *before != group.content_hash());
        let origin = Origin { submitted, ..own.origin.clone() };
        self.replace(own, &group, &origin, next)?;
        next.note(group.size_bytes() + origin.size_bytes(), |advance| {
            let (group, origin) = (group.clone(), origin.clone());
            let (ordinal, client_only) = (own.first, own.client_only);
            advance.rewritten.push(TailGroup { ordinal, group, client_only, origin });
        });
        Ok(PendingGroup { group, origin, undo: None, ..*own })
    }

    /// Puts another group in the place of one of the tail, whose effects are not in the state.
    pub(super) fn replace(
        &self,
        own: &PendingGroup,
        group: &Group,
        origin: &Origin,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        pending::replace(&self.connection, own, group, origin)?;
        next.tail.remove(own.client_only, own.group.event_count());
        next.tail.insert(own.client_only, group.event_count());
        // Counted anew when it is applied.
        next.tail.unapplied += u64::from(own.undo.is_some());
        next.rewritten = true;
        Ok(())
    }

    /// Takes note that a group of the tail was applied again.
    pub(super) fn redone(&self, own: &PendingGroup, next: &mut Next) -> Result<(), ReplicaError> {
        let preimages = self.connection.take_changes();
        next.tail.unapplied -= u64::from(own.undo.is_none());
        next.rebased = true;
        pending::set_undo(&self.connection, own.first, Some(&preimages.encode()))?;
        next.changed.extend(self.connection.changes_of(preimages));
        Ok(())
    }

    /// Takes a group out of the tail that the log holds.
    fn leave_confirmed(
        &self,
        own: &PendingGroup,
        positions: (GlobalSeqNum, GlobalSeqNum),
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        // What upstream has counts, and that may be another version than the one here: an earlier one,
        // or that of another history. A group of somebody else under the same id is no version of it.
        let before = (GlobalSeqNum(positions.0.0 - 1), u32::MAX);
        let logged = log::next_group(&self.connection, before, &next.meta.client_id)?;
        let first = own.origin.submitted.unwrap_or_else(|| own.group.content_hash());
        let is_other = |logged: log::LoggedGroup| {
            logged.group.client_id() == own.group.client_id()
                && logged.group.content_hash() != first
        };
        let submitted = logged.is_some_and(is_other).then_some(first);
        let fate = self.confirmed(own.group.id(), positions, submitted)?;
        self.leave(own, fate, next)
    }

    /// Takes a group out of the tail, since it met its fate elsewhere.
    pub(super) fn leave(
        &self,
        own: &PendingGroup,
        fate: Fate,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        pending::remove(&self.connection, own.ordinals())?;
        next.tail.remove(own.client_only, own.group.event_count());
        next.tail.unapplied -= u64::from(own.undo.is_none());
        next.fates.push((own.group.id(), fate));
        Ok(())
    }

    /// Takes a group out of the tail and keeps it as a dead letter.
    pub(super) fn bury(
        &self,
        own: &PendingGroup,
        reason: DeadLetterReason,
        now_ms: u64,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let fate = Fate::Rejected { reason: reason.clone() };
        let command = own.origin.command.clone();
        let group = own.group.clone();
        let letter = DeadLetter { group, reason, rejected_at_ms: now_ms, command };
        self.keep_letter(letter, next)?;
        self.leave(own, fate, next)
    }

    /// Keeps a dead letter.
    pub(super) fn keep_letter(
        &self,
        letter: DeadLetter,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        exceptions::bury(&self.connection, &letter)?;
        next.counts.dead_letters += 1;
        next.letters_changed = true;
        next.note(letter.group.size_bytes(), |advance| advance.buried.push(letter));
        Ok(())
    }

    /// A known bug, see [`Mutant::TailOvertakesRejected`].
    fn move_to_end(&self, ordinals: (i64, i64), next: &mut Next) -> Result<(), ReplicaError> {
        let (first, last) = ordinals;
        for table in ["__livestore_pending", "__livestore_pending_group"] {
            let sql =
                format!("UPDATE {table} SET ordinal = ordinal + ? WHERE ordinal BETWEEN ? AND ?");
            let by = next.tail.last + 1 - first;
            self.connection.system().execute(&sql, [by, first, last])?;
        }
        next.tail.last += last - first + 1;
        Ok(())
    }
}

/// Walks over a confirmed group's events with their places.
fn confirmed_events(
    confirmed: &ConfirmedGroup,
) -> impl Iterator<Item = (Place, Authored<'_>)> + Clone {
    let before = SeqNum::confirmed(GlobalSeqNum(confirmed.first.0 - 1));
    let events = Authored::of(&confirmed.group, EventKind::Synced, before);
    events.map(|authored| ((authored.position.global, 0), authored))
}
