//! Bad input gets a clear typed error and changes nothing.

use livestore::prelude::*;
use livestore::{
    CanonicalJson, ColumnDef, ColumnType, CommitError, JsonError, NewEvent, SchemaError, TableDef,
    TableError,
};
use serde::{Deserialize, Serialize};

use crate::app::{
    Failed, SeatTaken, Todo, TodoCreated, assert_state_is_replay, memory_store, todo,
};

/// Checks that the commit fails with the message, and that the store is as before and usable.
#[track_caller]
fn assert_refused<K>(store: &Store, event: impl livestore::IntoGroup<K>, message: &str) {
    let (hash, events) = (store.state_hash().unwrap(), store.events().count());
    let error = store.commit(event).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(store.state_hash().unwrap(), hash, "a refused commit changed the state");
    assert_eq!(store.events().count(), events, "a refused commit changed the log");
    store.commit(todo(&new_id())).expect("the store stays usable");
    assert_state_is_replay(store);
}

#[test]
fn an_event_that_the_schema_does_not_have() {
    let event = NewEvent::new("v1.Unheard", &()).unwrap();
    assert_refused(&memory_store(), event, "the schema has no event v1.Unheard");
}

#[test]
fn a_payload_that_does_not_decode() {
    let args = CanonicalJson::parse(r#"{"id":5}"#).unwrap();
    let event = NewEvent::from_json("v1.TodoCreated", args).unwrap();
    let message = "could not be materialized: the payload does not fit its type: invalid type";
    assert_refused(&memory_store(), event, message);
}

#[test]
fn a_payload_that_is_not_canonical() {
    let error = CanonicalJson::parse(r#"{"text": "a space", "id": "a"}"#).unwrap_err();
    assert!(matches!(error, JsonError::NotCanonical { .. }), "{error}");
}

#[test]
fn a_payload_that_json_would_change() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "v1.Measured")]
    struct Measured {
        count: u64,
        value: f64,
    }
    let store = memory_store();
    let too_large = Measured { count: (1 << 53) + 1, value: 0.0 };
    assert_refused(&store, too_large, "beyond ±(2^53-1)");
    let not_a_number = Measured { count: 0, value: f64::NAN };
    assert_refused(&store, not_a_number, "NaN at `value` has no JSON form");
}

#[test]
fn a_materializer_that_fails_on_a_unique_column() {
    let store = memory_store();
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    let taken = SeatTaken { seat: 2, by: "ann".into() };
    assert_refused(&store, taken, "UNIQUE constraint failed: seats.by");
}

#[test]
fn a_materializer_that_fails_on_a_check() {
    let long = TodoCreated { id: "a".into(), text: "x".repeat(1_000) };
    assert_refused(&memory_store(), long, "CHECK constraint failed: length(text) < 1000");
}

#[test]
fn a_materializer_that_returns_an_error() {
    let failed = Failed { how: "error".into() };
    assert_refused(&memory_store(), failed, "the materializer's own error");
}

#[test]
fn a_materializer_that_panics() {
    let store = memory_store();
    let failed = || Failed { how: "panic".into() };
    assert_refused(&store, failed(), "panicked: the materializer's panic");
    // Half of a group was applied when it panicked.
    let group = (todo("half"), failed());
    assert_refused(&store, group, "panicked");
}

#[test]
fn an_event_or_group_beyond_the_limits() {
    let store = memory_store();
    let huge = TodoCreated { id: "a".into(), text: "x".repeat(1 << 20) };
    assert_refused(&store, huge, "the limit is 1048576");
    let many: Vec<_> = (0..10_001).map(|index| todo(&index.to_string())).collect();
    assert_refused(&store, many, "commit it in several groups");
}

#[test]
fn a_materializer_that_is_not_deterministic() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "v1.Rolled")]
    struct Rolled {}
    for sql in [
        "SELECT random() AS x",
        "SELECT CURRENT_TIMESTAMP AS x",
        "SELECT datetime('now') AS x",
        "SELECT last_insert_rowid() AS x",
        "SELECT count(*) AS x FROM __livestore_pending",
        "DELETE FROM todos",
    ] {
        let schema = Schema::builder()
            .table::<Todo>()
            .event(|e: TodoCreated, _| {
                Todo::insert(Todo { id: e.id, text: e.text, completed: false })
            })
            .event(move |_: Rolled, cx| cx.query(&Sql::new(sql)).map(|_| ()))
            .build()
            .unwrap();
        let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
        assert_refused(&store, Rolled {}, "is not allowed in a materializer");
    }
}

#[test]
fn a_query_that_would_write() {
    let store = memory_store();
    store.commit(todo("a")).unwrap();
    let hash = store.state_hash().unwrap();
    for sql in [
        "DELETE FROM todos",
        "INSERT INTO todos VALUES ('b', 'b', 0) RETURNING id",
        "DROP TABLE todos",
        "PRAGMA user_version = 9",
        "ATTACH 'other.db' AS other",
        "BEGIN",
        "SELECT * FROM __livestore_pending",
    ] {
        let error = store.query(Sql::new(sql)).unwrap_err().to_string();
        assert!(error.contains("is not allowed in a query"), "{sql}: {error}");
    }
    assert!(store.query(Sql::new("SELECT 1; DELETE FROM todos")).is_err());
    assert!(store.query(Sql::new("not SQL")).is_err());
    assert_eq!(store.state_hash().unwrap(), hash);
    assert_state_is_replay(&store);
}

#[test]
fn a_table_without_primary_key() {
    #[derive(Table)]
    #[table(name = "loose")]
    struct Loose {
        text: String,
    }
    let error = Schema::builder().table::<Loose>().build().unwrap_err();
    assert_eq!(error, SchemaError::Table(TableError::NoPrimaryKey { table: "loose".into() }));
    assert!(error.to_string().contains("#[column(primary_key)]"), "{error}");
    let _ = Loose { text: String::new() }.text;
}

#[test]
fn a_duplicate_table_or_event_name() {
    let error = Schema::builder().table::<Todo>().table::<Todo>().build().unwrap_err();
    assert_eq!(error, SchemaError::DuplicateTable { name: "todos".into() });
    let column = || ColumnDef::new("id", ColumnType::Text).primary_key();
    let upper = TableDef::new("TODOS", [column()]).unwrap();
    let error = Schema::builder().table::<Todo>().table_def(upper).build().unwrap_err();
    assert_eq!(error, SchemaError::DuplicateTable { name: "todos".into() });

    let error = Schema::builder()
        .event(|_: TodoCreated, _| ())
        .event(|_: TodoCreated, _| ())
        .build()
        .unwrap_err();
    assert!(matches!(error, SchemaError::DuplicateEvent { .. }), "{error}");
}

#[test]
fn an_invalid_event_name() {
    let error = NewEvent::new("", &()).unwrap_err();
    assert!(matches!(error, CommitError::EventName(_)), "{error}");
    let error = Schema::builder()
        .event_json("a\nb", livestore::EventKind::Synced, |_, _| ())
        .build()
        .unwrap_err();
    assert!(matches!(error, SchemaError::EventName(_)), "{error}");
}
