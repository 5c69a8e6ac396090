//! What is forbidden fails, changes nothing, and says which event, which table and which rule.

use livestore::prelude::*;
use livestore::{IntoGroup, MaterializerContext};
use serde::{Deserialize, Serialize};

use crate::app::Todo;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "drafts", scope = "client")]
struct Draft {
    #[column(primary_key)]
    id: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "selection", scope = "memory")]
struct Selection {
    #[column(primary_key)]
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.Synced")]
struct Synced {}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "Kept", client_only, persist)]
struct Kept {}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "Fleeting", client_only, memory)]
struct Fleeting {}

type Writes = Result<Vec<livestore::Write>, MaterializeError>;

/// Opens a store whose materializers all do the same.
fn store(run: fn(&MaterializerContext<'_>) -> Writes) -> Store {
    let schema = Schema::builder()
        .table::<Todo>()
        .table::<Draft>()
        .table::<Selection>()
        .event(move |_: Synced, cx| run(cx))
        .event(move |_: Kept, cx| run(cx))
        .event(move |_: Fleeting, cx| run(cx));
    Store::open(schema.build().unwrap(), "forbidden", MemoryAdapter::new()).unwrap()
}

/// Checks that a commit fails with an error that says all of this, and changes nothing.
#[track_caller]
fn assert_forbidden<K>(
    run: fn(&MaterializerContext<'_>) -> Writes,
    event: impl IntoGroup<K>,
    says: &[&str],
) {
    let store = store(run);
    let (error, hash) = (store.commit(event).unwrap_err().to_string(), store.state_hash().unwrap());
    for word in says {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!((store.events().count(), store.replay_hash().unwrap()), (0, hash));
}

fn write_todo(_: &MaterializerContext<'_>) -> Writes {
    use livestore::IntoWrites as _;
    Todo::insert(Todo { id: "a".into(), text: String::new(), completed: false }).into_writes()
}

fn write_draft(_: &MaterializerContext<'_>) -> Writes {
    use livestore::IntoWrites as _;
    Draft::insert(Draft { id: "a".into() }).into_writes()
}

fn read_draft(cx: &MaterializerContext<'_>) -> Writes {
    cx.query(&Draft::select()).map(|_| Vec::new())
}

fn read_selection(cx: &MaterializerContext<'_>) -> Writes {
    cx.query(&Selection::select()).map(|_| Vec::new())
}

#[test]
fn a_materializer_that_touches_a_table_out_of_its_event_s_scope() {
    let only = "only persisted client-only events write to client tables";
    assert_forbidden(write_draft, Synced {}, &["event v1.Synced", "drafts", only]);
    let equal = "has to be equal on every client";
    assert_forbidden(read_draft, Synced {}, &["event v1.Synced", "drafts", equal]);
    assert_forbidden(read_selection, Synced {}, &["event v1.Synced", "selection", equal]);
    let on_disk = "has to follow from what is on disk";
    assert_forbidden(read_selection, Kept {}, &["event Kept", "selection", on_disk]);
    let only = "only synced events write to synced tables";
    assert_forbidden(write_todo, Kept {}, &["event Kept", "todos", only]);
    assert_forbidden(write_todo, Fleeting {}, &["event Fleeting", "todos", only]);
}

#[test]
fn a_materializer_that_asks_for_chance_or_the_time() {
    let rule = "whose result may differ between clients, is not allowed in a materializer";
    let chance: fn(&MaterializerContext<'_>) -> Writes =
        |cx| cx.query(&Sql::new("SELECT id, random() FROM todos")).map(|_| Vec::new());
    assert_forbidden(chance, Synced {}, &["event v1.Synced", "random", rule, "FROM todos"]);
    let time: fn(&MaterializerContext<'_>) -> Writes =
        |cx| cx.query(&Sql::new("SELECT CURRENT_TIMESTAMP FROM drafts")).map(|_| Vec::new());
    assert_forbidden(time, Kept {}, &["event Kept", "current_timestamp", rule, "FROM drafts"]);
}

#[test]
fn an_integer_that_others_would_round() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "v1.Synced")]
    struct Large {
        size: u64,
    }
    let says = ["event v1.Synced", "9007199254740992", "2^53-1", "livestore::big_integer"];
    assert_forbidden(write_todo, Large { size: 1 << 53 }, &says);
}

#[test]
fn a_query_that_would_write() {
    let store = store(write_todo);
    for (sql, what) in [
        ("DELETE FROM todos", "todos"),
        ("UPDATE drafts SET id = 'b'", "drafts"),
        ("INSERT INTO selection VALUES ('a')", "selection"),
    ] {
        let error = store.query(Sql::new(sql)).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("is not allowed in a query"), "{error}");
    }
}

#[test]
fn an_error_of_the_materializer_s_own_names_the_event() {
    #[derive(Debug, thiserror::Error)]
    #[error("no room left for {0}")]
    struct NoRoom(&'static str);
    fn refuse(_: &MaterializerContext<'_>) -> Result<(), NoRoom> {
        Err(NoRoom("todos"))
    }
    let schema = Schema::builder().event(|_: Synced, cx| refuse(cx)).build().unwrap();
    let store = Store::open(schema, "forbidden", MemoryAdapter::new()).unwrap();
    let error = store.commit(Synced {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "event v1.Synced could not be materialized: no room left for todos"
    );
    let livestore::CommitError::Materialize { source, .. } = error else { panic!("{error}") };
    let livestore::MaterializeError::Failed(own) = source else { panic!("{source}") };
    assert_eq!(own.downcast_ref::<NoRoom>().unwrap().0, "todos");
}
