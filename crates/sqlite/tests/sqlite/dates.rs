//! Date functions: all of them in queries of apps; in materializers and definitions those that are
//! functions of their arguments.

use livestore_sqlite::{
    ColumnDef, ColumnType, Connection, Generated, IndexDef, Row, Rows, Scope, Sql, SqliteError,
    TableDef, TableWrite, Value, Write,
};

use super::support::{columns, database_of, table_of};

fn database() -> (Connection, TableDef) {
    let table = table_of([ColumnDef::new("at", ColumnType::Text).nullable()]);
    (database_of(vec![table.clone()]), table)
}

fn materialize(connection: &Connection, sql: &str) -> Result<Rows<Row>, SqliteError> {
    connection.write(Scope::Synced).read().query(&Sql::new(sql))
}

#[test]
fn materializers_calculate_with_moments_as_apps_do() {
    let (connection, _) = database();
    for call in [
        "date('2026-01-31', '+1 month', 'weekday 0')",
        "DateTime ('2026-01-02T03:04:05Z')",
        "time('03:04:05.678', 'subsec')",
        "julianday(2460000.5)",
        "unixepoch('2026-01-02', 'start of year')",
        "strftime('%Y-%W %J', 1700000000, 'unixepoch')",
        "strftime('now', '2026-01-02') IS NOT NULL",
        "timediff('2026-01-02', '2025-12-31')",
        "date(NULL)",
        "date('nonsense')",
        "date(date('2026-01-02'), '-1 day')",
        "datetime(x'323032362d30312d3032')",
        "'date(now)' || \"at\" /* date('now') */ -- date('now')\n",
    ] {
        let sql = format!("SELECT {call} AS found FROM (SELECT 'x' AS at)");
        let app = connection.read().query(&Sql::new(&*sql)).unwrap();
        assert_eq!(materialize(&connection, &sql).unwrap(), app, "{call}");
    }
}

#[test]
fn a_result_without_a_name_is_named_after_what_the_materializer_wrote() {
    let (connection, _) = database();
    let sql =
        "SELECT Date('2026-01-02'), 1 + unixepoch ( time('00:00:01') ), '__livestore_date(1)'";
    let (app, found) =
        (connection.read().query(&Sql::new(sql)).unwrap(), materialize(&connection, sql).unwrap());
    assert_eq!(found, app);
    assert_eq!(found[0].get::<String>("Date('2026-01-02')").unwrap(), "2026-01-02");
    let query = livestore_sqlite::query_as::<i64>("SELECT date('2026-01-02')");
    let read = || connection.write(Scope::Synced).read();
    let wrong = read().query(&query).unwrap_err().to_string();
    assert!(wrong.starts_with("column date('2026-01-02'): expected i64"), "{wrong}");
    let none = livestore_sqlite::query_as::<i64>("SELECT 1 WHERE date(1) = 2").first_or_error();
    let none = read().query(&none).unwrap_err().to_string();
    assert!(none.contains("(in: SELECT 1 WHERE date(1) = 2)"), "{none}");
    let wrong = materialize(&connection, "SELECT date(1), absent").unwrap_err().to_string();
    let expected = "no such column: absent at byte 16 (in: SELECT date(1), absent)";
    assert!(wrong.ends_with(expected), "{wrong}");
}

#[test]
fn tables_of_a_query_may_be_named_after_date_functions() {
    let (connection, _) = database();
    for sql in [
        "WITH date(d) AS (SELECT 5) SELECT d FROM date",
        "WITH date(d) AS NOT MATERIALIZED (SELECT (5)), time (t) AS materialized (SELECT d FROM date) SELECT t AS d FROM time",
        "WITH date /* a day */ (d) -- and its\nAS (SELECT date('2026-01-02')) SELECT d FROM date",
        "WITH date AS (SELECT 5 AS d) SELECT date.d FROM date",
        "WITH RECURSIVE time(d) AS (SELECT 1 UNION ALL SELECT d + 1 FROM time WHERE d < 3) SELECT d FROM time",
        "SELECT date(1) AS materialized, date(1) AS \"(\", date(1) AS d, (date(1)) AS e",
    ] {
        let app = connection.read().query(&Sql::new(sql)).unwrap();
        assert_eq!(materialize(&connection, sql).unwrap(), app, "{sql}");
    }
}

#[test]
fn what_differs_between_clients_is_refused_wherever_it_comes_from() {
    let (connection, table) = database();
    let row = columns([("id", 1.into()), ("at", "nOw".into())]);
    connection.write(Scope::Synced).execute(&TableWrite::insert(&table, row).unwrap()).unwrap();
    for (call, what) in [
        ("date()", "the function date with the present moment"),
        ("TIME ()", "the function time with the present moment"),
        ("strftime('%Y')", "the function strftime with the present moment"),
        ("unixepoch('subsec')", "the function unixepoch with the present moment"),
        ("strftime('%s', 'subsecond')", "the function strftime with the present moment"),
        ("julianday('NOW')", "the function julianday with the present moment"),
        ("timediff('2026-01-02', 'now')", "the function timediff with the present moment"),
        ("date(x'6e6f77')", "the function date with the present moment"),
        ("date(at)", "the function date with the present moment"),
        ("date('n' || 'ow')", "the function date with the present moment"),
        ("datetime('2026-01-02', 'localtime')", "the function datetime with the machine's time"),
        ("datetime('2026-01-02', 'UTC')", "the function datetime with the machine's time zone"),
    ] {
        let sql = format!("SELECT {call} FROM things");
        connection.read().query(&Sql::new(&*sql)).unwrap();
        let refused = materialize(&connection, &sql).unwrap_err();
        assert!(refused.is_deterministic(), "{call}");
        let SqliteError::Denied { what: found, .. } = &refused else {
            panic!("{call}: {refused:?}");
        };
        assert!(found.starts_with(what), "{call}: {found}");
    }
    // A name in quotes is a name all the same, and the authorizer knows it.
    let refused = materialize(&connection, "SELECT \"date\"('2026-01-02')").unwrap_err();
    assert!(matches!(refused, SqliteError::Denied { .. }), "{refused:?}");
    let refused = connection.read().query(&Sql::new("SELECT __livestore_date('2026-01-02')"));
    assert!(matches!(refused, Err(SqliteError::Denied { .. })), "{refused:?}");
}

#[test]
fn writes_in_sql_calculate_with_moments_and_refuse_the_present() {
    let (connection, _) = database();
    let write = |sql: &str| {
        let write = Write::raw(sql, vec!["2026-01-02".into()]);
        connection.write(Scope::Synced).execute(&write)
    };
    write("INSERT INTO things (id, at) VALUES (1, date(?, '+1 day'))").unwrap();
    write("UPDATE things SET at = at || ' ' || Date(?1) WHERE date(?1) < at").unwrap();
    let rows = connection.read().query(&Sql::new("SELECT at FROM things")).unwrap();
    assert_eq!(rows[0].values(), &[Value::from("2026-01-03 2026-01-02")]);
    for (sql, what) in [
        ("UPDATE things SET at = date(?, 'localtime')", "the function date with the machine's"),
        ("UPDATE things SET at = ? || time('now')", "the function time with the present moment"),
        ("UPDATE things SET at = ? || CURRENT_DATE", "the function current_date"),
    ] {
        let refused = write(sql).unwrap_err().to_string();
        assert!(refused.starts_with(what), "{refused}");
        assert!(refused.ends_with(&format!("(in: {sql})")), "{refused}");
    }
}

#[test]
fn definitions_calculate_with_moments_and_refuse_the_present_at_the_latest_when_a_row_is_written() {
    let at = || ColumnDef::new("at", ColumnType::Text).nullable();
    let day = |when| ColumnDef::new("day", ColumnType::Text).nullable().generated("date(at)", when);
    let insert = |table: &TableDef, at: &str| {
        let connection = database_of(vec![table.clone()]);
        let row = columns([("id", 1.into()), ("at", at.into())]);
        connection.write(Scope::Synced).execute(&TableWrite::insert(table, row).unwrap())?;
        connection.read().query(&Sql::new("SELECT * FROM things"))
    };
    for table in [
        table_of([at(), day(Generated::Stored)]),
        table_of([at(), day(Generated::Virtual)]),
        table_of([at().check("date(at) IS NOT NULL")]),
        table_of([at()]).index(IndexDef::new("i", ["at"]).filter("date(at) > '2026'")),
    ] {
        let rows = insert(&table, "2026-01-02T03:04:05Z").unwrap();
        let day = rows[0].values().get(2);
        assert!(day.is_none_or(|day| *day == Value::from("2026-01-02")), "{}", table.ddl());
        let refused = insert(&table, "now").unwrap_err();
        assert!(refused.is_deterministic(), "{refused}");
        assert!(refused.to_string().contains("non-deterministic use of date()"), "{refused}");
    }
}
