//! Tables whose rows refer to each other: what commits refuse, and rebases that cascade.

use livestore::prelude::*;
use livestore::{CommitError, ForeignKeyProblem, NewEvent, SchemaError, Scope, TableError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::app::assert_state_is_replay;
use crate::backend::{Fact, Net, fact};
use crate::family::new;
use crate::properties::cases;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "folders")]
struct Folder {
    #[column(primary_key)]
    id: i64,
    #[column(references = "folders.id", on_delete = "cascade", on_update = "cascade")]
    parent: Option<i64>,
    #[column(references = "folders.id", on_delete = "set null", on_update = "cascade")]
    link: Option<i64>,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes", index(columns = [folder, number]))]
struct Note {
    #[column(auto_increment)]
    number: Option<i64>,
    #[column(references = "folders.id", on_delete = "cascade", on_update = "cascade")]
    folder: i64,
    #[column(generated = "folder || '/' || number", virtual)]
    path: Option<String>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.FolderPut")]
struct FolderPut {
    id: i64,
    parent: Option<i64>,
    link: Option<i64>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.FolderMoved")]
struct FolderMoved {
    from: i64,
    to: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.FolderRemoved")]
struct FolderRemoved {
    id: i64,
}

/// Adds the note first and the folder afterwards, if it is to be made.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteAdded")]
struct NoteAdded {
    folder: i64,
    makes_folder: bool,
}

fn schema() -> Schema {
    let folder = |id, parent, link| Folder::insert(Folder { id, parent, link });
    Schema::builder()
        .table::<Folder>()
        .table::<Note>()
        .event(move |e: FolderPut, _| folder(e.id, e.parent, e.link).or_replace())
        .event(|e: FolderMoved, _| {
            Folder::update().set(Folder::id, e.to).filter(Folder::id.eq(e.from))
        })
        .event(|e: FolderRemoved, _| Folder::delete().filter(Folder::id.eq(e.id)))
        .event(move |e: NoteAdded, _| {
            let note = Note { number: None, folder: e.folder, path: None };
            (Note::insert(note), e.makes_folder.then(|| folder(e.folder, None, None)))
        })
        .build()
        .expect("the schema is valid")
}

fn put(id: i64, parent: Option<i64>) -> FolderPut {
    FolderPut { id, parent, link: None }
}

fn note(folder: i64, makes_folder: bool) -> NoteAdded {
    NoteAdded { folder, makes_folder }
}

fn notes(store: &Store) -> Vec<(Option<i64>, Option<String>)> {
    let notes = store.query(Note::select().order_by(Note::number)).unwrap();
    notes.iter().map(|note| (note.number, note.path.clone())).collect()
}

#[test]
fn an_event_after_which_a_reference_leads_nowhere_is_refused() {
    let store = Store::open(schema(), "test", MemoryAdapter::new()).unwrap();
    store.commit(put(1, None)).unwrap();
    let hash = store.state_hash().unwrap();
    for event in [new(put(2, Some(7))), new(note(7, false))] {
        let error = store.commit(event).unwrap_err();
        assert!(matches!(error, CommitError::Materialize { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("FOREIGN KEY constraint failed"), "{message}");
        assert!(message.contains("to folders refers to a row that is not there"), "{message}");
        assert_eq!(store.state_hash().unwrap(), hash);
    }
    // Of one group, each event has to leave no reference open.
    let group = vec![new(put(2, Some(3))), new(put(3, None))];
    assert!(store.commit(group).is_err());
    assert_eq!(store.state_hash().unwrap(), hash);
    // Within an event, rows may come in any order; the number that was used up in vain is free.
    store.commit(note(7, true)).unwrap();
    store.commit(put(8, Some(8))).unwrap();
    assert_eq!(notes(&store), [(Some(1), Some("7/1".into()))]);
    assert_state_is_replay(&store);
}

#[test]
fn a_removed_row_takes_those_that_refer_to_it() {
    let store = Store::open(schema(), "test", MemoryAdapter::new()).unwrap();
    let live = store.query_db(Note::select().count());
    for event in [put(1, None), put(2, Some(1)), put(3, Some(2))] {
        store.commit(event).unwrap();
    }
    store.commit(FolderPut { id: 4, parent: None, link: Some(3) }).unwrap();
    store.commit(note(3, false)).unwrap();
    store.commit(note(4, false)).unwrap();
    assert_eq!(live.get().unwrap(), 2);
    store.commit(FolderMoved { from: 1, to: 9 }).unwrap();
    store.commit(FolderRemoved { id: 9 }).unwrap();
    let left = store.query(Folder::select()).unwrap().to_vec();
    assert_eq!(left, [Folder { id: 4, parent: None, link: None }]);
    assert_eq!(live.get().unwrap(), 1, "live queries see what cascades");
    assert_state_is_replay(&store);
}

#[test]
fn a_schema_whose_tables_do_not_fit_together_is_refused() {
    let refused = Schema::builder().table::<Note>().build().unwrap_err();
    let SchemaError::Table(TableError::InvalidForeignKey { problem, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(**problem, ForeignKeyProblem::UnknownTable);
    let client = Note::definition().unwrap().with_scope(Scope::Client);
    let refused = Schema::builder().table::<Folder>().table_def(client).build().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "table notes: the foreign key (folder) to folders cannot be: a client table cannot refer \
         to a synced table, since foreign keys stay within one scope"
    );
}

#[derive(Debug, Clone)]
enum What {
    Put(i64, Option<i64>, Option<i64>),
    Move(i64, i64),
    Remove(i64),
    Note(i64, bool),
}

impl What {
    fn event(&self) -> NewEvent {
        match *self {
            Self::Put(id, parent, link) => new(FolderPut { id, parent, link }),
            Self::Move(from, to) => new(FolderMoved { from, to }),
            Self::Remove(id) => new(FolderRemoved { id }),
            Self::Note(folder, makes_folder) => new(note(folder, makes_folder)),
        }
    }

    fn fact(&self) -> Fact {
        match *self {
            Self::Put(id, parent, link) => fact(FolderPut { id, parent, link }),
            Self::Move(from, to) => fact(FolderMoved { from, to }),
            Self::Remove(id) => fact(FolderRemoved { id }),
            Self::Note(folder, makes_folder) => fact(note(folder, makes_folder)),
        }
    }
}

fn what() -> impl Strategy<Value = What> {
    let id = || 1..5_i64;
    let some = || prop::option::of(1..5_i64);
    prop_oneof![
        4 => (id(), some(), some()).prop_map(|(id, parent, link)| What::Put(id, parent, link)),
        2 => (id(), id()).prop_map(|(from, to)| What::Move(from, to)),
        1 => id().prop_map(What::Remove),
        3 => (id(), any::<bool>()).prop_map(|(folder, makes)| What::Note(folder, makes)),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Commit(usize, What),
    Elsewhere(What),
    Deliver(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, what()).prop_map(|(at, what)| Step::Commit(at, what)),
        2 => what().prop_map(Step::Elsewhere),
        3 => (0..2_usize).prop_map(Step::Deliver),
    ]
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn rebases_of_rows_that_refer_to_each_other_are_replays(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut net = Net::new(schema(), 2);
        net.settle();
        for step in steps {
            match step {
                // What is refused leaves no trace, which the replay tells.
                Step::Commit(at, what) => drop(net.try_commit(at, what.event())),
                Step::Elsewhere(what) => drop(net.elsewhere([what.fact()])),
                Step::Deliver(at) => drop(net.step(at)),
            }
            net.assert_state_is_replay(0);
            net.assert_state_is_replay(1);
        }
        net.converge();
        net.assert_state_is_replay(0);
        net.assert_state_is_replay(1);
    }
}
