//! Full-text search through a store: what a live search finds, and when it looks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use livestore::prelude::*;
use livestore::{QueryAs, RowCursor, SqliteError, Value, ValueError, Watch};
use livestore_core::IdGenerator;
use serde::{Deserialize, Serialize};

use crate::app::{assert_state_is_replay, builder, failed, todo, wait_until};
use crate::backend::{Served, fact, foreign_group};

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteWritten")]
struct NoteWritten {
    id: i64,
    text: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteChanged")]
struct NoteChanged {
    id: i64,
    text: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.NoteDeleted")]
struct NoteDeleted {
    id: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes", full_text(name = "notes_text", columns = [text]))]
struct Note {
    #[column(primary_key)]
    id: i64,
    text: String,
}

fn schema(version: u64) -> Schema {
    builder(failed)
        .table::<Note>()
        .materializer_version(version)
        .event(|e: NoteWritten, _| Note::insert(Note { id: e.id, text: e.text }))
        .event(|e: NoteChanged, _| Note::update().set(Note::text, e.text).filter(Note::id.eq(e.id)))
        .event(|e: NoteDeleted, _| Note::delete().filter(Note::id.eq(e.id)))
        .build()
        .unwrap()
}

fn written(id: i64, text: &str) -> NoteWritten {
    NoteWritten { id, text: text.into() }
}

fn changed(id: i64, text: &str) -> NoteChanged {
    NoteChanged { id, text: text.into() }
}

/// A search of the index for a word, which counts how often it runs.
#[derive(Debug, Clone)]
struct Search(QueryAs<i64>, Arc<AtomicUsize>);

/// The ways to write one.
const SEARCHES: [&str; 4] = [
    "SELECT rowid FROM notes_text WHERE notes_text MATCH ? ORDER BY rowid",
    "SELECT rowid FROM notes_text(?) ORDER BY rowid",
    "SELECT notes.id FROM notes_text JOIN notes ON notes.id = notes_text.rowid \
     WHERE notes_text MATCH ? AND bm25(notes_text) IS NOT NULL ORDER BY notes.id",
    "SELECT rowid FROM notes_text WHERE notes_text MATCH ? \
     AND snippet(notes_text, 0, '', '', '', 9) <> '' ORDER BY rowid",
];

impl Search {
    fn new(sql: &str, word: &str) -> Self {
        Self(query_as(sql).bind(word), Arc::default())
    }

    fn runs(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Watch for Search {}

impl Query for Search {
    type Output = Vec<i64>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Vec<i64>, SqliteError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.collect(rows)?.to_vec())
    }
}

#[test]
fn a_live_search_follows_its_table_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let memory = Store::open(schema(1), "test", MemoryAdapter::new()).unwrap();
    let file = Store::open(schema(1), "test", FileAdapter::new(directory.path())).unwrap();
    for store in [memory, file] {
        let searches = SEARCHES.map(|sql| Search::new(sql, "apple"));
        let live = searches.each_ref().map(|search| store.query_db(search.clone()));
        let expect = |ids: &[i64]| {
            let found = live.each_ref().map(|live| live.get().unwrap());
            assert_eq!(found, [0; 4].map(|_| ids.to_vec()));
        };
        expect(&[]);
        store.commit([written(1, "an apple"), written(2, "a pear")]).unwrap();
        expect(&[1]);
        store.commit(changed(2, "an apple, too")).unwrap();
        expect(&[1, 2]);
        store.commit(changed(1, "none")).unwrap();
        expect(&[2]);
        store.commit((written(3, "apple"), changed(3, "plum"))).unwrap();
        store.commit((written(4, "apple"), todo("fails"), todo("fails"))).unwrap_err();
        expect(&[2]);
        store.commit(NoteDeleted { id: 2 }).unwrap();
        expect(&[]);

        let before = searches.each_ref().map(Search::runs);
        store.commit([todo("apple"), todo("b")]).unwrap();
        expect(&[]);
        assert_eq!(searches.each_ref().map(Search::runs), before, "another table changed");
        assert!(before.iter().all(|runs| *runs > 4), "they are counted: {before:?}");
        assert_state_is_replay(&store);
    }
}

#[test]
fn a_live_search_follows_what_a_rebase_undoes_and_does_again() {
    let served = Served::new();
    let adapter = MemoryAdapter::new().sync(served.clone());
    let store = Store::open(schema(1), "test", adapter).unwrap();
    let in_step = || {
        store.retry_now().unwrap();
        wait_until(&store, |status| {
            status.is_synced() && status.confirmed_head == served.lock().end().seq
        });
    };
    store.commit([written(1, "apple"), written(2, "apple"), written(3, "pear")]).unwrap();
    in_step();

    served.set_down(true);
    wait_until(&store, |status| !status.is_synced());
    let live = store.query_db(Search::new(SEARCHES[0], "apple"));
    store.commit(changed(3, "apple, as I say")).unwrap();
    store.commit(changed(2, "nothing, as I say")).unwrap();
    store.commit(written(4, "my apple")).unwrap();
    store.commit(NoteDeleted { id: 1 }).unwrap();
    store.commit(written(5, "another apple of mine")).unwrap();
    assert_eq!(live.get().unwrap(), [3, 4, 5]);

    // The change of 3 comes too late, 4 is taken, and 2 and 5 are as before.
    let mut author = IdGenerator::new([1; 32]);
    served.elsewhere(foreign_group(&mut author, [fact(NoteDeleted { id: 3 })]));
    served.elsewhere(foreign_group(&mut author, [fact(written(4, "their plum"))]));
    served.elsewhere(foreign_group(&mut author, [fact(written(6, "their apple"))]));
    served.set_down(false);
    in_step();
    assert_eq!(store.sync_status().unwrap().rebases, 1);
    assert_eq!(store.dead_letters().unwrap().len(), 1);
    assert_eq!(live.get().unwrap(), [5, 6]);
    let plums = Search::new(SEARCHES[0], "plum");
    assert_eq!(store.query(plums).unwrap(), [4]);
    assert_state_is_replay(&store);
}

#[test]
fn a_search_finds_the_same_after_reopening_and_in_a_state_derived_anew() {
    let directory = tempfile::tempdir().unwrap();
    for version in [1, 1, 2] {
        let store = Store::open(schema(version), "test", FileAdapter::new(directory.path()));
        let store = store.unwrap();
        if store.query(Note::select().count()).unwrap() == 0 {
            store.commit([written(1, "an apple"), written(2, "a pear")]).unwrap();
        }
        let live = store.query_db(Search::new(SEARCHES[2], "apple"));
        assert_eq!(live.get().unwrap(), [1], "{version}");
        store.commit(changed(2, "apple")).unwrap();
        assert_eq!(live.get().unwrap(), [1, 2], "{version}");
        store.commit(changed(2, "a pear")).unwrap();
        assert_eq!(live.get().unwrap(), [1], "{version}");
        store.shutdown().unwrap();
    }
}
