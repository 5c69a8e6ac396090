//! Several connections on one disk, with SQLite's own locks between them.

use std::sync::atomic::{AtomicBool, Ordering};

use livestore_sqlite::sim::SimDisk;
use livestore_sqlite::{Connection, SqliteError, rusqlite};

use super::support::{NAME, check, checkpoint, commit, create, survivors};

/// Opens a database without our set-up, and so in rollback mode.
fn open_raw(disk: &SimDisk) -> rusqlite::Connection {
    let (path, flags) = (disk.path(NAME), rusqlite::OpenFlags::default());
    rusqlite::Connection::open_with_flags_and_vfs(path, flags, SimDisk::vfs()).unwrap()
}

fn pragma(connection: &Connection, name: &str) -> String {
    let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
    connection.system().query_one(&sql, [], |row| row.get(0)).unwrap().unwrap()
}

fn code(error: rusqlite::Error) -> rusqlite::ErrorCode {
    error.sqlite_error_code().unwrap()
}

#[test]
fn a_database_is_set_up_as_in_a_file() {
    let disk = SimDisk::new(1);
    let directory = tempfile::tempdir().unwrap();
    let simulated = disk.open(NAME).unwrap();
    let real = Connection::open_file(&directory.path().join(NAME)).unwrap();
    for name in ["journal_mode", "synchronous", "foreign_keys", "temp_store", "page_size"] {
        assert_eq!(pragma(&simulated, name), pragma(&real, name), "{name}");
    }
    assert_eq!(pragma(&simulated, "journal_mode"), "wal");
}

#[test]
fn disks_share_nothing() {
    let disks = [SimDisk::new(1), SimDisk::new(1)];
    assert_ne!(disks[0].path(NAME), disks[1].path(NAME));
    let connections = disks.each_ref().map(|disk| disk.open(NAME).unwrap());
    for connection in &connections {
        create(connection).unwrap();
    }
    commit(&connections[0], 1).unwrap();
    assert_eq!(connections.each_ref().map(|it| survivors(it).unwrap()), [1, 0]);
    assert_eq!(disks[0].clone().open(NAME).map(|it| survivors(&it).unwrap()).unwrap(), 1);
}

#[test]
fn connections_see_what_others_have_committed() {
    let disk = SimDisk::new(1);
    let connections = [disk.open(NAME).unwrap(), disk.open(NAME).unwrap()];
    let reader = {
        create(&connections[0]).unwrap();
        disk.open_read_only(NAME).unwrap()
    };
    for n in 1..=50 {
        commit(&connections[n as usize % 2], n).unwrap();
        assert_eq!(survivors(&connections[(n as usize + 1) % 2]), Ok(n));
        assert_eq!(survivors(&reader), Ok(n));
    }
    assert!(commit(&reader, 51).is_err());
}

#[test]
fn a_reader_keeps_its_snapshot_while_a_writer_writes() {
    let disk = SimDisk::new(1);
    let (writer, reader) = (disk.open(NAME).unwrap(), disk.open(NAME).unwrap());
    create(&writer).unwrap();
    commit(&writer, 1).unwrap();
    reader.system().execute_batch("BEGIN").unwrap();
    assert_eq!(survivors(&reader), Ok(1));
    for n in 2..=200 {
        commit(&writer, n).unwrap();
    }
    let wal = |disk: &SimDisk| disk.image().files().nth(1).unwrap().1.len();
    let grown = wal(&disk);
    assert!(grown > 2_000_000, "checkpoints cannot pass the reader: {grown}");
    assert_eq!(survivors(&reader), Ok(1));
    reader.system().execute_batch("COMMIT").unwrap();
    assert_eq!(survivors(&reader), Ok(200));
    checkpoint(&writer, "TRUNCATE").unwrap();
    assert_eq!(wal(&disk), 0);
}

#[test]
fn readers_on_other_threads_see_every_state_and_no_other() {
    let disk = SimDisk::new(1);
    let writer = disk.open(NAME).unwrap();
    writer.system().execute_batch("PRAGMA wal_autocheckpoint=20").unwrap();
    create(&writer).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let reader = disk.open_read_only(NAME).unwrap();
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    reader.system().execute_batch("BEGIN").unwrap();
                    let found = survivors(&reader).unwrap();
                    reader.system().execute_batch("COMMIT").unwrap();
                    assert!(found >= last, "{found} after {last}");
                    last = found;
                }
            });
        }
        for n in 1..=300 {
            commit(&writer, n).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(writer);
    assert_eq!(check(&disk, 300, 300), Ok(300));
    assert_eq!(disk.open_files(), 0);
}

#[test]
fn a_second_writer_is_told_that_the_database_is_busy() {
    let disk = SimDisk::new(1);
    let (first, second) = (disk.open(NAME).unwrap(), disk.open(NAME).unwrap());
    create(&first).unwrap();
    let started = std::time::Instant::now();
    let result = first.transaction(|| {
        let error = commit(&second, 1).unwrap_err();
        assert!(!error.is_deterministic(), "{error}");
        assert!(error.to_string().contains("locked"), "{error}");
        Ok::<_, SqliteError>(())
    });
    result.unwrap();
    assert!(started.elapsed().as_secs() < 5, "nobody sleeps");
    commit(&second, 1).unwrap();
    assert_eq!(survivors(&first), Ok(1));
}

#[test]
fn writers_on_several_threads_take_turns() {
    let disk = SimDisk::new(1);
    create(&disk.open(NAME).unwrap()).unwrap();
    let sql = "INSERT INTO log VALUES (NULL, randomblob(100))";
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let connection = disk.open(NAME).unwrap();
                for _ in 0..50 {
                    // No time passes while they wait, so waiting is up to them.
                    while let Err(error) = connection.system().execute(sql, []) {
                        assert!(error.to_string().contains("locked"), "{error}");
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let connection = disk.open(NAME).unwrap();
    let count = connection.system().query_one("SELECT count(*) FROM log", [], |row| row.get(0));
    assert_eq!(count.unwrap(), Some(150));
}

#[test]
fn the_last_connection_leaves_one_file_behind() {
    let disk = SimDisk::new(1);
    let connections = [disk.open(NAME).unwrap(), disk.open(NAME).unwrap()];
    create(&connections[0]).unwrap();
    assert_eq!(disk.open_files(), 4, "a database and a WAL each");
    let names =
        |disk: &SimDisk| disk.image().files().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&disk), [NAME, "store.db-wal"]);
    drop(connections);
    assert_eq!(disk.open_files(), 0);
    assert_eq!(names(&disk), [NAME]);
}

#[test]
fn rollback_mode_keeps_readers_and_writers_apart() {
    use rusqlite::ErrorCode::DatabaseBusy;
    let disk = SimDisk::new(1);
    let connections = [(); 3].map(|()| open_raw(&disk));
    let [writer, reader, late] = &connections;
    writer.execute_batch("CREATE TABLE log (n)").unwrap();
    let count = |connection: &rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0))
    };
    for connection in &connections {
        connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    }
    // SHARED beside SHARED and RESERVED.
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(reader), Ok(0));
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO log VALUES (1)").unwrap();
    assert_eq!(count(late), Ok(0));
    // RESERVED beside RESERVED.
    assert_eq!(code(late.execute_batch("BEGIN IMMEDIATE").unwrap_err()), DatabaseBusy);
    // EXCLUSIVE beside SHARED: the writer stays at PENDING, and nobody else comes in.
    assert_eq!(code(writer.execute_batch("COMMIT").unwrap_err()), DatabaseBusy);
    assert_eq!(code(count(late).unwrap_err()), DatabaseBusy);
    assert_eq!(count(reader), Ok(0));
    reader.execute_batch("COMMIT").unwrap();
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(connections.each_ref().map(|it| count(it).unwrap()), [1, 1, 1]);
}

#[test]
fn temporary_files_and_large_transactions_work() {
    let disk = SimDisk::new(1);
    let connection = open_raw(&disk);
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA temp_store=FILE; PRAGMA cache_size=10;
             CREATE TABLE log (n INTEGER PRIMARY KEY, body BLOB);
             CREATE TEMP TABLE copy (n, body);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000)
             INSERT INTO log SELECT n, zeroblob(n % 900) FROM n;
             INSERT INTO temp.copy SELECT * FROM log;
             CREATE INDEX by_body ON log (body, n);
             DELETE FROM log WHERE n % 3 = 0;
             VACUUM",
        )
        .unwrap();
    let sql = "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM temp.copy)";
    let counts = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(counts, Ok((1_334, 2_000)));
    assert_eq!(disk.image().files().count(), 2, "temporary files are elsewhere");
}

#[test]
fn the_clock_stands_still() {
    let disk = SimDisk::new(1);
    let now = "SELECT datetime('now')";
    let connection = open_raw(&disk);
    let now = connection.query_row(now, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(now, "2026-01-01 00:00:00");
}

#[test]
fn other_paths_are_refused() {
    let open = |path: &str| {
        let flags = rusqlite::OpenFlags::default();
        rusqlite::Connection::open_with_flags_and_vfs(path, flags, SimDisk::vfs())
            .and_then(|connection| connection.execute_batch("CREATE TABLE log (n)"))
    };
    let disk = SimDisk::new(1);
    let path = disk.path(NAME);
    open(&path).unwrap();
    let long = disk.path(&"x".repeat(600));
    for path in ["store.db", "/tmp/store.db", "/livestore-sim-0/store.db", &long] {
        assert_eq!(code(open(path).unwrap_err()), rusqlite::ErrorCode::CannotOpen, "{path}");
    }
    assert!(disk.open_read_only("missing.db").is_err());
    assert_eq!(disk.image().files().count(), 1);
    drop(disk);
    assert_eq!(code(open(&path).unwrap_err()), rusqlite::ErrorCode::CannotOpen, "it is gone");
}
