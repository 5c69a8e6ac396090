//! Saving files of which more is known than that they are damaged.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use livestore::inspect::{Author, PlaceError, Progress, RecoverError, RecoverOptions, recover};
use livestore::prelude::*;
use livestore::{ClientId, StoreId};
use livestore_core::Group;
use livestore_sqlite::raw::{RawDatabase, TreeKind};
use livestore_sqlite::rusqlite::Connection;

use super::judge::{
    PAGE, Recovered, assert_nothing_invented, assert_syncs, fill, recovered, sync, try_recover,
};
use super::sample::{Content, Files, Sample, noted, schema};
use crate::app::{assert_state_is_replay, todo};

#[test]
fn groups_that_were_confirmed_long_ago_do_not_become_pending_again() {
    // All of the tail is confirmed, and its pages are free, but full of it.
    let mut net = crate::backend::Net::on_disk(schema(), 1);
    net.clients[0].is_reachable = false;
    for number in 0..200 {
        net.commit(0, todo(&format!("{number}-{}", "long".repeat(50))));
    }
    net.clients[0].is_reachable = true;
    net.settle();
    net.checkpoint(0, false);
    let mut files = Files::read(net.clients[0].file());
    files.wal.clear();
    let folder = tempfile::tempdir().unwrap();
    let content = Content::read(&files.write(folder.path()));
    assert_eq!((content.confirmed.len(), content.pending.len()), (200, 0));
    for page in 0..files.database.len() / PAGE {
        let recovered = recovered(&fill(&files, page, 0));
        assert_eq!(recovered.content.pending, []);
    }
    // Even if the schema and the tail's tree are gone, and nothing tells which pages are free.
    let root = {
        let raw = RawDatabase::open(&folder.path().join("test.livestore")).unwrap();
        raw.schema().iter().find(|object| object.name == "__livestore_pending").unwrap().root
    };
    let damaged = fill(&fill(&files, 0, 0), root as usize - 1, 0);
    assert_eq!(recovered(&damaged).content.pending, []);
}

#[test]
fn the_index_names_the_groups_of_a_long_tail_whose_pages_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    let commit = |number: u32| store.commit(todo(&number.to_string())).unwrap().group_id();
    let groups: Vec<_> = (0..300).map(commit).collect();
    store.shutdown().unwrap();
    let files = Files::read(&folder.path().join("test.livestore"));
    let raw = RawDatabase::open(&folder.path().join("test.livestore")).unwrap();
    let root = raw.schema().iter().find(|o| o.name == "__livestore_pending").unwrap().root;
    let mut leaves = Vec::new();
    raw.walk(root, TreeKind::Table, &mut |entry| {
        leaves.push(entry.place.page as usize - 1);
        ControlFlow::Continue(())
    });
    leaves.dedup();

    let (first, last) = (leaves[0], *leaves.last().unwrap());
    let Recovered { content, report, .. } = recovered(&fill(&files, first, 0));
    let lost: Vec<_> = report.lost.iter().map(|lost| lost.id).collect();
    assert_eq!(content.pending.len() + lost.len(), 300);
    assert_eq!(lost, groups[..lost.len()]);
    assert_eq!(report.lost_rows, [""; 0]);

    // The newest groups are not in the index; then it says that there may have been more.
    let Recovered { content, report, .. } = recovered(&fill(&files, last, 0));
    let kept: HashSet<_> = content.pending.iter().map(|(group, _)| group.id()).collect();
    assert!(kept.len() < 300 && groups[..256].iter().all(|group| kept.contains(group)));
    let told = format!("pending groups: those on page {}", last + 1);
    assert!(report.lost_rows[0].starts_with(&told), "{:?}", report.lost_rows);
    assert!(!report.is_complete());
}

/// A store in which a page in the middle of the log is gone.
fn with_a_gap(sample: &Sample, sql: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let files = Files::read(&path);
    let raw = RawDatabase::open(&path).unwrap();
    let root = raw.schema().iter().find(|o| o.name == "__livestore_eventlog").unwrap().root;
    let mut pages = Vec::new();
    raw.walk(root, TreeKind::Table, &mut |entry| {
        pages.push(entry.place.page as usize - 1);
        ControlFlow::Continue(())
    });
    pages.dedup();
    fill(&files, pages[pages.len() / 2], 0)
}

#[test]
fn own_groups_behind_a_gap_come_from_the_backend_or_become_pending_if_there_is_none() {
    let sample = Sample::new(true);
    let own = |recovered: &Recovered| {
        let tail = sample.content.pending.iter();
        let moved = sample.content.client_only.iter().map(Group::id);
        let others: HashSet<_> = tail.map(|(group, _)| group.id()).chain(moved).collect();
        recovered.pending().iter().filter(|id| !others.contains(id)).count()
    };
    let known = recovered(&with_a_gap(&sample, ""));
    assert_eq!(own(&known), 0);
    assert_eq!(known.report.kept.pending_again, 0);
    assert!(known.report.confirmed_missing.unwrap().readable > 0);
    assert_syncs(&sample, &known);

    let gone = RecoverOptions { backend_is_gone: true, ..RecoverOptions::default() };
    let gone = try_recover(&with_a_gap(&sample, ""), &gone).unwrap();
    assert!(own(&gone) > 5);
    assert_eq!(gone.report.kept.pending_again, own(&gone) as u64);
    assert_nothing_invented(&sample.content, &gone);
    assert_syncs(&sample, &gone);

    let unknown = "UPDATE __livestore_meta SET backend_id = NULL";
    let unknown = recovered(&with_a_gap(&sample, unknown));
    assert_eq!(own(&unknown), own(&gone));
    let store = unknown.open();
    assert_state_is_replay(&store);
    drop(store);
}

#[test]
fn client_only_groups_behind_a_gap_keep_their_effect() {
    let sample = Sample::new(true);
    let recovered = recovered(&with_a_gap(&sample, ""));
    assert!(recovered.content.client_only.len() < sample.content.client_only.len());
    let count = |store: &Store| store.query(Sql::new("SELECT count(*) FROM notes")).unwrap().len();
    let folder = tempfile::tempdir().unwrap();
    sample.files.write(folder.path());
    let before = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    let (store, _) = sync(&sample, &recovered);
    assert_eq!(count(&store), count(&before));
    store.commit(noted("and one more")).unwrap();
    assert_state_is_replay(&store);
}

#[test]
fn a_lost_meta_row_is_worked_out_from_the_rest() {
    let sample = Sample::with(24, true);
    let meta = 1;
    let with_letters = recovered(&fill(&sample.files, meta, 0));
    assert_eq!(with_letters.report.store_id_by, Author::Inferred);
    assert_eq!(with_letters.report.client_id_by, Author::Inferred);
    assert_eq!(with_letters.report.client_id.as_str(), "client-0");
    assert_eq!(with_letters.report.backend_id, None);
    assert_eq!(with_letters.content, sample.content);
    assert_syncs(&sample, &with_letters);

    // Without dead letters, by the sessions of pending events.
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DELETE FROM __livestore_dead_letter").unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let files = fill(&Files::read(&path), meta, 0);
    assert_eq!(recovered(&files).report.client_id_by, Author::Inferred);

    // Neither: then the caller says it, or a new client begins.
    let store = tempfile::tempdir().unwrap();
    drop({
        let store = Store::open(schema(), "test", FileAdapter::new(store.path())).unwrap();
        store.commit(todo("a")).unwrap();
        store
    });
    let files = fill(&Files::read(&store.path().join("test.livestore")), meta, 0);
    let new = recovered(&files);
    assert_eq!(new.report.client_id_by, Author::New);
    assert_eq!(new.content.pending.len(), 1);
    let given = ClientId::new("laptop").unwrap();
    let options = RecoverOptions { client_id: Some(given.clone()), ..RecoverOptions::default() };
    let given_back = try_recover(&files, &options).unwrap();
    assert_eq!(given_back.report.client_id, given);
    assert_eq!(given_back.open().client_id(), &given);
}

#[test]
fn a_file_that_does_not_tell_its_store_asks_for_it() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let path = fill(&sample.files, 1, 0).write(folder.path());
    let nameless = folder.path().join("a copy of it.db");
    std::fs::rename(path, &nameless).unwrap();
    let to = folder.path().join("new");
    let recover = |options: &RecoverOptions| recover(&nameless, &to, options, &Progress::new());
    let error = recover(&RecoverOptions::default()).unwrap_err();
    assert!(matches!(error, RecoverError::UnknownStore { .. }), "{error}");
    assert!(error.to_string().contains("--store"), "{error}");
    let store_id = StoreId::new("test").unwrap();
    let options = RecoverOptions { store_id: Some(store_id), ..RecoverOptions::default() };
    assert_eq!(recover(&options).unwrap().to, to.join("test.livestore"));
}

#[test]
fn nothing_is_overwritten_and_no_store_is_taken_from_its_app() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    store.commit(todo("a")).unwrap();
    let from = folder.path().join("test.livestore");
    let to = folder.path().join("new.livestore");
    let run =
        |from: &Path, to: &Path| recover(from, to, &RecoverOptions::default(), &Progress::new());
    let error = run(&from, &to).unwrap_err();
    assert!(matches!(error, RecoverError::InUse { .. }), "{error}");

    // A copy of the files is nobody's.
    let copy = tempfile::tempdir().unwrap();
    let path = Files::read(&from).write(copy.path());
    assert_eq!(run(&path, &to).unwrap().kept.pending_events, 1);
    let made = std::fs::read(&to).unwrap();
    let error = run(&path, &to).unwrap_err();
    assert!(matches!(error, RecoverError::Place(PlaceError::Exists { .. })), "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), made);
    // SQLite would take a stray -wal file for a part of the new store.
    let other = folder.path().join("other.livestore");
    std::fs::write(crate::backend::wal(&other), "x").unwrap();
    assert!(run(&path, &other).is_err());
    drop(store);
    run(&from, &folder.path().join("later.livestore")).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_is_no_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let from = folder.path().join(name);
        let to = folder.path().join("new");
        recover(&from, &to, &RecoverOptions::default(), &Progress::new()).unwrap_err()
    };
    std::fs::write(folder.path().join("text.livestore"), "no database".repeat(1_000)).unwrap();
    std::fs::write(folder.path().join("empty.livestore"), "").unwrap();
    let theirs = Connection::open(folder.path().join("theirs.livestore")).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(theirs);
    for name in ["text.livestore", "empty.livestore", "theirs.livestore"] {
        let error = run(name);
        assert!(matches!(error, RecoverError::NothingFound { .. }), "{name}: {error}");
    }
    assert!(matches!(run("missing.livestore"), RecoverError::Place(PlaceError::Io { .. })));

    // Another format has other tables; ours under another number are damaged.
    let sample = Sample::with(12, true);
    let change = |sql: &str| {
        let path = sample.files.write(&folder.path().join("other"));
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        Files::read(&path)
    };
    let newer =
        change("ALTER TABLE __livestore_meta ADD COLUMN more TEXT; PRAGMA user_version = 7");
    let error = try_recover(&newer, &RecoverOptions::default()).map(drop).unwrap_err();
    assert!(matches!(error, RecoverError::UnknownFormat { found: 7, .. }), "{error}");
    let damaged = recovered(&change("PRAGMA user_version = 7"));
    assert_eq!(damaged.content, sample.content);
}

#[test]
fn recovering_can_be_cancelled_and_leaves_nothing_behind() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let from = sample.files.write(folder.path());
    let progress = Progress::new();
    progress.cancel();
    let to = folder.path().join("new.livestore");
    let error = recover(&from, &to, &RecoverOptions::default(), &progress).unwrap_err();
    assert!(matches!(error, RecoverError::Cancelled), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
