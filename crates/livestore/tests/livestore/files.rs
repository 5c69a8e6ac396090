//! The file: reopening, locking, formats, and what is not ours.

use std::path::{Path, PathBuf};

use livestore::inspect::Inspector;
use livestore::prelude::*;
use livestore::{Durability, OpenError, StoreId, StoreOptions, Topology};
use livestore_sqlite::rusqlite::Connection;

use crate::app::{Todo, TodoCreated, assert_state_is_replay, block_on, schema, todo, todos};

fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(schema(), "my-app", FileAdapter::new(folder))
}

fn file(folder: &Path) -> PathBuf {
    folder.join("my-app.livestore")
}

/// Content of every file in the folder that is not a lock or SQLite's shared memory.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|ext| ext != "lock"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let receipt = store.commit([todo("a"), todo("b")]).unwrap();
    assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Normal);
    let (client, hash) = (store.client_id().clone(), store.state_hash().unwrap());
    drop(store);

    let store = open(folder.path()).unwrap();
    assert_eq!(todos(&store), ["a", "b"]);
    assert_eq!(store.client_id(), &client, "a client keeps its id");
    assert_eq!(store.state_hash().unwrap(), hash);
    store.commit(todo("c")).unwrap();
    let seqs: Vec<_> = store.events().map(|event| event.unwrap().seq.to_string()).collect();
    assert_eq!(seqs, ["e1", "e2", "e3"]);
    assert_state_is_replay(&store);
}

#[test]
fn a_store_that_is_used_directly_cannot_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::new().topology(Topology::Direct);
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open_with(schema(), "my-app", adapter, options.clone()).unwrap();
    let adapter = FileAdapter::new(folder.path());
    let error = Store::open_with(schema(), "my-app", adapter, options).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    store.commit(todo("a")).unwrap();
    store.shutdown().unwrap();
    assert_eq!(todos(&open(folder.path()).unwrap()), ["a"]);
}

#[test]
fn stores_in_one_folder_do_not_meet_even_if_only_case_differs() {
    let folder = tempfile::tempdir().unwrap();
    let lower = Store::open(schema(), "app", FileAdapter::new(folder.path())).unwrap();
    let upper = Store::open(schema(), "App", FileAdapter::new(folder.path())).unwrap();
    lower.commit(todo("lower")).unwrap();
    upper.commit(todo("upper")).unwrap();
    assert_eq!(todos(&lower), ["lower"]);
    assert_eq!(todos(&upper), ["upper"]);
    assert!(folder.path().join("+app.livestore").exists());
}

#[test]
fn store_ids_never_become_paths() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["", "../escape", "a/b", "a\\b", "a.b", "ä", "a b", &"x".repeat(65)] {
        let error = Store::open(schema(), id, FileAdapter::new(folder.path())).unwrap_err();
        assert!(matches!(error, OpenError::StoreId(_)), "{id:?}: {error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "This is no database, but long enough to have a header.".repeat(100);
    std::fs::write(file(folder.path()), &text).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(file(folder.path())).unwrap(), text);
    let error = Inspector::open_file(&file(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
}

#[test]
fn somebody_elses_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = Connection::open(file(folder.path())).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(theirs);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    let theirs = Connection::open(file(folder.path())).unwrap();
    let rows: i64 = theirs.query_row("SELECT count(*) FROM theirs", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
    let tables = "SELECT count(*) FROM sqlite_schema";
    assert_eq!(theirs.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().commit(todo("a")).unwrap();
    let raw = Connection::open(file(folder.path())).unwrap();
    raw.execute_batch("PRAGMA user_version = 7; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(raw);
    let before = contents(folder.path());
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::UnknownFormat { found: 7, supported: 1, .. }), "{error}");
    assert_eq!(contents(folder.path()), before);
    let raw = Connection::open(file(folder.path())).unwrap();
    raw.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(raw);
    assert_eq!(todos(&open(folder.path()).unwrap()), ["a"], "nothing was lost meanwhile");
}

#[test]
fn a_file_of_another_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().commit(todo("a")).unwrap();
    let other = folder.path().join("other.livestore");
    std::fs::copy(file(folder.path()), other).unwrap();
    let error = Store::open(schema(), "other", FileAdapter::new(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::OtherStore { .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let error = open(&blocked.join("inside")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains("inside"), "{error}");
}

#[test]
fn a_damaged_meta_row_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().commit(todo("a")).unwrap();
    let raw = Connection::open(file(folder.path())).unwrap();
    raw.execute_batch("UPDATE __livestore_meta SET head_hash = x'00'").unwrap();
    drop(raw);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_changed_schema_rebuilds_the_state_from_the_log() {
    #[derive(Table, Clone, Debug, PartialEq)]
    #[table(name = "todos")]
    struct TodoWithLength {
        #[column(primary_key)]
        id: String,
        length: i64,
    }
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().commit([todo("a"), todo("bb")]).unwrap();
    let changed = Schema::builder()
        .table::<TodoWithLength>()
        .event(|e: TodoCreated, _| {
            let length = e.text.len().try_into().unwrap_or(i64::MAX);
            TodoWithLength::insert(TodoWithLength { id: e.id, length })
        })
        .build()
        .unwrap();
    let store = Store::open(changed.clone(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let rows = store.query(TodoWithLength::select().order_by(TodoWithLength::id)).unwrap();
    let lengths: Vec<_> = rows.iter().map(|row| row.length).collect();
    assert_eq!(lengths, [9, 10]);
    assert!(store.query(Todo::select()).is_err(), "the old columns are gone");
    store.commit(todo("c")).unwrap();
    assert_state_is_replay(&store);
    drop(store);

    // And back again; the tables that only the other schema has go.
    let store = open(folder.path()).unwrap();
    assert_eq!(todos(&store), ["a", "bb", "c"]);
    assert_state_is_replay(&store);
}

#[test]
fn a_raised_materializer_version_rebuilds_the_state() {
    let with = |version, text: &'static str| {
        Schema::builder()
            .table::<Todo>()
            .event(move |e: TodoCreated, _| {
                Todo::insert(Todo { id: e.id, text: text.into(), completed: false })
            })
            .materializer_version(version)
            .build()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let open = |schema| Store::open(schema, "app", FileAdapter::new(folder.path())).unwrap();
    let text = |store: &Store| store.query(Todo::select().first()).unwrap().unwrap().text.clone();
    open(with(1, "old")).commit(todo("a")).unwrap();
    assert_eq!(text(&open(with(1, "new"))), "old", "nothing told that the code changed");
    assert_eq!(text(&open(with(2, "new"))), "new");
}

#[test]
fn pending_events_that_a_changed_schema_cannot_apply_become_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().commit([todo("a")]).unwrap();
    let without = Schema::builder().table::<Todo>().build().unwrap();
    let store = Store::open(without, "my-app", FileAdapter::new(folder.path())).unwrap();
    let letters = store.dead_letters().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].group.events()[0].name.as_str(), "v1.TodoCreated");
    assert!(letters[0].reason.to_string().contains("no synced event of this name"));
    assert_eq!(store.sync_status().unwrap().dead_letters, 1);
}

#[test]
fn the_inspector_reads_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.commit([todo("a"), todo("b")]).unwrap();
    let id = StoreId::new("my-app").unwrap();
    let inspector = Inspector::open(folder.path(), &id).unwrap();
    let status = inspector.status().unwrap();
    assert_eq!((status.pending_events, status.pending_groups), (2, 1));
    assert_eq!(status.local_head.to_string(), "e2");
    store.commit(todo("c")).unwrap();
    let mut names = Vec::new();
    let each = |event: livestore::LoggedEvent| {
        names.push(event.seq.to_string());
        true
    };
    inspector.for_each_event(livestore::GlobalSeqNum::ROOT, each).unwrap();
    assert_eq!(names, ["e1", "e2", "e3"]);
    let error = Inspector::open(folder.path(), &StoreId::new("none").unwrap()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[test]
fn a_full_disk_fails_the_commit_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let connection = livestore_sqlite::Connection::open_file(&folder.path().join("db")).unwrap();
    // SQLite's own limit on the size of the database acts like a disk that is full.
    let limit = |pages: u32| format!("PRAGMA max_page_count = {pages}");
    connection.system().execute_batch("PRAGMA page_size = 4096").unwrap();
    let config = livestore::replica::ReplicaConfig {
        schema: schema(),
        store_id: StoreId::new("full").unwrap(),
        client_id: livestore::ClientId::new("client").unwrap(),
        session_id: livestore::SessionId::new("session").unwrap(),
        durability: Durability::Normal,
        upstream: None,
        on_poison: livestore::PoisonAnswer::Quarantine,
        on_history_diverged: livestore::HistoryAnswer::Stop,
        seed: [1; 32],
    };
    let mut replica = livestore::Replica::open(connection, config, "db", 1, &mut |_| ()).unwrap();
    let pages = replica.connection().system();
    let pages: u32 = pages.query_one("PRAGMA page_count", [], |row| row.get(0)).unwrap().unwrap();
    let system = replica.connection().system();
    system.query(&limit(pages + 8), [], |_| Ok(())).unwrap();
    let big = |id: usize| {
        let text = "x".repeat(900);
        vec![
            livestore::NewEvent::new("v1.TodoCreated", &TodoCreated { id: id.to_string(), text })
                .unwrap(),
        ]
    };
    let mut committed = 0;
    let error = loop {
        match replica.commit(big(committed), 1) {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 1_000, "the limit did not bite");
    };
    assert!(error.to_string().contains("full"), "{error}");
    let hash = replica.state_hash().unwrap();
    assert_eq!(replica.replay_hash().unwrap(), hash);
    assert_eq!(replica.status().pending_events, committed as u64);
    // With room again, it goes on.
    replica.connection().system().query(&limit(pages + 1_000), [], |_| Ok(())).unwrap();
    replica.commit(big(committed), 1).unwrap();
    assert_eq!(replica.replay_hash().unwrap(), replica.state_hash().unwrap());
}
