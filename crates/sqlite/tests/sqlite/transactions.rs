use std::panic::{AssertUnwindSafe, catch_unwind};

use livestore_sqlite::rusqlite::{self, ErrorCode, ffi};
use livestore_sqlite::{Connection, DecodeError, SqliteError, Table, ValueError};

use super::support::{Counter, Todo, counter, database, dump, insert, raw, read, todo, write};

fn is_empty(connection: &Connection) -> bool {
    dump(connection).iter().all(Vec::is_empty)
}

fn failure() -> SqliteError {
    ValueError::NothingToSet { table: "test".into() }.into()
}

#[test]
fn a_transaction_that_succeeds_keeps_everything() {
    let connection = database();
    let answer = connection.transaction(|| {
        insert(&connection, [todo("a")]);
        Ok::<_, SqliteError>(42)
    });
    assert_eq!(answer.unwrap(), 42);
    assert_eq!(read(&connection, &Todo::select().count()), 1);
    assert!(!connection.take_changes().is_empty());
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let connection = database();
    let failed = connection.transaction(|| {
        insert(&connection, [todo("a")]);
        connection.system().execute("DELETE FROM __livestore_log", []).unwrap();
        Err::<(), _>(failure())
    });
    assert!(matches!(failed, Err(SqliteError::Value(_))));
    assert!(is_empty(&connection) && connection.take_changes().is_empty());
    let own = connection.system().query("SELECT 1 FROM __livestore_log", [], |_| Ok(()));
    assert_eq!(own.unwrap().len(), 1);
}

#[test]
fn a_transaction_that_panics_changes_nothing() {
    let connection = database();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        connection.transaction(|| -> Result<(), SqliteError> {
            insert(&connection, [todo("a")]);
            panic!("in a materializer")
        })
    }));
    assert!(panicked.is_err());
    assert!(is_empty(&connection) && connection.take_changes().is_empty());
    connection.transaction(|| write(&connection, Todo::insert(todo("b")))).unwrap();
    assert_eq!(read(&connection, &Todo::select().count()), 1);
}

#[test]
fn a_savepoint_that_fails_or_panics_undoes_only_itself() {
    let connection = database();
    let outcome = connection.transaction(|| {
        insert(&connection, [counter(1, "a", 0)]);
        let failed = connection.savepoint(|| {
            insert(&connection, [counter(2, "b", 0)]);
            Err::<(), _>(failure())
        });
        assert!(failed.is_err());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            connection.savepoint(|| -> Result<(), SqliteError> {
                insert(&connection, [counter(3, "c", 0)]);
                connection.savepoint(|| {
                    insert(&connection, [counter(4, "d", 0)]);
                    panic!("twice inside")
                })
            })
        }));
        assert!(panicked.is_err());
        connection.savepoint(|| write(&connection, Counter::insert(counter(5, "e", 0))))
    });
    outcome.unwrap();
    let ids: Vec<_> = read(&connection, &Counter::select()).iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 5]);
}

#[test]
fn a_transaction_inside_a_transaction_is_an_error_that_harms_neither() {
    let connection = database();
    let inner = connection.transaction(|| {
        insert(&connection, [todo("a")]);
        let inner = connection.transaction(|| Ok::<_, SqliteError>(()));
        Ok::<_, SqliteError>(inner)
    });
    assert!(inner.unwrap().is_err());
    assert_eq!(read(&connection, &Todo::select().count()), 1);
}

fn sqlite_failure(code: i32) -> SqliteError {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
}

#[test]
fn failures_of_the_machine_are_not_deterministic() {
    for code in [
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_NOMEM,
        ffi::SQLITE_INTERRUPT,
        ffi::SQLITE_BUSY,
        ffi::SQLITE_LOCKED,
        ffi::SQLITE_CORRUPT,
        ffi::SQLITE_NOTADB,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_READONLY,
        ffi::SQLITE_PERM,
        ffi::SQLITE_ABORT,
        ffi::SQLITE_INTERNAL,
        ffi::SQLITE_PROTOCOL,
    ] {
        assert!(!sqlite_failure(code).is_deterministic(), "{code}");
    }
    assert!(!SqliteError::DamagedUndo { at: 0 }.is_deterministic());
}

#[test]
fn failures_of_the_statement_are_deterministic() {
    for code in [
        ffi::SQLITE_CONSTRAINT,
        ffi::SQLITE_CONSTRAINT_UNIQUE,
        ffi::SQLITE_MISMATCH,
        ffi::SQLITE_TOOBIG,
        ffi::SQLITE_RANGE,
        ffi::SQLITE_AUTH,
        ffi::SQLITE_ERROR,
    ] {
        assert!(sqlite_failure(code).is_deterministic(), "{code}");
    }
    let decode =
        DecodeError { column: "a".into(), expected: "i64", found: "a text".into(), advice: None };
    assert!(SqliteError::from(decode).is_deterministic());
    assert!(failure().is_deterministic());
    assert!(SqliteError::TooManyChanges { max: 1 }.is_deterministic());
}

#[test]
fn real_failures_are_classified_too() {
    let connection = database();
    insert(&connection, [todo("a")]);
    assert!(write(&connection, Todo::insert(todo("a"))).unwrap_err().is_deterministic());
    assert!(raw(&connection, "SELECT missing FROM todos").unwrap_err().is_deterministic());
    assert!(raw(&connection, "SELECT abs(-9223372036854775808)").unwrap_err().is_deterministic());
    assert!(raw(&connection, "SELECT json('{')").unwrap_err().is_deterministic());
    let full = connection.transaction(|| {
        connection.system().execute_batch("PRAGMA max_page_count = 1")?;
        write(&connection, Todo::insert(Todo { photo: Some(vec![0; 1 << 20]), ..todo("b") }))
    });
    let SqliteError::Sqlite { source, .. } = full.as_ref().unwrap_err() else { panic!("{full:?}") };
    assert_eq!(source.sqlite_error_code(), Some(ErrorCode::DiskFull));
    assert!(!full.unwrap_err().is_deterministic());
    assert_eq!(read(&connection, &Todo::select().count()), 1);
}

#[test]
fn a_full_disk_inside_a_savepoint_loses_the_step_and_nothing_else() {
    let connection = database();
    insert(&connection, [todo("before")]);
    connection.take_changes();
    let full: Result<(), SqliteError> = connection.transaction(|| {
        insert(&connection, [todo("in the step")]);
        connection.system().execute_batch("PRAGMA max_page_count = 1")?;
        connection.savepoint(|| {
            write(&connection, Todo::insert(Todo { photo: Some(vec![0; 1 << 20]), ..todo("big") }))
        })
    });
    assert!(full.is_err());
    assert_eq!(super::support::ids(&connection, &Todo::select()), ["before"]);
    assert!(connection.take_changes().is_empty());
    connection.system().execute_batch("PRAGMA max_page_count = 1000000").unwrap();
    connection.transaction(|| write(&connection, Todo::insert(todo("after")))).unwrap();
}
