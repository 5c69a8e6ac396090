//! Writes that give rows back do and capture what others do, under the same rules.

use livestore_sqlite::{
    Column, Connection, RunWrite, Scope, SqliteError, Table, TableAccess, ValueError,
};

use super::support::{
    Counter, Draft, Toast, Todo, counter, database, database_of, definitions_of_all_scopes, draft,
    dump, insert, names, read, state_table, todo,
};

state_table! {
    /// A table whose rows SQLite numbers.
    Order, "orders", {
        id: Option<i64>, auto_increment();
        buyer: String, unique();
    }
}

fn run<W: RunWrite>(connection: &Connection, write: W) -> Result<W::Output, SqliteError> {
    connection.write(Scope::Synced).run(write)
}

fn order(buyer: &str) -> Order {
    Order { id: None, buyer: buyer.into() }
}

fn orders() -> Connection {
    database_of(vec![Order::definition().unwrap()])
}

fn counters(connection: &Connection) -> Vec<Counter> {
    read(connection, &Counter::select().order_by(Counter::id)).to_vec()
}

#[test]
fn an_insert_gives_the_key_that_sqlite_has_given_the_row() {
    let connection = orders();
    let one = |buyer| Order::insert(order(buyer)).returning(Order::id);
    assert_eq!(run(&connection, one("a")).unwrap(), [Some(1)]);
    assert_eq!(run(&connection, one("b").first()).unwrap(), Some(Some(2)));
    assert_eq!(run(&connection, one("c").first_or_error()).unwrap(), Some(3));
    let some = Order::insert_columns([Order::buyer.set("d")]).returning((Order::buyer, Order::id));
    assert_eq!(run(&connection, some).unwrap(), [("d".to_owned(), Some(4))]);
}

#[test]
fn a_write_gives_columns_and_expressions() {
    let connection = database();
    let values = (Counter::id, Counter::count * 2, Counter::name.is_null(), Counter::name.upper());
    let inserted = Counter::insert(counter(3, "c", 4)).returning(values);
    assert_eq!(run(&connection, inserted).unwrap(), [(3, 8, false, Some("C".to_owned()))]);
    let defaults = Todo::insert_columns([Todo::id.set("a"), Todo::text.set("x")]);
    let defaults = defaults.returning((Todo::done, Todo::weight, Todo::tags));
    assert_eq!(run(&connection, defaults).unwrap(), [(false, 1.0, livestore_sqlite::Json(vec![]))]);
}

#[test]
fn an_update_gives_the_new_values_and_a_delete_the_old_ones_in_the_order_of_the_values() {
    let connection = database();
    insert(&connection, [counter(1, "c", 5), counter(2, "b", 3), counter(3, "a", 3)]);
    let update = Counter::update().set(Counter::count, Counter::count + 1);
    let update = update.filter(Counter::id.gt(0)).returning((Counter::count, Counter::name));
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(run(&connection, update).unwrap(), [(4, name("a")), (4, name("b")), (6, name("c"))]);
    let delete = Counter::delete().filter(Counter::count.eq(4)).returning(Counter::id);
    assert_eq!(run(&connection, delete).unwrap(), [2, 3]);
    assert_eq!(counters(&connection), [counter(1, "c", 6)]);
    let none = Counter::delete().filter(Counter::id.eq(9)).returning(Counter::id);
    assert_eq!(run(&connection, none.clone()).unwrap(), [0_i64; 0]);
    assert_eq!(run(&connection, none.clone().first()).unwrap(), None);
    assert_eq!(
        run(&connection, none.first_or_error()).unwrap_err().to_string(),
        "no row was found (in: DELETE FROM \"counters\" WHERE \"counters\".\"id\" = ? RETURNING \
         \"counters\".\"id\"); use `first` if there may be none"
    );
}

#[test]
fn an_upsert_gives_the_row_that_it_wrote_and_none_that_it_ignored() {
    let connection = database();
    insert(&connection, [counter(1, "a", 5)]);
    let again = || Counter::insert(counter(2, "a", 7));
    let values = (Counter::id, Counter::count);
    assert_eq!(
        run(&connection, again().or_ignore().returning(values)).unwrap(),
        [(0_i64, 0_i64); 0]
    );
    let ignored = again().on_conflict(Counter::name).ignore().returning(values);
    assert_eq!(run(&connection, ignored).unwrap(), [(0_i64, 0_i64); 0]);
    let updated = again().on_conflict(Counter::name);
    let updated = updated.update([Counter::count.set(Counter::count + 1)]).returning(values);
    assert_eq!(run(&connection, updated).unwrap(), [(1, 6)]);
    assert_eq!(run(&connection, again().or_replace().returning(values)).unwrap(), [(2, 7)]);
    assert_eq!(counters(&connection), [counter(2, "a", 7)]);
}

#[test]
fn what_a_write_with_rows_did_is_captured_and_undone() {
    let connection = orders();
    insert(&connection, [order("a"), order("b")]);
    connection.discard_changes();
    let (before, sequence) = (dump(&connection), "SELECT seq FROM sqlite_sequence");
    let next = || connection.system().query_one(sequence, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(next(), Some(2));
    run(&connection, Order::insert(order("c")).returning(Order::id)).unwrap();
    let renamed = Order::update().set(Order::buyer, "z").filter(Order::id.eq(1));
    run(&connection, renamed.returning(Order::buyer)).unwrap();
    run(&connection, Order::delete().filter(Order::id.eq(2)).returning(Order::id)).unwrap();
    run(&connection, Order::insert(order("z")).or_replace().returning(Order::id)).unwrap();
    assert_ne!(dump(&connection), before);
    let changes = connection.take_changes();
    connection.undo(&changes).unwrap();
    assert_eq!((dump(&connection), next()), (before, Some(2)));
}

#[test]
fn a_write_that_fails_leaves_no_trace() {
    let connection = database();
    insert(&connection, [counter(1, "a", 1), counter(2, "b", 2), counter(3, "c", i64::MIN)]);
    connection.discard_changes();
    let before = dump(&connection);
    let violating = Counter::update().set(Counter::name, "x").returning(Counter::id);
    assert!(run(&connection, violating).is_err());
    // The last row has no absolute value: the expression fails when others are written.
    let overflowing = Counter::update().set(Counter::name, None).returning(Counter::count.abs());
    assert!(run(&connection, overflowing).unwrap_err().to_string().contains("overflow"));
    assert_eq!(dump(&connection), before);
    assert_eq!(names(&connection, connection.discard_changes().tables().iter()), [""; 0]);
}

#[test]
fn a_write_whose_rows_cannot_be_read_is_done_and_captured() {
    let connection = database();
    insert(&connection, [counter(1, "a", 1), Counter { id: 2, name: None, count: 2 }]);
    connection.discard_changes();
    let before = dump(&connection);
    let handle: Column<Counter, String> = Column::new("name");
    let update = Counter::update().set(Counter::count, 9).returning(handle);
    assert!(matches!(run(&connection, update), Err(SqliteError::Decode(_))));
    let counts: Vec<_> = counters(&connection).iter().map(|row| row.count).collect();
    assert_eq!(counts, [9, 9]);
    connection.undo(&connection.take_changes()).unwrap();
    assert_eq!(dump(&connection), before);
}

#[test]
fn a_table_out_of_scope_gives_no_rows() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [draft("d", "secret")]);
    let denied = |result: Result<Vec<String>, SqliteError>, tried| match result {
        Err(SqliteError::OutOfScope { table, access, .. }) => {
            assert_eq!((&*table, access), ("drafts", tried));
        }
        other => panic!("{other:?}"),
    };
    let body = |body: &str| Draft::insert(draft("e", body)).returning(Draft::id);
    denied(run(&connection, body("b")), TableAccess::Insert);
    let update = Draft::update().set(Draft::body, "b").returning(Draft::id);
    denied(run(&connection, update.clone()), TableAccess::Update);
    denied(run(&connection, Draft::delete().returning(Draft::id)), TableAccess::Delete);
    // The event that may, whose statement is then in the cache, gives nobody else its powers.
    assert_eq!(connection.write(Scope::Client).run(update.clone()).unwrap(), ["d"]);
    denied(run(&connection, update), TableAccess::Update);
    let toasts = Toast::insert_columns([Toast::text.set("t")]).returning(Toast::id);
    assert_eq!(connection.write(Scope::Memory).run(toasts).unwrap(), [1]);
}

#[test]
fn a_column_of_another_table_and_a_function_that_is_not_deterministic_are_refused() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [todo("a")]);
    insert(&connection, [draft("d", "secret")]);
    let before = dump(&connection);
    // Handles made by hand, since the others cannot say such a thing.
    let spying: Column<Todo, String> = Column::new("id\" || (SELECT body FROM drafts) || \"id");
    let spied = run(&connection, Todo::update().set(Todo::text, "x").returning(spying));
    assert!(
        matches!(&spied, Err(SqliteError::OutOfScope { table, access: TableAccess::Read, .. })
            if table == "drafts"),
        "{spied:?}"
    );
    for name in ["id\" || random() || \"id", "id\" || date('now') || \"id"] {
        let handle: Column<Todo, String> = Column::new(name);
        let delete = run(&connection, Todo::delete().returning(handle));
        assert!(matches!(delete, Err(SqliteError::Denied { .. })), "{delete:?}");
    }
    assert_eq!(dump(&connection), before);
}

#[test]
fn what_sqlite_does_not_define_for_rows_of_a_write_is_refused() {
    let connection = database();
    let others = Counter::select().columns(Counter::count).scalar();
    let sub_query = Counter::delete().returning(others);
    assert_eq!(
        run(&connection, sub_query).unwrap_err().to_string(),
        SqliteError::from(ValueError::SubQueryInReturning).to_string()
    );
    let aggregate = run(&connection, Counter::delete().returning(Counter::count.max()));
    assert!(matches!(aggregate, Err(SqliteError::Value(ValueError::Aggregate { place, .. }))
            if place == "`returning`"));
}

#[test]
fn a_real_stays_one_where_its_value_is_whole() {
    let connection = database();
    insert(&connection, [Todo { weight: 2.0, ..todo("a") }]);
    let weights = Todo::update().set(Todo::weight, Todo::weight * 2.0).returning(Todo::weight);
    assert_eq!(run(&connection, weights).unwrap(), [4.0]);
}
