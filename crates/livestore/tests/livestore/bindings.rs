//! Live values under somebody else's reactive graph: leptos'.

use std::sync::{Arc, Mutex};

use any_spawner::Executor;
use livestore::prelude::*;
use reactive_graph::computed::ArcMemo;
use reactive_graph::effect::Effect;
use reactive_graph::owner::Owner;
use reactive_graph::prelude::*;
use reactive_graph::signal::{ArcReadSignal, arc_signal};

use crate::app::{Todo, TodoCompleted, memory_store, todo};

/// A live value as a signal of leptos, as long as the subscription lives.
fn to_signal<L>(live: &L) -> (ArcReadSignal<L::Value>, Subscription)
where
    L: Live<Value: Clone + Send + Sync + 'static>,
{
    let (read, write) = arc_signal(live.get().expect("the query runs"));
    // What fails leaves what was there.
    let subscription = live.subscribe(move |value| {
        if let Ok(value) = value {
            write.set(value.clone());
        }
    });
    (read, subscription)
}

#[test]
fn live_values_drive_the_signals_of_leptos() {
    // There is one for the process, and effects run when it is polled.
    let _ = Executor::init_futures_executor();
    let owner = Owner::new();
    owner.set();
    let store = memory_store();
    store.commit([todo("a"), todo("b")]).unwrap();
    let (todos, subscription) = to_signal(&store.query_db(Todo::select()));
    let open = store.query_db(Todo::select().filter(Todo::completed.eq(false)).count());
    let (open, _kept) = to_signal(&open);
    let title = ArcMemo::new({
        let todos = todos.clone();
        move |_| format!("{} of {}", open.get(), todos.with(Rows::len))
    });
    let shown: Arc<Mutex<Vec<String>>> = Arc::default();
    let screen = Arc::clone(&shown);
    Effect::new(move || screen.lock().unwrap().push(title.get()));
    Executor::poll_local();
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    Executor::poll_local();
    store.commit([todo("c"), todo("d")]).unwrap();
    Executor::poll_local();
    assert_eq!(*shown.lock().unwrap(), ["2 of 2", "1 of 2", "3 of 4"]);
    let before = todos.get_untracked();
    store.commit(TodoCompleted { id: "d".into() }).unwrap();
    let after = todos.get_untracked();
    let same = before.iter().zip(&after).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(same, 3, "rows that did not change are the same objects there too");
    drop(subscription);
    store.commit(todo("e")).unwrap();
    assert_eq!(todos.with_untracked(Rows::len), 4, "nobody tells it any more");
}
