//! One lineage of the backend's log.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use livestore_core::{Group, GroupId, LogPosition};

use super::app::{App, Version};
use super::bank::{self, Bank};
use super::{Content, Known, Settled};

/// A group in a log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) known: Rc<Known>,
    /// What it contains there.
    pub(crate) content: Rc<Content>,
    /// True if its command made that on the state before it.
    is_made: bool,
    /// Where the log stands after it.
    pub(crate) end: LogPosition,
}

impl Entry {
    /// Returns the position of its first event.
    pub(crate) fn first(&self) -> u64 {
        self.end.seq.0 + 1 - self.content.facts.len() as u64
    }
}

/// The groups that a backend has taken, in order. Restoring a backup begins another history.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
    by_id: HashMap<GroupId, usize>,
    /// The bank at its end.
    bank: Bank,
    /// Purses that others than commands have touched.
    open_purses: BTreeSet<u8>,
}

impl History {
    /// Appends a group and returns the end of the log.
    pub(crate) fn append(&mut self, known: Rc<Known>, group: &Group) -> LogPosition {
        let (content, is_made) = (known.content(), known.intent().is_some());
        self.append_as(Entry { known, content, is_made, end: self.end() }, group)
    }

    /// Appends a group as it is in another history.
    pub(crate) fn append_as(&mut self, entry: Entry, group: &Group) -> LogPosition {
        let LogPosition { seq, hash } = self.end();
        let hash = hash.extend(group.content_hash());
        let end = LogPosition { seq: seq.plus(group.event_count()), hash };
        self.push(Entry { end, ..entry });
        end
    }

    fn push(&mut self, entry: Entry) {
        for fact in &entry.content.facts {
            self.bank.apply(fact);
            if let Some((from, to, _)) = bank::movement(fact).filter(|_| !entry.is_made) {
                self.open_purses.extend([from, to]);
            }
        }
        self.by_id.insert(entry.known.id, self.entries.len());
        self.entries.push(entry);
    }

    /// Returns the bank at the end of the log.
    pub(crate) fn bank(&self) -> &Bank {
        &self.bank
    }

    /// Finds a purse below zero that only commands have touched.
    pub(crate) fn overdrawn(&self) -> Option<u8> {
        let is_closed = |purse: &u8| !self.open_purses.contains(purse);
        let mut below = self.bank.purses.iter().filter(|(_, coins)| **coins < 0);
        below.find(|(purse, _)| is_closed(purse)).map(|(purse, _)| *purse)
    }

    /// Begins another history with the first groups of this one.
    pub(crate) fn fork(&self, groups: usize) -> Self {
        let mut fork = Self::default();
        self.entries[..groups].iter().for_each(|entry| fork.push(entry.clone()));
        fork
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the end of the log.
    pub(crate) fn end(&self) -> LogPosition {
        self.end_of(self.entries.len())
    }

    /// Returns where the log stands after the first groups.
    pub(crate) fn end_of(&self, groups: usize) -> LogPosition {
        groups.checked_sub(1).map_or(LogPosition::ROOT, |last| self.entries[last].end)
    }

    /// Returns how many groups lie up to a position, if it is on this history.
    pub(crate) fn groups_up_to(&self, position: LogPosition) -> Option<usize> {
        if position == LogPosition::ROOT {
            return Some(0);
        }
        let at = self.entries.binary_search_by_key(&position.seq, |entry| entry.end.seq).ok()?;
        (self.entries[at].end.hash == position.hash).then_some(at + 1)
    }

    /// Returns how many groups this history and another one begin with in common.
    pub(crate) fn common_with(&self, other: &Self) -> usize {
        let both = self.entries.iter().zip(&other.entries);
        both.take_while(|(a, b)| a.end == b.end).count()
    }

    /// Finds a group's index.
    pub(crate) fn find(&self, id: GroupId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Derives the state from the first groups and a client's own settled ones, and the places of
    /// what is quarantined: position, and place behind it for what is client-only.
    pub(crate) fn replay(
        &self,
        groups: usize,
        settled: &[Settled],
        version: Version,
    ) -> (App, Vec<(u64, u32)>) {
        let (mut app, mut quarantined) = (App::default(), Vec::new());
        let mut settled = settled.iter().peekable();
        let mut behind = |app: &mut App, quarantined: &mut Vec<(u64, u32)>, seq| {
            while let Some(Settled { known, place, .. }) = settled.next_if(|next| next.seq == seq) {
                let facts = &known.content().facts;
                let failing = app.apply_each(facts, known.author, version);
                quarantined.extend(failing.iter().map(|index| (seq, place + *index as u32)));
            }
        };
        behind(&mut app, &mut quarantined, 0);
        for entry in &self.entries[..groups] {
            let failing = app.apply_each(&entry.content.facts, entry.known.author, version);
            quarantined.extend(failing.iter().map(|index| (entry.first() + *index as u64, 0)));
            behind(&mut app, &mut quarantined, entry.end.seq.0);
        }
        (app, quarantined)
    }
}
