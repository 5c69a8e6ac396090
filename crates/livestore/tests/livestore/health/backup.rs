//! Copies of a store: taken while it is used, and restored later.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use livestore::inspect::{BackupError, Inspector, PlaceError, Progress, verify_file};
use livestore::prelude::*;
use livestore::{ConnectionState, GroupId, StoreId};
use livestore_core::IdGenerator;

use super::sample::{Content, Sample, noted, pictured, schema};
use crate::app::{SeatTaken, assert_state_is_replay, todo, todos};
use crate::backend::{Served, fact, foreign_group};

fn open(folder: &Path) -> Store {
    Store::open(schema(), "test", FileAdapter::new(folder)).unwrap()
}

fn open_synced(folder: &Path, served: &Served) -> Store {
    Store::open(schema(), "test", FileAdapter::new(folder).sync(served.clone())).unwrap()
}

fn wait_until_synced(store: &Store) {
    let start = Instant::now();
    while !store.sync_status().unwrap().is_synced() {
        let status = store.sync_status().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "not synced: {status:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn inspector(folder: &Path) -> Inspector {
    Inspector::open(folder, &StoreId::new("test").unwrap()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_holds_everything_and_opens_to_the_same_state() {
    for checkpointed in [false, true] {
        let sample = Sample::with(24, checkpointed);
        let folder = tempfile::tempdir().unwrap();
        sample.files.write(folder.path());
        let restored = folder.path().join("restored");
        fs::create_dir(&restored).unwrap();
        let to = restored.join("test.livestore");
        let progress = Progress::new();
        let backup = inspector(folder.path()).backup(&to, &progress).unwrap();
        assert!(backup.report.is_sound());
        assert_eq!(backup.file, to);
        assert_eq!(backup.bytes, fs::metadata(&to).unwrap().len());
        assert_eq!(names(&restored), ["test.livestore"]);
        assert_eq!(verify_file(&to, &Progress::new()).unwrap().problems, []);
        assert_eq!(Content::read(&to), sample.content);
        let (original, store) = (open(folder.path()), open(&restored));
        assert_eq!(store.state_hash().unwrap(), original.state_hash().unwrap());
        assert_eq!(store.client_id(), original.client_id());
        assert_state_is_replay(&store);
    }
}

#[test]
fn a_backup_is_of_one_moment_while_the_app_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..50 {
        store.commit((todo(&format!("{number:05}")), pictured(500))).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 50..400 {
                store.commit((todo(&format!("{number:05}")), pictured(500))).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        for backup in 0.. {
            let is_last = done.load(Ordering::Relaxed);
            let to = folder.path().join(format!("backup-{backup}/test.livestore"));
            fs::create_dir(to.parent().unwrap()).unwrap();
            let made = inspector(folder.path()).backup(&to, &Progress::new()).unwrap();
            assert_eq!(made.report.problems, []);
            let copy = open(to.parent().unwrap());
            let expected: Vec<_> =
                (0..todos(&copy).len()).map(|number| format!("{number:05}")).collect();
            assert_eq!(todos(&copy), expected, "the backup is not of one moment");
            assert!(expected.len() >= 50);
            assert_state_is_replay(&copy);
            if is_last {
                assert_eq!(expected.len(), 400);
                break;
            }
        }
    });
}

#[test]
fn nothing_is_overwritten_and_nothing_half_done_is_left() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let to = folder.path().join("backup");
    fs::write(&to, "something else").unwrap();
    let before = names(folder.path());
    let mut store = inspector(folder.path());
    let error = store.backup(&to, &Progress::new()).unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Exists { .. })), "{error}");
    let error = store.backup(folder.path(), &Progress::new()).unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Exists { .. })), "{error}");
    let error = store.backup(&path, &Progress::new()).unwrap_err();
    assert!(matches!(error, BackupError::Place(PlaceError::Exists { .. })), "{error}");
    assert!(store.backup(&folder.path().join("no/such/folder/b"), &Progress::new()).is_err());
    let cancelled = Progress::new();
    cancelled.cancel();
    let error = store.backup(&folder.path().join("other"), &cancelled).unwrap_err();
    assert!(matches!(error, BackupError::Cancelled), "{error}");
    drop(store);
    let now: Vec<_> =
        names(folder.path()).into_iter().filter(|name| !name.starts_with("test.")).collect();
    let before: Vec<_> = before.into_iter().filter(|name| !name.starts_with("test.")).collect();
    assert_eq!(now, before);
    assert_eq!(fs::read_to_string(&to).unwrap(), "something else");
}

#[test]
fn a_damaged_page_makes_no_backup() {
    let sample = Sample::with(24, true);
    let folder = tempfile::tempdir().unwrap();
    let (mut failed, pages) = (0, sample.files.database.len() / 4096);
    for page in 2..pages {
        let mut files = sample.files.clone();
        files.database[page * 4096..(page + 1) * 4096].fill(0xa5);
        files.write(folder.path());
        let to = folder.path().join(format!("{page}"));
        match inspector(folder.path()).backup(&to, &Progress::new()) {
            Ok(backup) => {
                // An index or a free page, which are made anew; or it says what is missing.
                let is_sound = backup.report.is_sound();
                assert!(!is_sound || Content::read(&to) == sample.content, "page {page}");
            }
            Err(BackupError::Sqlite(_)) => {
                assert!(!to.exists());
                failed += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > pages / 3, "{failed} of {pages}");
}

#[test]
fn what_was_deleted_is_not_in_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "a secret of the dead letter";
    let store = open(folder.path());
    store.commit(todo(secret)).unwrap();
    drop(store);
    let raw = livestore_sqlite::rusqlite::Connection::open(folder.path().join("test.livestore"));
    let raw = raw.unwrap();
    raw.execute_batch("DELETE FROM __livestore_pending; DELETE FROM todos").unwrap();
    drop(raw);
    let to = folder.path().join("backup");
    inspector(folder.path()).backup(&to, &Progress::new()).unwrap();
    let holds = |path: &Path| {
        fs::read(path).unwrap().windows(secret.len()).any(|bytes| bytes == secret.as_bytes())
    };
    assert!(holds(&folder.path().join("test.livestore")), "the free pages still hold it");
    assert!(!holds(&to));
}

/// A client syncs, is backed up, goes on, and is lost; the backup takes its place.
#[test]
fn an_old_backup_that_is_restored_and_synced_loses_and_doubles_nothing() {
    let served = Served::new();
    let mut ids = IdGenerator::new([5; 32]);
    let elsewhere = |ids: &mut IdGenerator, id: &str| {
        served.elsewhere(foreign_group(ids, [fact(todo(id))]));
    };
    let folder = tempfile::tempdir().unwrap();
    let store = open_synced(&folder.path().join("a"), &served);
    let mut committed: Vec<GroupId> = Vec::new();
    let mut commit = |store: &Store, id: &str| {
        let receipt = store.commit((todo(id), pictured(20))).unwrap();
        committed.push(receipt.group_id());
    };
    for number in 0..10 {
        commit(&store, &format!("confirmed-{number}"));
        elsewhere(&mut ids, &format!("theirs-{number}"));
    }
    store.commit(noted("before")).unwrap();
    wait_until_synced(&store);
    served.set_down(true);
    while store.sync_status().unwrap().connection == ConnectionState::Connected {
        std::thread::sleep(Duration::from_millis(1));
    }
    for number in 0..10 {
        commit(&store, &format!("pending-then-confirmed-{number}"));
    }
    // Two that will not apply any more: one is in the backup, one comes after it.
    let seat = |seat, by: &str| SeatTaken { seat, by: by.into() };
    store.commit(seat(1, "me")).unwrap();

    let backup = folder.path().join("b/test.livestore");
    fs::create_dir(backup.parent().unwrap()).unwrap();
    inspector(&folder.path().join("a")).backup(&backup, &Progress::new()).unwrap();

    served.elsewhere(foreign_group(&mut ids, [fact(seat(1, "them"))]));
    served.elsewhere(foreign_group(&mut ids, [fact(seat(2, "they"))]));
    store.commit(seat(2, "I")).unwrap();
    served.set_down(false);
    store.retry_now().unwrap();
    wait_until_synced(&store);
    for number in 0..10 {
        commit(&store, &format!("after-the-backup-{number}"));
        elsewhere(&mut ids, &format!("later-{number}"));
    }
    store.commit(noted("after")).unwrap();
    wait_until_synced(&store);
    assert_eq!(store.dead_letters().unwrap().len(), 2);
    let (lost, lost_hash) = (todos(&store), store.state_hash().unwrap());
    let client_id = store.client_id().clone();
    drop(store);

    // Offline first: it is the store as it was.
    let store = open(backup.parent().unwrap());
    assert_eq!(store.client_id(), &client_id);
    assert_eq!(store.sync_status().unwrap().pending_groups, 11);
    assert_state_is_replay(&store);
    drop(store);

    let store = open_synced(backup.parent().unwrap(), &served);
    commit(&store, "committed-in-the-restored-store");
    wait_until_synced(&store);
    let mut expected = lost;
    expected.push("committed-in-the-restored-store".into());
    expected.sort();
    assert_eq!(todos(&store), expected);
    assert_state_is_replay(&store);
    assert_ne!(store.state_hash().unwrap(), lost_hash);

    let mut times: HashMap<GroupId, u32> = HashMap::new();
    for id in served.lock().ids() {
        *times.entry(id).or_default() += 1;
    }
    assert!(committed.iter().all(|id| times.get(id) == Some(&1)), "lost or doubled: {times:?}");
    assert!(times.values().all(|times| *times == 1));
    // Of the dead letters, the one that was pending in the backup has failed again; the other was
    // on the lost client alone, as its later client-only events were.
    let letters = store.dead_letters().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].group.events()[0].args.as_str(), r#"{"by":"me","seat":1}"#);
    let notes = store.query(Sql::new("SELECT id FROM notes")).unwrap();
    assert_eq!(notes.len(), 1);
    drop(store);
    assert_eq!(verify_file(&backup, &Progress::new()).unwrap().problems, []);
}
