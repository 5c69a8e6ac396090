//! Indexes, CHECKs of tables, generated and numbered columns, foreign keys: what their definitions
//! may say, and what they do.

use livestore_sqlite::{
    Action, ColumnDef, ColumnType, Connection, ForeignKey, ForeignKeyProblem as Problem, Generated,
    IndexDef, Scope, SqliteError, TableDef, TableError, TableWrite, Value, check_tables,
};

use super::support::{columns, database_of, dump, raw, table_of};

const INTEGER: ColumnType = ColumnType::Integer;
const TEXT: ColumnType = ColumnType::Text;

fn column(name: &str, column_type: ColumnType) -> ColumnDef {
    ColumnDef::new(name, column_type)
}

fn key(name: &str) -> ColumnDef {
    column(name, INTEGER).primary_key()
}

fn table(name: &str, columns: impl IntoIterator<Item = ColumnDef>) -> TableDef {
    TableDef::new(name, columns).unwrap()
}

fn insert(
    connection: &Connection,
    table: &TableDef,
    row: impl IntoIterator<Item = (&'static str, Value)>,
) -> Result<(), SqliteError> {
    let write = TableWrite::insert(table, columns(row)).unwrap();
    connection.write(table.scope()).execute(&write)
}

fn is_constraint(result: Result<(), SqliteError>, what: &str) {
    let error = result.expect_err(what);
    assert!(error.is_deterministic() && error.to_string().contains(what), "{error}");
}

#[test]
fn a_table_with_everything_is_created_by_its_statements() {
    let users = table(
        "users",
        [
            column("id", INTEGER).auto_increment(),
            column("name", TEXT).default("it's"),
            column("loud", TEXT).nullable().generated("upper(name)", Generated::Virtual),
            column("boss", INTEGER).nullable().references("users", "id").on_delete(Action::SetNull),
        ],
    )
    .check("id <> boss")
    .index(IndexDef::new("users_by_name", ["name", "boss"]).unique().filter("boss > 0"))
    .foreign_key(
        ForeignKey::new(["name", "boss"], "users", ["name", "boss"])
            .on_delete(Action::Restrict)
            .on_update(Action::Cascade),
    )
    .index(IndexDef::new("users_by_boss", ["boss", "name"]).unique());
    assert_eq!(
        users.ddl(),
        r#"CREATE TABLE "users" ("id" INTEGER NOT NULL, "name" TEXT NOT NULL DEFAULT 'it''s', "loud" TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL, "boss" INTEGER, PRIMARY KEY ("id" AUTOINCREMENT), CHECK (id <> boss), FOREIGN KEY ("boss") REFERENCES "users" ("id") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY ("name", "boss") REFERENCES "users" ("name", "boss") ON DELETE RESTRICT ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, CHECK ("id" < 9223372036854775807)) STRICT;
CREATE UNIQUE INDEX "users_by_name" ON "users" ("name", "boss") WHERE boss > 0;
CREATE UNIQUE INDEX "users_by_boss" ON "users" ("boss", "name")"#
    );
    for scope in [Scope::Synced, Scope::Client, Scope::Memory] {
        let users = users.clone().with_scope(scope);
        let connection = database_of(vec![users.clone()]);
        insert(&connection, &users, [("boss", Value::Null)]).unwrap();
        let expected: Vec<Value> = vec![1.into(), "it's".into(), "IT'S".into(), Value::Null];
        assert_eq!(dump(&connection)[0], [expected], "{scope}");
    }
}

#[test]
fn a_check_of_a_table_compares_its_columns() {
    let spans = table_of([column("a", INTEGER), column("b", INTEGER)]).check("a <= b");
    let connection = database_of(vec![spans.clone()]);
    insert(&connection, &spans, [("a", 1.into()), ("b", 1.into())]).unwrap();
    let refused = insert(&connection, &spans, [("a", 2.into()), ("b", 1.into())]);
    is_constraint(refused, "CHECK constraint failed: a <= b");
}

#[test]
fn a_unique_index_with_a_filter_refuses_equal_rows_that_pass_it() {
    let things = table_of([column("a", INTEGER), column("open", ColumnType::Boolean)])
        .index(IndexDef::new("one_open", ["a"]).unique().filter("open"));
    let connection = database_of(vec![things.clone()]);
    let add =
        |a: i64, open: bool| insert(&connection, &things, [("a", a.into()), ("open", open.into())]);
    for (a, open) in [(1, false), (1, false), (1, true), (2, true)] {
        add(a, open).unwrap();
    }
    is_constraint(add(1, true), "UNIQUE constraint failed");
}

#[test]
fn a_query_may_use_an_index_and_depends_on_its_table() {
    let things = table_of([column("a", INTEGER)]).index(IndexDef::new("by_a", ["a"]));
    let connection = database_of(vec![things]);
    let plan = "EXPLAIN QUERY PLAN SELECT id FROM things WHERE a = 1";
    let plan = connection.system().query_one(plan, [], |row| row.get::<_, String>("detail"));
    assert!(plan.unwrap().unwrap().contains("USING COVERING INDEX by_a"));
    let query = livestore_sqlite::Sql::new("SELECT id FROM things NATURAL JOIN things WHERE a = 1");
    assert_eq!(connection.read().tables_read(&query).unwrap(), [0]);
}

#[test]
fn indexes_that_cannot_be_say_why() {
    let with = |index: IndexDef| check_tables(&[table_of([column("a", INTEGER)]).index(index)]);
    let none: [&str; 0] = [];
    for (index, reason) in [
        (IndexDef::new("i", none), "it has no columns"),
        (IndexDef::new("i", ["b"]), "the table has no column \"b\""),
        (IndexDef::new("i", ["a\" --"]), "the table has no column \"a\\\" --\""),
        (IndexDef::new("i", ["a", "a"]), "column a is named twice"),
    ] {
        let (table, index_name, reason) = ("things".into(), "i".into(), reason.into());
        let refused = TableError::InvalidIndex { table, index: index_name, reason };
        assert_eq!(with(index), Err(refused));
    }
    for name in ["", "a b", "sqlite_autoindex_things_1", "__livestore_i", "i\""] {
        let refused = Err(TableError::InvalidName { name: name.into() });
        assert_eq!(with(IndexDef::new(name, ["a"])), refused);
    }
    let one =
        |name: &str, index: &str| table(name, [key("id")]).index(IndexDef::new(index, ["id"]));
    for tables in [
        vec![one("a", "same"), one("b", "SAME")],
        vec![one("a", "i").index(IndexDef::new("i", ["id"]))],
        vec![one("a", "A")],
        vec![one("a", "b"), one("b", "c").with_scope(Scope::Memory)],
    ] {
        let refused = check_tables(&tables);
        assert!(matches!(refused, Err(TableError::DuplicateIndex { .. })), "{refused:?}");
    }
}

#[test]
fn definitions_are_checked_before_they_become_sql() {
    let wrong = table_of([]).index(IndexDef::new("x\" --", ["id"]));
    let mut connection = Connection::open_memory().unwrap();
    let refused = connection.recreate_state(std::slice::from_ref(&wrong));
    assert!(matches!(refused, Err(SqliteError::Table(TableError::InvalidName { .. }))));
    let refused = connection.watch_state(vec![wrong.with_scope(Scope::Memory)]);
    assert!(matches!(refused, Err(SqliteError::Table(TableError::InvalidName { .. }))));
}

#[test]
fn expressions_that_are_not_deterministic_are_refused_wherever_they_stand() {
    let generated =
        |when| move |sql: &str| table_of([column("a", TEXT).nullable().generated(sql, when)]);
    let of_table = |sql: &str| table_of([]).check(sql);
    let filter = |sql: &str| table_of([]).index(IndexDef::new("i", ["id"]).filter(sql));
    let definitions: [&dyn Fn(&str) -> TableDef; 4] =
        [&generated(Generated::Stored), &generated(Generated::Virtual), &of_table, &filter];
    for define in definitions {
        for sql in ["random() > 0", "CURRENT_TIMESTAMP > ''", "changes()", "sqlite_version()"] {
            let refused = Connection::open_memory().unwrap().recreate_state(&[define(sql)]);
            assert!(refused.is_err(), "{sql}: {}", define(sql).ddl());
        }
        database_of(vec![define("abs(id) > 1")]);
    }
}

#[test]
fn columns_whose_options_do_not_go_together_say_why() {
    let things = |columns: Vec<ColumnDef>| TableDef::new("t", columns);
    let invalid = |columns, reason| {
        let column = "x".into();
        assert_eq!(
            things(columns),
            Err(TableError::InvalidColumn { table: "t".into(), column, reason })
        );
    };
    invalid(
        vec![column("x", TEXT).auto_increment()],
        "only an integer column is numbered by SQLite",
    );
    invalid(
        vec![column("x", INTEGER).auto_increment(), key("y")],
        "a column that SQLite numbers is the whole primary key",
    );
    invalid(
        vec![column("x", INTEGER).auto_increment().default(1)],
        "SQLite numbers it, so it has no default",
    );
    invalid(
        vec![key("id"), column("x", TEXT).default("a").generated("'b'", Generated::Stored)],
        "it is generated, so it has no default",
    );
    invalid(
        vec![key("id"), column("x", INTEGER).on_update(Action::Cascade)],
        "it refers to nothing; say what with `references`, or leave out its action",
    );
    let refused = things(vec![key("x").generated("1", Generated::Stored)]);
    assert!(matches!(refused, Err(TableError::InvalidKey { reason: "it is generated", .. })));
}

#[test]
fn a_number_is_never_given_twice_even_if_its_row_is_gone() {
    let things = table("things", [column("id", INTEGER).auto_increment()]);
    let connection = database_of(vec![things.clone()]);
    let none: [(&'static str, Value); 0] = [];
    for _ in 0..2 {
        insert(&connection, &things, none.clone()).unwrap();
    }
    let delete = TableWrite::delete(&things, columns([("id", 2.into())])).unwrap();
    connection.write(Scope::Synced).execute(&delete).unwrap();
    insert(&connection, &things, none).unwrap();
    assert_eq!(dump(&connection)[0], [[Value::from(1)], [Value::from(3)]]);
}

/// SQLite would say from then on that the disk is full.
#[test]
fn numbers_cannot_be_used_up() {
    for scope in [Scope::Synced, Scope::Memory] {
        let things = table("things", [column("id", INTEGER).auto_increment()]).with_scope(scope);
        let connection = database_of(vec![things.clone()]);
        let greatest = format!("INSERT OR IGNORE INTO things VALUES ({})", i64::MAX);
        let refused = connection.system().execute(&greatest, []).map(drop);
        is_constraint(refused, "CHECK constraint failed: things cannot have the key");
        insert(&connection, &things, [("id", (i64::MAX - 1).into())]).unwrap();
        is_constraint(insert(&connection, &things, []), "CHECK constraint failed");
    }
}

/// A parent with a key, a unique column, two unique indexes and a column of another type.
fn parent() -> TableDef {
    let unique = |name, columns: [&str; 2]| IndexDef::new(name, columns).unique();
    table(
        "parents",
        [key("id"), column("code", TEXT).unique(), column("a", INTEGER), column("b", TEXT)],
    )
    .index(unique("parents_ab", ["a", "b"]))
    .index(unique("parents_some", ["a", "code"]).filter("a > 0"))
    .index(IndexDef::new("parents_b", ["b"]))
}

fn child() -> TableDef {
    table(
        "children",
        [
            key("id"),
            column("p", INTEGER),
            column("t", TEXT).nullable(),
            column("d", INTEGER).default(1),
            column("g", INTEGER).nullable().generated("p", Generated::Stored),
        ],
    )
}

#[test]
fn foreign_keys_refer_to_what_is_unique() {
    let refer = |columns: &[&str], to: &[&str]| {
        let key = ForeignKey::new(columns.iter().copied(), "parents", to.iter().copied());
        let tables = [parent(), child().foreign_key(key)];
        check_tables(&tables).map(|()| database_of(tables.to_vec()))
    };
    let problem = |columns: &[&str], to: &[&str]| match refer(columns, to) {
        Err(TableError::InvalidForeignKey { problem, .. }) => *problem,
        other => panic!("{other:?}"),
    };
    for (columns, to) in
        [(&["p"][..], &["id"][..]), (&["t"], &["code"]), (&["t", "p"], &["b", "a"])]
    {
        let connection = refer(columns, to).unwrap();
        connection.system().execute_batch("BEGIN").unwrap();
        let children = connection.tables()[0].clone();
        let row = || [("p", Value::from(7)), ("t", Value::from("x"))];
        insert(&connection, &children, row()).unwrap();
        assert!(connection.check_foreign_keys().is_err(), "{columns:?}");
        let parent = [("id", 7.into()), ("code", "x".into()), ("a", 7.into()), ("b", "x".into())];
        insert(&connection, &parent_of(&connection), parent).unwrap();
        connection.check_foreign_keys().unwrap();
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<String>>();
    for to in [&["b"][..], &["a"], &["a", "code"], &["id", "code"]] {
        let columns = if to.len() == 1 { &["t"][..] } else { &["p", "t"] };
        let columns = if to == ["a"] { &["p"] } else { columns };
        assert_eq!(problem(columns, to), Problem::NotUnique { columns: names(to) });
    }
    assert_eq!(problem(&["p"], &["id", "a"]), Problem::ColumnCount { columns: 1, referenced: 2 });
    assert_eq!(problem(&[], &[]), Problem::ColumnCount { columns: 0, referenced: 0 });
    assert_eq!(problem(&["p", "p"], &["a", "b"]), Problem::RepeatedColumn { column: "p".into() });
    assert_eq!(problem(&["g"], &["id"]), Problem::Generated { column: "g".into() });
    let unknown = |table: &str| Problem::UnknownColumn { table: table.into(), column: "x".into() };
    assert_eq!(problem(&["x"], &["id"]), unknown("children"));
    assert_eq!(problem(&["p"], &["x"]), unknown("parents"));
    assert_eq!(
        problem(&["t"], &["id"]),
        Problem::OtherType {
            column: "t".into(),
            column_type: TEXT,
            referenced: "id".into(),
            referenced_type: INTEGER
        }
    );
}

fn parent_of(connection: &Connection) -> TableDef {
    connection.tables().iter().find(|table| table.name() == "parents").unwrap().clone()
}

#[test]
fn foreign_keys_that_cannot_be_say_why() {
    let problem = |tables: &[TableDef]| match check_tables(tables) {
        Err(TableError::InvalidForeignKey { problem, .. }) => *problem,
        other => panic!("{other:?}"),
    };
    let to_parent = || ForeignKey::new(["p"], "parents", ["id"]);
    let referring = child().foreign_key(to_parent());
    assert_eq!(problem(std::slice::from_ref(&referring)), Problem::UnknownTable);
    for (scope, referenced) in [
        (Scope::Synced, Scope::Client),
        (Scope::Client, Scope::Synced),
        (Scope::Memory, Scope::Synced),
    ] {
        let tables = [parent().with_scope(referenced), referring.clone().with_scope(scope)];
        assert_eq!(problem(&tables), Problem::OtherScope { scope, referenced });
    }
    let never = |key: ForeignKey| problem(&[parent(), child().foreign_key(key)]);
    let null = |action: &str, column: &str| Problem::NeverNull {
        action: action.into(),
        column: column.into(),
    };
    assert_eq!(never(to_parent().on_delete(Action::SetNull)), null("SET NULL", "p"));
    assert_eq!(never(to_parent().on_update(Action::SetDefault)), null("SET DEFAULT", "p"));
    let defaulted = ForeignKey::new(["d"], "parents", ["id"]).on_delete(Action::SetDefault);
    check_tables(&[parent(), child().foreign_key(defaulted)]).unwrap();
    assert_eq!(
        check_tables(&[referring]).unwrap_err().to_string(),
        "table children: the foreign key (p) to parents cannot be: the schema has no such table"
    );
}

fn family(on_delete: Action, on_update: Action, scope: Scope) -> Connection {
    let parents = table("parents", [key("id")]).with_scope(scope);
    let to_parent = column("p", INTEGER).nullable().default(1).references("parents", "id");
    let children =
        table("children", [key("id"), to_parent.on_delete(on_delete).on_update(on_update)])
            .with_scope(scope);
    // The one that refers comes first, by name and in the list.
    let connection = database_of(vec![children, parents]);
    connection.system().execute_batch("BEGIN; INSERT INTO parents VALUES (1), (2)").unwrap();
    connection.system().execute("INSERT INTO children VALUES (10, 2)", []).unwrap();
    connection
}

#[test]
fn actions_do_what_they_say_in_every_scope() {
    for scope in [Scope::Synced, Scope::Client, Scope::Memory] {
        for (action, deleted, moved) in [
            (Action::Cascade, Some(None), Some(Some(9))),
            (Action::SetNull, Some(Some(None)), Some(None)),
            (Action::SetDefault, Some(Some(Some(1))), Some(Some(1))),
        ] {
            let child = |connection: &Connection| {
                let sql = "SELECT p FROM children";
                connection.system().query_one(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap()
            };
            let connection = family(action, action, scope);
            let delete = TableWrite::delete(&parent_of(&connection), columns([("id", 2.into())]));
            connection.write(scope).execute(&delete.unwrap()).unwrap();
            assert_eq!(child(&connection), deleted.flatten(), "{scope} {action}");
            connection.check_foreign_keys().unwrap();

            let connection = family(action, action, scope);
            let (set, equal) = (columns([("id", 9.into())]), columns([("id", 2.into())]));
            let update = TableWrite::update(&parent_of(&connection), set, equal).unwrap();
            connection.write(scope).execute(&update).unwrap();
            assert_eq!(child(&connection), Some(moved.flatten()), "{scope} {action}");
            connection.check_foreign_keys().unwrap();
        }
    }
}

#[test]
fn restrict_refuses_at_once_and_no_action_when_the_event_is_done() {
    for scope in [Scope::Synced, Scope::Memory] {
        let delete = |connection: &Connection| {
            let write = TableWrite::delete(&parent_of(connection), columns([("id", 2.into())]));
            connection.write(scope).execute(&write.unwrap())
        };
        let connection = family(Action::Restrict, Action::Restrict, scope);
        is_constraint(delete(&connection), "FOREIGN KEY constraint failed");
        connection.check_foreign_keys().unwrap();

        let connection = family(Action::NoAction, Action::NoAction, scope);
        delete(&connection).unwrap();
        let error = connection.check_foreign_keys().unwrap_err();
        assert!(error.is_deterministic());
        assert_eq!(
            error.to_string(),
            "FOREIGN KEY constraint failed: the foreign key of children to parents refers to a row \
             that is not there; write that one in the same event, or refer to it later"
        );
        insert(&connection, &parent_of(&connection), [("id", 2.into())]).unwrap();
        connection.check_foreign_keys().unwrap();
    }
}

#[test]
fn a_rolled_back_savepoint_takes_its_open_references_with_it() {
    let connection = family(Action::NoAction, Action::NoAction, Scope::Synced);
    let event = || {
        connection.system().execute("DELETE FROM parents", [])?;
        connection.check_foreign_keys()
    };
    assert!(connection.savepoint(event).is_err());
    connection.check_foreign_keys().unwrap();
    connection.system().execute_batch("COMMIT").unwrap();
    assert_eq!(raw(&connection, "SELECT * FROM parents").unwrap().len(), 2);
}

#[test]
fn the_state_is_recreated_and_emptied_whatever_refers_to_what() {
    let connection = family(Action::Restrict, Action::Restrict, Scope::Synced);
    connection.system().execute_batch("COMMIT").unwrap();
    connection.transaction(|| connection.clear_state()).unwrap();
    assert!(dump(&connection).iter().all(Vec::is_empty));
    connection.system().execute_batch("BEGIN; INSERT INTO parents VALUES (2)").unwrap();
    connection.system().execute_batch("INSERT INTO children VALUES (1, 2); COMMIT").unwrap();
    let tables = connection.tables().to_vec();
    connection.transaction(|| connection.recreate_state(&tables)).unwrap();
    assert!(dump(&connection).iter().all(Vec::is_empty));
    // Enforcement is on again.
    connection.system().execute_batch("BEGIN; INSERT INTO children VALUES (1, 2)").unwrap();
    assert!(connection.check_foreign_keys().is_err());
}

#[test]
fn generated_columns_do_not_change_the_state_hash() {
    let hash = |things: TableDef| {
        let connection = database_of(vec![things.clone()]);
        insert(&connection, &things, [("a", 5.into())]).unwrap();
        connection.state_hash().unwrap()
    };
    let twice = |when| column("b", INTEGER).nullable().generated("2 * a", when);
    let plain = hash(table_of([column("a", INTEGER)]));
    assert_eq!(hash(table_of([twice(Generated::Stored), column("a", INTEGER)])), plain);
    assert_eq!(hash(table_of([column("a", INTEGER), twice(Generated::Virtual)])), plain);
}
