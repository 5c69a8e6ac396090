//! A small but nasty app: rows that conflict, counters that read the state, sums that must hold,
//! keys that change, and events that fail on some states, or in one version of the schema only.

mod facts;
mod pick;
pub(crate) mod schema;

pub(crate) use facts::ByKind;
pub use facts::{
    Counted, CountedEven, DraftDropped, DraftKept, DraftKeptEven, Fact, Flashed, MemberJoined,
    Moved, NoteCreated, NoteDeleted, NoteEdited, NoteRenamed, NoteWritten, NotesDropped, Novel,
    SeatForced, SeatFreed, SeatTaken, SeatsSwapped, Skewed, TeamLeft,
};
pub(crate) use pick::group;
pub(crate) use schema::schema;
