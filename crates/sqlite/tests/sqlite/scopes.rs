//! A materializer touches the tables that its event may touch, whatever its SQL looks like.

use std::cell::Cell;

use livestore_sqlite::{
    Column, ColumnDef, ColumnType, Connection, DecodeError, Row, RowRef, Rows, Scope, Sql,
    SqliteError, StateRead, Table, TableAccess, TableDef, TableError, TableSql, TableWrite, Value,
    ValueError, Write,
};

use super::support::{
    Cursor, Draft, Todo, columns, cursor, database_of, definitions_of_all_scopes, draft, dump,
    insert, names, todo, write_as,
};

const SCOPES: [Scope; 3] = [Scope::Synced, Scope::Client, Scope::Memory];

/// The table of each scope that the tests here use, with its database.
const TABLES: [(Scope, &str, &str); 3] = [
    (Scope::Synced, "main", "todos"),
    (Scope::Client, "main", "drafts"),
    (Scope::Memory, "memory", "cursors"),
];

fn one_row_each() -> Connection {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [todo("t")]);
    insert(&connection, [draft("d", "secret")]);
    insert(&connection, [cursor("c", 7)]);
    connection.discard_changes();
    connection
}

fn query(view: StateRead<'_>, sql: &str) -> Result<Rows<Row>, SqliteError> {
    view.query(&Sql::new(sql))
}

/// Asserts that the scopes decide, and nothing else.
fn assert_decided<T: std::fmt::Debug>(
    result: Result<T, SqliteError>,
    event: Scope,
    (scope, table): (Scope, &str),
    tried: TableAccess,
    sql: &str,
) {
    let may = match tried {
        TableAccess::Read => event.may_read(scope),
        _ => event.may_write(scope),
    };
    match result {
        Ok(_) => assert!(may, "{event}: {sql}"),
        Err(SqliteError::OutOfScope { table: denied, scope: of, access, event: by, .. }) => {
            let found = (denied.to_ascii_lowercase(), of, access, by);
            assert_eq!(found, (table.into(), scope, tried, event), "{sql}");
            assert!(!may, "{event}: {sql}");
        }
        Err(other) => panic!("{event}: {sql}: {other}"),
    }
}

#[test]
fn an_event_reads_its_own_scope_and_those_before_and_writes_its_own() {
    let [synced, client, memory] = SCOPES;
    let may = |access: fn(Scope, Scope) -> bool, event| SCOPES.map(|table| access(event, table));
    assert_eq!(may(Scope::may_read, synced), [true, false, false]);
    assert_eq!(may(Scope::may_read, client), [true, true, false]);
    assert_eq!(may(Scope::may_read, memory), [true, true, true]);
    assert_eq!(may(Scope::may_write, synced), [true, false, false]);
    assert_eq!(may(Scope::may_write, client), [false, true, false]);
    assert_eq!(may(Scope::may_write, memory), [false, false, true]);
}

/// Queries of one column that read a table in ways that SQLite's parser and planner tell apart.
const READS: [&str; 38] = [
    "SELECT id FROM {t}",
    "SELECT count(*) FROM {t}",
    "SELECT 1 FROM {t}",
    "SELECT max(id) FROM {t}",
    "SELECT 1 FROM {d}.{t}",
    "SELECT x.id FROM \"{t}\" AS x",
    "SELECT 1 FROM [{T}]",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM {t})",
    "SELECT 1 FROM todos AS a WHERE EXISTS (SELECT 1 FROM {t})",
    "SELECT 1 FROM todos AS a WHERE NOT EXISTS (SELECT 1 FROM {t} AS b WHERE a.id = b.id)",
    "SELECT a.id FROM todos AS a LEFT JOIN {t} AS b ON true",
    "SELECT a.id FROM todos AS a LEFT JOIN {t} AS b ON a.id = b.id",
    "SELECT a.id FROM {t} AS b RIGHT JOIN todos AS a USING (id)",
    "SELECT a.id FROM todos AS a NATURAL JOIN (SELECT id FROM {t})",
    "SELECT a.id FROM todos AS a JOIN {t} USING (id)",
    "SELECT a.id FROM todos AS a Join {t} As b Using(id)",
    "SELECT count(*) FROM todos AS a JOIN {t} AS b USING (id)",
    "SELECT id FROM {t} FULL JOIN todos AS a USING (id)",
    "SELECT 1 FROM {t} JOIN edges AS a ON true JOIN todos AS b USING (id)",
    "SELECT done FROM counters AS a NATURAL JOIN todos AS b /*NATURAL*/ NATURAL INNER JOIN {t}",
    "SELECT 1 FROM todos AS a WHERE (id, 1) IN {t}",
    "SELECT 1 FROM todos AS a WHERE EXISTS (SELECT 1 FROM edges NATURAL JOIN {t})",
    "SELECT 1 FROM todos AS a, {t} AS b",
    "SELECT id FROM todos AS a WHERE id IN (SELECT id FROM {t})",
    "SELECT id FROM todos AS a WHERE (id, 1) IN (SELECT id, 1 FROM {t})",
    "SELECT id FROM todos AS a ORDER BY (SELECT count(*) FROM {t})",
    "SELECT id FROM todos AS a GROUP BY id HAVING (SELECT count(*) FROM {t}) > 0",
    "SELECT row_number() OVER (ORDER BY (SELECT count(*) FROM {t})) FROM todos AS a",
    "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM {t})) FROM todos AS a",
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM {t}) THEN 1 ELSE 0 END",
    "SELECT value FROM json_each((SELECT json_group_array(id) FROM {t}))",
    "SELECT value FROM {t}, json_each('[1]')",
    "SELECT 1 UNION ALL SELECT id FROM {t}",
    "SELECT id FROM {t} EXCEPT SELECT 'x'",
    "VALUES (1), ((SELECT count(*) FROM {t}))",
    "WITH x AS MATERIALIZED (SELECT id FROM {t}) SELECT id FROM x",
    "WITH counters AS NOT MATERIALIZED (SELECT id FROM {t}) SELECT id FROM counters",
    "WITH RECURSIVE x(i) AS (SELECT id FROM {t} UNION ALL SELECT i FROM x WHERE false) SELECT i FROM x",
];

/// Queries around such a query.
const AROUND: [&str; 14] = [
    "{q}",
    "SELECT * FROM ({q})",
    "SELECT count(*) FROM ({q})",
    "SELECT 1 FROM ({q}) AS todos",
    "SELECT ({q})",
    "SELECT 1 WHERE EXISTS ({q})",
    "SELECT 1 FROM todos WHERE EXISTS ({q})",
    "SELECT 1 FROM todos WHERE id IN ({q})",
    "SELECT count(*) FROM (SELECT 1 FROM todos UNION ALL {q})",
    "SELECT id FROM todos LIMIT ifnull(length(({q})), 1)",
    "WITH w AS ({q}) SELECT count(*) FROM w AS a, w AS b",
    "WITH w AS MATERIALIZED ({q}) SELECT * FROM w",
    "WITH counters AS ({q}) SELECT * FROM counters",
    "SELECT 1 FROM todos LEFT JOIN ({q}) ON true",
];

fn all_reads((_, database, table): (Scope, &str, &str)) -> Vec<String> {
    let inner = READS.map(|query| {
        let query = query.replace("{t}", table).replace("{T}", &table.to_uppercase());
        query.replace("{d}", database)
    });
    let around = |query: &String| AROUND.map(|around| around.replace("{q}", query));
    inner.iter().flat_map(around).collect()
}

/// Databases that differ in one table alone, from the one with one row in each.
fn with_other_rows(scope: Scope) -> [Connection; 2] {
    let (emptied, filled) = (one_row_each(), one_row_each());
    match scope {
        Scope::Synced => {
            write_as(&emptied, scope, Todo::delete()).unwrap();
            insert(&filled, [todo("c"), todo("d"), todo("u")]);
        }
        Scope::Client => {
            write_as(&emptied, scope, Draft::delete()).unwrap();
            insert(&filled, [draft("t", "u"), draft("u", "t")]);
        }
        Scope::Memory => {
            write_as(&emptied, scope, Cursor::delete()).unwrap();
            insert(&filled, [cursor("t", 8), cursor("u", 9)]);
        }
    }
    [emptied, filled]
}

/// What is allowed, though the table is named, has to have the same result whatever is in it.
#[test]
fn a_query_of_a_materializer_reads_no_table_out_of_scope() {
    let connection = one_row_each();
    let rows = |connection: &Connection, sql: &str| query(connection.read(), sql).ok();
    for table @ (scope, _, name) in TABLES {
        let others = with_other_rows(scope);
        let (mut good, mut wrong) = (0, 0);
        for sql in all_reads(table) {
            let found = rows(&connection, &sql);
            let depends = others.iter().any(|other| rows(other, &sql) != found);
            // Some of the combinations are no SQL, or fail when they run, whoever asks.
            let is_wrong = found.is_none();
            *(if is_wrong { &mut wrong } else { &mut good }) += 1;
            for event in SCOPES {
                match query(connection.write(event).read(), &sql) {
                    Ok(_) if !depends => {}
                    result if is_wrong => assert!(result.is_err(), "{event}: {sql}"),
                    result => {
                        assert_decided(result, event, (scope, name), TableAccess::Read, &sql);
                    }
                }
            }
            if depends {
                let read = connection.read().tables_read(&Sql::new(&sql)).unwrap();
                assert!(names(&connection, read).contains(&name), "{sql}");
            }
        }
        assert!(good > 20 * wrong, "{good} of {}", good + wrong);
    }
}

#[test]
fn an_app_reads_tables_of_every_scope() {
    let connection = one_row_each();
    for (_, database, table) in TABLES {
        for sql in [format!("SELECT id FROM {table}"), format!("SELECT id FROM {database}.{table}")]
        {
            assert_eq!(query(connection.read(), &sql).unwrap().len(), 1, "{sql}");
        }
    }
    let joined = "SELECT 1 FROM todos, drafts, cursors";
    assert_eq!(query(connection.read(), joined).unwrap().len(), 1);
}

/// Builders bind what comes in and check names, so this is how a developer's own mistake, or
/// malice, gets SQL into a write: by a hand-made [`Table`] and hand-made handles.
mod forged {
    use super::*;

    thread_local! {
        static INSERT_INTO: Cell<&'static str> = const { Cell::new("") };
    }

    #[derive(Debug, Clone)]
    struct Forged;

    impl Table for Forged {
        const NAME: &'static str = "todos";
        const COLUMNS: &'static [&'static str] = &[];
        fn definition() -> Result<TableDef, TableError> {
            TableDef::new("forged", [])
        }
        fn sql() -> &'static TableSql {
            Box::leak(Box::new(TableSql::new(INSERT_INTO.get(), &["x"], &["x"])))
        }
        fn from_row(_: RowRef<'_>) -> Result<Self, DecodeError> {
            Ok(Self)
        }
        fn into_values(self) -> Result<Vec<Value>, ValueError> {
            Ok(vec![])
        }
    }

    fn leak(text: String) -> &'static str {
        Box::leak(text.into())
    }

    /// `INSERT INTO` with any rest.
    pub(super) fn insert(rest: &str) -> Write {
        let (table, rest) = rest.split_once(' ').unwrap();
        INSERT_INTO.set(leak(format!("{table}\" {rest} --")));
        Forged::insert(Forged).try_into().unwrap()
    }

    /// `UPDATE table SET` with any rest that has one `?`.
    pub(super) fn update<T: Table>(rest: &str) -> Write {
        let (column, rest) = rest.split_once(' ').unwrap();
        let handle = Column::<T, i64>::new(leak(format!("{column}\" {rest} --")));
        T::update().set(handle, 1).try_into().unwrap()
    }

    /// `DELETE FROM table WHERE` with any rest that has one `?`.
    pub(super) fn delete<T: Table>(rest: &str) -> Write {
        let handle = Column::<T, i64>::new(leak(format!("id\" IS NOT ? AND {rest} --")));
        T::delete().filter(handle.eq(1)).try_into().unwrap()
    }
}

/// Runs a write in a savepoint that is rolled back, so that the next one finds the same rows.
fn try_write(connection: &Connection, event: Scope, write: &Write) -> Result<(), SqliteError> {
    enum End {
        Ran,
        Failed(SqliteError),
    }
    impl From<SqliteError> for End {
        fn from(error: SqliteError) -> Self {
            Self::Failed(error)
        }
    }
    let end = connection.savepoint(|| {
        connection.write(event).execute(write)?;
        Err::<(), _>(End::Ran)
    });
    match end {
        Err(End::Failed(error)) => Err(error),
        _ => Ok(()),
    }
}

/// What reads the table `{t}` while it writes to the table of its own scope.
fn reading_writes<T: Table>(target: &str, column: &str, read: &str) -> Vec<Write> {
    let key = format!("{target} (id, {column})");
    let inserts = [
        format!("{key} SELECT 'n' || id, 1 FROM {read}"),
        format!("{key} SELECT 'n', 1 FROM {read}"),
        format!("{key} VALUES ('n', (SELECT count(*) FROM {read}))"),
        format!("{key} WITH x AS (SELECT id FROM {read}) SELECT 'n' || id, 1 FROM x"),
        format!("{key} WITH counters AS (SELECT id FROM {read}) SELECT 'n' || id, 1 FROM counters"),
        format!("{key} SELECT 'n', key FROM json_each((SELECT json_group_array(id) FROM {read}))"),
        format!(
            "{key} VALUES ('n', 1) ON CONFLICT DO UPDATE SET {column} = (SELECT count(*) FROM {read})"
        ),
        format!(
            "{key} VALUES ('n', 1) ON CONFLICT DO UPDATE SET {column} = 1 WHERE EXISTS (SELECT 1 FROM {read})"
        ),
    ];
    let updates = [
        format!("{column} = (SELECT count(*) FROM {read}) WHERE id IS NOT ?"),
        format!("{column} = ? FROM {read} AS other WHERE other.id = {target}.id"),
        format!("{column} = ? FROM {read} AS other"),
        format!("{column} = ? WHERE id IN (SELECT id FROM {read})"),
        format!("{column} = ? WHERE EXISTS (SELECT 1 FROM {read})"),
    ];
    let deletes = [
        format!("id IN (SELECT id FROM {read})"),
        format!("EXISTS (SELECT 1 FROM {read})"),
        format!("(SELECT count(*) FROM {read}) > 0"),
    ];
    let inserts = inserts.iter().map(|rest| forged::insert(rest));
    let updates = updates.iter().map(|rest| forged::update::<T>(rest));
    inserts.chain(updates).chain(deletes.iter().map(|rest| forged::delete::<T>(rest))).collect()
}

#[test]
fn a_write_reads_no_table_out_of_scope() {
    let connection = one_row_each();
    let before = dump(&connection);
    connection
        .transaction(|| {
            for (scope, _, read) in TABLES {
                let writes = [
                    (Scope::Synced, reading_writes::<Todo>("todos", "text", read)),
                    (Scope::Client, reading_writes::<Draft>("drafts", "body", read)),
                    (Scope::Memory, reading_writes::<Cursor>("cursors", "line", read)),
                ];
                for (event, writes) in writes {
                    for write in writes {
                        let result = try_write(&connection, event, &write);
                        let text = format!("{write:?}");
                        assert_decided(result, event, (scope, read), TableAccess::Read, &text);
                    }
                }
            }
            Ok::<_, SqliteError>(())
        })
        .unwrap();
    assert_eq!(dump(&connection), before);
    assert!(connection.take_changes().is_empty());
}

#[test]
fn a_write_changes_no_table_out_of_scope() {
    fn writes<T: Table>(table: &str, column: &str) -> [(TableAccess, Write); 6] {
        let key = format!("{table} (id, {column})");
        [
            (TableAccess::Insert, forged::insert(&format!("{key} VALUES ('n', 1)"))),
            (TableAccess::Insert, forged::insert(&format!("{key} SELECT 'n', 1"))),
            (
                TableAccess::Insert,
                forged::insert(&format!(
                    "{key} VALUES ('n', 1) ON CONFLICT DO UPDATE SET {column} = 2"
                )),
            ),
            (TableAccess::Update, forged::update::<T>(&format!("{column} = ?"))),
            (TableAccess::Delete, forged::delete::<T>("true")),
            (TableAccess::Delete, T::delete().try_into().unwrap()),
        ]
    }
    let connection = one_row_each();
    let before = dump(&connection);
    connection
        .transaction(|| {
            for (scope, table, writes) in [
                (Scope::Synced, "todos", writes::<Todo>("todos", "text")),
                (Scope::Client, "drafts", writes::<Draft>("drafts", "body")),
                (Scope::Memory, "cursors", writes::<Cursor>("cursors", "line")),
            ] {
                for (access, write) in &writes {
                    for event in SCOPES {
                        let result = try_write(&connection, event, write);
                        let text = format!("{write:?}");
                        assert_decided(result, event, (scope, table), *access, &text);
                    }
                }
            }
            Ok::<_, SqliteError>(())
        })
        .unwrap();
    assert_eq!(dump(&connection), before);
    assert!(connection.take_changes().is_empty());
}

/// The authorizer is asked only when a statement is prepared, and prepared ones are kept.
#[test]
fn a_statement_prepared_for_one_scope_is_never_run_for_another() {
    let connection = one_row_each();
    let delete =
        |table: &TableDef| TableWrite::delete(table, columns([("id", "nobody".into())])).unwrap();
    let writes = [
        (Scope::Synced, "todos", delete(&Todo::definition().unwrap())),
        (Scope::Client, "drafts", delete(&Draft::definition().unwrap())),
        (Scope::Memory, "cursors", delete(&Cursor::definition().unwrap())),
    ];
    // Every order in which two of the scopes follow each other occurs, with all texts cached.
    for event in SCOPES.into_iter().chain(SCOPES.into_iter().rev()).cycle().take(12) {
        for (scope, table, write) in &writes {
            let result = connection.write(event).execute(write);
            assert_decided(result, event, (*scope, table), TableAccess::Delete, table);
            let sql = format!("SELECT id FROM {table}");
            let result = query(connection.write(event).read(), &sql);
            assert_decided(result, event, (*scope, table), TableAccess::Read, &sql);
            assert_eq!(query(connection.read(), &sql).unwrap().len(), 1);
        }
    }
}

#[test]
fn a_statement_of_the_app_or_of_livestore_itself_is_never_run_for_a_materializer() {
    let connection = one_row_each();
    for (scope, _, table) in TABLES {
        let sql = format!("SELECT id FROM {table}");
        query(connection.read(), &sql).unwrap();
        connection.system().query(&sql, [], |_| Ok(())).unwrap();
        for event in SCOPES {
            let result = query(connection.write(event).read(), &sql);
            assert_decided(result, event, (scope, table), TableAccess::Read, &sql);
        }
    }
}

#[test]
fn the_mark_of_another_scope_in_a_text_gains_no_power() {
    let connection = one_row_each();
    let secret = "SELECT body FROM drafts";
    query(connection.write(Scope::Client).read(), secret).unwrap();
    query(connection.write(Scope::Memory).read(), secret).unwrap();
    query(connection.read(), secret).unwrap();
    let marks = ["read", "read for client", "read for memory", "write client", "write memory"];
    for mark in marks.map(|mark| format!("/*{mark}*/ ")) {
        let sql = format!("{mark}{secret}");
        let result = query(connection.write(Scope::Synced).read(), &sql);
        assert_decided(result, Scope::Synced, (Scope::Client, "drafts"), TableAccess::Read, &sql);
    }
}

/// Nobody but LiveStore makes triggers; one that a file brings along has no power either.
#[test]
fn a_trigger_reaches_no_table_out_of_scope() {
    let connection = one_row_each();
    let trigger = |body: &str| {
        let sql = format!("CREATE TRIGGER crossing AFTER INSERT ON todos BEGIN {body}; END");
        connection.system().execute_batch(&sql).unwrap();
        let result = write_as(&connection, Scope::Synced, Todo::insert(todo("n")));
        connection.system().execute_batch("DROP TRIGGER crossing").unwrap();
        result
    };
    let drafts = (Scope::Client, "drafts");
    for (access, body) in [
        (TableAccess::Insert, "INSERT INTO drafts (id) VALUES (NEW.id)"),
        (TableAccess::Update, "UPDATE drafts SET body = NEW.id"),
        (TableAccess::Delete, "DELETE FROM drafts"),
        (TableAccess::Read, "UPDATE todos SET text = (SELECT max(body) FROM drafts)"),
        (TableAccess::Read, "SELECT 1 FROM drafts"),
    ] {
        assert_decided(trigger(body), Scope::Synced, drafts, access, body);
    }
}

#[test]
fn a_view_is_no_way_around() {
    let connection = one_row_each();
    connection.system().execute_batch("CREATE VIEW window AS SELECT * FROM drafts").unwrap();
    for event in SCOPES {
        let result = query(connection.write(event).read(), "SELECT body FROM window");
        assert!(result.is_err(), "{event}");
    }
}

#[test]
fn a_state_table_named_like_a_table_valued_function_keeps_its_scope() {
    let named = |name| {
        let key = ColumnDef::new("value", ColumnType::Text).primary_key();
        TableDef::new(name, [key]).unwrap().with_scope(Scope::Client)
    };
    let connection = database_of(vec![named("json_each"), named("JSON_Tree")]);
    for table in ["json_each", "json_tree"] {
        for sql in [format!("SELECT value FROM {table}"), format!("SELECT count(*) FROM {table}")] {
            for event in SCOPES {
                let result = query(connection.write(event).read(), &sql);
                assert_decided(result, event, (Scope::Client, table), TableAccess::Read, &sql);
            }
        }
    }
}

#[test]
fn a_table_of_another_database_is_not_the_state_table_of_its_name() {
    let connection = one_row_each();
    connection
        .system()
        .execute_batch(
            "ATTACH ':memory:' AS other; CREATE TABLE other.todos (id TEXT); \
             CREATE TABLE memory.drafts (id TEXT)",
        )
        .unwrap();
    for sql in ["SELECT id FROM other.todos", "SELECT id FROM memory.drafts"] {
        for event in SCOPES {
            let error = query(connection.write(event).read(), sql).unwrap_err();
            let is_refused =
                matches!(error, SqliteError::Denied { .. } | SqliteError::OutOfScope { .. });
            assert!(is_refused, "{sql}: {error}");
        }
    }
}

#[test]
fn the_lists_of_tables_cannot_be_read_in_any_database() {
    let connection = one_row_each();
    for database in ["main", "memory", "temp"] {
        for event in SCOPES {
            for sql in [
                format!("SELECT name FROM {database}.sqlite_schema"),
                format!("SELECT count(*) FROM {database}.sqlite_schema"),
                format!(
                    "WITH n(name) AS (VALUES ('todos')) SELECT 1 FROM n JOIN {database}.sqlite_schema USING (name)"
                ),
            ] {
                let result = query(connection.write(event).read(), &sql);
                assert!(matches!(result, Err(SqliteError::Denied { .. })), "{sql}: {result:?}");
            }
        }
    }
}

#[test]
fn a_refusal_names_the_table_its_scope_and_the_event_and_says_what_to_do() {
    let connection = one_row_each();
    let read = |event, sql| query(connection.write(event).read(), sql).unwrap_err();
    let error = read(Scope::Synced, "SELECT body FROM drafts");
    assert_eq!(
        error.to_string(),
        "reading drafts, a client table, is not allowed in a materializer of a synced event: what \
         it writes has to be equal on every client; put what it needs into the event's payload, or \
         make drafts a synced table (in: SELECT body FROM drafts)"
    );
    assert!(error.is_deterministic());
    assert_eq!(
        read(Scope::Client, "SELECT line FROM cursors").to_string(),
        "reading cursors, a memory table, is not allowed in a materializer of a persisted \
         client-only event: what it writes has to follow from what is on disk; put what it needs \
         into the event's payload, or make cursors a client table (in: SELECT line FROM cursors)"
    );
    let write = write_as(&connection, Scope::Memory, Todo::delete()).unwrap_err();
    assert_eq!(
        write.to_string(),
        "deleting from todos, a synced table, is not allowed in a materializer of a memory event: \
         only synced events write to synced tables; write to todos from one of these, or make it a \
         memory table, which memory events write to (in: DELETE FROM \"todos\")"
    );
    assert!(write.is_deterministic());
}

#[test]
fn a_query_that_would_write_is_refused_in_every_scope() {
    let connection = one_row_each();
    for event in SCOPES {
        for (_, _, table) in TABLES {
            let result = query(connection.write(event).read(), &format!("DELETE FROM {table}"));
            assert!(matches!(result, Err(SqliteError::Denied { .. })), "{result:?}");
        }
    }
}

#[test]
fn materializers_of_every_scope_call_deterministic_functions_only() {
    let connection = one_row_each();
    for event in SCOPES {
        for function in ["random()", "date('now')", "changes()", "CURRENT_TIMESTAMP"] {
            let result = query(connection.write(event).read(), &format!("SELECT {function}"));
            assert!(matches!(result, Err(SqliteError::Denied { .. })), "{event}: {result:?}");
        }
    }
}
