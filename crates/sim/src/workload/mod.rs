//! A small but nasty app: rows that conflict, counters that read the state, sums that must hold,
//! keys that change, events that fail on some states, or in one version of the schema only, and a
//! small bank with commands.

mod bank;
mod facts;
mod intents;
mod pick;
pub(crate) mod schema;

pub(crate) use bank::Purse;
pub(crate) use facts::ByKind;
pub use facts::{
    Counted, CountedEven, DraftDropped, DraftKept, DraftKeptEven, Fact, Flashed, Lent,
    MemberJoined, Moved, NoteCreated, NoteDeleted, NoteEdited, NoteRenamed, NoteWritten,
    NotesDropped, Novel, Paid, SeatForced, SeatFreed, SeatTaken, SeatsSwapped, Skewed, TeamLeft,
};
pub use intents::{Collect, Empty, Intent, Pay};
pub(crate) use pick::{group, intent};
pub(crate) use schema::schema;
