//! What an advance of the leader does to a session's state.

use livestore_core::mutant::{self, Mutant};
use livestore_core::{GroupId, LogHash, LogPosition};
use livestore_sqlite::SqliteError;

use super::{FollowError, OWN, Own, inconsistent, leaders_word};
use crate::replica::exceptions::{self, DeadLetter};
use crate::replica::merge::{InPlace, Taken};
use crate::replica::pending::{self, Found, PendingGroup};
use crate::replica::step::Next;
use crate::replica::{Fate, Replica, log};
use crate::session::message::{Advance, TailGroup};

/// Does to a session's state what one advance of its leader tells.
pub(super) struct Follow<'a> {
    pub(super) replica: &'a Replica,
    pub(super) next: &'a mut Next,
    /// Groups of ours which the leader has now, or has decided about.
    pub(super) accepted: Vec<GroupId>,
    pub(super) now_ms: u64,
}

impl Follow<'_> {
    pub(super) fn run(&mut self, advance: Advance) -> Result<(), FollowError> {
        let Advance { backend_id, confirmed, logged, is_merged, buried, rewritten, added, .. } =
            advance;
        self.next.meta.backend_id = backend_id;
        for (id, hash) in confirmed {
            self.confirm(id, hash)?;
        }
        for (confirmed, hash) in &logged {
            if confirmed.first != self.next.meta.head.seq.next() {
                return inconsistent(format!("the log goes on at {}", confirmed.first));
            }
            log::append(&self.replica.connection, confirmed, *hash)?;
            self.next.meta.head = LogPosition { seq: confirmed.last(), hash: *hash };
        }
        let is_merge = is_merged && self.next.meta.state_head < self.next.meta.head.seq;
        let from = if is_merge { Some(i64::MIN) } else { self.first_touched(&buried, &rewritten)? };
        if added.iter().chain(&rewritten).any(|group| !(-OWN..OWN).contains(&group.ordinal)) {
            return inconsistent("an ordinal that no leader gives");
        }
        let first_added = added.first().map(|group| group.ordinal);
        let from = match from {
            // What was added stands behind all that the leader had.
            Some(from) => first_added.map_or(from, |first| first.min(from)),
            None if self.come_in_order(&added)? => {
                added.into_iter().try_for_each(|group| self.add(group))?;
                return self.forget(&advance.forgotten, buried);
            }
            None => first_added.unwrap_or(OWN),
        };
        self.replica.undo_from(from, self.next)?;
        self.forget(&advance.forgotten, buried)?;
        for group in rewritten {
            self.rewrite(group)?;
        }
        for group in added {
            self.put(group)?;
        }
        let redo = leaders_word(self.now_ms);
        if is_merge {
            self.replica.rebase_undone(redo, self.next)?;
        } else {
            self.replica.redo_from(from, &Taken::new(), redo, self.next)?;
        }
        Ok(())
    }

    fn find(&self, id: GroupId) -> Result<Option<Found>, SqliteError> {
        pending::find(&self.replica.connection, &self.next.tail, id)
    }

    fn read(&self, first: i64) -> Result<Option<PendingGroup>, SqliteError> {
        pending::group_at(&self.replica.connection, first, &self.next.meta.client_id)
    }

    /// Confirms the first pending synced group where it stands.
    fn confirm(&mut self, id: GroupId, hash: LogHash) -> Result<(), FollowError> {
        let first = pending::first_ids(&self.replica.connection, 1)?;
        let own = match self.find(id)? {
            Some(Found { first: ordinal, .. }) if first == [id] && ordinal < OWN => {
                self.read(ordinal)?
            }
            _ => None,
        };
        let Some(own) = own.filter(|own| own.undo.is_some()) else {
            return inconsistent(format!("group {id} is confirmed, and not the first here"));
        };
        Ok(self.replica.confirm_one(&InPlace::new(&own, hash), self.next)?)
    }

    /// Returns the lowest ordinal in the tail of what is given up or made anew.
    fn first_touched(
        &self,
        buried: &[DeadLetter],
        rewritten: &[TailGroup],
    ) -> Result<Option<i64>, FollowError> {
        let ids = buried.iter().map(|letter| letter.group.id());
        let ids = ids.chain(rewritten.iter().map(|group| group.group.id()));
        let mut first: Option<i64> = None;
        for id in ids {
            if let Some(found) = self.find(id)? {
                first = Some(first.map_or(found.first, |first| first.min(found.first)));
            }
        }
        Ok(first)
    }

    /// Tells whether groups that were added to the leader's tail are the next ones of ours as they are
    /// here, or nothing of ours stands behind it.
    fn come_in_order(&self, added: &[TailGroup]) -> Result<bool, FollowError> {
        let session = self.replica.session.iter();
        let mut own = session.flat_map(|session| session.own.iter().flat_map(Own::ids));
        for group in added {
            let Some(id) = own.next() else { continue };
            let found = self.find(id)?.filter(|found| found.first >= OWN);
            let own = found.map(|found| self.read(found.first)).transpose()?.flatten();
            let is_same = |own: PendingGroup| {
                let keeps_undo = mutant::is_active(Mutant::KeepsOldUndo);
                (own.group == group.group || keeps_undo) && own.undo.is_some()
            };
            if !own.is_some_and(is_same) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds a group of the leader at the end of its tail, with its effects.
    fn add(&mut self, group: TailGroup) -> Result<(), FollowError> {
        let id = group.group.id();
        if let Some(Found { first, last, .. }) = self.find(id)? {
            // It is ours, and has its effects already.
            pending::move_to(&self.replica.connection, (first, last), group.ordinal)?;
            pending::set_origin(&self.replica.connection, group.ordinal, &group.origin)?;
            self.accepted.push(id);
            return Ok(());
        }
        let TailGroup { ordinal, group, client_only, origin } = group;
        let after = self.replica.tail_end(client_only, &mut self.next.tail)?;
        let own = PendingGroup { first: ordinal, group, client_only, undo: None, origin };
        pending::insert(&self.replica.connection, &own.group, ordinal, client_only, &own.origin)?;
        self.next.tail.add(client_only, own.group.event_count());
        self.next.tail.unapplied += 1;
        if self.replica.try_pending(&own, after)?.is_ok() {
            let rebased = self.next.rebased;
            self.replica.redone(&own, self.next)?;
            // To apply it for the first time is no rebase.
            self.next.rebased = rebased;
        }
        Ok(())
    }

    /// Puts a group of the leader at the end of its tail, without effect.
    fn put(&mut self, group: TailGroup) -> Result<(), FollowError> {
        if let Some(found) = self.find(group.group.id())? {
            self.take_out(found)?;
            self.accepted.push(group.group.id());
        }
        let TailGroup { ordinal, group, client_only, origin } = group;
        pending::insert(&self.replica.connection, &group, ordinal, client_only, &origin)?;
        self.next.tail.insert(client_only, group.event_count());
        self.next.tail.unapplied += 1;
        Ok(())
    }

    fn take_out(&mut self, found: Found) -> Result<(), FollowError> {
        let Some(own) = self.read(found.first)? else { return Ok(()) };
        pending::remove(&self.replica.connection, own.ordinals())?;
        self.next.tail.remove(own.client_only, own.group.event_count());
        self.next.tail.unapplied -= u64::from(own.undo.is_none());
        Ok(())
    }

    fn rewrite(&mut self, group: TailGroup) -> Result<(), FollowError> {
        // It may have become a dead letter after all.
        let Some(found) = self.find(group.group.id())? else { return Ok(()) };
        let Some(own) = self.read(found.first)? else { return Ok(()) };
        Ok(self.replica.replace(&own, &group.group, &group.origin, self.next)?)
    }

    /// Takes note of dead letters that are new, and of those that are none any more.
    fn forget(
        &mut self,
        forgotten: &[GroupId],
        buried: Vec<DeadLetter>,
    ) -> Result<(), FollowError> {
        for letter in buried {
            let id = letter.group.id();
            if let Some(found) = self.find(id)? {
                self.take_out(found)?;
                self.accepted.push(id);
                let reason = letter.reason.clone();
                self.next.fates.push((id, Fate::Rejected { reason }));
            }
            self.replica.keep_letter(letter, self.next)?;
        }
        for id in forgotten {
            // The session that asked for it has forgotten it already.
            if exceptions::forget(&self.replica.connection, *id)? {
                self.next.counts.dead_letters -= 1;
                self.next.letters_changed = true;
            }
        }
        Ok(())
    }
}
