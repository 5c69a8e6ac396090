//! Which groups a simulated user commits.

use super::facts::{
    Counted, CountedEven, DraftDropped, DraftKept, DraftKeptEven, Fact, Flashed, Lent,
    MemberJoined, Moved, NoteCreated, NoteDeleted, NoteEdited, NoteRenamed, NoteWritten,
    NotesDropped, Novel, Paid, SeatForced, SeatFreed, SeatTaken, SeatsSwapped, Skewed, TeamLeft,
};
use super::intents::{Collect, Empty, Intent, Pay};
use crate::model::app::SKEWED_COUNTER;
use crate::model::bank::{FIRST_OPEN, PURSES};
use crate::rng::Rng;

const SEATS: u64 = 6;
const PEOPLE: u64 = 5;
const COUNTERS: u64 = 4;
const ACCOUNTS: u64 = 5;
const NOTES: u64 = 16;
const TEAMS: u64 = 3;
const DRAFTS: u64 = 3;

/// The largest group that a simulated user commits.
pub(crate) const MAX_GROUP: u64 = 50;

/// Draws the events of one commit: one for most, up to [`MAX_GROUP`] for a few.
///
/// Of a thousand events, so many more than usual are `skewed`: they fail in one version of the
/// schema only.
pub(crate) fn group(rng: &mut Rng, skewed: u64) -> Vec<Fact> {
    let events = match rng.below(100) {
        0..84 => 1,
        84..95 => rng.between(2, 4),
        95..99 => rng.between(5, 12),
        _ => rng.between(13, MAX_GROUP),
    };
    // Most commits have one kind of events, and most of these are synced.
    let private = *rng.pick(&[0, 0, 0, 0, 0, 0, 300, 1000]);
    let fact = |rng: &mut Rng| match () {
        () if rng.chance(private) => private_fact(rng),
        () if rng.chance(skewed) => skewed_fact(rng),
        () => fact(rng, events > 4),
    };
    (0..events).map(|_| fact(rng)).collect()
}

/// Draws a command.
pub(crate) fn intent(rng: &mut Rng) -> Intent {
    let purse = |rng: &mut Rng| rng.below(u64::from(PURSES)) as u8;
    let (from, to) = (purse(rng), purse(rng));
    let coins = rng.between(1, 25) as i64;
    match rng.below(10) {
        0..4 => Intent::Pay(Pay { from, to, coins }),
        4..7 => Intent::Empty(Empty { from, to }),
        _ => Intent::Collect(Collect { into: to, coins }),
    }
}

/// Draws an event that never leaves its client.
fn private_fact(rng: &mut Rng) -> Fact {
    let counter = if rng.chance(200) { SKEWED_COUNTER } else { rng.below(COUNTERS) as u8 };
    let number = rng.below(DRAFTS) as u8;
    match rng.below(10) {
        0..5 => DraftKept { draft: number, counter }.into(),
        5..7 => DraftKeptEven { draft: number, counter }.into(),
        7 => DraftDropped { draft: number }.into(),
        _ => Flashed { lamp: number, counter }.into(),
    }
}

/// Draws an event that fails in one version of the schema only, or may.
fn skewed_fact(rng: &mut Rng) -> Fact {
    let number = rng.below(9) as u8;
    if rng.chance(300) { Novel { number }.into() } else { Skewed { number }.into() }
}

/// Draws one event. A large group of events that may fail hardly ever applies, so most of the
/// events of a large one are `calm`.
fn fact(rng: &mut Rng, calm: bool) -> Fact {
    let mut number = |end: u64| rng.below(end) as u8;
    let kind = number(if calm { 65 } else { 105 });
    // The first purses are for commands alone.
    let mut open = || FIRST_OPEN + number(u64::from(PURSES - FIRST_OPEN));
    if kind < 5 {
        let (from, to) = (open(), open());
        let coins = i64::from(number(24)) + 1;
        return if kind < 2 {
            Paid { from, to, coins }.into()
        } else {
            Lent { from, to, coins }.into()
        };
    }
    match kind - 5 {
        0..14 => Counted { counter: number(COUNTERS), by: number(9) }.into(),
        14..26 => NoteWritten { note: number(NOTES), text: number(200) }.into(),
        26..34 => NoteEdited { note: number(NOTES), text: number(200) }.into(),
        34..38 => NoteDeleted { note: number(NOTES) }.into(),
        38..40 => NotesDropped { from: number(NOTES) }.into(),
        40..46 => MemberJoined { team: number(TEAMS), person: number(PEOPLE) }.into(),
        46..48 => TeamLeft { team: number(TEAMS) }.into(),
        48..52 => SeatForced { seat: number(SEATS), by: number(PEOPLE) }.into(),
        52..57 => SeatFreed { seat: number(SEATS) }.into(),
        57..60 => Skewed { number: number(9) }.into(),
        60..72 => SeatTaken { seat: number(SEATS), by: number(PEOPLE) }.into(),
        72..76 => SeatsSwapped { a: number(SEATS), b: number(SEATS) }.into(),
        76..82 => CountedEven { counter: number(COUNTERS) }.into(),
        82..91 => Moved { from: number(ACCOUNTS), to: number(ACCOUNTS), amount: number(60) }.into(),
        91..95 => NoteCreated { note: number(NOTES), text: number(200) }.into(),
        95..98 => NoteRenamed { from: number(NOTES), to: number(NOTES) }.into(),
        _ => Novel { number: number(9) }.into(),
    }
}
