//! What the app's events mean, in plain Rust: the oracle of the state tables.
//!
//! A failing event changes nothing. Which events fail, and therefore which groups become dead
//! letters and what is quarantined, follows from here as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Author;
use super::bank::Bank;
use crate::workload::{
    Counted, CountedEven, DraftDropped, DraftKept, DraftKeptEven, Fact, Flashed, MemberJoined,
    Moved, NoteCreated, NoteDeleted, NoteEdited, NoteRenamed, NoteWritten, NotesDropped, Novel,
    SeatForced, SeatFreed, SeatTaken, SeatsSwapped, Skewed, TeamLeft,
};

/// What is in an account that nobody has touched.
pub(crate) const FIRST_BALANCE: i64 = 100;
/// Counts the skewed events.
pub(crate) const SKEWED_COUNTER: u8 = 100;
/// Counts the novel events.
pub(crate) const NOVEL_COUNTER: u8 = 101;

/// Which version of the app a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Version {
    /// Knows no novel events.
    One = 0,
    /// Cannot apply every third skewed event.
    Two = 1,
}

/// The event does not apply to this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fails;

/// A note; its key is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteBody {
    pub(crate) text: u8,
    pub(crate) writer: Author,
    pub(crate) edits: i64,
}

/// The state of the app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct App {
    /// Who sits where.
    pub(crate) seats: BTreeMap<u8, u8>,
    pub(crate) counters: BTreeMap<u8, i64>,
    pub(crate) accounts: BTreeMap<u8, i64>,
    pub(crate) bank: Bank,
    pub(crate) notes: BTreeMap<u8, NoteBody>,
    /// Team and person, and who let them in.
    pub(crate) members: BTreeMap<(u8, u8), Author>,
    /// What only this client knows.
    pub(crate) drafts: BTreeMap<u8, i64>,
}

/// What only this process knows.
pub(crate) type Lamps = BTreeMap<u8, i64>;

impl App {
    /// Applies the events of a pending group, all or none; tells which one fails.
    pub(crate) fn apply_whole(
        &mut self,
        facts: &[Fact],
        author: Author,
        version: Version,
    ) -> Result<(), usize> {
        let before = (facts.len() > 1).then(|| self.clone());
        for (index, fact) in facts.iter().enumerate() {
            if self.apply(fact, author, version).is_err() {
                if let Some(before) = before {
                    *self = before;
                }
                return Err(index);
            }
        }
        Ok(())
    }

    /// Applies the events of a confirmed group one by one; returns which are quarantined.
    pub(crate) fn apply_each(
        &mut self,
        facts: &[Fact],
        author: Author,
        version: Version,
    ) -> Vec<usize> {
        let facts = facts.iter().enumerate();
        let failing = facts.filter(|(_, fact)| self.apply(fact, author, version).is_err());
        failing.map(|(index, _)| index).collect()
    }

    fn apply(&mut self, fact: &Fact, author: Author, version: Version) -> Result<(), Fails> {
        match *fact {
            Fact::SeatTaken(SeatTaken { seat, by }) => {
                if self.seats.contains_key(&seat) || self.seats.values().any(|who| *who == by) {
                    return Err(Fails);
                }
                self.seats.insert(seat, by);
            }
            Fact::SeatForced(SeatForced { seat, by }) => {
                self.seats.retain(|_, who| *who != by);
                self.seats.insert(seat, by);
            }
            Fact::SeatsSwapped(SeatsSwapped { a, b }) => {
                let at = |seat| self.seats.get(&seat).copied().ok_or(Fails);
                let (at_a, at_b) = (at(a)?, at(b)?);
                self.seats.insert(a, at_b);
                self.seats.insert(b, at_a);
            }
            Fact::SeatFreed(SeatFreed { seat }) => drop(self.seats.remove(&seat)),
            Fact::Counted(Counted { counter, by }) => self.count(counter, by),
            Fact::CountedEven(CountedEven { counter }) => {
                if self.value_of(counter) % 2 != 0 {
                    return Err(Fails);
                }
                self.count(counter, 1);
            }
            Fact::Moved(Moved { from, to, amount }) => self.transfer(from, to, amount.into())?,
            Fact::NoteCreated(NoteCreated { note, text }) => {
                if self.notes.contains_key(&note) {
                    return Err(Fails);
                }
                self.notes.insert(note, NoteBody { text, writer: author, edits: 0 });
            }
            Fact::NoteWritten(NoteWritten { note, text }) => {
                self.notes.insert(note, NoteBody { text, writer: author, edits: 0 });
            }
            Fact::NoteEdited(NoteEdited { note, text }) => {
                if let Some(body) = self.notes.get_mut(&note) {
                    *body = NoteBody { text, writer: author, edits: body.edits + 1 };
                }
            }
            Fact::NoteRenamed(NoteRenamed { from, to }) => {
                if let Some(body) = self.notes.get(&from).cloned() {
                    if from != to && self.notes.contains_key(&to) {
                        return Err(Fails);
                    }
                    self.notes.remove(&from);
                    self.notes.insert(to, body);
                }
            }
            Fact::NoteDeleted(NoteDeleted { note }) => drop(self.notes.remove(&note)),
            Fact::NotesDropped(NotesDropped { from }) => drop(self.notes.split_off(&from)),
            Fact::MemberJoined(MemberJoined { team, person }) => {
                self.members.entry((team, person)).or_insert(author);
            }
            Fact::TeamLeft(TeamLeft { team }) => self.members.retain(|(of, _), _| *of != team),
            Fact::Skewed(Skewed { number }) => {
                if version == Version::Two && number % 3 == 0 {
                    return Err(Fails);
                }
                self.count(SKEWED_COUNTER, number);
            }
            Fact::Novel(Novel { number }) => match version {
                Version::One => return Err(Fails),
                Version::Two => self.count(NOVEL_COUNTER, number),
            },
            Fact::Paid(_) | Fact::Lent(_) => self.bank.apply(fact),
            Fact::DraftKept(DraftKept { draft, counter }) => self.keep_draft(draft, counter),
            Fact::DraftKeptEven(DraftKeptEven { draft, counter }) => {
                if self.value_of(counter) % 2 != 0 {
                    return Err(Fails);
                }
                self.keep_draft(draft, counter);
            }
            Fact::DraftDropped(DraftDropped { draft }) => drop(self.drafts.remove(&draft)),
            Fact::Flashed(_) => return Err(Fails),
        }
        Ok(())
    }

    /// Applies memory events, which cannot fail; nothing but the lamps changes.
    pub(crate) fn flash(&self, facts: &[Fact], lamps: &mut Lamps) {
        for fact in facts {
            if let Fact::Flashed(Flashed { lamp, counter }) = *fact {
                let draft = self.drafts.get(&lamp).copied().unwrap_or(0);
                let value = lamps.entry(lamp).or_default();
                *value = (*value * 3 + self.value_of(counter) + draft + 1) % 1009;
            }
        }
    }

    fn value_of(&self, counter: u8) -> i64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }

    fn keep_draft(&mut self, draft: u8, counter: u8) {
        let read = self.value_of(counter);
        let value = self.drafts.entry(draft).or_default();
        *value = (*value * 3 + read + 1) % 1009;
    }

    /// The order of counts matters.
    fn count(&mut self, counter: u8, by: u8) {
        let value = self.counters.entry(counter).or_default();
        *value = (*value * 3 + i64::from(by)) % 1009;
    }

    fn transfer(&mut self, from: u8, to: u8, amount: i64) -> Result<(), Fails> {
        let balance = |account| self.accounts.get(account).copied().unwrap_or(FIRST_BALANCE);
        let (left, right) = (balance(&from), balance(&to));
        if from == to {
            return Ok(());
        }
        if left < amount {
            return Err(Fails);
        }
        self.accounts.insert(from, left - amount);
        self.accounts.insert(to, right + amount);
        Ok(())
    }
}
