//! The SQLite storage: what it opens, what it refuses, and that it decides like the one in memory.

use std::fs;
use std::time::Duration;

use livestore_core::{GlobalSeqNum, GroupId};
use livestore_server::{
    AppendRequest, LogStorage, MemoryStorage, NoRules, Server, ServerError, SqliteStorage,
    StorageError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::timeout;

use crate::support::{Client, PATIENCE, config, group_id, group_of, start, store};

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path()).await;
    match Server::start(config(dir.path())).await.err() {
        Some(ServerError::Storage(StorageError::Locked { dir: locked })) => {
            assert_eq!(locked, dir.path());
        }
        other => panic!("{other:?}"),
    }
    first.shutdown().await;
    start(dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_dropped_server_frees_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let dropped = start(dir.path()).await;
    let client = Client::connect(&dropped, "notes").await;
    drop(dropped);
    let freed = async {
        while SqliteStorage::open(dir.path()).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, freed).await.unwrap();
    drop(client);
}

#[test]
fn a_missing_directory_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    let made = SqliteStorage::open(&path).unwrap().backend_id();
    assert_eq!(SqliteStorage::open(&path).unwrap().backend_id(), made);
}

#[test]
fn two_directories_are_two_backends() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = |dir: &tempfile::TempDir| SqliteStorage::open(dir.path()).unwrap().backend_id();
    assert_ne!(id(&one), id(&two));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("livestore-server.db");
    for content in ["my shopping list", &"long text ".repeat(1000)] {
        fs::write(&path, content).unwrap();
        let error = SqliteStorage::open(dir.path()).unwrap_err();
        assert!(matches!(error, StorageError::NotADatabase { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *content);
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("livestore-server.db");
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("CREATE TABLE recipe (title TEXT)").unwrap();
    let error = SqliteStorage::open(dir.path()).unwrap_err();
    assert!(matches!(error, StorageError::ForeignDatabase { application_id: 0, .. }), "{error}");
    other.pragma_update(None, "application_id", 77).unwrap();
    let error = SqliteStorage::open(dir.path()).unwrap_err();
    assert!(matches!(error, StorageError::ForeignDatabase { application_id: 77, .. }), "{error}");
}

#[test]
fn a_database_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    SqliteStorage::open(dir.path()).unwrap();
    let path = dir.path().join("livestore-server.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.pragma_update(None, "user_version", 9).unwrap();
    drop(database);
    let error = SqliteStorage::open(dir.path()).unwrap_err();
    assert!(matches!(error, StorageError::UnknownFormat { found: 9, known: 1, .. }), "{error}");
}

#[test]
fn a_damaged_log_is_reported_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    let groups = vec![group_of(1, 3, "x")];
    let request = AppendRequest {
        store_id: store("notes"),
        base: GlobalSeqNum::ROOT,
        groups,
        principal: None,
    };
    storage.append(&[request], &NoRules).unwrap();
    let path = dir.path().join("livestore-server.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute("DELETE FROM event WHERE seq = 2", []).unwrap();
    let page = storage.reader().unwrap().page(&store("notes"), GlobalSeqNum::ROOT);
    assert!(matches!(page, Err(StorageError::Corrupt { .. })), "{page:?}");
}

#[test]
fn a_damaged_payload_is_reported_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    let groups = vec![group_of(1, 1, "x")];
    let request = AppendRequest {
        store_id: store("notes"),
        base: GlobalSeqNum::ROOT,
        groups,
        principal: None,
    };
    storage.append(&[request], &NoRules).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("livestore-server.db")).unwrap();
    database.execute("UPDATE event SET args = '{\"at\":'", []).unwrap();
    let page = storage.reader().unwrap().page(&store("notes"), GlobalSeqNum::ROOT);
    assert!(matches!(page, Err(StorageError::Corrupt { .. })), "{page:?}");
}

/// A push as the generator sees it; the base is an offset from where the log will stand.
#[derive(Debug, Clone)]
struct Step {
    store: usize,
    late_by: u64,
    groups: Vec<(u64, u64, bool)>,
}

fn step() -> impl Strategy<Value = Step> {
    let groups = vec(
        (0..40_u64, prop_oneof![4 => 1..4_u64, 1 => 100..300_u64], prop::bool::weighted(0.1)),
        1..4,
    );
    let late_by = prop_oneof![4 => Just(0), 1 => 1..3_u64];
    (0..2_usize, late_by, groups).prop_map(|(store, late_by, groups)| Step {
        store,
        late_by,
        groups,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn both_storages_decide_alike(batches in vec(vec(step(), 1..5), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = SqliteStorage::open(dir.path()).unwrap();
        let mut reader = storage.reader().unwrap();
        let mut in_memory = MemoryStorage::new(storage.backend_id());
        let mut memory_reader = in_memory.reader().unwrap();
        let stores = [store("notes"), store("tasks")];
        for batch in batches {
            let (mut expected, mut requests) = (Vec::new(), Vec::new());
            for step in batch {
                let store_id = stores[step.store].clone();
                let base = GlobalSeqNum(memory_reader
                    .view(&store_id, &[], &[])
                    .unwrap()
                    .head
                    .0
                    .saturating_sub(step.late_by));
                let group = |(number, count, is_other): &(u64, u64, bool)| {
                    group_of(*number, *count, if *is_other { "other" } else { "same" })
                };
                let groups = step.groups.iter().map(group).collect();
                let request = AppendRequest { store_id, base, groups, principal: None };
                expected.extend(in_memory.append(std::slice::from_ref(&request), &NoRules).unwrap());
                requests.push(request);
            }
            prop_assert_eq!(storage.append(&requests, &NoRules).unwrap(), expected);
        }
        let ids: Vec<GroupId> = (0..40).map(group_id).collect();
        for store in &stores {
            let head = memory_reader.view(store, &[], &[]).unwrap().head.0;
            let everywhere: Vec<GlobalSeqNum> = (0..=head + 1).map(GlobalSeqNum).collect();
            let expected = memory_reader.view(store, &everywhere, &ids).unwrap();
            prop_assert_eq!(reader.view(store, &everywhere, &ids).unwrap(), expected);
            let mut after = GlobalSeqNum::ROOT;
            loop {
                let page = reader.page(store, after).unwrap();
                prop_assert_eq!(&page, &memory_reader.page(store, after).unwrap());
                let Some(page) = page else { break };
                page.check().unwrap();
                after = page.end.seq;
            }
        }
    }
}
