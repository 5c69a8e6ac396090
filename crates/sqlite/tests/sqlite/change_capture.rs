use livestore_sqlite::{ChangedTables, Connection, Scope, SqliteError, Table, Write};

use super::support::{
    Counter, Edge, Todo, counter, database, definitions, dump, insert, names, read, todo, write,
};

fn changed(connection: &Connection) -> Vec<&str> {
    names(connection, connection.take_changes().tables().iter())
}

#[test]
fn changed_tables_are_those_in_which_rows_changed() {
    let connection = database();
    assert!(connection.take_changes().is_empty());
    insert(&connection, [todo("a")]);
    assert_eq!(changed(&connection), ["todos"]);
    assert!(changed(&connection).is_empty(), "taken is taken");

    insert(&connection, [counter(1, "a", 0)]);
    write(&connection, Todo::update().set(Todo::done, true)).unwrap();
    assert_eq!(changed(&connection), ["counters", "todos"]);

    write(&connection, Todo::update().set(Todo::done, true).filter(Todo::id.eq("x"))).unwrap();
    write(&connection, Counter::delete().filter(Counter::id.eq(9))).unwrap();
    write(&connection, Counter::insert(counter(1, "z", 0)).or_ignore()).unwrap();
    assert!(changed(&connection).is_empty(), "nothing was touched");

    write(&connection, Counter::delete()).unwrap();
    assert_eq!(changed(&connection), ["counters"]);
}

#[test]
fn changed_tables_join_without_repetition() {
    let connection = database();
    let mut all = ChangedTables::default();
    assert!(all.is_empty());
    for _ in 0..2 {
        insert(&connection, [todo("a")]);
        write(&connection, Todo::delete()).unwrap();
        all.extend(&connection.take_changes().tables());
        insert(&connection, [counter(1, "a", 0)]);
        write(&connection, Counter::delete()).unwrap();
        all.extend(&connection.take_changes().tables());
    }
    assert_eq!(names(&connection, all.iter()), ["counters", "todos"]);
}

#[test]
fn discarded_changes_leave_the_names_of_their_tables() {
    let connection = database();
    insert(&connection, [todo("a"), todo("b")]);
    let changes = connection.discard_changes();
    assert_eq!(names(&connection, changes.tables().iter()), ["todos"]);
    assert!(connection.take_changes().is_empty() && connection.discard_changes().is_empty());
}

#[test]
fn a_failed_statement_leaves_no_trace() {
    let connection = database();
    insert(&connection, [counter(1, "a", 0), counter(2, "b", 0), counter(3, "c", 0)]);
    let before = dump(&connection);
    connection.take_changes();
    // The first row gets the name, the second cannot.
    let update = write(&connection, Counter::update().set(Counter::name, "same"));
    assert!(update.is_err());
    assert_eq!(dump(&connection), before);
    assert!(connection.take_changes().is_empty(), "what SQLite took back is not in the journal");
}

#[test]
fn a_failed_statement_leaves_the_changes_before_it() {
    let connection = database();
    insert(&connection, [counter(1, "a", 0), counter(2, "b", 0)]);
    assert!(write(&connection, Counter::update().set(Counter::name, "same")).is_err());
    insert(&connection, [todo("x")]);
    connection.undo(&connection.take_changes()).unwrap();
    assert!(dump(&connection).iter().all(Vec::is_empty));
}

#[test]
fn a_rolled_back_savepoint_leaves_no_trace() {
    let connection = database();
    let outcome = connection.transaction(|| {
        insert(&connection, [todo("kept")]);
        let failed: Result<(), SqliteError> = connection.savepoint(|| {
            insert(&connection, [counter(1, "lost", 0)]);
            connection.savepoint(|| write(&connection, Edge::delete()))?;
            write(&connection, Counter::insert(counter(1, "again", 0)))
        });
        assert!(failed.is_err());
        Ok::<_, SqliteError>(())
    });
    outcome.unwrap();
    assert_eq!(changed(&connection), ["todos"]);
    assert_eq!(dump(&connection).iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn a_rolled_back_transaction_leaves_no_trace() {
    let connection = database();
    let failed: Result<(), SqliteError> = connection.transaction(|| {
        insert(&connection, [counter(1, "lost", 0)]);
        write(&connection, Counter::insert(counter(1, "again", 0)))
    });
    assert!(failed.is_err());
    assert!(connection.take_changes().is_empty());
    assert!(dump(&connection).iter().all(Vec::is_empty));
}

#[test]
fn a_rolled_back_transaction_keeps_what_was_captured_before_it() {
    let connection = database();
    insert(&connection, [todo("before")]);
    let failed: Result<(), SqliteError> = connection.transaction(|| {
        insert(&connection, [counter(1, "lost", 0)]);
        write(&connection, Counter::insert(counter(1, "again", 0)))
    });
    assert!(failed.is_err());
    assert_eq!(changed(&connection), ["todos"]);
}

#[test]
fn undo_itself_is_not_captured() {
    let connection = database();
    insert(&connection, [todo("a")]);
    let undo = connection.take_changes();
    assert_eq!(names(&connection, connection.undo(&undo).unwrap().tables().iter()), ["todos"]);
    assert!(connection.take_changes().is_empty());
    insert(&connection, [todo("b")]);
    assert_eq!(changed(&connection), ["todos"], "capture goes on afterwards");
}

/// A database with state tables in which changes are not captured yet.
fn uncaptured() -> Connection {
    let mut connection = Connection::open_memory().unwrap();
    connection.recreate_state(&definitions()).unwrap();
    connection.open_state(definitions()).unwrap();
    connection
}

#[test]
fn changes_are_captured_from_when_it_is_asked_for() {
    let connection = uncaptured();
    insert(&connection, [todo("a")]);
    assert!(connection.take_changes().is_empty());
    for _ in 0..2 {
        connection.capture_changes().unwrap();
        insert(&connection, [counter(1, "a", 0)]);
        let before = dump(&connection);
        write(&connection, Counter::update().set(Counter::count, 1)).unwrap();
        write(&connection, Todo::delete()).unwrap();
        let undo = connection.take_changes();
        assert_eq!(names(&connection, undo.tables().iter()), ["counters", "todos"]);
        connection.undo(&undo).unwrap();
        assert_ne!(dump(&connection), before, "the counter is undone too");
        assert_eq!(read(&connection, &Todo::select().count()), 1);
        assert_eq!(read(&connection, &Counter::select().count()), 0);
    }
}

#[test]
fn an_event_that_does_very_much_has_to_be_captured() {
    let connection = uncaptured();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) \
                INSERT INTO counters SELECT i, NULL, 0 FROM n";
    connection.system().execute(fill, []).unwrap();
    let refused = |write: Write| {
        let failed: Result<(), SqliteError> =
            connection.transaction(|| connection.write(Scope::Synced).execute(&write));
        assert!(matches!(failed, Err(SqliteError::NotCaptured)), "{failed:?}");
        assert!(!SqliteError::NotCaptured.is_deterministic(), "it says nothing about the event");
        connection.discard_changes();
        let untouched = Counter::select().filter(Counter::count.eq(0)).count();
        assert_eq!(read(&connection, &untouched), 200_000);
    };
    refused(Counter::update().set(Counter::count, 1).try_into().unwrap());
    // SQLite empties a whole table in one step, unless its rows are captured.
    refused(Counter::delete().try_into().unwrap());

    // Small ones count together up to the end of the event.
    let mut events = 0;
    let failed = loop {
        let one = Counter::update().set(Counter::count, events).filter(Counter::id.eq(1));
        match write(&connection, one) {
            Ok(()) => events += 1,
            Err(error) => break error,
        }
        assert!(events < 100_000);
    };
    assert!(matches!(failed, SqliteError::NotCaptured), "{failed}");
    // The end of an event, and the failure of one, begin anew.
    connection.discard_changes();
    let one = || Counter::update().set(Counter::count, 1).filter(Counter::id.eq(1));
    for nth in 0..2 * events {
        let failed: Result<(), SqliteError> = connection.transaction(|| {
            write(&connection, one())?;
            Err(SqliteError::DamagedUndo { at: 0 })
        });
        assert!(matches!(failed, Err(SqliteError::DamagedUndo { .. })), "{failed:?}");
        write(&connection, one()).unwrap();
        if nth % 2 == 0 {
            connection.discard_changes();
        }
    }
}

#[test]
fn changes_are_captured_whatever_the_order_in_which_tables_are_given() {
    let mut tables = definitions();
    tables.reverse();
    let connection = super::support::database_of(tables);
    let sorted: Vec<_> = connection.tables().iter().map(livestore_sqlite::TableDef::name).collect();
    assert_eq!(sorted, ["counters", "edges", "todos"]);
    insert(&connection, [todo("a")]);
    assert_eq!(changed(&connection), ["todos"]);
}

#[test]
fn more_changes_than_the_bound_are_an_error_and_the_connection_stays_usable() {
    let mut connection = Connection::open_memory().unwrap();
    connection.recreate_state(&definitions()).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000001) \
                INSERT INTO counters SELECT i, NULL, 0 FROM n";
    connection.system().execute(fill, []).unwrap();
    connection.watch_state(definitions()).unwrap();
    let update = Counter::update().set(Counter::count, 1);
    let failed = connection.transaction(|| write(&connection, update));
    assert!(matches!(failed, Err(SqliteError::TooManyChanges { max: 1_000_000 })), "{failed:?}");
    let changed_rows = Counter::select().filter(Counter::count.ne(0)).count();
    assert_eq!(read(&connection, &changed_rows), 0);
    insert(&connection, [counter(-1, "a", 0)]);
    assert_eq!(changed(&connection), ["counters"]);
}
