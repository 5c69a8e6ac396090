//! The simulated app's tables and materializers, in two versions.

use std::sync::OnceLock;

use livestore::{MaterializeError, MaterializerContext, Schema, Table, Write};

use super::bank::with_bank;
use super::facts::{
    Counted, CountedEven, DraftDropped, DraftKept, DraftKeptEven, Flashed, MemberJoined, Moved,
    NoteCreated, NoteDeleted, NoteEdited, NoteRenamed, NoteWritten, NotesDropped, Novel,
    SeatForced, SeatFreed, SeatTaken, SeatsSwapped, Skewed, TeamLeft,
};
use crate::model::app::{FIRST_BALANCE, NOVEL_COUNTER, SKEWED_COUNTER, Version};

/// A seat and who sits there: two columns that each conflict.
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "seats")]
pub(crate) struct Seat {
    #[column(primary_key)]
    pub(crate) seat: i64,
    #[column(unique)]
    pub(crate) person: String,
}

#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "counters")]
pub(crate) struct Counter {
    #[column(primary_key)]
    pub(crate) counter: i64,
    pub(crate) value: i64,
}

/// An account that was touched; all others have [`FIRST_BALANCE`].
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "accounts")]
pub(crate) struct Account {
    #[column(primary_key)]
    pub(crate) account: i64,
    #[column(check = "balance >= 0")]
    pub(crate) balance: i64,
}

/// A text key, so a table without rowid.
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "notes")]
#[expect(clippy::struct_field_names, reason = "the key is named as its table")]
pub(crate) struct Note {
    #[column(primary_key)]
    pub(crate) note: String,
    pub(crate) text: i64,
    /// The client and session that wrote it last.
    pub(crate) writer: String,
    pub(crate) edits: i64,
}

/// A key of two columns.
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "members")]
pub(crate) struct Member {
    #[column(primary_key)]
    pub(crate) team: i64,
    #[column(primary_key)]
    pub(crate) person: String,
    pub(crate) session: String,
}

/// What only this client knows.
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "drafts", scope = "client")]
pub(crate) struct Draft {
    #[column(primary_key)]
    pub(crate) draft: i64,
    pub(crate) value: i64,
}

/// What only this process knows.
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "lamps", scope = "memory")]
pub(crate) struct Lamp {
    #[column(primary_key)]
    pub(crate) lamp: i64,
    pub(crate) value: i64,
}

/// How a person is written in a row.
pub(crate) fn person(number: u8) -> String {
    format!("person {number}")
}

/// How a note's key is written in a row; it sorts like the number.
pub(crate) fn note_key(number: u8) -> String {
    format!("note {number:03}")
}

/// How an author is written in a row.
fn writer(cx: &MaterializerContext<'_>) -> String {
    format!("{}/{}", cx.client_id().as_str(), cx.session_id().as_str())
}

/// Returns the schema of one version; there is one for the whole process.
///
/// # Panics
///
/// Never, as every test shows: the definitions are constants.
pub(crate) fn schema(version: Version) -> Schema {
    static SCHEMAS: [OnceLock<Schema>; 2] = [OnceLock::new(), OnceLock::new()];
    let schema = SCHEMAS[version as usize].get_or_init(|| build(version));
    schema.clone()
}

fn build(version: Version) -> Schema {
    let builder = Schema::builder()
        .table::<Seat>()
        .table::<Counter>()
        .table::<Account>()
        .table::<Note>()
        .table::<Member>()
        .table::<Draft>()
        .table::<Lamp>()
        .materializer_version(version as u64)
        .event(|e: SeatTaken, _| Seat::insert(seat(e.seat, e.by)))
        .event(|e: SeatForced, _| Seat::insert(seat(e.seat, e.by)).or_replace())
        .event(seats_swapped)
        .event(|e: SeatFreed, _| Seat::delete().filter(Seat::seat.eq(i64::from(e.seat))))
        .event(|e: Counted, cx| count(cx, e.counter, e.by))
        .event(|e: CountedEven, cx| {
            if value_of(cx, e.counter)? % 2 == 0 {
                count(cx, e.counter, 1)
            } else {
                Err(MaterializeError::failed("the counter is odd"))
            }
        })
        .event(moved)
        .event(|e: NoteCreated, cx| Note::insert(note(cx, e.note, e.text)))
        .event(|e: NoteWritten, cx| Note::insert(note(cx, e.note, e.text)).or_replace())
        .event(note_edited)
        .event(|e: NoteRenamed, _| {
            Note::update().set(Note::note, note_key(e.to)).filter(Note::note.eq(note_key(e.from)))
        })
        .event(|e: NoteDeleted, _| Note::delete().filter(Note::note.eq(note_key(e.note))))
        .event(|e: NotesDropped, _| Note::delete().filter(Note::note.ge(note_key(e.from))))
        .event(|e: MemberJoined, cx| {
            let session = writer(cx);
            let row = Member { team: e.team.into(), person: person(e.person), session };
            Member::insert(row).or_ignore()
        })
        .event(|e: TeamLeft, _| Member::delete().filter(Member::team.eq(i64::from(e.team))))
        .event(|e: DraftKept, cx| keep_draft(cx, e.draft, e.counter))
        .event(|e: DraftKeptEven, cx| {
            if value_of(cx, e.counter)? % 2 == 0 {
                keep_draft(cx, e.draft, e.counter)
            } else {
                Err(MaterializeError::failed("the counter is odd"))
            }
        })
        .event(|e: DraftDropped, _| Draft::delete().filter(Draft::draft.eq(i64::from(e.draft))))
        .event(flashed);
    let builder = with_bank(builder);
    let builder = match version {
        Version::One => builder.event(|e: Skewed, cx| count(cx, SKEWED_COUNTER, e.number)),
        Version::Two => builder
            .event(|e: Skewed, cx| {
                if e.number.is_multiple_of(3) {
                    return Err(MaterializeError::failed("not in this version"));
                }
                count(cx, SKEWED_COUNTER, e.number)
            })
            .event(|e: Novel, cx| count(cx, NOVEL_COUNTER, e.number)),
    };
    builder.build().expect("the app's schema is valid")
}

fn seat(seat: u8, by: u8) -> Seat {
    Seat { seat: seat.into(), person: person(by) }
}

fn seats_swapped(
    e: SeatsSwapped,
    cx: &MaterializerContext<'_>,
) -> Result<Vec<Write>, MaterializeError> {
    let find = |seat: u8| {
        let found = cx.query(&Seat::select().filter(Seat::seat.eq(i64::from(seat))).first())?;
        found.ok_or_else(|| MaterializeError::failed("nobody sits there"))
    };
    let (a, b) = (find(e.a)?, find(e.b)?);
    let both = Seat::seat.is_in([a.seat, b.seat]);
    let swapped = Seat { seat: a.seat, person: b.person.clone() };
    let mut writes: Vec<Write> =
        vec![Seat::delete().filter(both).try_into()?, Seat::insert(swapped).try_into()?];
    if a.seat != b.seat {
        writes.push(Seat::insert(Seat { seat: b.seat, person: a.person.clone() }).try_into()?);
    }
    Ok(writes)
}

fn value_of(cx: &MaterializerContext<'_>, counter: u8) -> Result<i64, MaterializeError> {
    let query = Counter::select().filter(Counter::counter.eq(i64::from(counter))).first();
    Ok(cx.query(&query)?.map_or(0, |row| row.value))
}

fn count(cx: &MaterializerContext<'_>, counter: u8, by: u8) -> Result<Write, MaterializeError> {
    let value = (value_of(cx, counter)? * 3 + i64::from(by)) % 1009;
    let row = Counter { counter: counter.into(), value };
    Ok(Counter::insert(row).or_replace().try_into()?)
}

fn moved(e: Moved, cx: &MaterializerContext<'_>) -> Result<Vec<Write>, MaterializeError> {
    let balance = |account: u8| {
        let query = Account::select().filter(Account::account.eq(i64::from(account))).first();
        Ok::<_, MaterializeError>(cx.query(&query)?.map_or(FIRST_BALANCE, |row| row.balance))
    };
    let row = |account: u8, balance: i64| Account { account: account.into(), balance };
    let amount = i64::from(e.amount);
    if e.from == e.to {
        return Ok(Vec::new());
    }
    // If there is not enough, the table's CHECK fails, after the other account was changed.
    let to = row(e.to, balance(e.to)? + amount);
    let from = row(e.from, balance(e.from)? - amount);
    Ok(vec![
        Account::insert(to).or_replace().try_into()?,
        Account::insert(from).or_replace().try_into()?,
    ])
}

fn note(cx: &MaterializerContext<'_>, number: u8, text: u8) -> Note {
    Note { note: note_key(number), text: text.into(), writer: writer(cx), edits: 0 }
}

fn note_edited(
    e: NoteEdited,
    cx: &MaterializerContext<'_>,
) -> Result<Option<Write>, MaterializeError> {
    let is_it = || Note::note.eq(note_key(e.note));
    let Some(found) = cx.query(&Note::select().filter(is_it()).first())? else {
        return Ok(None);
    };
    let update = Note::update()
        .set(Note::text, i64::from(e.text))
        .set(Note::writer, writer(cx))
        .set(Note::edits, found.edits + 1)
        .filter(is_it());
    Ok(Some(update.try_into()?))
}

fn draft_of(cx: &MaterializerContext<'_>, draft: u8) -> Result<i64, MaterializeError> {
    let query = Draft::select().filter(Draft::draft.eq(i64::from(draft))).first();
    Ok(cx.query(&query)?.map_or(0, |row| row.value))
}

fn keep_draft(
    cx: &MaterializerContext<'_>,
    draft: u8,
    counter: u8,
) -> Result<Write, MaterializeError> {
    let value = (draft_of(cx, draft)? * 3 + value_of(cx, counter)? + 1) % 1009;
    let row = Draft { draft: draft.into(), value };
    Ok(Draft::insert(row).or_replace().try_into()?)
}

fn flashed(e: Flashed, cx: &MaterializerContext<'_>) -> Result<Write, MaterializeError> {
    let query = Lamp::select().filter(Lamp::lamp.eq(i64::from(e.lamp))).first();
    let before = cx.query(&query)?.map_or(0, |row| row.value);
    let value = (before * 3 + value_of(cx, e.counter)? + draft_of(cx, e.lamp)? + 1) % 1009;
    let row = Lamp { lamp: e.lamp.into(), value };
    Ok(Lamp::insert(row).or_replace().try_into()?)
}
