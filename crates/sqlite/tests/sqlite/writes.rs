use livestore_sqlite::{
    Json, Scope, SqliteError, StatementError, Table, TableWrite, Value, ValueError, Write,
};

use super::support::{
    Counter, Edge, Todo, columns, counter, database, dump, ids, ids_where, insert, read, todo,
    write,
};

fn is_constraint_violation(result: &Result<(), SqliteError>) -> bool {
    matches!(result, Err(error @ SqliteError::Sqlite { .. })
        if error.is_deterministic() && error.to_string().contains("constraint failed"))
}

#[test]
fn an_insert_fails_if_a_row_is_in_the_way() {
    let connection = database();
    insert(&connection, [todo("a"), todo("b")]);
    let again = write(&connection, Todo::insert(Todo { done: true, ..todo("a") }));
    assert!(is_constraint_violation(&again), "{again:?}");
    assert_eq!(read(&connection, &Todo::select()).to_vec(), [todo("a"), todo("b")]);
}

#[test]
fn or_ignore_keeps_the_row_that_is_there() {
    let connection = database();
    insert(&connection, [todo("a")]);
    write(&connection, Todo::insert(Todo { done: true, ..todo("a") }).or_ignore()).unwrap();
    write(&connection, Todo::insert(todo("b")).or_ignore()).unwrap();
    assert_eq!(read(&connection, &Todo::select()).to_vec(), [todo("a"), todo("b")]);
}

#[test]
fn or_replace_replaces_all_rows_that_are_in_the_way() {
    let connection = database();
    insert(&connection, [counter(1, "a", 0), counter(2, "b", 0), counter(3, "c", 0)]);
    // One row holds the key, another the unique name.
    write(&connection, Counter::insert(counter(1, "b", 7)).or_replace()).unwrap();
    let rows = read(&connection, &Counter::select().order_by(Counter::id));
    assert_eq!(rows.to_vec(), [counter(1, "b", 7), counter(3, "c", 0)]);
}

#[test]
fn an_update_sets_columns_of_the_filtered_rows() {
    let connection = database();
    insert(&connection, [todo("a"), todo("b"), todo("c")]);
    let update = Todo::update()
        .set(Todo::due, 7)
        .set(Todo::text, "new")
        .set(Todo::tags, Json(vec!["t".into()]))
        .filter(Todo::id.ge("b"))
        .filter(Todo::id.lt("c"));
    write(&connection, update).unwrap();
    assert_eq!(ids_where(&connection, Todo::due.eq(7)), ["b"]);
    assert_eq!(ids_where(&connection, Todo::text.eq("new")), ["b"]);
    write(&connection, Todo::update().set(Todo::due, None)).unwrap();
    assert_eq!(ids_where(&connection, Todo::due.is_null()), ["a", "b", "c"]);
}

#[test]
fn an_update_that_sets_nothing_is_refused() {
    let refused = Write::try_from(Todo::update().filter(Todo::id.eq("a")));
    assert!(matches!(refused, Err(ValueError::NothingToSet { table }) if table == "todos"));
}

#[test]
fn a_delete_removes_the_filtered_rows() {
    let connection = database();
    insert(&connection, [todo("a"), todo("b"), todo("c")]);
    write(&connection, Todo::delete().filter(Todo::id.eq("b"))).unwrap();
    assert_eq!(ids(&connection, &Todo::select()), ["a", "c"]);
    write(&connection, Todo::delete()).unwrap();
    assert!(read(&connection, &Todo::select()).is_empty());
}

#[test]
fn values_without_a_sqlite_form_are_refused_with_their_column() {
    let not_a_number = |column: &str| ValueError::NotANumber { column: column.into() };
    let row = Todo { weight: f64::NAN, ..todo("a") };
    assert_eq!(Write::try_from(Todo::insert(row)).unwrap_err(), not_a_number("weight"));
    let update = Edge::update().set(Edge::length, f64::NAN);
    assert_eq!(Write::try_from(update).unwrap_err(), not_a_number("length"));
    let delete = Todo::delete().filter(!Todo::weight.lt(f64::NAN).or(Todo::done.eq(true)));
    assert_eq!(Write::try_from(delete).unwrap_err(), not_a_number("weight"));
    let delete = Todo::delete().filter(Todo::weight.is_in([0.0, f64::NAN]));
    assert_eq!(Write::try_from(delete).unwrap_err(), not_a_number("weight"));
    let tags = Json(vec![i64::MAX]);
    let refused = Write::try_from(Edge::update().set(Edge::attributes, tags)).unwrap_err();
    assert!(matches!(refused, ValueError::Json { column, .. } if column == "attributes"));
}

#[test]
fn infinities_are_reals_like_others() {
    let connection = database();
    insert(&connection, [Todo { weight: f64::INFINITY, ..todo("a") }]);
    assert_eq!(ids_where(&connection, Todo::weight.gt(f64::MAX)), ["a"]);
    assert_eq!(ids_where(&connection, Todo::weight.eq(f64::INFINITY)), ["a"]);
}

#[test]
fn run_time_writes_do_what_typed_ones_do() {
    let connection = database();
    let table = Counter::definition().unwrap();
    let execute =
        |write: Result<Write, _>| connection.write(Scope::Synced).execute(&write.unwrap()).unwrap();
    for id in 1..=3 {
        let name = Value::from(format!("n{id}"));
        execute(TableWrite::insert(&table, columns([("name", name), ("id", Value::Integer(id))])));
    }
    let set = columns([("count", 9.into()), ("name", Value::Null)]);
    let equal = columns([("id", 2.into()), ("name", "n2".into())]);
    execute(TableWrite::update(&table, set, equal));
    execute(TableWrite::delete(&table, columns([("id", 1.into())])));
    let rows = read(&connection, &Counter::select().order_by(Counter::id));
    let second = Counter { id: 2, name: None, count: 9 };
    assert_eq!(rows.to_vec(), [second, counter(3, "n3", 0)]);

    execute(TableWrite::delete(&table, columns([("name", Value::Null)])));
    assert_eq!(read(&connection, &Counter::select()).len(), 1, "null finds null");
    execute(TableWrite::update(&table, columns([("count", 5.into())]), []));
    execute(TableWrite::delete(&table, []));
    assert!(read(&connection, &Counter::select()).is_empty());
}

#[test]
fn a_run_time_row_without_values_is_all_defaults() {
    use livestore_sqlite::{ColumnDef, ColumnType, TableDef};
    let key = ColumnDef::new("id", ColumnType::Text).primary_key().default("only");
    let table = TableDef::new("settings", [key]).unwrap();
    let connection = super::support::database_of(vec![table.clone()]);
    connection.write(Scope::Synced).execute(&TableWrite::insert(&table, []).unwrap()).unwrap();
    assert_eq!(dump(&connection)[0], [[Value::from("only")]]);
}

#[test]
fn a_column_that_the_table_does_not_have_is_refused() {
    let table = Counter::definition().unwrap();
    for name in ["missing", "ID", "", "rowid", "id\" = 1; DROP TABLE counters; --"] {
        let values = || vec![(String::from(name), Value::Integer(1))];
        let id = || columns([("id", 1.into())]);
        let refusals = [
            TableWrite::insert(&table, values()).unwrap_err(),
            TableWrite::update(&table, values(), id()).unwrap_err(),
            TableWrite::update(&table, id(), values()).unwrap_err(),
            TableWrite::delete(&table, values()).unwrap_err(),
        ];
        for refusal in refusals {
            let (table, columns) = ("counters".into(), "id, name, count".into());
            let column = name.into();
            assert_eq!(refusal, StatementError::UnknownColumn { table, column, columns });
        }
    }
}

#[test]
fn a_run_time_update_that_sets_nothing_is_refused() {
    let table = Counter::definition().unwrap();
    let refused = TableWrite::update(&table, [], columns([("id", 1.into())])).unwrap_err();
    assert_eq!(refused, StatementError::NothingToSet { table: "counters".into() });
    assert_eq!(
        refused.to_string(),
        "an update of counters sets no column; set one, or leave the update out"
    );
}

/// SQLite picks a random rowid once the greatest is taken, which would differ between clients.
#[test]
fn a_key_that_is_not_given_is_one_more_than_the_greatest_and_never_random() {
    let connection = database();
    let table = Counter::definition().unwrap();
    let insert =
        |row| connection.write(Scope::Synced).execute(&TableWrite::insert(&table, row).unwrap());
    insert(vec![]).unwrap();
    insert(columns([("id", Value::Null)])).unwrap();
    insert(columns([("id", (i64::MAX - 1).into())])).unwrap();
    for row in [vec![], columns([("id", Value::Null)]), columns([("id", i64::MAX.into())])] {
        let refused = insert(row);
        assert!(is_constraint_violation(&refused), "{refused:?}");
    }
    let ids: Vec<_> = read(&connection, &Counter::select()).iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 2, i64::MAX - 1]);
}

#[test]
fn a_write_in_sql_does_all_that_it_says_though_nobody_receives_what_it_gives_back() {
    let connection = database();
    let sql = "INSERT INTO counters (id, name, count) VALUES (1, 'a', ?), (2, 'b', ?) RETURNING id";
    connection.write(Scope::Synced).execute(&Write::raw(sql, vec![5.into(), 6.into()])).unwrap();
    assert_eq!(
        read(&connection, &Counter::select()).to_vec(),
        [counter(1, "a", 5), counter(2, "b", 6)]
    );
    connection.write(Scope::Synced).execute(&Write::raw("SELECT 1", vec![])).unwrap();
}

#[test]
fn a_write_in_sql_is_one_statement() {
    let connection = database();
    let sql = "DELETE FROM counters; DELETE FROM todos";
    let refused = connection.write(Scope::Synced).execute(&Write::raw(sql, vec![])).unwrap_err();
    assert!(refused.is_deterministic());
    assert_eq!(
        refused.to_string(),
        "a text of more than one statement is not allowed in a materializer: make each a query or \
         a write of its own (in: DELETE FROM counters; DELETE FROM todos)"
    );
}
