//! Checking a file: a whole one has no problems, and every kind of damage is found.

use std::path::Path;

use livestore::Schema;
use livestore::inspect::{
    Check, Inspector, Progress, StateVerdict, VerifyError, VerifyReport, verify_file,
};
use livestore::prelude::*;
use livestore_sqlite::rusqlite::{self, Connection};

use super::sample::{Sample, schema};
use crate::app::{Todo, TodoCreated, todo};

fn verify(path: &Path) -> VerifyReport {
    verify_file(path, &Progress::new()).unwrap()
}

#[test]
fn a_store_with_something_of_everything_is_sound() {
    for checkpointed in [false, true] {
        let sample = Sample::new(checkpointed);
        let folder = tempfile::tempdir().unwrap();
        let path = sample.files.write(folder.path());
        let progress = Progress::new();
        let report = verify_file(&path, &progress).unwrap();
        assert_eq!(report.problems, []);
        assert!(report.is_sound());
        let counted = report.counted;
        assert_eq!(counted.confirmed_events, sample.content.events());
        assert_eq!(counted.confirmed_groups, sample.content.confirmed.len() as u64);
        assert_eq!(counted.pending_groups, sample.content.pending.len() as u64);
        assert_eq!(counted.dead_letters, sample.content.dead_letters.len() as u64);
        assert_eq!(counted.archived, 3);
        assert!(counted.quarantined > 0 && counted.client_only_events > 5);
        assert_eq!(
            progress.done(),
            progress.total() + counted.dead_letters + counted.quarantined + 3 + 1
        );
    }
}

/// Changes a file with SQL and returns what is found then.
fn after(sample: &Sample, sql: &str) -> VerifyReport {
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let raw = Connection::open(&path).unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    raw.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    drop(raw);
    verify(&path)
}

#[test]
fn every_kind_of_wrong_row_is_a_problem_that_names_its_place() {
    let sample = Sample::with(12, true);
    let cases: &[(Check, &str, &str)] = &[
        (Check::Log, "e7", "DELETE FROM __livestore_eventlog WHERE seq = 7"),
        (Check::Log, "e7 to e9", "DELETE FROM __livestore_eventlog WHERE seq BETWEEN 7 AND 9"),
        (Check::Log, "", "UPDATE __livestore_eventlog SET args = '{}' WHERE seq = 5"),
        (Check::Log, "e5", "UPDATE __livestore_eventlog SET args = '{ }' WHERE seq = 5"),
        (Check::Log, "e5", "UPDATE __livestore_eventlog SET event_id = x'00' WHERE seq = 5"),
        (Check::Log, "e5", "UPDATE __livestore_eventlog SET name = '' WHERE seq = 5"),
        (Check::Log, "e5", "UPDATE __livestore_eventlog SET client_id = '' WHERE seq = 5"),
        (Check::Log, "", "UPDATE __livestore_eventlog SET session_id = 'other' WHERE seq = 5"),
        (Check::Log, "", "UPDATE __livestore_eventlog SET log_hash = NULL WHERE seq = 6"),
        (
            Check::Log,
            "",
            "UPDATE __livestore_eventlog SET log_hash = randomblob(32) WHERE log_hash IS NOT NULL \
             AND seq = (SELECT min(seq) FROM __livestore_eventlog WHERE log_hash IS NOT NULL)",
        ),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET head = head + 1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET head_hash = randomblob(32)"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET state_head = head + 1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET state_head = 1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET generation = rebases + 1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET rebases = -1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET rebuild_ordinal = 1"),
        (Check::Heads, "the meta row", "UPDATE __livestore_meta SET state_version = x'00'"),
        (
            Check::Heads,
            "the meta row",
            "UPDATE __livestore_meta SET rebuild_client = 99, state_head = 2",
        ),
        (
            Check::Heads,
            "the meta row",
            "UPDATE __livestore_meta SET rebuild_client = 0, rebuild_ordinal = 1, state_head = 2",
        ),
        (
            Check::ClientLog,
            "e0.3",
            "DELETE FROM __livestore_client_log WHERE seq = 0 AND client = 2",
        ),
        (
            Check::ClientLog,
            "e0.2",
            "DELETE FROM __livestore_client_log WHERE seq = 0 AND client = 1",
        ),
        (
            Check::ClientLog,
            "",
            "UPDATE __livestore_client_log SET seq = 100000 \
             WHERE seq = (SELECT max(seq) FROM __livestore_client_log)",
        ),
        (
            Check::ClientLog,
            "e0.2",
            "UPDATE __livestore_client_log SET args = 'nonsense' WHERE seq = 0 AND client = 2",
        ),
        (Check::Pending, "", "DELETE FROM __livestore_pending WHERE event_index = 1"),
        (Check::Pending, "", "DELETE FROM __livestore_pending WHERE events > 1"),
        (Check::Pending, "", "UPDATE __livestore_pending SET events = NULL WHERE event_index = 0"),
        (Check::Pending, "", "UPDATE __livestore_pending SET events = 9 WHERE events = 1"),
        (
            Check::Pending,
            "",
            "UPDATE __livestore_pending SET undo = x'ffff' WHERE undo IS NOT NULL",
        ),
        (Check::Pending, "", "UPDATE __livestore_pending SET undo = x'00' WHERE event_index = 1"),
        (
            Check::Pending,
            "",
            "UPDATE __livestore_pending SET client_only = 7 WHERE ordinal = \
                              (SELECT min(ordinal) FROM __livestore_pending)",
        ),
        (
            Check::Pending,
            "",
            "UPDATE __livestore_pending SET group_id = (SELECT group_id FROM __livestore_eventlog \
             WHERE log_hash IS NOT NULL LIMIT 1) WHERE ordinal = (SELECT ordinal \
             FROM __livestore_pending WHERE events = 1 AND NOT client_only LIMIT 1)",
        ),
        (Check::DeadLetters, "group ", "UPDATE __livestore_dead_letter SET content = '{}'"),
        (Check::DeadLetters, "group ", "UPDATE __livestore_dead_letter SET reason = '{}'"),
        (
            Check::DeadLetters,
            "group ",
            "UPDATE __livestore_dead_letter SET group_id = zeroblob(16) WHERE group_id = \
             (SELECT min(group_id) FROM __livestore_dead_letter)",
        ),
        (Check::DeadLetters, "group ", "INSERT INTO __livestore_forgotten VALUES (x'00')"),
        (
            Check::Quarantine,
            "e100000",
            "INSERT INTO __livestore_quarantine VALUES (100000, 0, 'x', 0, '')",
        ),
        (Check::Quarantine, "e", "UPDATE __livestore_quarantine SET name = 'v1.Other'"),
        (Check::Quarantine, "e", "UPDATE __livestore_quarantine SET unknown = 5"),
        (Check::Archive, "id 1", "UPDATE __livestore_archive SET backend_id = x'00' WHERE id = 1"),
        (Check::Archive, "id 2", "UPDATE __livestore_archive SET content = 'x' WHERE id = 2"),
        (
            Check::Tables,
            "__livestore_pending_unapplied",
            "DROP INDEX __livestore_pending_unapplied",
        ),
        (Check::Tables, "__livestore_more", "CREATE TABLE __livestore_more (x)"),
        (Check::Tables, "__livestore_archive", "ALTER TABLE __livestore_archive ADD COLUMN x TEXT"),
        (Check::Tables, "__livestore_quarantine", "DROP TABLE __livestore_quarantine"),
        (Check::Heads, "the meta row", "DELETE FROM __livestore_meta"),
    ];
    for (check, place, sql) in cases {
        let report = after(&sample, sql);
        let found = report.problems.iter().filter(|problem| problem.check == *check);
        let places: Vec<_> = found.map(|problem| problem.place.as_str()).collect();
        assert!(
            places.iter().any(|found| found.starts_with(place)),
            "{sql}: expected {check} at {place:?}, found {:?}",
            report.problems
        );
        assert!(report.problems.iter().all(|problem| problem.remedy.contains("livestore recover")));
    }
}

#[test]
fn a_file_that_cannot_be_opened_for_damage_is_a_problem_and_one_that_is_missing_an_error() {
    let sample = Sample::with(12, true);
    let report = after(&sample, "DELETE FROM __livestore_meta");
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].check, Check::Heads);

    let folder = tempfile::tempdir().unwrap();
    let mut files = sample.files.clone();
    files.database[..16].fill(0);
    let report = verify(&files.write(folder.path()));
    assert_eq!(report.problems[0].check, Check::Database);
    assert_eq!(report.store_id, None);

    let missing = verify_file(&folder.path().join("none.livestore"), &Progress::new());
    assert!(matches!(missing, Err(VerifyError::Open(_))));
}

#[test]
fn each_damaged_page_is_found() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let whole = verify(&sample.files.write(folder.path()));
    assert!(whole.is_sound());
    let connection = Connection::open(folder.path().join("test.livestore")).unwrap();
    let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap();
    drop(connection);
    let pages = sample.files.database.len() / 4096;
    let mut unnoticed = 0;
    for page in 0..pages {
        let mut files = sample.files.clone();
        files.database[page * 4096..(page + 1) * 4096].fill(0xa5);
        unnoticed += i64::from(verify(&files.write(folder.path())).is_sound());
    }
    assert!(unnoticed <= free, "{unnoticed} of {pages} damaged pages were not noticed");
}

#[test]
fn a_long_list_of_problems_is_cut_and_counted() {
    let sample = Sample::with(60, true);
    let report = after(&sample, "UPDATE __livestore_eventlog SET name = ''");
    let listed = report.problems.iter().filter(|problem| problem.check == Check::Log).count();
    assert_eq!(listed, 100);
    assert!(report.unlisted_problems > 50);
}

#[test]
fn the_check_can_be_cancelled() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let progress = Progress::new();
    progress.cancel();
    assert!(matches!(verify_file(&path, &progress), Err(VerifyError::Cancelled)));
}

#[test]
fn a_log_may_begin_later() {
    let sample = Sample::with(12, true);
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let raw = Connection::open(&path).unwrap();
    let end: i64 = "SELECT seq FROM __livestore_eventlog WHERE log_hash IS NOT NULL AND seq > 5"
        .parse::<String>()
        .map(|sql| raw.query_row(&sql, [], |row| row.get(0)).unwrap())
        .unwrap();
    raw.execute("DELETE FROM __livestore_eventlog WHERE seq <= ?", [end]).unwrap();
    raw.execute("DELETE FROM __livestore_client_log WHERE seq <= ?", [end]).unwrap();
    raw.execute("DELETE FROM __livestore_quarantine WHERE seq <= ?", [end]).unwrap();
    drop(raw);
    let report = verify(&path);
    assert_eq!(report.problems, []);
    assert_eq!(report.counted.first.unwrap().0, end as u64 + 1);
}

#[test]
fn a_store_is_sound_at_every_moment_while_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    let path = folder.path().join("test.livestore");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..300 {
                let note = super::sample::noted(&number.to_string());
                store.commit((todo(&number.to_string()), note)).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut checks = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) || checks == 0 {
            assert_eq!(verify(&path).problems, []);
            checks += 1;
        }
    });
    assert_eq!(verify(&path).counted.pending_events, 600);
}

#[test]
fn the_state_is_compared_with_a_replay_for_those_who_have_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    store.commit([todo("a"), todo("b")]).unwrap();
    let path = folder.path().join("test.livestore");
    let verdict = |schema: &Schema| {
        let mut inspector = Inspector::open_file(&path).unwrap();
        inspector.verify_state(schema, &Progress::new()).unwrap()
    };
    let hash = store.state_hash().unwrap();
    assert_eq!(verdict(&schema()), StateVerdict::Equal(hash));
    let other = Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: true }))
        .build()
        .unwrap();
    assert_eq!(verdict(&other), StateVerdict::OtherSchema);
    drop(store);
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("UPDATE todos SET text = 'from outside' WHERE id = 'a'").unwrap();
    drop(raw);
    assert!(matches!(verdict(&schema()), StateVerdict::Different { replay, .. } if replay == hash));
    assert!(verify(&path).is_sound(), "without the schema nobody can know");
}

#[test]
fn the_inspector_queries_the_state_and_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
    store.commit([todo("a"), todo("b")]).unwrap();
    let inspector = Inspector::open(folder.path(), store.store_id()).unwrap();
    assert_eq!(inspector.query(&Todo::select().count()).unwrap(), 2);
    store.commit(todo("c")).unwrap();
    let rows =
        inspector.query(&Sql::new("SELECT id FROM todos ORDER BY id LIMIT ?").bind(2)).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(inspector.query(&Todo::select().count()).unwrap(), 3);
    for sql in [
        "DELETE FROM todos",
        "SELECT * FROM __livestore_meta",
        "CREATE TABLE x (y)",
        "PRAGMA user_version = 3",
        "ATTACH ':memory:' AS other",
        "SELECT * FROM nowhere",
    ] {
        assert!(inspector.query(&Sql::new(sql)).is_err(), "{sql}");
    }
    assert_eq!(store.query(Todo::select().count()).unwrap(), 3);
}
