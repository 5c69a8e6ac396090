//! What one client must be: the groups that it committed, and what became of them.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use livestore_core::{GroupId, LogPosition};

use super::app::{App, Lamps, Version};
use super::{Entry, History, Known, Taking};
use crate::workload::Fact;

/// A moment in a client's life; after a power cut it may find itself there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// How many groups had been committed.
    pub(crate) committed: usize,
    /// How much had become of dead letters.
    pub(crate) letters: usize,
    /// The end of the confirmed log in the state.
    pub(crate) head: LogPosition,
    /// The end of the confirmed log on the medium.
    pub(crate) pulled: LogPosition,
    /// Which history that is on.
    pub(crate) history: usize,
    /// Groups of others that were left behind with another history.
    pub(crate) archived: u64,
}

/// What becomes of a group that the client has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    /// It became a dead letter.
    Buried(GroupId),
    /// The user has dealt with it.
    Forgotten(GroupId),
    /// It was confirmed, and left with the history that it was in.
    Archived(GroupId),
    /// The log has it after all, since the backend was restored from a backup that had it.
    Exhumed(GroupId),
}

/// A client-only group in its place for good.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The position that it stands behind.
    pub(crate) seq: u64,
    /// The place of its first event there, from 1 on.
    pub(crate) place: u32,
    pub(crate) known: Rc<Known>,
}

/// The reference for one client.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that may be so")]
pub(crate) struct ClientModel {
    /// All its groups that still exist, in the order in which they were committed.
    pub(crate) committed: Vec<Rc<Known>>,
    /// What became of those that were given up, in the order in which that happened.
    letters: Vec<Letter>,
    /// Those without a fate, in the order of the tail.
    pub(crate) pending: VecDeque<Rc<Known>>,
    /// Client-only ones behind which nothing is open any more, in the order of the log.
    pub(crate) settled: Vec<Settled>,
    pub(crate) head: LogPosition,
    pub(crate) pulled: LogPosition,
    pub(crate) history: usize,
    pub(crate) version: Version,
    /// Another version has run since the client was looked at last.
    pub(crate) ran_as_another: bool,
    pub(crate) archived: u64,
    /// What only the running process knows.
    pub(crate) lamps: Lamps,
    /// Events up to the head that could not be applied.
    pub(crate) quarantined: u64,
    /// What was pushed and may have been taken, without its having been told.
    pub(crate) open: HashSet<GroupId>,
    /// The push whose answer would tell.
    asked: Option<u64>,
    /// Its file says that pending groups are to be made anew.
    pub(crate) revision_due: bool,
    /// It has taken something of a session since it was looked at last.
    pub(crate) has_taken: bool,
    /// It was told that the backend has another history, and has not been welcomed since.
    pub(crate) has_diverged: bool,
    /// It may discard what a backend does not have.
    pub(crate) may_discard: bool,
    /// Every moment since the disk was synced last; the first one survives a power cut for sure.
    pub(crate) moments: Vec<Moment>,
    /// True if it has no file, so that nothing of it has to survive anything.
    is_volatile: bool,
    /// The state at the head.
    confirmed: App,
    /// The state with the pending groups, and how many of these are left out of it, unless
    /// something has changed since that was asked for.
    local: Option<(App, u64)>,
}

impl ClientModel {
    pub(crate) fn new(version: Version, is_volatile: bool) -> Self {
        let mut client = Self {
            committed: Vec::new(),
            letters: Vec::new(),
            pending: VecDeque::new(),
            settled: Vec::new(),
            head: LogPosition::ROOT,
            pulled: LogPosition::ROOT,
            history: 0,
            version,
            ran_as_another: false,
            archived: 0,
            lamps: Lamps::new(),
            quarantined: 0,
            open: HashSet::new(),
            asked: None,
            revision_due: false,
            has_taken: false,
            has_diverged: false,
            may_discard: false,
            moments: Vec::new(),
            is_volatile,
            confirmed: App::default(),
            local: None,
        };
        client.note();
        client
    }

    /// The client committed a group; [`Self::note`] follows when the whole commit is there.
    pub(crate) fn commit(&mut self, known: Rc<Known>) {
        if let Some((local, _)) = &mut self.local {
            // It applies, or it would not have been committed.
            let _ = local.apply_whole(&known.content().facts, known.author, self.version);
        }
        known.index.set(self.committed.len());
        known.rank.set(self.committed.len());
        self.committed.push(Rc::clone(&known));
        self.pending.push_back(known);
    }

    /// Takes what a session hands over, if it does not have it already; [`Self::note`] follows. Returns
    /// what is new.
    ///
    /// What becomes of it, be it otherwise than it was there or a dead letter, is seen afterwards.
    pub(crate) fn take(&mut self, taking: &Taking) -> Vec<Rc<Known>> {
        let is_late = taking.forgets.is_some_and(|letter| {
            let is_there = self.given_up(self.letters.len()).0.contains(&letter);
            if is_there {
                self.forget(letter);
            }
            !is_there
        });
        let new = taking.groups.iter().filter(|own| !self.has(own)).cloned();
        let new: Vec<Rc<Known>> = new.collect();
        for own in &new {
            own.is_late.set(is_late);
            self.commit(Rc::clone(own));
        }
        (self.local, self.has_taken) = (None, true);
        self.note();
        new
    }

    /// Tells whether a group was ever this client's, as far as its file knows.
    pub(crate) fn has(&self, own: &Known) -> bool {
        self.committed.get(own.index.get()).is_some_and(|other| other.id == own.id)
    }

    /// The client committed memory events.
    pub(crate) fn flash(&mut self, facts: &[Fact]) {
        let mut lamps = std::mem::take(&mut self.lamps);
        self.local().flash(facts, &mut lamps);
        self.lamps = lamps;
    }

    /// The client's head moved on, in the history on which it already was, or stayed; client-only
    /// groups came to their places. Returns the own groups that this confirmed.
    pub(crate) fn advance(
        &mut self,
        history: &History,
        to: LogPosition,
        settled: Vec<Settled>,
    ) -> Option<Vec<Rc<Known>>> {
        let (from, until) = (history.groups_up_to(self.head)?, history.groups_up_to(to)?);
        let passed = history.entries().get(from..until)?;
        let mut settled = settled.into_iter().peekable();
        let mut confirmed = Vec::new();
        let (dead, ended) = self.given_up(self.letters.len());
        let here = self.head.seq.0;
        while let Some(next) = settled.next_if(|next| next.seq == here) {
            self.settle(next)?;
        }
        for entry in passed {
            let (known, content) = (&entry.known, &entry.content);
            let failing = self.confirmed.apply_each(&content.facts, known.author, self.version);
            self.quarantined += failing.len() as u64;
            confirmed.extend(self.take_pending(known));
            if ended.contains(&known.id) {
                self.letters.push(Letter::Exhumed(known.id));
                known.is_rejected.set(false);
                known.begin_as(content);
                confirmed.extend(dead.contains(&known.id).then(|| Rc::clone(known)));
            }
            while let Some(next) = settled.next_if(|next| next.seq == entry.end.seq.0) {
                self.settle(next)?;
            }
        }
        self.head = to;
        self.local = None;
        self.note();
        settled.next().is_none().then_some(confirmed)
    }

    fn settle(&mut self, settled: Settled) -> Option<()> {
        let own = self.take_pending(&settled.known)?;
        let _ = self.confirmed.apply_whole(&own.content().facts, own.author, self.version);
        self.settled.push(settled);
        Some(())
    }

    fn take_pending(&mut self, known: &Known) -> Option<Rc<Known>> {
        // Only its author can have it, and mostly as the first one.
        let own = self.committed.get(known.index.get());
        own.filter(|own| own.id == known.id)?;
        let at = self.pending.iter().position(|own| own.id == known.id)?;
        self.pending.remove(at)
    }

    /// A pending group became a dead letter.
    pub(crate) fn reject(&mut self, own: &Known) {
        self.take_pending(own);
        own.is_rejected.set(true);
        self.letters.push(Letter::Buried(own.id));
        self.local = None;
        self.note();
    }

    /// The user has dealt with a dead letter; [`Self::note`] follows.
    pub(crate) fn forget(&mut self, id: GroupId) {
        self.letters.push(Letter::Forgotten(id));
    }

    /// A group that was confirmed is left with its history.
    pub(crate) fn archive(&mut self, id: GroupId) {
        self.letters.push(Letter::Archived(id));
    }

    /// How much has become of what was given up.
    pub(crate) fn letters(&self) -> usize {
        self.letters.len()
    }

    /// Tells whether a group was left with the history that it was in.
    pub(crate) fn is_archived(&self, id: GroupId) -> bool {
        let is_about = |letter: &&Letter| match letter {
            Letter::Buried(about)
            | Letter::Forgotten(about)
            | Letter::Archived(about)
            | Letter::Exhumed(about) => *about == id,
        };
        let last = self.letters.iter().rev().find(is_about);
        matches!(last, Some(Letter::Archived(_)))
    }

    /// Returns the dead letters, in the order in which they became that, at first.
    ///
    /// A group can become one again, after another history held it for a while.
    pub(crate) fn dead_letters(&self) -> Vec<GroupId> {
        let (mut dead, _) = self.given_up(self.letters.len());
        let buried = self.letters.iter().filter_map(|letter| match letter {
            Letter::Buried(id) => dead.take(id),
            _ => None,
        });
        buried.collect()
    }

    /// Tells whether a group was ever given up, whatever became of it later.
    pub(crate) fn was_given_up(&self, id: GroupId) -> bool {
        self.letters.iter().any(|letter| matches!(letter, Letter::Buried(about) | Letter::Archived(about) if *about == id))
    }

    /// Tells whether a group was given up, be it still a dead letter or not.
    pub(crate) fn has_given_up(&self, id: GroupId) -> bool {
        self.given_up(self.letters.len()).1.contains(&id)
    }

    /// Returns the dead letters, and all groups that were given up, as of some moment.
    pub(crate) fn given_up(&self, letters: usize) -> (HashSet<GroupId>, HashSet<GroupId>) {
        let (mut dead, mut ended) = (HashSet::new(), HashSet::new());
        for letter in &self.letters[..letters] {
            match letter {
                Letter::Buried(id) => {
                    dead.insert(*id);
                    ended.insert(*id);
                }
                Letter::Forgotten(id) => drop(dead.remove(id)),
                Letter::Archived(id) => drop(ended.insert(*id)),
                Letter::Exhumed(id) => {
                    dead.remove(id);
                    ended.remove(id);
                }
            }
        }
        (dead, ended)
    }

    /// The state that the app sees: pending groups that do not apply are left out.
    pub(crate) fn local(&mut self) -> &App {
        &self.derived().0
    }

    /// The state that the app sees, and how many synced groups are left out of it.
    pub(crate) fn local_and_left_out(&mut self) -> (App, u64) {
        self.derived().clone()
    }

    /// How many synced groups are left out of the state that the app sees.
    pub(crate) fn left_out(&mut self) -> u64 {
        self.derived().1
    }

    fn derived(&mut self) -> &(App, u64) {
        let Self { confirmed, pending, version, .. } = self;
        self.local.get_or_insert_with(|| {
            let (mut app, mut left_out) = (confirmed.clone(), 0);
            for own in pending {
                let applied = app.apply_whole(&own.content().facts, own.author, *version);
                left_out += u64::from(applied.is_err() && !own.client_only);
            }
            (app, left_out)
        })
    }

    /// Returns the state at the head, without any pending groups.
    pub(crate) fn confirmed(&self) -> &App {
        &self.confirmed
    }

    /// Returns the state at the head with the pending groups that were committed before an own one.
    pub(crate) fn state_before(&self, own: &Known) -> App {
        let mut app = self.confirmed.clone();
        for other in self.pending.iter().filter(|other| other.rank < own.rank) {
            let _ = app.apply_whole(&other.content().facts, other.author, self.version);
        }
        app
    }

    /// Tells which event of an own group fails, if one does, on the state before it.
    pub(crate) fn failing_event(&self, own: &Known) -> Option<usize> {
        self.failing_event_as(self.version, own)
    }

    fn failing_event_as(&self, version: Version, own: &Known) -> Option<usize> {
        let facts = &own.content().facts;
        self.state_before(own).apply_whole(facts, own.author, version).err()
    }

    /// Tells whether an own group fails, on the state before it, for whoever ran unseen.
    pub(crate) fn fails_unseen(&self, own: &Known) -> bool {
        let others = [Version::One, Version::Two].into_iter().filter(|_| self.ran_as_another);
        let mut versions = std::iter::once(self.version).chain(others);
        versions.any(|version| self.failing_event_as(version, own).is_some())
    }

    /// A pending group contains something else now.
    pub(crate) fn rewrite(&mut self, own: &Known, facts: Vec<Fact>) {
        own.become_content(facts);
        own.is_unsafe.set(true);
        self.local = None;
    }

    /// It pushes groups: until the answer comes, or the next welcome, they may have been taken.
    pub(crate) fn pushes(&mut self, request: u64, groups: impl Iterator<Item = GroupId>) {
        self.asked = Some(request);
        self.open.extend(groups);
    }

    /// It is told what became of a push.
    pub(crate) fn is_answered(&mut self, request: u64, taken: impl Iterator<Item = GroupId>) {
        if self.asked == Some(request) {
            self.is_welcome(taken);
        }
    }

    /// It is told what became of all pushes: these groups were taken, and no others.
    pub(crate) fn is_welcome(&mut self, taken: impl Iterator<Item = GroupId>) {
        self.asked = None;
        self.open = taken.collect();
    }

    /// Walks over the pending groups that the backend is to have.
    pub(crate) fn pending_synced(&self) -> impl Iterator<Item = &Rc<Known>> {
        self.pending.iter().filter(|own| !own.client_only)
    }

    /// Returns how many synced events are pending.
    pub(crate) fn pending_events(&self) -> u64 {
        self.pending.iter().map(|own| own.synced_events()).sum()
    }

    /// Returns how many of its groups survive a power cut for sure.
    pub(crate) fn synced_groups(&self) -> usize {
        if self.is_volatile { usize::MAX } else { self.moments[0].committed }
    }

    /// Tells whether a power cut may take back what a group contains now.
    pub(crate) fn is_unsafe(&self, own: &Known) -> bool {
        !self.is_volatile && own.is_unsafe.get()
    }

    /// Returns this moment.
    pub(crate) fn now(&self) -> Moment {
        Moment {
            committed: self.committed.len(),
            letters: self.letters.len(),
            head: self.head,
            pulled: self.pulled,
            history: self.history,
            archived: self.archived,
        }
    }

    /// Something has happened that a power cut may take back.
    pub(crate) fn note(&mut self) {
        let now = self.now();
        if self.moments.last() != Some(&now) {
            self.moments.push(now);
        }
    }

    /// The disk was synced: a power cut does not lead behind this moment.
    pub(crate) fn synced(&mut self) {
        let now = self.now();
        self.moments.clear();
        self.moments.push(now);
        self.pending.iter().for_each(|own| own.is_unsafe.set(false));
    }

    /// Own groups of a history that is left come first, in the order which they had there, and then
    /// what was pending behind it.
    pub(crate) fn rank_as_left(&self, left: &[Entry], common: LogPosition) {
        // What was pulled and not merged yet is pending as it was.
        let was_merged = |known: &Rc<Known>| {
            self.committed.iter().any(|own| own.id == known.id)
                && !self.pending.iter().any(|own| own.id == known.id)
        };
        let confirmed = left.iter().filter(|entry| was_merged(&entry.known));
        for Entry { known, content, .. } in confirmed.clone() {
            known.become_content(content.facts.clone());
            known.is_fact.set(true);
        }
        let confirmed = confirmed.map(|entry| ((entry.end.seq.0, 0), &entry.known));
        // A dead letter that the log turned out to hold stands where the log has it, behind what has
        // settled before that place, whenever it was committed.
        let is_kept = |settled: &&Settled| settled.seq <= common.seq.0;
        let kept = self.settled.iter().filter(is_kept).map(|settled| &settled.known);
        let settled = self.settled.iter().filter(|settled| !is_kept(settled));
        let settled = settled.map(|settled| ((settled.seq, settled.place), &settled.known));
        let mut placed: Vec<_> = confirmed.chain(settled).collect();
        placed.sort_by_key(|(place, _)| *place);
        let placed = placed.into_iter().map(|(_, known)| known);
        let order: Vec<&Rc<Known>> = kept.chain(placed).chain(&self.pending).collect();
        let mut ranks: Vec<usize> = order.iter().map(|own| own.rank.get()).collect();
        ranks.sort_unstable();
        for (own, rank) in order.into_iter().zip(ranks) {
            own.rank.set(rank);
        }
    }

    /// Returns the groups that have to be somewhere in the tail or among the settled ones at a
    /// moment, in the order in which they were committed.
    pub(crate) fn open_at(&self, moment: &Moment, history: &History) -> Option<Vec<Rc<Known>>> {
        let groups = history.groups_up_to(moment.head)?;
        let (_, ended) = self.given_up(moment.letters);
        let is_open = |own: &&Rc<Known>| {
            !ended.contains(&own.id) && history.find(own.id).is_none_or(|at| at >= groups)
        };
        Some(self.committed[..moment.committed].iter().filter(is_open).cloned().collect())
    }

    /// The client is at some moment of its life, with the given tail and settled groups.
    pub(crate) fn become_as(
        &mut self,
        history: &History,
        moment: Moment,
        (pending, settled): (Vec<Rc<Known>>, Vec<Settled>),
    ) {
        for lost in self.committed.drain(moment.committed..) {
            lost.is_lost.set(true);
        }
        self.letters.truncate(moment.letters);
        let Moment { head, pulled, archived, .. } = moment;
        (self.head, self.pulled, self.archived) = (head, pulled, archived);
        self.history = moment.history;
        let groups = history.groups_up_to(moment.head).unwrap_or(0);
        let (confirmed, quarantined) = history.replay(groups, &settled, self.version);
        (self.confirmed, self.quarantined) = (confirmed, quarantined.len() as u64);
        (self.pending, self.settled) = (pending.into(), settled);
        let (_, ended) = self.given_up(self.letters.len());
        for own in &self.committed {
            let in_log = history.find(own.id).filter(|at| *at < groups);
            let (in_log, is_in_log) = (in_log.map(|at| &history.entries()[at]), in_log.is_some());
            own.is_rejected.set(ended.contains(&own.id) && !is_in_log);
            let exhumed = Letter::Exhumed(own.id);
            if !self.letters.contains(&exhumed) {
                own.begin_as_committed();
            }
            if let Some(entry) = in_log.filter(|_| ended.contains(&own.id)) {
                self.letters.push(exhumed);
                own.begin_as(&entry.content);
            }
        }
        self.local = None;
        self.note();
    }
}
