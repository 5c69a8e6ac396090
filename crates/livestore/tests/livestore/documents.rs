//! Client documents: read without writing, set whole or by field, live, and of this client alone.

use std::sync::{Arc, Mutex};

use livestore::prelude::*;
use livestore::{
    ClientDocument, CommitError, DocumentDef, NewEvent, QueryError, SchemaError, Scope, SessionId,
    Warning,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::{Todo, TodoCreated, block_on, todo};
use crate::backend::Served;

#[derive(ClientDocument, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[document(name = "uiState")]
struct UiState {
    filter: String,
    sidebar_width: u32,
    selected: Option<String>,
}

impl Default for UiState {
    fn default() -> Self {
        Self { filter: "all".into(), sidebar_width: 200, selected: None }
    }
}

/// Where the cursor of one window is.
#[derive(ClientDocument, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[document(name = "cursor", by_session)]
struct Cursor {
    line: u32,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .document::<UiState>()
        .document::<Cursor>()
        .build()
        .unwrap()
}

fn memory_store() -> Store {
    Store::open(schema(), "documents", MemoryAdapter::new()).unwrap()
}

fn open(folder: &tempfile::TempDir, schema: Schema) -> Store {
    Store::open(schema, "documents", FileAdapter::new(folder.path())).unwrap()
}

fn rows(store: &Store) -> Vec<(String, String)> {
    let rows = store.query(Sql::new("SELECT id, value FROM uiState ORDER BY id")).unwrap();
    rows.iter().map(|row| (row.get("id").unwrap(), row.get("value").unwrap())).collect()
}

#[test]
fn a_document_that_was_never_set_is_its_default_and_reading_writes_nothing() {
    let store = memory_store();
    let document = store.document::<UiState>();
    assert_eq!(document.get().unwrap(), UiState::default());
    assert_eq!(document.clone().with_id("other").get().unwrap(), UiState::default());
    assert_eq!(store.query(document.query()).unwrap(), UiState::default());
    assert_eq!(document.live().unwrap().get().unwrap(), UiState::default());
    assert_eq!((store.events().count(), rows(&store).len()), (0, 0));
}

#[test]
fn a_document_is_set_as_a_whole_by_field_or_by_a_function_and_reset() {
    let store = memory_store();
    let document = store.document::<UiState>();
    let set = UiState { filter: "open".into(), sidebar_width: 100, selected: Some("a".into()) };
    document.set(&set).unwrap();
    assert_eq!(document.get().unwrap(), set);
    document.set_fields(&json!({ "sidebar_width": 50, "selected": null })).unwrap();
    let narrow = UiState { filter: "open".into(), sidebar_width: 50, selected: None };
    assert_eq!(document.get().unwrap(), narrow);
    let updated = document.update(|ui| ui.sidebar_width += 1).unwrap();
    assert!(updated.is_some());
    assert_eq!(document.get().unwrap().sidebar_width, 51);
    assert!(document.update(|_| ()).unwrap().is_none(), "nothing has changed");
    assert_eq!(store.events().count(), 3);
    document.reset().unwrap();
    assert_eq!(document.get().unwrap(), UiState::default());
    assert_eq!(rows(&store), []);
}

#[test]
fn only_what_was_set_is_stored_so_that_new_defaults_count() {
    let store = memory_store();
    let document = store.document::<UiState>();
    document.set_fields(&json!({ "filter": "open" })).unwrap();
    document.update(|ui| ui.sidebar_width = 7).unwrap();
    let stored = r#"{"filter":"open","sidebar_width":7}"#;
    assert_eq!(rows(&store), [("default".into(), stored.into())]);
}

#[test]
fn documents_of_several_ids_are_several() {
    let store = memory_store();
    for width in [1, 2] {
        let document = store.document::<UiState>().with_id(format!("window {width}"));
        document.update(|ui| ui.sidebar_width = width).unwrap();
    }
    let width = |id: &str| store.document::<UiState>().with_id(id).get().unwrap().sidebar_width;
    assert_eq!((width("window 1"), width("window 2"), width("'; --")), (1, 2, 200));
}

#[test]
fn a_document_of_a_session_is_another_in_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, schema());
    let document = store.document::<Cursor>();
    assert_eq!(document.id(), store.session_id().as_str());
    document.set(&Cursor { line: 5 }).unwrap();
    store.document::<UiState>().update(|ui| ui.filter = "open".into()).unwrap();
    let id = document.id().to_owned();
    drop(store);
    let store = open(&folder, schema());
    assert_eq!(store.document::<Cursor>().get().unwrap().line, 0);
    assert_eq!(store.document::<Cursor>().with_id(id).get().unwrap().line, 5);
    assert_eq!(store.document::<UiState>().get().unwrap().filter, "open", "this one is kept");
}

#[test]
fn the_session_of_a_store_in_memory_can_be_chosen() {
    let session_id = SessionId::new("static").unwrap();
    let adapter = MemoryAdapter::new().session_id(session_id.clone());
    let store = Store::open(schema(), "app", adapter).unwrap();
    assert_eq!(store.session_id(), &session_id);
    assert_eq!(store.document::<Cursor>().id(), "static");
    store.document::<Cursor>().set(&Cursor { line: 5 }).unwrap();
    let event = store.events().next().unwrap().unwrap();
    assert_eq!(event.session_id, session_id);
}

#[test]
fn a_live_document_follows_and_is_cut_off_when_equal() {
    let store = memory_store();
    let document = store.document::<UiState>();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let live = document.live().unwrap();
    let _subscription = live.subscribe(move |ui| sink.lock().unwrap().push(ui.sidebar_width));
    let queried = store.query_db(document.query());
    for width in [1, 1, 2] {
        document.set_fields(&json!({ "sidebar_width": width })).unwrap();
    }
    document.clone().with_id("other").set(&UiState::default()).unwrap();
    assert_eq!(*seen.lock().unwrap(), [200, 1, 2]);
    assert_eq!(queried.get().unwrap().sidebar_width, 2);
}

#[test]
fn no_update_is_lost_between_threads() {
    let store = memory_store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let document = store.document::<UiState>();
                for _ in 0..50 {
                    document.update(|ui| ui.sidebar_width += 1).unwrap();
                }
            });
        }
    });
    assert_eq!(store.document::<UiState>().get().unwrap().sidebar_width, 400);
}

#[test]
fn a_document_never_leaves_its_client_and_survives_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Served::new();
    let open = |version| {
        let schema = Schema::builder()
            .table::<Todo>()
            .event(|e: TodoCreated, _| {
                Todo::insert(Todo { id: e.id, text: e.text, completed: false })
            })
            .document::<UiState>()
            .materializer_version(version);
        let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
        Store::open(schema.build().unwrap(), "documents", adapter).unwrap()
    };
    let store = open(0);
    store.document::<UiState>().update(|ui| ui.filter = "mine".into()).unwrap();
    let receipt = store.commit(todo("a")).unwrap();
    store.document::<UiState>().update(|ui| ui.sidebar_width = 5).unwrap();
    block_on(receipt.confirmed()).unwrap();
    assert_eq!(backend.lock().log().len(), 1, "the todo alone");
    let before = store.document::<UiState>().get().unwrap();
    drop(store);
    assert_eq!(open(1).document::<UiState>().get().unwrap(), before);
}

#[test]
fn a_field_that_no_longer_fits_has_its_default_and_there_is_one_warning() {
    /// The document as a later release has it.
    #[derive(ClientDocument, Serialize, Deserialize, Clone, Debug, PartialEq)]
    #[document(name = "uiState")]
    struct Later {
        filter: Vec<String>,
        sidebar_width: u32,
        theme: String,
    }
    impl Default for Later {
        fn default() -> Self {
            Self { filter: vec!["all".into()], sidebar_width: 300, theme: "light".into() }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, schema());
    store.document::<UiState>().update(|ui| ui.filter = "open".into()).unwrap();
    store.document::<UiState>().update(|ui| ui.sidebar_width = 5).unwrap();
    drop(store);
    let store = open(&folder, Schema::builder().document::<Later>().build().unwrap());
    for _ in 0..2 {
        let document = store.document::<Later>().get().unwrap();
        assert_eq!(document, Later { sidebar_width: 5, ..Later::default() });
    }
    let warnings = store.warnings();
    let [Warning::DocumentValue { document, field, .. }] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert_eq!((document.as_str(), field.as_deref()), ("uiState", Some("filter")));

    // What the older release knows is still there when it comes back.
    store.document::<Later>().update(|ui| ui.theme = "dark".into()).unwrap();
    drop(store);
    assert_eq!(open(&folder, schema()).document::<UiState>().get().unwrap().filter, "open");
}

#[test]
fn fields_that_are_none_are_refused() {
    let store = memory_store();
    let document = store.document::<UiState>();
    for fields in [json!({ "sidebarWidth": 5 }), json!({ "sidebar_width": "wide" }), json!(5)] {
        let error = document.set_fields(&fields).unwrap_err();
        assert!(matches!(error, CommitError::Document { .. }), "{fields}: {error}");
        assert!(error.to_string().contains("uiState"), "{error}");
    }
    assert_eq!(store.events().count(), 0);
}

#[test]
fn a_document_that_the_schema_does_not_have_says_so() {
    let schema = Schema::builder().document::<Cursor>().build().unwrap();
    let store = Store::open(schema, "documents", MemoryAdapter::new()).unwrap();
    let document = store.document::<UiState>();
    assert!(matches!(document.get(), Err(QueryError::UnknownDocument { .. })));
    let error = document.set(&UiState::default()).unwrap_err();
    assert!(matches!(error, CommitError::UnknownDocument { .. }), "{error}");
    assert!(store.document_json("uiState").is_none());
}

#[test]
fn documents_are_defined_at_run_time_alike() {
    let def = DocumentDef::new("settings", &json!({ "theme": "light", "size": 12 })).unwrap();
    let schema = Schema::builder().document_def(def).build().unwrap();
    assert_eq!(schema.tables()[0].scope(), Scope::Client);
    let store = Store::open(schema, "documents", MemoryAdapter::new()).unwrap();
    let document = store.document_json("settings").unwrap();
    document.set_fields(&json!({ "size": 14 })).unwrap();
    assert_eq!(document.get().unwrap(), json!({ "theme": "light", "size": 14 }));
    document.set(&json!("no object at all")).unwrap();
    assert_eq!(document.get().unwrap(), json!("no object at all"));

    let def = DocumentDef::new("no name", &1).unwrap();
    let error = Schema::builder().document_def(def).build().unwrap_err();
    assert!(matches!(error, SchemaError::Table(_)), "{error}");
    assert!(DocumentDef::new("big", &u64::MAX).is_err());
}

#[test]
fn its_event_is_like_any_other_and_one_that_says_nothing_is_refused() {
    let store = memory_store();
    let set = json!({ "id": "default", "value": { "filter": "from outside" } });
    store.commit(NewEvent::new("uiStateSet", &set).unwrap()).unwrap();
    assert_eq!(store.document::<UiState>().get().unwrap().filter, "from outside");
    for args in [json!({ "id": "default" }), json!({ "id": "default", "valeu": 5 }), json!({})] {
        let error = store.commit(NewEvent::new("uiStateSet", &args).unwrap()).unwrap_err();
        assert!(error.to_string().contains("uiStateSet"), "{error}");
    }
    assert_eq!(store.document::<UiState>().get().unwrap().filter, "from outside");
}
