//! What needs no page, in Node: `cargo xtask web --test`.

#![cfg(target_family = "wasm")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore::prelude::*;
use livestore::{
    ClientId, Durability, InitialSync, ReceiptError, SessionId, StoreOptions, Warning,
};
use livestore_sync_ws::WsSync;
use todos_wasm::{Todo, TodoEvent, schema};
use wasm_bindgen_test::wasm_bindgen_test;

fn open() -> Store {
    Store::open(schema().unwrap(), "todos", WebAdapter::in_memory()).unwrap()
}

fn created(id: &str) -> TodoEvent {
    TodoEvent::Created { id: id.into(), text: format!("do {id}") }
}

fn checked(id: &str) -> TodoEvent {
    TodoEvent::Checked { id: id.into(), completed: true }
}

#[wasm_bindgen_test]
fn what_is_committed_is_read() {
    let store = open();
    store.commit((created("a"), created("b"), checked("a"))).unwrap();
    let done = Todo::select().filter(Todo::completed.eq(true));
    assert_eq!(store.query(done).unwrap()[0].text, "do a");
    store.commit(TodoEvent::Cleared {}).unwrap();
    assert_eq!(store.query(Todo::select()).unwrap().len(), 1);
}

#[wasm_bindgen_test]
fn what_fails_changes_nothing() {
    let store = open();
    store.commit(created("a")).unwrap();
    assert!(store.commit((created("b"), created("a"))).is_err());
    assert_eq!(store.query(Todo::select()).unwrap().len(), 1);
}

#[wasm_bindgen_test]
fn a_live_query_tells_each_change_once() {
    let store = open();
    let open_todos = store.query_db(Todo::select().filter(Todo::completed.eq(false)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let subscription = open_todos.subscribe(move |todos| sink.lock().unwrap().push(todos.len()));
    store.commit((created("a"), created("b"))).unwrap();
    store.commit(checked("a")).unwrap();
    drop(subscription);
    store.commit(checked("b")).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 2, 1]);
}

#[wasm_bindgen_test]
async fn a_receipt_tells_that_memory_is_all_there_is() {
    let store = open();
    let receipt = store.commit(created("a")).unwrap();
    assert_eq!(receipt.persisted().await.unwrap(), Durability::Memory);
    assert!(matches!(receipt.confirmed().await, Err(ReceiptError::NoBackend)));
}

#[wasm_bindgen_test]
fn who_commits_can_be_chosen() {
    let adapter = WebAdapter::in_memory()
        .client_id(ClientId::new("ann").unwrap())
        .session_id(SessionId::new("tab").unwrap());
    let store = Store::open(schema().unwrap(), "todos", adapter).unwrap();
    store.commit(created("a")).unwrap();
    let event = store.events().next().unwrap().unwrap();
    assert_eq!((event.client_id.as_str(), event.session_id.as_str()), ("ann", "tab"));
}

#[wasm_bindgen_test]
fn a_store_that_is_to_wait_for_its_backend_says_that_it_cannot() {
    let adapter = WebAdapter::in_memory().sync(WsSync::new("ws://127.0.0.1:9"));
    let wait = InitialSync::Blocking { timeout: Duration::from_secs(5) };
    let options = StoreOptions::new().initial_sync(wait);
    let store = Store::open_with(schema().unwrap(), "todos", adapter, options).unwrap();
    let warnings = store.warnings();
    assert!(matches!(warnings[..], [Warning::InitialSyncIncomplete { .. }]), "{warnings:?}");
}
