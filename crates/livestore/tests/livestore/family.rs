//! An app with events of all three kinds, tables of all three scopes, and values of every type.
//!
//! The files in `tests/fixtures` were made with it. A change here that changes its state version
//! or what a materializer writes asks for making them anew, see `golden.rs`.

use livestore::prelude::*;
use livestore::{Insert, MaterializerContext, NewEvent, SchemaBuilder};
use serde::{Deserialize, Serialize};

// Synced events and tables

/// Writes a note, or writes it again.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteWritten")]
pub struct NoteWritten {
    pub id: String,
    pub text: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteDeleted")]
pub struct NoteDeleted {
    pub id: String,
}

/// Takes a seat. Nobody has two of them, and nobody shares one.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatTaken")]
pub struct SeatTaken {
    pub seat: i64,
    pub by: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatFreed")]
pub struct SeatFreed {
    pub seat: i64,
}

/// A row with a composite key and a value of every type.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Measured")]
pub struct Measured {
    pub sensor: String,
    pub at: i64,
    pub value: Option<f64>,
    pub raw: Vec<u8>,
    pub tags: Vec<String>,
    pub valid: bool,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes")]
pub struct Note {
    #[column(primary_key)]
    pub id: String,
    pub text: String,
    /// How often it was written: this depends on everything before it.
    #[column(default = 1)]
    pub revision: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "seats")]
pub struct Seat {
    #[column(primary_key)]
    pub seat: i64,
    #[column(unique)]
    pub by: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "samples")]
pub struct Sample {
    #[column(primary_key)]
    pub sensor: String,
    #[column(primary_key)]
    pub at: i64,
    pub value: Option<f64>,
    pub raw: Vec<u8>,
    pub tags: Json<Vec<String>>,
    pub valid: bool,
}

// Client-only events and tables

/// Keeps a draft, with what there was of the synced state then.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.DraftSaved", client_only, persist)]
pub struct DraftSaved {
    pub id: String,
    pub text: String,
}

/// Remembers who sits on a seat; fails if nobody does.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatPinned", client_only, persist)]
pub struct SeatPinned {
    pub seat: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "drafts", scope = "client")]
pub struct Draft {
    #[column(primary_key)]
    pub id: String,
    pub text: String,
    pub notes_then: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "pins", scope = "client")]
pub struct Pin {
    #[column(primary_key)]
    pub seat: i64,
    pub by: String,
}

/// Where a note was written last; not in the app that the fixtures were made with.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "note_places")]
pub struct NotePlace {
    #[column(primary_key)]
    pub id: String,
    pub at: i64,
}

/// Where a draft was saved last.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "draft_places", scope = "client")]
pub struct DraftPlace {
    #[column(primary_key)]
    pub id: String,
    pub at: i64,
    pub nth: i64,
}

// Memory events and tables

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.PointerMoved", client_only)]
pub struct PointerMoved {
    pub to: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "pointers", scope = "memory")]
pub struct Pointer {
    #[column(primary_key)]
    pub id: i64,
    pub to: i64,
    pub drafts_then: i64,
}

fn count(rows: u64) -> i64 {
    rows.try_into().unwrap_or(i64::MAX)
}

fn note_place(id: &str, cx: &MaterializerContext<'_>) -> Insert<NotePlace> {
    let at = count(cx.position().global.0);
    NotePlace::insert(NotePlace { id: id.into(), at }).or_replace()
}

fn draft_place(id: &str, cx: &MaterializerContext<'_>) -> Insert<DraftPlace> {
    let (at, nth) = (count(cx.position().global.0), cx.position().client.into());
    DraftPlace::insert(DraftPlace { id: id.into(), at, nth }).or_replace()
}

/// The app, whose materializers also write down where their events stand if they are to.
fn builder(places: bool) -> SchemaBuilder {
    Schema::builder()
        .table::<Note>()
        .table::<Seat>()
        .table::<Sample>()
        .table::<Draft>()
        .table::<Pin>()
        .table::<Pointer>()
        .event(move |e: NoteWritten, cx| {
            let before = cx.query(&Note::select().filter(Note::id.eq(&e.id)).first())?;
            let revision = before.map_or(0, |note| note.revision) + 1;
            let place = places.then(|| note_place(&e.id, cx));
            let note = Note { id: e.id, text: e.text, revision };
            Ok::<_, MaterializeError>((Note::insert(note).or_replace(), place))
        })
        .event(|e: NoteDeleted, _| Note::delete().filter(Note::id.eq(e.id)))
        .event(|e: SeatTaken, _| Seat::insert(Seat { seat: e.seat, by: e.by }))
        .event(|e: SeatFreed, _| Seat::delete().filter(Seat::seat.eq(e.seat)))
        .event(|e: Measured, _| {
            let Measured { sensor, at, value, raw, tags, valid } = e;
            Sample::insert(Sample { sensor, at, value, raw, tags: Json(tags), valid }).or_replace()
        })
        .event(move |e: DraftSaved, cx| {
            let notes_then = count(cx.query(&Note::select().count())?);
            let place = places.then(|| draft_place(&e.id, cx));
            let draft = Draft { id: e.id, text: e.text, notes_then };
            Ok::<_, MaterializeError>((Draft::insert(draft).or_replace(), place))
        })
        .event(|e: SeatPinned, cx| {
            let seat = cx.query(&Seat::select().filter(Seat::seat.eq(e.seat)).first())?;
            let nobody = || MaterializeError::failed(format!("nobody sits on {}", e.seat));
            let by = seat.ok_or_else(nobody)?.by.clone();
            Ok::<_, MaterializeError>(Pin::insert(Pin { seat: e.seat, by }).or_replace())
        })
        .event(|e: PointerMoved, cx| {
            let drafts_then = count(cx.query(&Draft::select().count())?);
            let pointer = Pointer { id: 0, to: e.to, drafts_then };
            Ok::<_, MaterializeError>(Pointer::insert(pointer).or_replace())
        })
}

pub fn schema() -> Schema {
    builder(false).build().expect("the schema is valid")
}

/// The same app in a later release, so that opening a store of it derives the state anew.
pub fn later_schema() -> Schema {
    builder(false).materializer_version(1).build().expect("the schema is valid")
}

/// The app with tables of where events stand, in one release or a later one.
pub fn schema_with_places(release: u64) -> Schema {
    let builder = builder(true).table::<NotePlace>().table::<DraftPlace>();
    builder.materializer_version(release).build().expect("the schema is valid")
}

pub fn note(id: &str, text: &str) -> NoteWritten {
    NoteWritten { id: id.into(), text: text.into() }
}

pub fn seat(seat: i64, by: &str) -> SeatTaken {
    SeatTaken { seat, by: by.into() }
}

pub fn draft(id: &str, text: &str) -> DraftSaved {
    DraftSaved { id: id.into(), text: text.into() }
}

/// Encodes an event, so that events of different types fit one list.
pub fn new<E: Event>(event: E) -> NewEvent {
    NewEvent::of(event).expect("the payload has a canonical form")
}
