//! The SQLite storage: what it opens, what it refuses, and that it decides like a simple model.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{GroupPosition, Page};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, GroupId, LogHash, LogPosition, StoreId};
use livestore_server::{
    AppendOutcome, AppendRequest, LogStorage, LogView, Server, ServerError, SqliteStorage,
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
    assert!(matches!(error, StorageError::UnknownFormat { found: 9, known: 0, .. }), "{error}");
}

#[test]
fn a_damaged_log_is_reported_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    let groups = vec![group_of(1, 3, "x")];
    let request = AppendRequest { store_id: store("notes"), base: GlobalSeqNum::ROOT, groups };
    storage.append(&[request]).unwrap();
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
    let request = AppendRequest { store_id: store("notes"), base: GlobalSeqNum::ROOT, groups };
    storage.append(&[request]).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("livestore-server.db")).unwrap();
    database.execute("UPDATE event SET args = '{\"at\":'", []).unwrap();
    let page = storage.reader().unwrap().page(&store("notes"), GlobalSeqNum::ROOT);
    assert!(matches!(page, Err(StorageError::Corrupt { .. })), "{page:?}");
}

/// The rules of appending, on plain vectors.
#[derive(Default)]
struct Model(BTreeMap<StoreId, Vec<(ConfirmedGroup, LogHash)>>);

impl Model {
    fn head(&self, store: &StoreId) -> LogPosition {
        let last = self.0.get(store).and_then(|log| log.last());
        last.map_or(LogPosition::ROOT, |(group, hash)| LogPosition {
            seq: group.last(),
            hash: *hash,
        })
    }

    fn find(&self, store: &StoreId, id: GroupId) -> Option<&ConfirmedGroup> {
        let log = self.0.get(store)?;
        log.iter().map(|(group, _)| group).find(|group| group.group.id() == id)
    }

    fn append(&mut self, request: &AppendRequest) -> AppendOutcome {
        let AppendRequest { store_id, base, groups } = request;
        for (at, group) in groups.iter().enumerate() {
            if groups[..at].iter().any(|earlier| earlier.id() == group.id()) {
                return AppendOutcome::Conflict { group: group.id() };
            }
        }
        let known: Vec<(&Group, &ConfirmedGroup)> = groups
            .iter()
            .filter_map(|group| Some((group, self.find(store_id, group.id())?)))
            .collect();
        if let Some((group, _)) = known.iter().find(|(group, known)| **group != known.group) {
            return AppendOutcome::Conflict { group: group.id() };
        }
        if !known.is_empty() {
            let position = |(group, known): &(&Group, &ConfirmedGroup)| GroupPosition {
                id: group.id(),
                first: known.first,
            };
            return AppendOutcome::AlreadyAccepted { groups: known.iter().map(position).collect() };
        }
        let head = self.head(store_id);
        if head.seq != *base {
            return AppendOutcome::ServerAhead { head: head.seq };
        }
        for group in groups {
            let end = self.head(store_id);
            let confirmed = ConfirmedGroup { first: end.seq.next(), group: group.clone() };
            let hash = end.hash.extend(group.content_hash());
            self.0.entry(store_id.clone()).or_default().push((confirmed, hash));
        }
        AppendOutcome::Appended { first: head.seq.next(), end: self.head(store_id) }
    }

    fn page(&self, store: &StoreId, after: GlobalSeqNum) -> Option<Page> {
        let mut page: Option<Page> = None;
        let (mut events, mut bytes) = (0, 0);
        for (group, hash) in self.0.get(store)?.iter().filter(|(group, _)| group.first > after) {
            if events >= PAGE_EVENTS || bytes >= PAGE_BYTES {
                break;
            }
            events += group.group.events().len();
            bytes += group.group.size_bytes();
            let end = LogPosition { seq: group.last(), hash: *hash };
            let head = self.head(store).seq;
            let page = page.get_or_insert(Page { groups: vec![], end, head });
            page.groups.push(group.clone());
            page.end = end;
        }
        page
    }

    fn view(&self, store: &StoreId, at: &[GlobalSeqNum], groups: &[GroupId]) -> LogView {
        let log = self.0.get(store).map_or(&[][..], Vec::as_slice);
        let hash = |at: &GlobalSeqNum| {
            let at_root = (*at == GlobalSeqNum::ROOT).then_some(LogHash::EMPTY);
            let ends_there = log.iter().find(|(group, _)| group.last() == *at);
            at_root.or(ends_there.map(|(_, hash)| *hash))
        };
        let position =
            |id: &GroupId| Some(GroupPosition { id: *id, first: self.find(store, *id)?.first });
        LogView {
            head: self.head(store).seq,
            hashes: at.iter().map(hash).collect(),
            positions: groups.iter().filter_map(position).collect(),
        }
    }
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
    fn the_storage_decides_like_the_model(batches in vec(vec(step(), 1..5), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = SqliteStorage::open(dir.path()).unwrap();
        let mut reader = storage.reader().unwrap();
        let mut model = Model::default();
        let stores = [store("notes"), store("tasks")];
        for batch in batches {
            let mut expected = Vec::new();
            let mut requests = Vec::new();
            for step in batch {
                let store_id = stores[step.store].clone();
                let base = GlobalSeqNum(model.head(&store_id).seq.0.saturating_sub(step.late_by));
                let group = |(number, count, is_other): &(u64, u64, bool)| {
                    group_of(*number, *count, if *is_other { "other" } else { "same" })
                };
                let groups = step.groups.iter().map(group).collect();
                let request = AppendRequest { store_id, base, groups };
                expected.push(model.append(&request));
                requests.push(request);
            }
            prop_assert_eq!(storage.append(&requests).unwrap(), expected);
        }
        let ids: Vec<GroupId> = (0..40).map(group_id).collect();
        for store in &stores {
            let head = model.head(store).seq.0;
            let everywhere: Vec<GlobalSeqNum> = (0..=head + 1).map(GlobalSeqNum).collect();
            let expected = model.view(store, &everywhere, &ids);
            prop_assert_eq!(reader.view(store, &everywhere, &ids).unwrap(), expected);
            let mut after = GlobalSeqNum::ROOT;
            loop {
                let page = reader.page(store, after).unwrap();
                prop_assert_eq!(&page, &model.page(store, after));
                let Some(page) = page else { break };
                page.check().unwrap();
                after = page.end.seq;
            }
        }
    }
}
