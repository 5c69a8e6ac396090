//! Memory tables: beside the file, in its transactions, and never in its undo data.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use livestore_sqlite::{
    ColumnDef, ColumnType, Connection, Preimages, Scope, SqliteError, Table, TableDef, ValueError,
};

use super::support::{
    Counter, Cursor, Draft, Toast, Todo, counter, cursor, database_of, definitions,
    definitions_of_all_scopes, draft, dump, insert, names, raw, read, toast, todo, write_as,
};

fn open(path: &Path) -> Connection {
    let mut connection = Connection::open_file(path).unwrap();
    connection.watch_state(definitions_of_all_scopes()).unwrap();
    connection
}

fn create(path: &Path) -> Connection {
    let connection = Connection::open_file(path).unwrap();
    connection.recreate_state(&definitions_of_all_scopes()).unwrap();
    drop(connection);
    open(path)
}

fn failure() -> SqliteError {
    ValueError::NothingToSet { table: "test".into() }.into()
}

fn tables_of(connection: &Connection, database: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM {database}.sqlite_schema WHERE type = 'table' ORDER BY 1");
    connection.system().query(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn memory_tables_live_in_a_database_of_their_own_and_are_empty_at_every_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let connection = create(&path);
    insert(&connection, [todo("kept")]);
    insert(&connection, [draft("kept", "text")]);
    insert(&connection, [cursor("lost", 1)]);
    assert_eq!(tables_of(&connection, "main"), ["counters", "drafts", "edges", "todos"]);
    assert_eq!(tables_of(&connection, "memory"), ["a_toasts", "cursors"]);
    drop(connection);

    let connection = open(&path);
    assert_eq!(read(&connection, &Todo::select().count()), 1);
    assert_eq!(read(&connection, &Draft::select().count()), 1);
    assert_eq!(read(&connection, &Cursor::select().count()), 0);
    insert(&connection, [cursor("new", 2)]);
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), [cursor("new", 2)]);
    assert_eq!(raw(&connection, "SELECT * FROM memory.cursors, todos").unwrap().len(), 1);
}

#[test]
fn a_schema_without_memory_tables_attaches_nothing() {
    let connection = database_of(definitions());
    let sql = "SELECT name FROM pragma_database_list WHERE name <> 'temp'";
    let names = connection.system().query(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(names, ["main"]);
}

#[test]
fn recreating_the_state_leaves_memory_tables_alone() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [todo("a")]);
    insert(&connection, [cursor("a", 1)]);
    connection.transaction(|| connection.recreate_state(&definitions_of_all_scopes())).unwrap();
    assert_eq!(read(&connection, &Todo::select().count()), 0);
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), [cursor("a", 1)]);
    assert_eq!(tables_of(&connection, "main"), ["counters", "drafts", "edges", "todos"]);
}

/// So is the order when a stale state is rebuilt: all in the transaction that fills the tables.
#[test]
fn watching_may_begin_inside_a_transaction() {
    let mut connection = Connection::open_memory().unwrap();
    connection.system().execute_batch("BEGIN IMMEDIATE").unwrap();
    connection.recreate_state(&definitions_of_all_scopes()).unwrap();
    connection.watch_state(definitions_of_all_scopes()).unwrap();
    insert(&connection, [cursor("a", 1)]);
    let failed = connection.savepoint(|| {
        insert(&connection, [cursor("b", 1)]);
        insert(&connection, [todo("b")]);
        Err::<(), _>(failure())
    });
    assert!(failed.is_err());
    connection.system().execute_batch("COMMIT").unwrap();
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), [cursor("a", 1)]);
    assert_eq!(names(&connection, connection.discard_changes().tables().iter()), ["cursors"]);
}

#[test]
fn a_connection_that_only_reads_has_no_memory_tables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let writer = create(&path);
    insert(&writer, [draft("a", "text")]);
    insert(&writer, [cursor("a", 1)]);
    let mut reader = Connection::open_read_only(&path).unwrap();
    reader.admit_state(definitions_of_all_scopes());
    assert_eq!(reader.tables(), &writer.tables()[..4], "those on disk, at the same places");
    assert_eq!(read(&reader, &Draft::select()).to_vec(), [draft("a", "text")]);
    let error = reader.read().query(&Cursor::select()).unwrap_err();
    assert!(error.to_string().contains("no such table: cursors"), "{error}");
    assert_eq!(reader.state_hash().unwrap(), writer.state_hash().unwrap());
}

fn named(name: &str, scope: Scope) -> TableDef {
    let key = ColumnDef::new("id", ColumnType::Integer).primary_key();
    TableDef::new(name, [key]).unwrap().with_scope(scope)
}

#[test]
fn what_would_hide_a_memory_table_is_refused() {
    for hiding in [
        "CREATE TABLE cursors (id TEXT)",
        "CREATE TABLE CURSORS (id TEXT)",
        "CREATE VIEW Cursors AS SELECT 1 AS id",
    ] {
        let mut connection = Connection::open_memory().unwrap();
        connection.recreate_state(&definitions_of_all_scopes()).unwrap();
        connection.system().execute_batch(hiding).unwrap();
        let refused = connection.watch_state(definitions_of_all_scopes());
        assert!(
            matches!(&refused, Err(SqliteError::HidesMemoryTable { table }) if table == "cursors"),
            "{hiding}: {refused:?}"
        );
    }
    let mut connection = Connection::open_memory().unwrap();
    let twice = vec![named("things", Scope::Client), named("Things", Scope::Memory)];
    connection.recreate_state(&twice).unwrap();
    let error = connection.watch_state(twice).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file has a table named Things, which would hide the memory table; rename one"
    );
}

#[test]
fn nothing_of_ours_among_temporary_objects_can_hide_a_table() {
    let connection = database_of(definitions_of_all_scopes());
    let sql = "SELECT DISTINCT type FROM temp.sqlite_schema";
    let types = connection.system().query(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(types, ["trigger"], "a trigger's name is no table's");
}

#[test]
fn a_check_of_a_memory_table_is_deterministic_too() {
    let column = ColumnDef::new("a", ColumnType::Integer).check("a > random()");
    let table = super::support::table_of([column]).with_scope(Scope::Memory);
    let refused = Connection::open_memory().unwrap().watch_state(vec![table]);
    assert!(matches!(refused, Err(SqliteError::Denied { .. })), "{refused:?}");
}

/// Writes to a table of each scope, twice to the memory table.
fn touch_all(connection: &Connection, id: &str) {
    insert(connection, [todo(id)]);
    insert(connection, [draft(id, id)]);
    insert(connection, [cursor(id, 1)]);
    write_as(connection, Scope::Memory, Cursor::update().set(Cursor::line, 2)).unwrap();
}

#[test]
fn a_transaction_that_fails_or_panics_changes_no_memory_table() {
    let connection = database_of(definitions_of_all_scopes());
    touch_all(&connection, "before");
    connection.discard_changes();
    let before = dump(&connection);
    let failed = connection.transaction(|| {
        touch_all(&connection, "lost");
        insert(&connection, [toast(1, "lost")]);
        Err::<(), _>(failure())
    });
    assert!(failed.is_err());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        connection.transaction(|| -> Result<(), SqliteError> {
            touch_all(&connection, "lost");
            panic!("in a materializer")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(dump(&connection), before);
    assert!(connection.discard_changes().is_empty());
    connection
        .transaction(|| {
            touch_all(&connection, "after");
            Ok::<_, SqliteError>(())
        })
        .unwrap();
    assert_eq!(
        read(&connection, &Cursor::select()).to_vec(),
        [cursor("after", 2), cursor("before", 2)]
    );
}

#[test]
fn a_savepoint_that_fails_takes_back_only_its_own_changes_of_memory_tables() {
    let connection = database_of(definitions_of_all_scopes());
    let outcome = connection.transaction(|| {
        insert(&connection, [cursor("a", 1)]);
        let failed = connection.savepoint(|| {
            insert(&connection, [cursor("b", 1)]);
            insert(&connection, [toast(1, "t")]);
            connection.savepoint(|| {
                insert(&connection, [cursor("c", 1)]);
                Ok::<_, SqliteError>(())
            })?;
            write_as(&connection, Scope::Memory, Cursor::delete())?;
            Err::<(), _>(failure())
        });
        assert!(failed.is_err());
        connection
            .savepoint(|| write_as(&connection, Scope::Memory, Cursor::insert(cursor("d", 1))))
    });
    outcome.unwrap();
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), [cursor("a", 1), cursor("d", 1)]);
    let changed = connection.discard_changes();
    assert_eq!(names(&connection, changed.tables().iter()), ["cursors"], "no toast is left");
}

#[test]
fn a_statement_that_fails_takes_back_the_rows_that_it_had_changed() {
    let connection = database_of(definitions_of_all_scopes());
    let outcome = connection.transaction(|| {
        insert(&connection, [toast(1, "a"), toast(2, "b")]);
        connection.discard_changes();
        // The first row gets the text, the second cannot.
        let update = Toast::update().set(Toast::text, "same");
        assert!(write_as(&connection, Scope::Memory, update).is_err());
        Ok::<_, SqliteError>(())
    });
    outcome.unwrap();
    assert_eq!(read(&connection, &Toast::select()).to_vec(), [toast(1, "a"), toast(2, "b")]);
    assert!(connection.discard_changes().is_empty());
}

/// SQLite then rolls back everything by itself, whatever savepoint is open.
#[test]
fn a_full_disk_takes_back_the_memory_tables_of_the_step() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [cursor("before", 1)]);
    connection.discard_changes();
    let full: Result<(), SqliteError> = connection.transaction(|| {
        insert(&connection, [cursor("lost", 1)]);
        connection.system().execute_batch("PRAGMA main.max_page_count = 1")?;
        connection.savepoint(|| {
            insert(&connection, [toast(1, "lost")]);
            let big = Todo { photo: Some(vec![0; 1 << 20]), ..todo("big") };
            write_as(&connection, Scope::Synced, Todo::insert(big))
        })
    });
    assert!(!full.unwrap_err().is_deterministic());
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), [cursor("before", 1)]);
    assert_eq!(read(&connection, &Toast::select().count()), 0);
    assert!(connection.discard_changes().is_empty());
}

#[test]
fn memory_that_runs_out_takes_back_the_rows_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let connection = create(&directory.path().join("state.db"));
    connection.discard_changes();
    let full: Result<(), SqliteError> = connection.transaction(|| {
        insert(&connection, [todo("lost")]);
        connection.system().execute_batch("PRAGMA memory.max_page_count = 1")?;
        let big = Toast { id: 1, text: Some("x".repeat(1 << 20)) };
        write_as(&connection, Scope::Memory, Toast::insert(big))
    });
    assert!(!full.unwrap_err().is_deterministic());
    assert!(dump(&connection).iter().all(Vec::is_empty));
    assert!(connection.discard_changes().is_empty());
}

#[test]
fn a_commit_that_fails_takes_back_the_memory_tables() {
    let directory = tempfile::tempdir().unwrap();
    let connection = create(&directory.path().join("state.db"));
    let own = "CREATE TABLE __livestore_parent (id INTEGER PRIMARY KEY); \
               CREATE TABLE __livestore_child (id INTEGER REFERENCES __livestore_parent \
               DEFERRABLE INITIALLY DEFERRED)";
    connection.system().execute_batch(own).unwrap();
    let failed = connection.transaction(|| {
        touch_all(&connection, "lost");
        connection.system().execute("INSERT INTO __livestore_child VALUES (1)", [])
    });
    assert!(failed.unwrap_err().to_string().contains("FOREIGN KEY"));
    assert!(dump(&connection).iter().all(Vec::is_empty));
    assert!(connection.discard_changes().is_empty());
}

#[test]
fn changes_of_memory_tables_are_reported_by_name() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [toast(1, "a"), toast(2, "b")]);
    insert(&connection, [cursor("a", 1)]);
    let changes = connection.take_changes();
    assert!(!changes.is_empty());
    assert_eq!(names(&connection, changes.tables().iter()), ["a_toasts", "cursors"]);
    assert!(connection.take_changes().is_empty(), "taken is taken");

    let changed = |write: Result<(), SqliteError>| {
        write.unwrap();
        let changed = connection.discard_changes();
        names(&connection, changed.tables().iter()).concat()
    };
    let update = Toast::update().set(Toast::id, 3).filter(Toast::id.eq(1));
    assert_eq!(changed(write_as(&connection, Scope::Memory, update)), "a_toasts");
    let replace = Toast::insert(toast(9, "b")).or_replace();
    assert_eq!(changed(write_as(&connection, Scope::Memory, replace)), "a_toasts");
    assert_eq!(changed(write_as(&connection, Scope::Memory, Cursor::delete())), "cursors");
    assert_eq!(changed(write_as(&connection, Scope::Memory, Cursor::delete())), "", "untouched");
}

#[test]
fn one_commit_of_every_kind_is_taken_apart_kind_by_kind() {
    let connection = database_of(definitions_of_all_scopes());
    touch_all(&connection, "before");
    connection.discard_changes();
    let before = dump(&connection);
    let (synced, client, memory) = connection
        .transaction(|| {
            insert(&connection, [todo("a")]);
            let synced = connection.take_changes();
            insert(&connection, [draft("a", "text")]);
            let client = connection.take_changes();
            insert(&connection, [cursor("a", 1)]);
            Ok::<_, SqliteError>((synced, client, connection.discard_changes()))
        })
        .unwrap();
    assert_eq!(names(&connection, synced.tables().iter()), ["todos"]);
    assert_eq!(names(&connection, client.tables().iter()), ["drafts"]);
    assert_eq!(names(&connection, memory.tables().iter()), ["cursors"]);

    let undone = connection.undo(&Preimages::join([synced, client])).unwrap();
    assert_eq!(names(&connection, undone.tables().iter()), ["drafts", "todos"]);
    let cursors = [cursor("a", 1), cursor("before", 2)];
    assert_eq!(read(&connection, &Cursor::select()).to_vec(), cursors, "no undo reaches memory");
    write_as(&connection, Scope::Memory, Cursor::delete().filter(Cursor::id.eq("a"))).unwrap();
    assert_eq!(dump(&connection), before);
}

#[test]
fn undo_data_holds_nothing_of_memory_tables_whenever_it_is_taken() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [cursor("a", 1)]);
    let memory_only = connection.take_changes();
    assert_eq!(memory_only.encode(), Preimages::default().encode());
    touch_all(&connection, "b");
    insert(&connection, [toast(1, "t")]);
    let mixed = Preimages::join([memory_only, connection.take_changes()]);
    let all = ["drafts", "todos", "a_toasts", "cursors"];
    assert_eq!(names(&connection, mixed.tables().iter()), all);
    let decoded = connection.decode_undo(&mixed.encode()).unwrap();
    assert_eq!(names(&connection, decoded.tables().iter()), ["drafts", "todos"]);
    assert_eq!(
        names(&connection, connection.undo(&mixed).unwrap().tables().iter()),
        ["drafts", "todos"]
    );
    assert_eq!(read(&connection, &Cursor::select().count()), 2);
}

#[test]
fn undo_data_that_names_a_memory_table_is_damaged() {
    let connection = database_of(definitions_of_all_scopes());
    // One row: of table 4, it was not there, its key is one text of no characters.
    let of = |table: u8| connection.decode_undo(&[1, table, 0, 1, 3, 0]);
    assert!(of(1).is_ok(), "drafts");
    assert!(matches!(of(4), Err(SqliteError::DamagedUndo { .. })), "a_toasts");
    assert!(matches!(of(5), Err(SqliteError::DamagedUndo { .. })), "cursors");
}

#[test]
fn tables_on_disk_come_first_by_name_and_memory_tables_after_them_by_name() {
    let connection = database_of(definitions_of_all_scopes());
    let all = names(&connection, 0..connection.tables().len());
    assert_eq!(all, ["counters", "drafts", "edges", "todos", "a_toasts", "cursors"]);
}

/// A memory table asks for no rebuild, so undo data from before it has to keep its meaning.
#[test]
fn undo_data_outlives_memory_tables_that_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let on_disk = || {
        vec![
            Todo::definition().unwrap(),
            Counter::definition().unwrap(),
            Draft::definition().unwrap(),
        ]
    };
    let mut connection = Connection::open_file(&path).unwrap();
    connection.recreate_state(&on_disk()).unwrap();
    connection.watch_state(on_disk()).unwrap();
    insert(&connection, [todo("kept")]);
    insert(&connection, [draft("kept", "old")]);
    connection.discard_changes();
    let before = dump(&connection);

    let undo = |connection: &Connection, stored: &[Vec<u8>]| {
        let steps = stored.iter().map(|bytes| connection.decode_undo(bytes).unwrap());
        connection.undo(&Preimages::join(steps)).unwrap();
    };
    let mut stored = Vec::new();
    write_as(&connection, Scope::Synced, Todo::delete()).unwrap();
    write_as(&connection, Scope::Client, Draft::update().set(Draft::body, "new")).unwrap();
    stored.push(connection.take_changes().encode());
    drop(connection);

    // The schema gets memory tables whose names come first, between and last.
    let memory = ["a", "d", "z"].map(|name| named(name, Scope::Memory));
    let mut connection = Connection::open_file(&path).unwrap();
    connection.watch_state(on_disk().into_iter().chain(memory).collect()).unwrap();
    write_as(&connection, Scope::Synced, Counter::insert(counter(1, "a", 1))).unwrap();
    stored.push(connection.take_changes().encode());
    let savepoint = connection.savepoint(|| {
        undo(&connection, &stored);
        assert_eq!(dump(&connection)[..3], before);
        Err::<(), _>(failure())
    });
    assert!(savepoint.is_err());
    drop(connection);

    // And loses them again.
    let mut connection = Connection::open_file(&path).unwrap();
    connection.watch_state(on_disk()).unwrap();
    undo(&connection, &stored);
    assert_eq!(dump(&connection), before);
}

#[test]
fn the_bound_of_changes_counts_no_memory_rows() {
    let connection = database_of(definitions_of_all_scopes());
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000001) \
                INSERT INTO a_toasts SELECT i, NULL FROM n";
    connection.system().execute(fill, []).unwrap();
    insert(&connection, [todo("a")]);
    assert_eq!(
        names(&connection, connection.take_changes().tables().iter()),
        ["todos", "a_toasts"]
    );
}
