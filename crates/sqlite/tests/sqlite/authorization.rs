use livestore_sqlite::{
    Column, Connection, Row, Rows, Scope, Sql, SqliteError, StateRead, Table, TableWrite, Value,
    query_as,
};

use super::support::{
    Counter, Todo, columns, counter, database, dump, insert, read, state_table, todo, write,
};

/// Statements that would change something, with what the refusal has to say.
const WRITES: [(&str, &str); 33] = [
    ("INSERT INTO counters VALUES (9, 'x', 0)", "inserting into table counters"),
    ("INSERT INTO counters VALUES (9, 'x', 0) RETURNING id", "inserting into table counters"),
    ("REPLACE INTO counters VALUES (1, 'x', 0)", "inserting into table counters"),
    ("INSERT INTO counters SELECT 9, 'x', 0", "inserting into table counters"),
    ("WITH x AS (SELECT 9) INSERT INTO counters SELECT *, 'x', 0 FROM x", "inserting into"),
    ("UPDATE counters SET count = 9", "updating table counters"),
    ("UPDATE counters SET count = 9 RETURNING id", "updating table counters"),
    ("DELETE FROM counters", "deleting from table counters"),
    ("DELETE FROM counters RETURNING id", "deleting from table counters"),
    ("EXPLAIN DELETE FROM counters", "deleting from table counters"),
    ("DROP TABLE counters", ""),
    ("CREATE TABLE x (id INTEGER)", ""),
    ("CREATE TEMP TABLE x (id INTEGER)", ""),
    ("CREATE VIEW x AS SELECT 1", ""),
    ("CREATE TEMP VIEW x AS SELECT 1", ""),
    ("CREATE TRIGGER x AFTER INSERT ON counters BEGIN SELECT 1; END", ""),
    ("CREATE INDEX x ON counters (count)", ""),
    ("CREATE VIRTUAL TABLE x USING fts5(a)", ""),
    ("ALTER TABLE counters RENAME TO x", ""),
    ("ALTER TABLE counters ADD COLUMN x TEXT", ""),
    ("REINDEX", ""),
    ("ANALYZE", ""),
    ("VACUUM", ""),
    ("VACUUM INTO 'stolen.db'", ""),
    ("PRAGMA user_version = 7", "PRAGMA user_version"),
    ("PRAGMA journal_mode", "PRAGMA journal_mode"),
    ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
    ("ATTACH ':memory:' AS x", "ATTACH"),
    ("DETACH main", "DETACH"),
    ("BEGIN", "controlling transactions"),
    ("COMMIT", "controlling transactions"),
    ("SAVEPOINT x", "controlling transactions"),
    ("ROLLBACK", "controlling transactions"),
];

fn two_counters() -> Connection {
    let connection = database();
    insert(&connection, [counter(1, "a", 1), counter(2, "b", 2)]);
    connection.take_changes();
    connection
}

fn query(view: StateRead<'_>, sql: &str) -> Result<Rows<Row>, SqliteError> {
    view.query(&Sql::new(sql))
}

/// Both views that only read: that of the app, and that of a materializer.
fn views(connection: &Connection) -> [StateRead<'_>; 2] {
    [connection.read(), connection.write(Scope::Synced).read()]
}

fn assert_denied(result: Result<Rows<Row>, SqliteError>, sql: &str, says: &str) {
    match result {
        Err(error @ SqliteError::Denied { .. }) => {
            let message = error.to_string();
            assert!(message.contains(says) && message.contains("not allowed in"), "{message}");
            assert!(message.ends_with(&format!("(in: {sql})")), "{message}");
            assert!(error.is_deterministic());
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// Its rule is named, and not that its rows have other columns.
fn assert_denied_as_pair(view: StateRead<'_>, sql: &str, says: &str) {
    let pairs = query_as::<(i64, i64)>(sql);
    assert_denied(view.query(&pairs).map(|_| Rows::default()), sql, says);
    assert_denied(view.query(&pairs.first()).map(|_| Rows::default()), sql, says);
}

#[test]
fn a_view_that_reads_cannot_write() {
    let connection = two_counters();
    let before = dump(&connection);
    for (sql, says) in WRITES {
        for view in views(&connection) {
            assert_denied(query(view, sql), sql, says);
            assert_denied_as_pair(view, sql, says);
            assert_eq!(dump(&connection), before, "{sql}");
        }
        assert!(view_refuses_to_analyse(&connection, sql), "{sql}");
    }
    assert!(connection.take_changes().is_empty());
    assert!(!std::path::Path::new("stolen.db").exists());
}

fn view_refuses_to_analyse(connection: &Connection, sql: &str) -> bool {
    let vacuum = sql.starts_with("VACUUM"); // SQLite asks about it only when it runs.
    vacuum || connection.read().tables_read(&Sql::new(sql)).is_err()
}

#[test]
fn a_refusal_says_what_where_and_in_which_statement() {
    let connection = two_counters();
    let message = |view, sql| query(view, sql).unwrap_err().to_string();
    assert_eq!(
        message(connection.read(), "DELETE FROM counters"),
        "deleting from table counters is not allowed in a query: queries only read; commit an event \
         whose materializer writes (in: DELETE FROM counters)"
    );
    assert!(
        message(connection.write(Scope::Synced).read(), "SELECT random()")
            .starts_with("the function random, whose result may differ between clients,")
    );
}

#[test]
fn several_statements_in_one_text_are_refused() {
    let connection = two_counters();
    let before = dump(&connection);
    for sql in [
        "SELECT 1; DELETE FROM counters",
        "SELECT 1; SELECT 2; DELETE FROM counters",
        "SELECT 1; SELECT 2",
        "; DELETE FROM counters",
        "SELECT 1; COMMIT; DELETE FROM counters",
        "*/ DELETE FROM counters",
        "-- \nDELETE FROM counters",
    ] {
        for view in views(&connection) {
            assert!(query(view, sql).is_err(), "{sql}");
        }
        assert_eq!(dump(&connection), before, "{sql}");
    }
    assert_eq!(query(connection.read(), "SELECT 1; -- no more").unwrap().len(), 1);
}

#[test]
fn livestores_own_tables_cannot_be_read() {
    let connection = two_counters();
    for sql in [
        "SELECT * FROM __livestore_log",
        "SELECT count(*) FROM __livestore_log",
        "SELECT 1 FROM __LiveStore_LOG",
        "SELECT (SELECT secret FROM __livestore_log)",
        "SELECT * FROM counters JOIN __livestore_log USING (id)",
        "SELECT * FROM counters WHERE id IN (SELECT id FROM __livestore_log)",
        "WITH x AS (SELECT * FROM __livestore_log) SELECT * FROM x",
        "SELECT 1 UNION SELECT secret FROM __livestore_log",
        "SELECT * FROM main.\"__livestore_log\" AS innocent",
    ] {
        for view in views(&connection) {
            assert_denied(query(view, sql), sql, "reading table __");
        }
    }
}

/// SQLite asks nobody about the columns that such a join compares, and so about no table of which
/// it uses no other.
#[test]
fn livestores_own_tables_cannot_be_joined_by_the_names_of_columns() {
    let connection = two_counters();
    for sql in [
        "SELECT count(*) FROM counters JOIN __livestore_log USING (id)",
        "SELECT counters.name FROM counters NATURAL JOIN __livestore_log",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM counters Natural Join main.\"__livestore_log\" AS x)",
        "SELECT id FROM counters FULL JOIN __livestore_log USING(id)",
        "WITH x AS (SELECT 1 FROM counters JOIN __livestore_log USING (id)) SELECT count(*) FROM x",
    ] {
        for view in views(&connection).into_iter().chain(views(&connection)) {
            assert_denied(query(view, sql), sql, "reading table __livestore_log");
        }
        assert!(connection.read().tables_read(&Sql::new(sql)).is_err(), "{sql}");
    }
}

#[test]
fn tables_may_be_joined_by_the_names_of_columns() {
    let connection = two_counters();
    for sql in [
        "SELECT a.name FROM counters AS a JOIN counters AS b USING (id, name)",
        "SELECT count(*) FROM counters AS a NATURAL JOIN counters AS b",
        "SELECT 'using natural' FROM counters",
        "SELECT id FROM counters FULL JOIN (SELECT 1 AS id) USING (id)",
        "SELECT id FROM counters JOIN (SELECT value AS id FROM json_each('[1, 2]')) USING (id)",
        "SELECT a.id FROM counters AS a JOIN counters AS b USING (id) WHERE a.id < 9 -- natural",
    ] {
        for view in views(&connection).into_iter().chain(views(&connection)) {
            assert!(!query(view, sql).unwrap().is_empty(), "{sql}");
        }
    }
    let bound = "SELECT a.id FROM counters AS a JOIN counters AS b USING (id) WHERE a.id = ?";
    for view in views(&connection) {
        assert_eq!(view.query(&Sql::new(bound).bind(1)).unwrap().len(), 1);
        assert_eq!(view.tables_read(&Sql::new(bound)).unwrap(), [0]);
    }
    query(connection.read(), "EXPLAIN SELECT 1 FROM counters NATURAL JOIN todos").unwrap();
}

/// SQLite names a subquery to the authorizer just as it names a trigger.
#[test]
fn a_subquery_named_like_livestores_own_gains_no_power() {
    let connection = two_counters();
    for name in ["__livestore", "__livestore_x", "__livestore_capture_INSERT_counters"] {
        for (body, says) in [
            ("SELECT * FROM __livestore_log", "reading table __livestore_log"),
            ("SELECT __livestore_capture(0, 2, 1, 2, 3)", "the function __livestore_capture"),
        ] {
            for sql in [
                format!("WITH {name} AS ({body}) SELECT * FROM {name}"),
                format!("WITH {name} AS MATERIALIZED ({body}) SELECT * FROM {name}"),
                format!("SELECT * FROM ({body}) AS {name}"),
            ] {
                for view in views(&connection) {
                    assert_denied(query(view, &sql), &sql, says);
                }
            }
        }
        let random = format!("WITH {name} AS (SELECT random() AS r) SELECT r FROM {name}");
        assert_denied(
            query(connection.write(Scope::Synced).read(), &random),
            &random,
            "the function random",
        );
    }
    assert!(connection.take_changes().is_empty());
}

#[test]
fn the_functions_of_livestore_and_of_extensions_cannot_be_called() {
    let connection = two_counters();
    for function in ["__livestore_capture(0, 0, 1)", "__LIVESTORE_CAPTURE()", "load_extension('x')"]
    {
        for view in views(&connection) {
            let sql = format!("SELECT {function}");
            assert_denied(query(view, &sql), &sql, "the function");
        }
    }
}

#[test]
fn pragmas_cannot_be_read_as_tables() {
    let connection = two_counters();
    for sql in [
        "SELECT * FROM pragma_table_info('counters')",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM pragma_database_list",
        "SELECT count(*) FROM pragma_database_list",
        "SELECT count(*) FROM counters NATURAL JOIN pragma_database_list",
    ] {
        for view in views(&connection) {
            assert_denied(query(view, sql), sql, "");
            assert_denied_as_pair(view, sql, "");
        }
    }
}

#[test]
fn a_statement_that_a_more_powerful_view_has_run_is_still_refused() {
    let connection = two_counters();
    let own = "SELECT secret FROM __livestore_log";
    connection.system().query(own, [], |_| Ok(())).unwrap();
    let delete = "DELETE FROM \"counters\" WHERE \"id\" IS ?";
    let table = Counter::definition().unwrap();
    let built = TableWrite::delete(&table, columns([("id", 7.into())])).unwrap();
    connection.write(Scope::Synced).execute(&built).unwrap();
    connection.system().execute(delete, [7]).unwrap();
    for view in views(&connection) {
        assert!(matches!(query(view, own), Err(SqliteError::Denied { .. })));
        let sql = Sql::new(delete).bind(1);
        assert!(matches!(view.query(&sql), Err(SqliteError::Denied { .. })));
    }
    let now = "SELECT date('now')";
    query(connection.read(), now).unwrap();
    assert_denied(query(connection.write(Scope::Synced).read(), now), now, "the function date");
    // The other way round: a refusal is not remembered against the more powerful.
    connection.system().query(own, [], |_| Ok(())).unwrap();
    query(connection.read(), now).unwrap();
    assert_eq!(dump(&connection)[0].len(), 2);
}

#[test]
fn the_mark_of_another_view_in_a_text_gains_no_power() {
    let connection = two_counters();
    let table = Counter::definition().unwrap();
    connection
        .write(Scope::Synced)
        .execute(&TableWrite::delete(&table, columns([("id", 7.into())])).unwrap())
        .unwrap();
    for mark in ["/*read*/ ", "/*read for synced*/ ", "/*write synced*/ ", ""] {
        for view in views(&connection) {
            let sql = Sql::new(format!("{mark}DELETE FROM \"counters\" WHERE \"id\" IS ?")).bind(1);
            assert!(matches!(view.query(&sql), Err(SqliteError::Denied { .. })), "{mark}");
        }
    }
}

#[test]
fn a_refusal_leaves_the_connection_usable() {
    let connection = two_counters();
    assert!(query(connection.read(), "DELETE FROM counters").is_err());
    insert(&connection, [counter(3, "c", 3)]);
    connection.system().execute("DELETE FROM counters WHERE id = 3", []).unwrap();
    assert_eq!(read(&connection, &Counter::select().count()), 2);
}

#[test]
fn a_panic_in_a_query_leaves_the_connection_with_its_own_powers() {
    #[derive(Clone)]
    struct Panics;
    impl livestore_sqlite::Query for Panics {
        type Output = ();
        fn compile(&self) -> Result<(String, Vec<Value>), livestore_sqlite::ValueError> {
            Ok(("SELECT 1".into(), vec![]))
        }
        fn collect(&self, _: livestore_sqlite::RowCursor<'_>) -> Result<(), SqliteError> {
            panic!("in collect")
        }
    }
    let connection = two_counters();
    let query = std::panic::AssertUnwindSafe(|| connection.read().query(&Panics));
    assert!(std::panic::catch_unwind(query).is_err());
    connection.system().execute("DELETE FROM __livestore_log", []).unwrap();
}

#[test]
fn a_query_may_call_what_a_materializer_may_not() {
    let connection = two_counters();
    for function in [
        "random()",
        "hex(randomblob(4))",
        "date('now')",
        "time()",
        "datetime('2024-01-01', 'localtime')",
        "julianday('now')",
        "unixepoch()",
        "strftime('%s', 'now')",
        "CURRENT_TIMESTAMP",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "last_insert_rowid()",
        "changes()",
        "total_changes()",
        "sqlite_version()",
        "sqlite_source_id()",
    ] {
        for sql in
            [format!("SELECT {function}"), format!("SELECT id FROM counters ORDER BY {function}")]
        {
            query(connection.read(), &sql).unwrap();
            assert_denied(
                query(connection.write(Scope::Synced).read(), &sql),
                &sql,
                "the function",
            );
        }
    }
}

#[test]
fn a_materializer_may_call_what_depends_on_its_arguments_alone() {
    let connection = two_counters();
    let values = |sql: &str| {
        let rows = query(connection.write(Scope::Synced).read(), sql).unwrap();
        rows.iter().map(|row| row.values()[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(values("SELECT sum(count) FROM counters"), [3.into()]);
    assert_eq!(
        values("SELECT upper(name) || length(name) FROM counters ORDER BY id"),
        ["A1".into(), Value::from("B1")]
    );
    assert_eq!(values("SELECT value FROM json_each('[7]')"), [7.into()]);
    assert_eq!(values("SELECT '{\"a\":5}' ->> 'a'"), [5.into()]);
    assert_eq!(values("SELECT max(1, 2) + coalesce(NULL, 3)"), [5.into()]);
    assert_eq!(
        values("SELECT row_number() OVER (ORDER BY id) FROM counters"),
        [1.into(), Value::from(2)]
    );
    assert_eq!(
        values("SELECT count(*) FROM counters WHERE name LIKE 'A' OR name GLOB 'b'"),
        [2.into()]
    );
}

#[test]
fn a_materializer_may_use_common_table_expressions() {
    let connection = two_counters();
    for sql in [
        "WITH n AS (SELECT count FROM counters) SELECT sum(count) FROM n",
        "WITH n AS (SELECT count FROM counters) SELECT count(*) FROM n",
        "WITH n(x) AS (VALUES (1), (2)) SELECT count(x) FROM n",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT x FROM n",
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM counters) AS inner_query)",
        "WITH n AS MATERIALIZED (SELECT count FROM counters) SELECT count(*) FROM n",
        "WITH n AS (SELECT max(count) FROM counters) SELECT count(*) FROM n AS a, n AS b",
        "WITH n(x) AS (VALUES (1), (2)) SELECT 1 FROM n",
    ] {
        query(connection.write(Scope::Synced).read(), sql).unwrap();
    }
}

#[test]
fn a_materializer_reads_state_tables_only() {
    let connection = two_counters();
    connection.system().execute_batch("CREATE TABLE foreign_table (id INTEGER)").unwrap();
    for sql in [
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM sqlite_temp_schema",
        "SELECT * FROM foreign_table",
        "SELECT count(*) FROM foreign_table",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM foreign_table)",
        "SELECT count(*) FROM counters JOIN foreign_table USING (id)",
        "SELECT name FROM counters NATURAL JOIN foreign_table",
        "SELECT count(*) FROM sqlite_schema",
        "SELECT count(*) FROM dbstat",
        "SELECT count(*) FROM counters NATURAL JOIN dbstat",
    ] {
        for _ in 0..2 {
            assert_denied(query(connection.write(Scope::Synced).read(), sql), sql, "reading table");
        }
    }
}

state_table! {
    /// A struct that claims to be a table of LiveStore's own.
    Intruder, "__livestore_log", {
        id: i64, primary_key();
        secret: Option<String>;
    }
}

#[test]
fn a_materializer_cannot_touch_livestores_own_tables() {
    let connection = two_counters();
    assert!(Intruder::definition().is_err());
    let denied = |result| matches!(result, Err(SqliteError::Denied { mode, .. }) if mode == "a materializer");
    let row = || Intruder { id: 2, secret: None };
    assert!(denied(write(&connection, Intruder::insert(row()))));
    assert!(denied(write(&connection, Intruder::insert(row()).or_replace())));
    assert!(denied(write(&connection, Intruder::update().set(Intruder::secret, None))));
    assert!(denied(write(&connection, Intruder::delete())));
    let filter = Intruder::secret.eq("secret");
    assert!(connection.read().query(&Intruder::select().filter(filter)).is_err());
    let untouched = connection.system().query("SELECT * FROM __livestore_log", [], |_| Ok(()));
    assert_eq!(untouched.unwrap().len(), 1);
}

#[test]
fn a_materializer_writes_admitted_tables_only() {
    let connection = database();
    connection.system().execute_batch("CREATE TABLE unwatched (id INTEGER PRIMARY KEY)").unwrap();
    let key = livestore_sqlite::ColumnDef::new("id", livestore_sqlite::ColumnType::Integer);
    let table = livestore_sqlite::TableDef::new("unwatched", [key.primary_key()]).unwrap();
    let write = TableWrite::insert(&table, columns([("id", 1.into())])).unwrap();
    assert!(matches!(
        connection.write(Scope::Synced).execute(&write),
        Err(SqliteError::Denied { .. })
    ));
}

#[test]
fn column_names_of_handles_cannot_smuggle_functions_past_the_authorizer() {
    // A handle is made by the derive; one made by hand is a developer's own doing, and still
    // cannot do what the view may not.
    let connection = database();
    insert(&connection, [todo("a")]);
    let handle: Column<Todo, String> = Column::new("id\" = hex(randomblob(4)) OR \"id");
    let delete = write(&connection, Todo::delete().filter(handle.eq("a")));
    assert!(matches!(delete, Err(SqliteError::Denied { .. })), "{delete:?}");
}
