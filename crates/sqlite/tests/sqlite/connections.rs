use std::path::Path;
use std::time::{Duration, Instant};

use livestore_sqlite::{Bind, Connection, Durability, SqliteError, Table, Value, params};

use super::support::{Todo, database, definitions, insert, read, todo, write};

fn open_with_state(path: &Path) -> Connection {
    let mut connection = Connection::open_file(path).unwrap();
    connection.recreate_state(&definitions()).unwrap();
    connection.watch_state(definitions()).unwrap();
    connection
}

#[test]
fn a_file_keeps_its_rows_and_its_wal_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let connection = open_with_state(&path);
    insert(&connection, [todo("a")]);
    drop(connection);

    let mut connection = Connection::open_file(&path).unwrap();
    connection.watch_state(definitions()).unwrap();
    assert_eq!(read(&connection, &Todo::select()).to_vec(), [todo("a")]);
    let pragma = |name: &str| {
        let sql = format!("SELECT * FROM pragma_{name}");
        connection.system().query_one(&sql, [], |row| row.get_ref(0).map(Value::from_sql))
    };
    assert_eq!(pragma("journal_mode").unwrap().unwrap(), "wal".into());
    assert_eq!(pragma("synchronous").unwrap().unwrap(), 1.into());
    insert(&connection, [todo("b")]);
    assert!(!connection.take_changes().is_empty(), "capture is set up anew");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let text = "Dear reader, this is no database. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = Connection::open_file(&path).unwrap_err();
    assert!(!error.is_deterministic(), "{error}");
    assert!(error.to_string().contains("not a database"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Connection::open_file(directory.path()).is_err());
    assert!(Connection::open_file(&directory.path().join("missing/state.db")).is_err());
    let missing = directory.path().join("missing.db");
    let error = Connection::open_read_only(&missing).unwrap_err();
    assert!(!error.is_deterministic(), "{error}");
    assert!(!missing.exists(), "reading creates nothing");
}

#[test]
fn a_reader_sees_committed_rows_while_a_writer_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let writer = open_with_state(&path);
    insert(&writer, [todo("a")]);
    let mut reader = Connection::open_read_only(&path).unwrap();
    reader.admit_state(definitions());
    let count = || read(&reader, &Todo::select().count());
    let done = writer.transaction(|| {
        insert(&writer, [todo("b")]);
        assert_eq!(count(), 1, "not committed yet");
        Ok::<_, SqliteError>(())
    });
    done.unwrap();
    assert_eq!(count(), 2);
    assert_eq!(reader.state_hash().unwrap(), writer.state_hash().unwrap());
}

#[test]
fn a_reading_connection_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let writer = open_with_state(&path);
    let mut reader = Connection::open_read_only(&path).unwrap();
    reader.admit_state(definitions());
    assert!(write(&reader, Todo::insert(todo("a"))).is_err());
    let error = reader.system().execute("DELETE FROM todos", []).unwrap_err();
    assert!(!error.is_deterministic(), "{error}");
    assert_eq!(read(&writer, &Todo::select().count()), 0);
}

#[test]
fn two_writers_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let first = open_with_state(&path);
    let mut second = Connection::open_file(&path).unwrap();
    second.watch_state(definitions()).unwrap();
    let write_from = |connection: &Connection, name: &str| {
        for n in 0..20 {
            let row = todo(&format!("{name}{n}"));
            connection.transaction(|| write(connection, Todo::insert(row))).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(move || write_from(&second, "b"));
        write_from(&first, "a");
        first
    });
    let reader = Connection::open_read_only(&path).unwrap();
    assert_eq!(read(&reader, &Todo::select().count()), 40);
}

#[test]
fn system_statements_reach_every_table() {
    let connection = database();
    let system = connection.system();
    let insert = "INSERT INTO __livestore_log VALUES (?, ?)";
    for id in 2..=5 {
        assert_eq!(system.execute(insert, params![id, format!("s{id}")]).unwrap(), 1);
    }
    let sql = "SELECT id FROM __livestore_log WHERE id > ? ORDER BY id";
    assert_eq!(system.query(sql, [3], |row| row.get::<_, i64>(0)).unwrap(), [4, 5]);
    assert_eq!(system.query_one(sql, [2], |row| row.get::<_, i64>(0)).unwrap(), Some(3));
    assert_eq!(system.query_one(sql, [9], |row| row.get::<_, i64>(0)).unwrap(), None);
    let mut seen = Vec::new();
    let until_three = |row: &livestore_sqlite::rusqlite::Row<'_>| {
        seen.push(row.get::<_, i64>(0)?);
        Ok(seen.len() < 3)
    };
    system.for_each(sql, [0], until_three).unwrap();
    assert_eq!(seen, [1, 2, 3]);
    let error = system.execute("DELETE FROM missing", []).unwrap_err();
    assert!(error.to_string().ends_with("(in: DELETE FROM missing)"), "{error}");
}

#[test]
fn a_kept_statement_stores_what_it_is_given_each_time_anew() {
    let connection = Connection::open_memory().unwrap();
    let system = connection.system();
    system
        .execute_batch("CREATE TABLE kept (id INTEGER PRIMARY KEY, text ANY, bytes ANY)")
        .unwrap();
    let insert = |id: i64, text: Bind<'_>, bytes: Bind<'_>| {
        system.run("INSERT INTO kept VALUES (?, ?, ?)", &[Bind::Integer(id), text, bytes])
    };
    for (id, text) in [(1, String::from("a\0b")), (2, String::new()), (3, "ä".repeat(100_000))] {
        insert(id, Bind::Text(&text), Bind::Blob(text.as_bytes())).unwrap();
    }
    insert(i64::MIN, Bind::Null, Bind::Integer(7)).unwrap();
    let sql = "SELECT id, typeof(text), length(CAST(text AS BLOB)), typeof(bytes), length(bytes) \
               FROM kept ORDER BY id";
    let row =
        |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, String, Option<i64>, String, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
    let of = |id, text: &str, length, bytes: &str, size| {
        (id, text.to_owned(), length, bytes.to_owned(), size)
    };
    let expected = [
        of(i64::MIN, "null", None, "integer", 1),
        of(1, "text", Some(3), "blob", 3),
        of(2, "text", Some(0), "blob", 0),
        of(3, "text", Some(200_000), "blob", 200_000),
    ];
    assert_eq!(system.query(sql, [], row).unwrap(), expected);
}

#[test]
fn a_kept_statement_that_fails_says_why_and_can_be_run_again() {
    let connection = Connection::open_memory().unwrap();
    let system = connection.system();
    let insert = |id| system.run("INSERT INTO kept VALUES (?)", &[Bind::Integer(id)]);
    let missing = insert(1).unwrap_err().to_string();
    assert!(missing.contains("no such table: kept"), "{missing}");

    system.execute_batch("CREATE TABLE kept (id INTEGER PRIMARY KEY)").unwrap();
    insert(1).unwrap();
    let twice = insert(1).unwrap_err();
    assert!(twice.to_string().contains("UNIQUE constraint failed: kept.id"), "{twice}");
    assert!(twice.is_deterministic());
    // A table that changes under it makes SQLite prepare it anew.
    system.execute_batch("DROP TABLE kept; CREATE TABLE kept (id TEXT)").unwrap();
    insert(1).unwrap();
}

#[test]
fn durability_levels_order_by_what_they_survive() {
    assert!(Durability::Memory < Durability::Normal && Durability::Normal < Durability::Full);
}

#[test]
fn a_left_wal_is_emptied_at_once_or_left_to_whoever_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let left = open_with_state(&path);
    insert(&left, [todo("a")]);
    let reader = Connection::open_read_only(&path).unwrap();
    reader.system().execute_batch("BEGIN; SELECT count(*) FROM todos").unwrap();
    // While somebody reads, closing leaves the file.
    drop(left);
    let wal = || std::fs::metadata(directory.path().join("state.db-wal")).unwrap().len();
    let mut next = Connection::open_file(&path).unwrap();
    next.watch_state(definitions()).unwrap();
    let start = Instant::now();
    next.empty_left_wal().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "it waited for {:?}", start.elapsed());
    assert!(wal() > 0, "somebody reads it");
    insert(&next, [todo("b")]);

    reader.system().execute_batch("COMMIT").unwrap();
    next.empty_left_wal().unwrap();
    assert_eq!(wal(), 0);
    // Afterwards a lock is waited for as before.
    let other = Connection::open_file(&path).unwrap();
    other.system().execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            other.system().execute_batch("COMMIT").unwrap();
        });
        insert(&next, [todo("c")]);
    });
    assert_eq!(read(&next, &Todo::select().count()), 3);
}
