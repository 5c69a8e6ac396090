//! A small app that all tests share.

use livestore::SchemaBuilder;
use livestore::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.TodoCreated")]
pub struct TodoCreated {
    pub id: String,
    pub text: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.TodoCompleted")]
pub struct TodoCompleted {
    pub id: String,
}

/// Takes a seat; two clients cannot take the same one.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatTaken")]
pub struct SeatTaken {
    pub seat: i64,
    pub by: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Failed")]
pub struct Failed {
    pub how: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub struct Todo {
    #[column(primary_key)]
    pub id: String,
    #[column(check = "length(text) < 1000")]
    pub text: String,
    #[column(default = false)]
    pub completed: bool,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "seats")]
pub struct Seat {
    #[column(primary_key)]
    pub seat: i64,
    #[column(unique)]
    pub by: String,
}

/// How often anything was completed: a row that every completion changes.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "counters")]
pub struct Counter {
    #[column(primary_key)]
    pub name: String,
    pub value: i64,
}

/// The app's tables and events; `on_failed` is what `v1.Failed` does.
pub fn builder(
    on_failed: impl Fn(Failed) -> Result<(), MaterializeError> + Send + Sync + 'static,
) -> SchemaBuilder {
    Schema::builder()
        .table::<Todo>()
        .table::<Seat>()
        .table::<Counter>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .event(|e: TodoCompleted, cx| {
            let counter =
                cx.query(&Counter::select().filter(Counter::name.eq("completed")).first())?;
            let value = counter.map_or(0, |counter| counter.value) + 1;
            Ok::<_, MaterializeError>((
                Todo::update().set(Todo::completed, true).filter(Todo::id.eq(e.id)),
                Counter::insert(Counter { name: "completed".into(), value }).or_replace(),
            ))
        })
        .event(|e: SeatTaken, _| Seat::insert(Seat { seat: e.seat, by: e.by }))
        .event(move |e: Failed, _| on_failed(e))
}

/// Fails as the event wishes.
pub fn failed(e: Failed) -> Result<(), MaterializeError> {
    match e.how.as_str() {
        "error" => Err(MaterializeError::failed("the materializer's own error")),
        "panic" => panic!("the materializer's panic"),
        _ => Ok(()),
    }
}

pub fn schema() -> Schema {
    builder(failed).build().expect("the schema is valid")
}

pub fn memory_store() -> Store {
    Store::open(schema(), "test", MemoryAdapter::new()).expect("a memory store opens")
}

pub fn todo(id: &str) -> TodoCreated {
    TodoCreated { id: id.into(), text: format!("text of {id}") }
}

pub fn todos(store: &Store) -> Vec<String> {
    let todos = store.query(Todo::select().order_by(Todo::id)).expect("the query runs");
    todos.iter().map(|todo| todo.id.clone()).collect()
}

/// State = replay of the log, which every test can end with.
#[track_caller]
pub fn assert_state_is_replay(store: &Store) {
    let (state, replay) = (store.state_hash().unwrap(), store.replay_hash().unwrap());
    assert_eq!(state, replay, "the state differs from a replay of its log");
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Waits until the status of a store that syncs is what it should be.
pub fn wait_until(store: &Store, what: impl Fn(&livestore::SyncStatus) -> bool) {
    for _ in 0..500 {
        if what(&store.sync_status().unwrap()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never came: {:?}", store.sync_status());
}
