use livestore_sqlite::{
    ColumnDef, ColumnType, Connection, Scope, SqliteError, Table, TableDef, TableError, TableWrite,
    Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{Counter, Draft, Edge, Todo, cases, columns, database_of, dump, table_of};

const ALL_TYPES: [(ColumnType, &str); 6] = [
    (ColumnType::Text, "TEXT"),
    (ColumnType::Integer, "INTEGER"),
    (ColumnType::Real, "REAL"),
    (ColumnType::Boolean, "INTEGER"),
    (ColumnType::Blob, "BLOB"),
    (ColumnType::Json, "TEXT"),
];

fn key(name: &str, column_type: ColumnType) -> ColumnDef {
    ColumnDef::new(name, column_type).primary_key()
}

#[test]
fn every_column_type_has_its_strict_sql_type() {
    for (column_type, sql) in ALL_TYPES {
        let table = table_of([
            ColumnDef::new("a", column_type),
            ColumnDef::new("b", column_type).nullable().unique(),
        ]);
        assert_eq!(
            table.ddl(),
            format!(
                r#"CREATE TABLE "things" ("id" INTEGER NOT NULL, "a" {sql} NOT NULL, "b" {sql} UNIQUE, PRIMARY KEY ("id"), CHECK ("id" < 9223372036854775807)) STRICT"#
            )
        );
        assert_eq!(table.columns()[1].column_type(), column_type);
        database_of(vec![table]);
    }
}

#[test]
fn the_definition_of_a_table_tells_its_scope() {
    let table =
        |scope| TableDef::new("things", [key("id", ColumnType::Text)]).unwrap().with_scope(scope);
    let rest = r#"("id" TEXT NOT NULL, PRIMARY KEY ("id")) STRICT, WITHOUT ROWID"#;
    for (scope, start) in [
        (Scope::Synced, r#"CREATE TABLE "things" "#),
        (Scope::Client, r#"CREATE TABLE "things" /* client */ "#),
        (Scope::Memory, r#"CREATE TABLE memory."things" "#),
    ] {
        assert_eq!(table(scope).ddl(), format!("{start}{rest}"));
        assert_eq!(table(scope).scope(), scope);
    }
    let plain = TableDef::new("things", [key("id", ColumnType::Text)]).unwrap();
    assert_eq!(plain, table(Scope::Synced), "synced, unless it says otherwise");
    assert!(Scope::Synced.is_on_disk() && Scope::Client.is_on_disk());
    assert!(!Scope::Memory.is_on_disk());
}

#[test]
fn the_file_tells_the_scope_of_a_table() {
    let client = Draft::definition().unwrap();
    let connection = database_of(vec![client.clone()]);
    let sql = "SELECT sql FROM sqlite_schema WHERE name = 'drafts'";
    let kept = connection.system().query_one(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(kept, Some(client.ddl()));
}

#[test]
fn only_a_single_integer_key_has_a_rowid() {
    let without_rowid = |columns: Vec<ColumnDef>| {
        let table = TableDef::new("things", columns).unwrap();
        let has_rowid = {
            let connection = database_of(vec![table.clone()]);
            connection.system().query("SELECT rowid FROM things", [], |_| Ok(())).is_ok()
        };
        assert_eq!(has_rowid, !table.ddl().ends_with(" STRICT, WITHOUT ROWID"));
        !has_rowid
    };
    assert!(!without_rowid(vec![key("a", ColumnType::Integer)]));
    assert!(!without_rowid(vec![key("a", ColumnType::Boolean)]));
    assert!(without_rowid(vec![key("a", ColumnType::Text)]));
    assert!(without_rowid(vec![key("a", ColumnType::Blob)]));
    let pair = [key("a", ColumnType::Integer), key("b", ColumnType::Integer)];
    assert!(without_rowid(pair.to_vec()));
}

#[test]
fn the_key_keeps_the_order_of_its_columns() {
    let ddl = Edge::definition().unwrap().ddl();
    assert!(ddl.contains(r#"PRIMARY KEY ("source", "target")"#), "{ddl}");
}

#[test]
fn a_strict_table_refuses_a_value_of_another_type() {
    for (column_type, _) in ALL_TYPES {
        let table = table_of([ColumnDef::new("a", column_type)]);
        let connection = database_of(vec![table.clone()]);
        let blob = Value::from(vec![0xff]);
        let text = Value::from("text");
        let wrong = if column_type == ColumnType::Blob { text } else { blob };
        let write = TableWrite::insert(&table, columns([("id", 1.into()), ("a", wrong)])).unwrap();
        assert!(connection.write(Scope::Synced).execute(&write).is_err(), "{column_type:?}");
    }
}

#[test]
fn a_check_refuses_rows_for_which_it_is_false() {
    let table = table_of([ColumnDef::new("age", ColumnType::Integer).check("age >= 0")]);
    let connection = database_of(vec![table.clone()]);
    let insert = |id: i64, age: i64| {
        let row = columns([("id", id.into()), ("age", age.into())]);
        connection.write(Scope::Synced).execute(&TableWrite::insert(&table, row).unwrap())
    };
    insert(1, 0).unwrap();
    let error = insert(2, -1).unwrap_err();
    assert!(error.is_deterministic() && error.to_string().contains("CHECK"), "{error}");
}

#[test]
fn a_check_that_is_not_deterministic_is_refused() {
    let recreate = |check: &str| {
        let table = table_of([ColumnDef::new("a", ColumnType::Integer).check(check)]);
        Connection::open_memory().unwrap().recreate_state(&[table])
    };
    for check in [
        "a > random()",
        "a > CURRENT_TIMESTAMP",
        "a > changes()",
        "a > last_insert_rowid()",
        "a IS NOT sqlite_version()",
    ] {
        let refused = recreate(check);
        assert!(matches!(refused, Err(SqliteError::Denied { .. })), "{check}: {refused:?}");
    }
    for check in ["a > date('now')", "a > strftime('%s', a, 'LOCALTIME')", "a > time(a, 'utc')"] {
        let refused = recreate(check);
        let is_refused = |error: &SqliteError| {
            matches!(error, SqliteError::Table(TableError::AsksForPresent { .. }))
        };
        assert!(refused.as_ref().is_err_and(is_refused), "{check}: {refused:?}");
    }
    recreate("length(a) < 3 AND abs(a) > 1 AND a LIKE '1%'").unwrap();
    assert_eq!(
        recreate("a > random()").unwrap_err().to_string().split(" (in:").next().unwrap(),
        "the function random, whose result may differ between clients, is not allowed in a table \
         definition: a definition depends on its row alone; let events say the value, in a column \
         of its own"
    );
}

#[test]
fn names_that_are_not_plain_identifiers_are_refused() {
    let too_long = "x".repeat(65);
    for name in [
        "",
        "1st",
        "a b",
        "a-b",
        "a\"b",
        "a'b",
        "a;b",
        "é",
        "a\0",
        "sqlite_stat1",
        "SQLITE_x",
        "__livestore_log",
        "__LiveStore",
        &too_long,
    ] {
        let refused = Err(TableError::InvalidName { name: name.into() });
        assert_eq!(TableDef::new(name, [key("id", ColumnType::Integer)]), refused);
        assert_eq!(TableDef::new("t", [key(name, ColumnType::Integer)]), refused);
    }
    for name in ["order", "select", "_a", "A1_", "sqlite", "livestore", &"x".repeat(64)] {
        let table = TableDef::new(name, [key(name, ColumnType::Text)]).unwrap();
        database_of(vec![table]);
    }
}

#[test]
fn a_table_has_1_to_400_columns() {
    let numbered = |count| (0..count).map(|n| key(&format!("c{n}"), ColumnType::Integer));
    let refused = |count| Err(TableError::ColumnCount { table: "t".into(), count, max: 400 });
    assert_eq!(TableDef::new("t", []), refused(0));
    assert_eq!(TableDef::new("t", numbered(401)), refused(401));

    // The widest table whose key is the widest possible is captured and undone like any other.
    let widest = TableDef::new("t", numbered(400)).unwrap();
    let connection = database_of(vec![widest.clone()]);
    let row = |value: i64| (0..400).map(move |n| (format!("c{n}"), Value::from(value)));
    let execute = |write| connection.write(Scope::Synced).execute(&write).unwrap();
    execute(TableWrite::insert(&widest, row(1)).unwrap());
    connection.take_changes();
    execute(TableWrite::update(&widest, row(2), row(1)).unwrap());
    assert_eq!(dump(&connection)[0][0], vec![Value::Integer(2); 400]);
    connection.undo(&connection.take_changes()).unwrap();
    assert_eq!(dump(&connection)[0], [vec![Value::Integer(1); 400]]);
}

#[test]
fn columns_that_differ_in_case_only_are_refused() {
    let twice = [key("id", ColumnType::Integer), ColumnDef::new("ID", ColumnType::Text)];
    let refused = TableError::DuplicateColumn { table: "t".into(), column: "ID".into() };
    assert_eq!(TableDef::new("t", twice), Err(refused));
}

#[test]
fn a_table_without_a_key_is_refused() {
    let refused = TableError::NoPrimaryKey { table: "t".into() };
    assert_eq!(TableDef::new("t", [ColumnDef::new("a", ColumnType::Text)]), Err(refused));
}

#[test]
fn a_key_is_never_null_real_or_json() {
    for column in [
        key("a", ColumnType::Text).nullable(),
        key("a", ColumnType::Real),
        key("a", ColumnType::Json),
    ] {
        let refused = TableDef::new("t", [key("id", ColumnType::Integer), column]);
        assert!(
            matches!(&refused, Err(TableError::InvalidKey { column, .. }) if column == "a"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_default_has_to_fit_its_column() {
    let text = |text: &str| Value::from(text);
    let cases = [
        (ColumnType::Text, vec![text(""), text("it's \"x\"")], vec![1.into(), vec![1].into()]),
        (ColumnType::Integer, vec![i64::MIN.into(), i64::MAX.into()], vec![1.0.into(), text("1")]),
        (
            ColumnType::Real,
            vec![1.0.into(), f64::MIN_POSITIVE.into()],
            vec![1.into(), f64::NAN.into(), f64::INFINITY.into()],
        ),
        (
            ColumnType::Boolean,
            vec![0.into(), true.into()],
            vec![2.into(), (-1).into(), text("true")],
        ),
        (ColumnType::Blob, vec![Vec::new().into()], vec![text("x")]),
        (
            ColumnType::Json,
            vec![text("null"), text(r#"{"a":[1,"'"]}"#)],
            vec![text(""), text("{ }"), text("1.0"), text("nul"), 1.into()],
        ),
    ];
    for (column_type, good, bad) in cases {
        let with_default = |value: Value| {
            let column = ColumnDef::new("a", column_type).default(value);
            TableDef::new("t", [key("id", ColumnType::Integer), column])
        };
        for value in good {
            database_of(vec![with_default(value).unwrap()]);
        }
        for value in bad.into_iter().chain([Value::Null]) {
            let refused = with_default(value.clone());
            assert!(matches!(refused, Err(TableError::InvalidDefault { .. })), "{value:?}");
        }
    }
    let nullable = ColumnDef::new("a", ColumnType::Text).nullable().default(Value::Null);
    assert!(TableDef::new("t", [key("id", ColumnType::Integer), nullable]).is_ok());
}

/// SQL text ends at a zero character, so such a default would cut the definition short.
#[test]
fn a_default_with_a_zero_character_is_refused() {
    let column = ColumnDef::new("a", ColumnType::Text).default("a\0b");
    let table = TableDef::new("things", [key("id", ColumnType::Integer), column]);
    assert!(matches!(table, Err(TableError::InvalidDefault { .. })), "{table:?}");
}

/// What a column that nobody sets holds, for a table with these defaults.
fn defaults(values: Vec<(ColumnType, Value)>) -> Vec<Value> {
    let with_default = |(index, (column_type, value)): (usize, (ColumnType, Value))| {
        ColumnDef::new(format!("c{index}"), column_type).default(value)
    };
    let table = table_of(values.into_iter().enumerate().map(with_default));
    let connection = database_of(vec![table.clone()]);
    let write = TableWrite::insert(&table, columns([("id", 1.into())])).unwrap();
    connection.write(Scope::Synced).execute(&write).unwrap();
    dump(&connection)[0][0][1..].to_vec()
}

#[test]
fn defaults_stand_as_they_were_given() {
    let values: Vec<(ColumnType, Value)> = vec![
        (ColumnType::Text, "it's 'quoted' \"x\" -- ; ?1 \\n\n\t é🎉".into()),
        (ColumnType::Text, "".into()),
        (ColumnType::Text, "NULL".into()),
        (ColumnType::Integer, i64::MIN.into()),
        (ColumnType::Integer, i64::MAX.into()),
        (ColumnType::Integer, (-1).into()),
        (ColumnType::Real, (-1.5).into()),
        (ColumnType::Real, 1e300.into()),
        (ColumnType::Real, 5e-324.into()),
        (ColumnType::Real, f64::MAX.into()),
        (ColumnType::Real, f64::MIN.into()),
        (ColumnType::Real, 0.1.into()),
        (ColumnType::Real, 3.0.into()),
        (ColumnType::Real, 9_007_199_254_740_993.0.into()),
        (ColumnType::Boolean, true.into()),
        (ColumnType::Blob, vec![0, 1, 0x7f, 0xff].into()),
        (ColumnType::Blob, Vec::new().into()),
        (ColumnType::Json, r#"{"a":"it's","b":[1,null]}"#.into()),
    ];
    let expected: Vec<_> = values.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(defaults(values), expected);
}

#[test]
fn columns_that_are_not_named_get_their_default() {
    let table = Todo::definition().unwrap();
    let connection = database_of(vec![table.clone()]);
    let row = columns([("id", "a".into()), ("text", "b".into())]);
    connection.write(Scope::Synced).execute(&TableWrite::insert(&table, row).unwrap()).unwrap();
    let expected: Vec<Value> = vec![
        "a".into(),
        "b".into(),
        false.into(),
        Value::Null,
        1.0.into(),
        "[]".into(),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(dump(&connection)[0], [expected]);
}

#[test]
fn recreating_the_state_replaces_every_table_but_livestores_own() {
    let connection = database_of(vec![Counter::definition().unwrap()]);
    connection.system().execute_batch("CREATE TABLE __livestore_log (id INTEGER)").unwrap();
    connection.recreate_state(&[Todo::definition().unwrap()]).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let names = connection.system().query(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(names, ["__livestore_log", "todos"]);
}

#[test]
fn tables_that_cannot_both_be_are_an_error_that_shows_the_statement() {
    let connection = Connection::open_memory().unwrap();
    let table = |name| TableDef::new(name, [key("id", ColumnType::Integer)]).unwrap();
    let error = connection.recreate_state(&[table("a"), table("A")]).unwrap_err();
    assert!(matches!(&error, SqliteError::Sqlite { sql: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("CREATE TABLE \"A\""), "{error}");
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn default_reals_read_back_to_the_bit(bits in vec(any::<u64>(), 300)) {
        let reals = bits.into_iter().map(f64::from_bits).filter(|real| real.is_finite());
        let values: Vec<_> = reals.map(|real| (ColumnType::Real, Value::from(real))).collect();
        let expected: Vec<_> = values.iter().map(|(_, value)| value.clone()).collect();
        prop_assert_eq!(defaults(values), expected);
    }

    #[test]
    fn default_texts_integers_and_blobs_read_back(
        texts in vec("[^\0]{0,8}", 20), integers in vec(any::<i64>(), 20),
        blobs in vec(vec(any::<u8>(), 0..8), 20),
    ) {
        let texts = texts.into_iter().map(|text| (ColumnType::Text, text.into()));
        let integers = integers.into_iter().map(|integer| (ColumnType::Integer, integer.into()));
        let blobs = blobs.into_iter().map(|blob| (ColumnType::Blob, blob.into()));
        let values: Vec<(ColumnType, Value)> = texts.chain(integers).chain(blobs).collect();
        let expected: Vec<_> = values.iter().map(|(_, value)| value.clone()).collect();
        prop_assert_eq!(defaults(values), expected);
    }
}
