//! Committing: read-your-writes, atomicity, receipts, the log.

use livestore::prelude::*;
use livestore::{CanonicalJson, CommitError, Durability, NewEvent, ReceiptError, Unavailable};

use crate::app::{
    SeatTaken, Todo, TodoCompleted, assert_state_is_replay, block_on, memory_store, schema, todo,
    todos,
};

#[test]
fn a_commit_is_in_the_state_when_it_returns() {
    let store = memory_store();
    store.commit(todo("a")).unwrap();
    assert_eq!(todos(&store), ["a"]);
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    let open = store.query(Todo::select().filter(Todo::completed.eq(false)).count()).unwrap();
    assert_eq!(open, 0);
    assert_state_is_replay(&store);
}

#[test]
fn one_many_and_closure_commits_make_one_group_each() {
    let store = memory_store();
    store.commit(todo("one")).unwrap();
    store.commit([todo("array 1"), todo("array 2")]).unwrap();
    store.commit(vec![todo("vec")]).unwrap();
    store.commit((todo("tuple"), TodoCompleted { id: "tuple".into() })).unwrap();
    store
        .commit_with::<CommitError>(|group| {
            group.commit(todo("closure"))?;
            group.commit([TodoCompleted { id: "closure".into() }])
        })
        .unwrap();
    let events: Vec<_> = store.events().collect::<Result<_, _>>().unwrap();
    assert_eq!(events.len(), 8);
    let mut groups: Vec<_> = events.iter().map(|event| event.group_id).collect();
    groups.dedup();
    assert_eq!(groups.len(), 5);
    let seqs: Vec<_> = events.iter().map(|event| event.seq.to_string()).collect();
    assert_eq!(seqs, ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"]);
    assert_state_is_replay(&store);
}

#[test]
fn a_group_whose_last_event_fails_leaves_no_trace() {
    let store = memory_store();
    store.commit(todo("a")).unwrap();
    let before = store.state_hash().unwrap();
    let error = store.commit([todo("b"), todo("c"), todo("a")]).unwrap_err();
    assert!(matches!(error, CommitError::Materialize { .. }), "{error}");
    assert!(error.to_string().contains("UNIQUE constraint failed: todos.id"), "{error}");
    assert_eq!(store.state_hash().unwrap(), before);
    assert_eq!(store.events().count(), 1);
    store.commit(todo("b")).unwrap();
    assert_eq!(todos(&store), ["a", "b"]);
    assert_state_is_replay(&store);
}

#[test]
fn a_closure_that_fails_commits_nothing() {
    let store = memory_store();
    let outcome = store.commit_with(|group| {
        group.commit(todo("a"))?;
        Err(Box::<dyn std::error::Error>::from("changed my mind"))
    });
    assert_eq!(outcome.unwrap_err().to_string(), "changed my mind");
    assert_eq!(store.events().count(), 0);
}

#[test]
fn a_commit_of_nothing_is_an_error() {
    let store = memory_store();
    let error = store.commit(Vec::<crate::app::TodoCreated>::new()).unwrap_err();
    assert_eq!(error.to_string(), "a group needs at least one event");
}

#[test]
fn events_made_at_run_time_are_like_typed_ones() {
    let store = memory_store();
    let args = CanonicalJson::parse(r#"{"id":"a","text":"from JSON"}"#).unwrap();
    store.commit(NewEvent::from_json("v1.TodoCreated", args).unwrap()).unwrap();
    let todo = store.query(Todo::select().first()).unwrap().unwrap();
    assert_eq!(todo.text, "from JSON");
}

#[test]
fn the_payload_that_a_materializer_gets_is_the_stored_one() {
    // A payload whose serialization loses something: what was lost is lost at once, here too.
    #[derive(Event, serde::Serialize, serde::Deserialize)]
    #[event(name = "v1.Lossy")]
    struct Lossy {
        id: String,
        #[serde(skip)]
        only_here: String,
    }
    let schema = Schema::builder()
        .table::<Todo>()
        .event(|e: Lossy, _| Todo::insert(Todo { id: e.id, text: e.only_here, completed: false }))
        .build()
        .unwrap();
    let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
    store.commit(Lossy { id: "a".into(), only_here: "not in the log".into() }).unwrap();
    assert_eq!(store.query(Todo::select().first()).unwrap().unwrap().text, "");
    assert_state_is_replay(&store);
}

#[test]
fn a_receipt_without_a_backend_says_so_at_once() {
    let store = memory_store();
    let receipt = store.commit(todo("a")).unwrap();
    assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Memory);
    assert_eq!(block_on(receipt.confirmed()).unwrap_err(), ReceiptError::NoBackend);
}

#[test]
fn a_closed_store_says_so() {
    let store = memory_store();
    let live = store.query_db(Todo::select());
    let receipt = store.commit(todo("a")).unwrap();
    let clone = store.clone();
    store.shutdown().unwrap();
    store.shutdown().unwrap();
    let error = clone.commit(todo("b")).unwrap_err();
    assert!(matches!(error, CommitError::Store(Unavailable::Closed)), "{error}");
    assert!(clone.query(Todo::select()).is_err());
    assert!(live.clone().get().is_err() || live.version() > 0);
    assert_eq!(block_on(receipt.confirmed()).unwrap_err(), ReceiptError::from(Unavailable::Closed));
}

#[test]
fn a_materializer_that_calls_the_store_gets_an_error_instead_of_a_deadlock() {
    use std::sync::{Arc, OnceLock};
    let cell: Arc<OnceLock<Store>> = Arc::default();
    let inside = Arc::clone(&cell);
    let schema = Schema::builder()
        .table::<Todo>()
        .event(move |e: crate::app::TodoCreated, _| {
            let store = inside.get().expect("the store is there");
            store.query(Todo::select().count())?;
            Ok::<_, livestore::QueryError>(Todo::insert(Todo {
                id: e.id,
                text: e.text,
                completed: false,
            }))
        })
        .build()
        .unwrap();
    let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
    cell.set(store.clone()).unwrap();
    let error = store.commit(todo("a")).unwrap_err();
    assert!(error.to_string().contains("must not call the store"), "{error}");
    store.shutdown().unwrap();
}

#[test]
fn many_threads_commit_and_read_at_once() {
    let store = memory_store();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for index in 0..100 {
                    let id = format!("{thread}-{index:03}");
                    store.commit(todo(&id)).unwrap();
                    let mine = store.query(Todo::select().filter(Todo::id.eq(&id)).count());
                    assert_eq!(mine.unwrap(), 1, "a commit must be readable at once");
                }
            });
        }
    });
    assert_eq!(todos(&store).len(), 400);
    assert_state_is_replay(&store);
}

#[test]
fn a_schema_can_be_built_without_derive() {
    use livestore::{ColumnDef, ColumnType, TableDef, TableWrite, Value};
    let notes = TableDef::new(
        "notes",
        [
            ColumnDef::new("id", ColumnType::Text).primary_key(),
            ColumnDef::new("body", ColumnType::Text).default("empty"),
        ],
    )
    .unwrap();
    let table = notes.clone();
    let schema = Schema::builder()
        .table_def(notes)
        .event_json("v1.NoteCreated", livestore::EventKind::Synced, move |args, _| {
            let payload: serde_json::Value = args.decode()?;
            let id = Value::from(payload["id"].as_str().unwrap_or_default());
            let write = TableWrite::insert(&table, [("id".to_owned(), id)]);
            write.map_err(MaterializeError::failed)
        })
        .build()
        .unwrap();
    let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
    let event = NewEvent::new("v1.NoteCreated", &serde_json::json!({"id": "n1"})).unwrap();
    store.commit(event).unwrap();
    let rows = store.query(Sql::new("SELECT id, body FROM notes")).unwrap();
    assert_eq!(rows[0].get::<String>("body").unwrap(), "empty");
    assert_state_is_replay(&store);
}

#[test]
fn composite_groups_keep_their_order() {
    let store = memory_store();
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    for index in 0..50 {
        store.commit([todo(&format!("{index:02}a")), todo(&format!("{index:02}b"))]).unwrap();
    }
    let names: Vec<_> = store.events().skip(1).map(|event| event.unwrap().args).collect();
    let ids: Vec<String> =
        names.iter().map(|args| args.decode::<crate::app::TodoCreated>().unwrap().id).collect();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(ids, sorted);
    let _ = schema();
}
