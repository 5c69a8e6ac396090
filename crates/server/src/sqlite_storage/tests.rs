//! What happens when the disk fails, or the process dies at a bad moment.

use std::fs;
use std::path::Path;

use livestore_core::protocol::Page;
use livestore_core::{
    CanonicalJson, ClientId, Event, EventId, EventName, Group, GroupId, SessionId, StoreId,
};
use rusqlite::ffi;

use super::*;
use crate::rules::NoRules;

fn store_id() -> StoreId {
    StoreId::new("notes").unwrap()
}

/// A request for a group of one event.
fn request(base: u64, number: u8, payload_bytes: usize) -> AppendRequest {
    let event = Event {
        id: EventId::from_bytes([number; 16]),
        name: EventName::new("v1.NoteAdded").unwrap(),
        args: CanonicalJson::encode(&"x".repeat(payload_bytes)).unwrap(),
    };
    let (client, session) = (ClientId::new("c").unwrap(), SessionId::new("s").unwrap());
    let group = Group::new(GroupId::from_bytes([number; 16]), client, session, vec![event]);
    AppendRequest {
        store_id: store_id(),
        base: GlobalSeqNum(base),
        groups: vec![group.unwrap()],
        principal: None,
    }
}

fn append(
    storage: &mut SqliteStorage,
    base: u64,
    number: u8,
    payload_bytes: usize,
) -> Result<Vec<AppendOutcome>, StorageError> {
    storage.append(&[request(base, number, payload_bytes)], &NoRules)
}

fn append_ok(storage: &mut SqliteStorage, base: u64, number: u8, payload_bytes: usize) {
    let outcomes = append(storage, base, number, payload_bytes).unwrap();
    assert!(matches!(outcomes[..], [AppendOutcome::Appended { .. }]), "{outcomes:?}");
}

/// Fills the log of a new storage until it holds so many groups of 500 kB.
fn append_large(storage: &mut SqliteStorage, groups: u8) {
    (0..groups).for_each(|number| append_ok(storage, u64::from(number), number, 500_000));
}

fn head(storage: &SqliteStorage) -> u64 {
    storage.reader().unwrap().view(&store_id(), &[], &[]).unwrap().head.0
}

fn first_page(storage: &SqliteStorage) -> Option<Page> {
    storage.reader().unwrap().page(&store_id(), GlobalSeqNum::ROOT).unwrap()
}

/// Makes a directory as a killed process leaves it: some of the files of a running server.
fn as_if_killed(dir: &Path, files: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files {
        fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn log_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("livestore-server.db-wal")).map_or(0, |file| file.len())
}

#[test]
fn a_full_disk_takes_nothing_and_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    let limit_pages = |storage: &SqliteStorage, pages: i64| {
        let limit =
            storage
                .connection
                .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0));
        assert_eq!(limit.unwrap(), pages);
    };
    append_ok(&mut storage, 0, 1, 10);
    limit_pages(&storage, 40);
    let error = append(&mut storage, 1, 2, 500_000).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    let id = GroupId::from_bytes([2; 16]);
    let view = storage.reader().unwrap().view(&store_id(), &[], &[id]).unwrap();
    assert_eq!((view.head, view.positions.len()), (GlobalSeqNum(1), 0));

    append_ok(&mut storage, 1, 3, 10);
    limit_pages(&storage, 4000);
    append_ok(&mut storage, 2, 2, 500_000);
}

#[test]
fn a_commit_that_fails_takes_nothing_of_its_batch_and_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    append_ok(&mut storage, 0, 1, 10);
    let before = first_page(&storage);
    storage.connection.commit_hook(Some(|| true)).unwrap();
    let batch = [request(1, 2, 10), request(2, 3, 100_000)];
    // What takes the place of the failed commit fails as well, so the disk may have it.
    let error = storage.append(&batch, &NoRules).unwrap_err();
    assert!(matches!(error, StorageError::Unsettled { .. }), "{error}");
    // As long as that is so, nothing is written on top of it.
    let error = storage.append(&batch, &NoRules).unwrap_err();
    assert!(matches!(error, StorageError::Database { .. }), "{error}");
    assert_eq!(first_page(&storage), before);
    storage.connection.commit_hook(None::<fn() -> bool>).unwrap();
    append_ok(&mut storage, 1, 4, 10);
    append_ok(&mut storage, 2, 2, 10);
    assert_eq!(first_page(&storage).unwrap().groups.len(), 3);
}

#[test]
fn a_batch_that_fails_in_the_middle_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    // The second request meets a table that is gone for a moment.
    storage.connection.execute_batch("ALTER TABLE event RENAME TO away").unwrap();
    storage.append(&[request(9, 1, 10), request(0, 2, 10)], &NoRules).unwrap_err();
    storage.connection.execute_batch("ALTER TABLE away RENAME TO event").unwrap();
    assert_eq!(head(&storage), 0);
    append_ok(&mut storage, 0, 2, 10);
}

#[test]
fn taking_a_failed_commit_back_changes_the_log_on_disk_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    append_ok(&mut storage, 0, 1, 10);
    let log = || fs::read(dir.path().join("livestore-server.db-wal")).unwrap();
    let before = log();
    assert_eq!(storage.append(&[], &NoRules).unwrap(), []);
    assert!(log() == before, "something was written");
    storage.may_come_back = true;
    assert_eq!(storage.append(&[], &NoRules).unwrap(), []);
    assert!(log() != before, "nothing was written");
    assert_eq!(head(&storage), 1);
    drop(storage);
    assert_eq!(head(&SqliteStorage::open(dir.path()).unwrap()), 1);
}

#[test]
fn what_a_killed_process_has_committed_is_on_disk_before_anybody_is_shown_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    append_ok(&mut storage, 0, 1, 10);
    let (database, log) = ("livestore-server.db", "livestore-server.db-wal");
    // The commit is in the write-ahead log alone, where it may or may not be synced.
    let without_log = as_if_killed(dir.path(), &[database]);
    assert_eq!(head(&SqliteStorage::open(without_log.path()).unwrap()), 0);

    let killed = as_if_killed(dir.path(), &[database, log]);
    let again = SqliteStorage::open(killed.path()).unwrap();
    assert_eq!(head(&again), 1);
    let without_log = as_if_killed(killed.path(), &[database]);
    assert_eq!(head(&SqliteStorage::open(without_log.path()).unwrap()), 1);
}

#[test]
fn the_write_ahead_log_is_begun_anew_when_it_is_long() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    append_large(&mut storage, 40);
    assert!(log_bytes(dir.path()) < 8_000_000, "{} bytes", log_bytes(dir.path()));
    assert_eq!(head(&storage), 40);
}

#[test]
fn after_a_failed_sync_of_the_database_file_the_write_ahead_log_is_kept_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    let failed = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
    let SqliteStorage { connection, checkpoints, .. } = &mut storage;
    checkpoints.take_note(connection, &failed(ffi::SQLITE_FULL));
    assert!(!checkpoints.is_suspended);
    checkpoints.take_note(connection, &failed(ffi::SQLITE_IOERR_FSYNC));
    append_large(&mut storage, 40);
    assert!(log_bytes(dir.path()) > 20_000_000, "{} bytes", log_bytes(dir.path()));
    drop(storage);
    assert!(log_bytes(dir.path()) > 20_000_000, "closing was a checkpoint");

    let mut storage = SqliteStorage::open(dir.path()).unwrap();
    assert_eq!(head(&storage), 40);
    append_ok(&mut storage, 40, 40, 10);
    drop(storage);
    assert_eq!(log_bytes(dir.path()), 0);
}

#[cfg(unix)]
#[test]
fn a_storage_lives_in_a_virtual_file_system_like_in_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let open = |vfs| SqliteStorage::open_in_vfs(path.to_str().unwrap(), vfs, [7; 32], 1_000);
    let mut storage = open("unix").unwrap();
    append_ok(&mut storage, 0, 1, 10);
    let page = first_page(&storage);
    assert_eq!(page.as_ref().unwrap().end.seq, GlobalSeqNum(1));
    let backend_id = storage.backend_id();
    drop(storage);

    let again = SqliteStorage::open_in_vfs(path.to_str().unwrap(), "unix", [8; 32], 2_000).unwrap();
    assert_eq!((again.backend_id(), first_page(&again)), (backend_id, page));
    let error = open("no such file system").unwrap_err();
    assert!(matches!(error, StorageError::Database { .. }), "{error}");
    let elsewhere = dir.path().join("other.db");
    let open_other = |seed| {
        let _ = fs::remove_file(&elsewhere);
        let path = elsewhere.to_str().unwrap();
        SqliteStorage::open_in_vfs(path, "unix", seed, 1_000).unwrap().backend_id()
    };
    assert_eq!(open_other([7; 32]), backend_id);
    assert_ne!(open_other([9; 32]), backend_id);
}
