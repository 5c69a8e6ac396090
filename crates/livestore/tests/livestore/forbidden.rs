//! What is forbidden fails, changes nothing, and says which event, which table, which rule, and what
//! to do instead.

use livestore::prelude::*;
use livestore::{IntoGroup, IntoWrites, MaterializerContext};
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

/// Checks that a commit fails with an error that says this, and changes nothing.
#[track_caller]
fn assert_forbidden<K>(
    run: fn(&MaterializerContext<'_>) -> Writes,
    event: impl IntoGroup<K>,
    says: &str,
) {
    let store = store(run);
    let (error, hash) = (store.commit(event).unwrap_err().to_string(), store.state_hash().unwrap());
    assert_eq!(error, says);
    assert_eq!((store.events().count(), store.replay_hash().unwrap()), (0, hash));
}

fn write_todo(_: &MaterializerContext<'_>) -> Writes {
    Todo::insert(Todo { id: "a".into(), text: String::new(), completed: false }).into_writes()
}

fn write_draft(_: &MaterializerContext<'_>) -> Writes {
    Draft::insert(Draft { id: "a".into() }).into_writes()
}

fn write_selection(_: &MaterializerContext<'_>) -> Writes {
    Selection::insert(Selection { id: "a".into() }).into_writes()
}

fn read_draft(cx: &MaterializerContext<'_>) -> Writes {
    cx.query(&Draft::select()).map(|_| Vec::new())
}

fn read_selection(cx: &MaterializerContext<'_>) -> Writes {
    cx.query(&Selection::select()).map(|_| Vec::new())
}

fn read_draft_while_writing(_: &MaterializerContext<'_>) -> Writes {
    let drafts = Draft::select().columns(Draft::id);
    Todo::delete().filter(Todo::id.in_select(drafts)).into_writes()
}

#[test]
fn a_materializer_that_writes_a_table_out_of_its_event_s_scope() {
    assert_forbidden(
        write_draft,
        Synced {},
        "event v1.Synced could not be materialized: inserting into drafts, a client table, is not \
         allowed in a materializer of a synced event: only persisted client-only events write to \
         client tables; write to drafts from one of these, or make it a synced table, which synced \
         events write to (in: INSERT INTO \"drafts\" (\"id\") VALUES (?))",
    );
    assert_forbidden(
        write_selection,
        Synced {},
        "event v1.Synced could not be materialized: inserting into selection, a memory table, is \
         not allowed in a materializer of a synced event: only memory events write to memory \
         tables; write to selection from one of these, or make it a synced table, which synced \
         events write to (in: INSERT INTO \"selection\" (\"id\") VALUES (?))",
    );
    let synced_only = |event: &str, kind: &str, scope: &str| {
        format!(
            "event {event} could not be materialized: inserting into todos, a synced table, is not \
             allowed in a materializer of a {kind} event: only synced events write to synced \
             tables; write to todos from one of these, or make it a {scope} table, which {kind} \
             events write to (in: INSERT INTO \"todos\" (\"id\", \"text\", \"completed\") \
             VALUES (?, ?, ?))"
        )
    };
    assert_forbidden(write_todo, Kept {}, &synced_only("Kept", "persisted client-only", "client"));
    assert_forbidden(write_todo, Fleeting {}, &synced_only("Fleeting", "memory", "memory"));
}

#[test]
fn a_materializer_that_reads_a_table_out_of_its_event_s_scope() {
    let read = |table: &str, scope: &str, sql: &str| {
        format!(
            "event v1.Synced could not be materialized: reading {table}, a {scope} table, is not \
             allowed in a materializer of a synced event: what it writes has to be equal on every \
             client; put what it needs into the event's payload, or make {table} a synced table \
             (in: {sql})"
        )
    };
    let drafts = r#"SELECT "id" FROM "drafts" ORDER BY "drafts"."id""#;
    assert_forbidden(read_draft, Synced {}, &read("drafts", "client", drafts));
    let selection = r#"SELECT "id" FROM "selection" ORDER BY "selection"."id""#;
    assert_forbidden(read_selection, Synced {}, &read("selection", "memory", selection));
    let sub_query =
        r#"DELETE FROM "todos" WHERE "todos"."id" IN (SELECT "drafts"."id" FROM "drafts")"#;
    assert_forbidden(read_draft_while_writing, Synced {}, &read("drafts", "client", sub_query));
    assert_forbidden(
        read_selection,
        Kept {},
        "event Kept could not be materialized: reading selection, a memory table, is not allowed \
         in a materializer of a persisted client-only event: what it writes has to follow from \
         what is on disk; put what it needs into the event's payload, or make selection a client \
         table (in: SELECT \"id\" FROM \"selection\" ORDER BY \"selection\".\"id\")",
    );
}

/// What a materializer is told that asks for something that differs between clients.
fn elsewhere(what: &str, sql: &str) -> String {
    format!(
        "event v1.Synced could not be materialized: {what} is not allowed in a materializer's \
         query: use it where the event is made, and put the result into the payload (in: {sql})"
    )
}

#[test]
fn a_materializer_that_asks_for_chance_or_the_time() {
    fn ask(cx: &MaterializerContext<'_>, sql: &str) -> Writes {
        cx.query(&Sql::new(sql)).map(|_| Vec::new())
    }
    let function =
        |name: &str| format!("the function {name}, whose result may differ between clients,");
    let chance = "SELECT id, random() FROM todos";
    assert_forbidden(
        |cx| ask(cx, "SELECT id, random() FROM todos"),
        Synced {},
        &elsewhere(&function("random"), chance),
    );
    let time = "SELECT CURRENT_TIMESTAMP FROM todos";
    assert_forbidden(
        |cx| ask(cx, "SELECT CURRENT_TIMESTAMP FROM todos"),
        Synced {},
        &elsewhere(&function("current_timestamp"), time),
    );
    let now = "the function date with the present moment, which differs between clients,";
    assert_forbidden(
        |cx| ask(cx, "SELECT date('now')"),
        Synced {},
        &elsewhere(now, "SELECT date('now')"),
    );
}

#[test]
fn no_write_can_even_name_chance() {
    let call = serde_json::json!({ "call": { "function": "random", "arguments": [] } });
    let set = serde_json::json!([{ "column": "text", "value": call }]);
    let update = serde_json::json!({ "update": { "table": "todos", "set": set } });
    let error = serde_json::from_value::<livestore::ast::Statement>(update).unwrap_err();
    let says = "unknown variant `random`, expected one of `abs`, ";
    assert!(error.to_string().starts_with(says), "{error}");
}

#[test]
fn a_materializer_that_writes_by_a_query() {
    assert_forbidden(
        |cx| cx.query(&Sql::new("DELETE FROM todos")).map(|_| Vec::new()),
        Synced {},
        "event v1.Synced could not be materialized: deleting from table todos is not allowed in a \
         materializer's query: queries only read; return the write from the materializer (in: \
         DELETE FROM todos)",
    );
}

#[test]
fn a_materializer_that_asks_for_what_is_no_table() {
    let says = |what: &str, sql: &str| {
        format!(
            "event v1.Synced could not be materialized: {what} is not allowed in a materializer's \
             query: materializers read tables of the schema; put what else they need into the \
             event's payload (in: {sql})"
        )
    };
    assert_forbidden(
        |cx| cx.query(&Sql::new("PRAGMA user_version")).map(|_| Vec::new()),
        Synced {},
        &says("PRAGMA user_version", "PRAGMA user_version"),
    );
    assert_forbidden(
        |cx| cx.query(&Sql::new("ATTACH 'a.db' AS a")).map(|_| Vec::new()),
        Synced {},
        &says("ATTACH", "ATTACH 'a.db' AS a"),
    );
}

#[test]
fn an_integer_that_others_would_round() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "v1.Synced")]
    struct Large {
        files: Vec<File>,
    }
    #[derive(Serialize, Deserialize)]
    struct File {
        size: u64,
    }
    assert_forbidden(
        write_todo,
        Large { files: vec![File { size: 1 }, File { size: 1 << 53 }] },
        "the payload of event v1.Synced cannot be stored: the integer 9007199254740992 at \
         `files[1].size` is beyond ±(2^53-1) and would be rounded by JSON readers; encode it as a \
         string, with #[serde(with = \"livestore::big_integer\")]",
    );
}

/// Checks that each way to read refuses a statement and says this.
#[track_caller]
fn assert_no_query(sql: &str, says: &str) {
    let store = store(write_todo);
    store.commit(Synced {}).unwrap();
    let hash = store.state_hash().unwrap();
    let says = format!("{says} (in: {sql})");
    assert_eq!(store.query(Sql::new(sql)).unwrap_err().to_string(), says);
    assert_eq!(store.query(query_as::<String>(sql)).unwrap_err().to_string(), says);
    assert_eq!(store.query_db(Sql::new(sql)).get().unwrap_err().to_string(), says);
    assert_eq!(store.state_hash().unwrap(), hash);
}

#[test]
fn a_query_that_would_write() {
    let rule = "is not allowed in a query: queries only read; commit an event whose materializer \
                writes";
    for (sql, what) in [
        ("DELETE FROM todos", "deleting from table todos"),
        ("UPDATE drafts SET id = 'b'", "updating table drafts"),
        ("INSERT INTO selection VALUES ('a')", "inserting into table selection"),
        ("WITH a AS (SELECT 1) DELETE FROM todos RETURNING id", "deleting from table todos"),
    ] {
        assert_no_query(sql, &format!("{what} {rule}"));
    }
}

#[test]
fn a_query_that_would_do_anything_else() {
    let rule = "is not allowed in a query: queries only read tables of the schema; \
                `Schema::describe` tells what these are";
    assert_no_query("PRAGMA user_version = 7", &format!("PRAGMA user_version {rule}"));
    assert_no_query("PRAGMA table_info(todos)", &format!("PRAGMA table_info {rule}"));
    assert_no_query("ATTACH ':memory:' AS other", &format!("ATTACH {rule}"));
    assert_no_query("DETACH memory", &format!("DETACH {rule}"));
    let schema = "changing the database schema is not allowed in a query: tables are made from the \
                  app's schema; change them there";
    assert_no_query("CREATE TABLE more (id)", schema);
    assert_no_query("DROP TABLE todos", schema);
    assert_no_query(
        "BEGIN",
        "controlling transactions is not allowed in a query: each commit is a transaction; commit \
         several events together",
    );
    assert_no_query(
        "SELECT name FROM __livestore_eventlog",
        "reading table __livestore_eventlog is not allowed in a query: it is LiveStore's own; \
         `Store::events` lists the log",
    );
    assert_no_query(
        "SELECT load_extension('a')",
        "the function load_extension is not allowed in a query: it does more than calculate; do \
         that in Rust, and bind the result",
    );
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
