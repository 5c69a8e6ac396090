//! What a store tells while it opens, and what it waits for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{
    BootStatus, HistoryAnswer, InitialSync, PoisonAnswer, SchemaBuilder, StoreOptions,
    UnknownEvents, Warning,
};
use livestore_core::IdGenerator;
use serde::{Deserialize, Serialize};

use crate::app::{Todo, TodoCreated, builder, failed, todo, todos};
use crate::backend::{Served, fact, foreign_group};

fn later(version: u64) -> Schema {
    builder(failed).materializer_version(version).build().unwrap()
}

/// Opens a store of a folder, and returns what it told meanwhile.
fn open_telling(folder: &tempfile::TempDir, schema: Schema) -> (Store, Vec<BootStatus>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let options = StoreOptions::new().on_boot_status(move |status| {
        sink.lock().unwrap().push(status.clone());
    });
    let store = Store::open_with(schema, "boot", FileAdapter::new(folder.path()), options).unwrap();
    let told = told.lock().unwrap().clone();
    (store, told)
}

#[test]
fn a_store_whose_state_is_intact_only_loads() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (store, told) = open_telling(&folder, later(0));
        assert_eq!(told, [BootStatus::Loading, BootStatus::Done]);
        store.commit(todo(&new_id())).unwrap();
    }
}

#[test]
fn a_state_that_is_derived_anew_tells_how_far_it_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Served::new();
    let mut ids = IdGenerator::new([3; 32]);
    for _ in 0..5 {
        let facts = (0..500).map(|_| fact(todo(&new_id())));
        backend.elsewhere(foreign_group(&mut ids, facts));
    }
    let adapter = FileAdapter::new(folder.path()).sync(backend);
    let blocking = InitialSync::Blocking { timeout: Duration::from_secs(20) };
    let options = StoreOptions::new().initial_sync(blocking);
    drop(Store::open_with(later(0), "boot", adapter, options).unwrap());

    let (store, told) = open_telling(&folder, later(1));
    assert_eq!(todos(&store).len(), 2_500);
    assert_eq!(told[..2], [BootStatus::Loading, BootStatus::Migrating]);
    assert_eq!(told.last(), Some(&BootStatus::Done));
    let rehydrating: Vec<_> = told[2..told.len() - 1]
        .iter()
        .map(|status| match status {
            BootStatus::Rehydrating { done, total } => (*done, *total),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert!(rehydrating.is_sorted() && rehydrating.len() > 2, "{rehydrating:?}");
    assert_eq!((rehydrating[0], *rehydrating.last().unwrap()), ((0, 2_500), (2_500, 2_500)));
}

#[test]
fn that_a_state_is_derived_anew_is_told_before_anything_of_the_old_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open_telling(&folder, later(0));
    store.commit([todo("a"), todo("b")]).unwrap();
    drop(store);
    let (path, seen) = (folder.path().join("boot.livestore"), Arc::new(Mutex::new(Vec::new())));
    let sink = Arc::clone(&seen);
    let options = StoreOptions::new().on_boot_status(move |status| {
        if let BootStatus::Migrating | BootStatus::Rehydrating { .. } = status {
            let file = livestore_sqlite::rusqlite::Connection::open(&path).unwrap();
            let sql = "SELECT count(*) FROM todos";
            let count: u64 = file.query_row(sql, [], |row| row.get(0)).unwrap();
            sink.lock().unwrap().push((status.clone(), count));
        }
    });
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open_with(later(1), "boot", adapter, options).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], (BootStatus::Migrating, 2));
    assert!(matches!(seen[1], (BootStatus::Rehydrating { .. }, 0)), "{seen:?}");
    assert_eq!(todos(&store), ["a", "b"]);
}

#[test]
fn the_stream_of_statuses_can_be_read_before_the_store_is_open_and_ends_with_it() {
    let (options, statuses) = StoreOptions::new().boot_statuses();
    let reader = std::thread::spawn(move || statuses.collect::<Vec<_>>());
    let store = Store::open_with(later(0), "boot", MemoryAdapter::new(), options).unwrap();
    assert_eq!(reader.join().unwrap(), [BootStatus::Loading, BootStatus::Done]);
    drop(store);

    let (options, statuses) = StoreOptions::new().boot_statuses();
    assert!(Store::open_with(later(0), "not/an/id", MemoryAdapter::new(), options).is_err());
    assert_eq!(statuses.collect::<Vec<_>>(), [BootStatus::Loading], "an opening that failed");
}

/// A backend with some todos of somebody else.
fn backend_with(todos: usize) -> Served {
    let backend = Served::new();
    let mut ids = IdGenerator::new([4; 32]);
    for index in 0..todos {
        backend.elsewhere(foreign_group(&mut ids, [fact(todo(&index.to_string()))]));
    }
    backend
}

fn blocking(timeout: Duration) -> (StoreOptions, livestore::BootStatuses) {
    StoreOptions::new().initial_sync(InitialSync::Blocking { timeout }).boot_statuses()
}

#[test]
fn opening_can_wait_for_the_first_pull() {
    let (options, statuses) = blocking(Duration::from_secs(20));
    let adapter = MemoryAdapter::new().sync(backend_with(3));
    let store = Store::open_with(later(0), "boot", adapter, options).unwrap();
    assert_eq!(todos(&store), ["0", "1", "2"], "without waiting for anything else");
    assert_eq!(store.warnings(), []);
    let told: Vec<_> = statuses.collect();
    let end = [BootStatus::Syncing { done: 3, total: Some(3) }, BootStatus::Done];
    assert!(told.ends_with(&end), "{told:?}");
}

#[test]
fn a_backend_that_is_away_holds_opening_up_no_longer_than_was_said() {
    let backend = backend_with(3);
    backend.set_down(true);
    let (options, statuses) = blocking(Duration::from_millis(200));
    let start = Instant::now();
    let adapter = MemoryAdapter::new().sync(backend.clone());
    let store = Store::open_with(later(0), "boot", adapter, options).unwrap();
    assert!((200..10_000).contains(&start.elapsed().as_millis()));
    assert!(matches!(store.warnings()[..], [Warning::InitialSyncIncomplete { .. }]));
    let told: Vec<_> = statuses.collect();
    let warned = told.iter().filter(|status| matches!(status, BootStatus::Warning { .. })).count();
    assert_eq!((warned, told.last()), (1, Some(&BootStatus::Done)));
    store.commit(todo("mine")).unwrap();
}

#[test]
fn a_store_that_cannot_go_on_syncing_opens_at_once_and_says_why() {
    let backend = backend_with(1);
    let schema = Schema::builder().table::<Todo>().unknown_events(UnknownEvents::Fail);
    let (options, _statuses) = blocking(Duration::from_secs(60));
    let start = Instant::now();
    let adapter = MemoryAdapter::new().sync(backend);
    let store = Store::open_with(schema.build().unwrap(), "boot", adapter, options).unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
    let warnings = store.warnings();
    let [Warning::InitialSyncIncomplete { reason }] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(reason.contains("v1.TodoCreated"), "{reason}");
}

/// An app whose only materializer shouts, or does not.
fn shouting(shouts: bool) -> SchemaBuilder {
    Schema::builder().table::<Todo>().event(move |e: TodoCreated, _| {
        let text = if shouts { e.text.to_uppercase() } else { e.text };
        Todo::insert(Todo { id: e.id, text, completed: false })
    })
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Noted", client_only, persist)]
struct Noted {
    text: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "jottings", scope = "client")]
struct Jotting {
    #[column(primary_key)]
    text: String,
}

fn jotting(shouts: bool) -> SchemaBuilder {
    Schema::builder().table::<Jotting>().event(move |e: Noted, _| {
        Jotting::insert(Jotting { text: if shouts { e.text.to_uppercase() } else { e.text } })
    })
}

/// Opens with the check of materializers and waits until it has had its chance.
fn checked(folder: &tempfile::TempDir, schema: SchemaBuilder) -> Vec<Warning> {
    let options = StoreOptions::new().check_materializers(true);
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open_with(schema.build().unwrap(), "boot", adapter, options).unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    while store.warnings().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    store.warnings()
}

#[test]
fn a_materializer_that_changed_without_a_new_version_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open(shouting(false).build().unwrap(), "boot", adapter).unwrap();
    store.commit(todo("a")).unwrap();
    drop(store);
    assert_eq!(checked(&folder, shouting(false)), []);
    let warnings = checked(&folder, shouting(true));
    assert_eq!(warnings, [Warning::StateDiffersFromReplay]);
    assert!(warnings[0].to_string().contains("materializer_version"));
    assert_eq!(checked(&folder, shouting(true).materializer_version(1)), [], "it was raised");
    assert_eq!(checked(&folder, shouting(true).materializer_version(1)), []);
}

#[test]
fn so_is_one_that_writes_client_tables() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open(jotting(false).build().unwrap(), "boot", adapter).unwrap();
    store.commit(Noted { text: "a".into() }).unwrap();
    drop(store);
    assert_eq!(checked(&folder, jotting(true)), [Warning::StateDiffersFromReplay]);
}

#[test]
fn nothing_is_compared_if_the_app_does_not_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = |shouts| {
        let options = StoreOptions::new()
            .check_materializers(false)
            .on_poison(PoisonAnswer::Quarantine)
            .on_history_diverged(HistoryAnswer::Stop);
        let adapter = FileAdapter::new(folder.path());
        Store::open_with(shouting(shouts).build().unwrap(), "boot", adapter, options).unwrap()
    };
    open(false).commit(todo("a")).unwrap();
    let store = open(true);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(store.warnings(), []);
}
