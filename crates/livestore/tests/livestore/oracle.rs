//! The tables of the app in `kinds.rs`, derived from a store's log without SQL.
//!
//! It shares nothing with the replica but the log's rows: no materializer, no undo, no savepoint.
//! What it finds is what a replay has to lead to, in synced and in client tables.

use std::collections::{BTreeMap, BTreeSet};

use livestore::prelude::*;
use livestore::{CanonicalJson, Event, Replica};

use crate::family::{
    Draft, DraftPlace, DraftSaved, Note, NoteDeleted, NotePlace, NoteWritten, Pin, Seat, SeatFreed,
    SeatPinned, SeatTaken,
};

/// A place in the log: a position, and how many client-only events behind it.
pub type Place = (u64, u32);

/// The rows of all tables on disk, by key. Samples are left out: nothing depends on them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables {
    notes: BTreeMap<String, (String, i64)>,
    seats: BTreeMap<i64, String>,
    drafts: BTreeMap<String, (String, i64)>,
    pins: BTreeMap<i64, String>,
    /// Where notes were written and drafts saved last.
    note_places: BTreeMap<String, i64>,
    draft_places: BTreeMap<String, (i64, i64)>,
}

/// What a log leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replayed {
    pub tables: Tables,
    /// Events of the log that do not apply.
    pub skipped: BTreeSet<Place>,
}

/// An event that does not apply.
struct Refused;

impl Tables {
    fn apply(&mut self, (at, nth): Place, name: &str, args: &CanonicalJson) -> Result<(), Refused> {
        match name {
            NoteWritten::NAME => {
                let NoteWritten { id, text } = decode(args)?;
                let revision = self.notes.get(&id).map_or(0, |(_, revision)| *revision) + 1;
                self.note_places.insert(id.clone(), at as i64);
                self.notes.insert(id, (text, revision));
            }
            NoteDeleted::NAME => {
                let NoteDeleted { id } = decode(args)?;
                self.notes.remove(&id);
            }
            SeatTaken::NAME => {
                let SeatTaken { seat, by } = decode(args)?;
                if self.seats.contains_key(&seat) || self.seats.values().any(|other| *other == by) {
                    return Err(Refused);
                }
                self.seats.insert(seat, by);
            }
            SeatFreed::NAME => {
                let SeatFreed { seat } = decode(args)?;
                self.seats.remove(&seat);
            }
            DraftSaved::NAME => {
                let DraftSaved { id, text } = decode(args)?;
                self.draft_places.insert(id.clone(), (at as i64, nth.into()));
                self.drafts.insert(id, (text, self.notes.len() as i64));
            }
            SeatPinned::NAME => {
                let SeatPinned { seat } = decode(args)?;
                let by = self.seats.get(&seat).ok_or(Refused)?;
                self.pins.insert(seat, by.clone());
            }
            _ => return Err(Refused),
        }
        Ok(())
    }

    /// Reads the tables of a replica.
    pub fn of(replica: &Replica) -> Self {
        let read = replica.connection().read();
        let notes = read.query(&Note::select()).unwrap();
        let seats = read.query(&Seat::select()).unwrap();
        let drafts = read.query(&Draft::select()).unwrap();
        let pins = read.query(&Pin::select()).unwrap();
        let note = |row: &Note| (row.id.clone(), (row.text.clone(), row.revision));
        let draft = |row: &Draft| (row.id.clone(), (row.text.clone(), row.notes_then));
        let (mut note_places, mut draft_places) = Default::default();
        if has_places(replica) {
            let places = read.query(&NotePlace::select()).unwrap();
            note_places = places.iter().map(|row| (row.id.clone(), row.at)).collect();
            let places = read.query(&DraftPlace::select()).unwrap();
            draft_places = places.iter().map(|row| (row.id.clone(), (row.at, row.nth))).collect();
        }
        Self {
            note_places,
            draft_places,
            notes: notes.iter().map(|row| note(row)).collect(),
            seats: seats.iter().map(|row| (row.seat, row.by.clone())).collect(),
            drafts: drafts.iter().map(|row| draft(row)).collect(),
            pins: pins.iter().map(|row| (row.seat, row.by.clone())).collect(),
        }
    }
}

fn decode<E: Event>(args: &CanonicalJson) -> Result<E, Refused> {
    E::decode("", args).map_err(|_| Refused)
}

/// Replays the log of a replica: what is confirmed up to the state head, then the pending tail.
pub fn replay(replica: &Replica) -> Replayed {
    let mut replayed = Replayed::default();
    let tables = &mut replayed.tables;
    let log = "SELECT seq, 0, name, args FROM __livestore_eventlog \
               WHERE seq <= (SELECT state_head FROM __livestore_meta) \
               UNION ALL SELECT seq, client, name, args FROM __livestore_client_log ORDER BY 1, 2";
    let mut end = (replica.state_head().unwrap().seq.0, 0);
    for (place, name, args) in rows(replica, log) {
        end = end.max(place);
        let mut after = tables.clone();
        match after.apply(place, &name, &args) {
            Ok(()) => *tables = after,
            Err(Refused) => drop(replayed.skipped.insert(place)),
        }
    }
    // Groups whose effects are not in the state wait, and keep their places; all others were
    // applied whole.
    let tail = "SELECT client_only, EXISTS \
                (SELECT 1 FROM __livestore_pending AS first WHERE first.group_id = event.group_id \
                AND first.event_index = 0 AND first.undo IS NOT NULL), name, args \
                FROM __livestore_pending AS event ORDER BY ordinal";
    for ((client_only, is_applied), name, args) in rows(replica, tail) {
        end = if client_only == 1 { (end.0, end.1 + 1) } else { (end.0 + 1, 0) };
        if is_applied == 1 {
            let applied = tables.apply(end, &name, &args).is_ok();
            assert!(applied, "a pending {name} {args} does not apply");
        }
    }
    if !has_places(replica) {
        (tables.note_places, tables.draft_places) = Default::default();
    }
    replayed
}

/// Tells whether the app of the replica writes down where events stand.
fn has_places(replica: &Replica) -> bool {
    replica.connection().tables().iter().any(|table| table.name() == NotePlace::NAME)
}

fn rows(replica: &Replica, sql: &str) -> Vec<(Place, String, CanonicalJson)> {
    let rows = replica.connection().system().query(sql, [], |row| {
        let place = (row.get::<_, i64>(0)? as u64, row.get(1)?);
        Ok((place, row.get(2)?, CanonicalJson::trusted(row.get::<_, String>(3)?)))
    });
    rows.unwrap()
}

/// Reads which events a replica has skipped.
fn quarantined(replica: &Replica) -> BTreeSet<Place> {
    let quarantined = replica.quarantined().unwrap();
    quarantined.iter().map(|skipped| (skipped.seq.global.0, skipped.seq.client)).collect()
}

/// Checks that the state of a replica is what its log leads to: by its own replay, which knows
/// synced tables, and by this one.
#[track_caller]
pub fn assert_state_is_replay(replica: &Replica) {
    let found = Replayed { tables: Tables::of(replica), skipped: quarantined(replica) };
    assert_eq!(found, replay(replica), "the tables differ from what the log leads to");
    let (state, replay) = (replica.state_hash().unwrap(), replica.replay_hash().unwrap());
    assert_eq!(state, replay, "the state hash differs from that of a replay");
}
