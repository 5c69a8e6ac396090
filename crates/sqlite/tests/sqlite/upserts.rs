//! Inserts that meet other rows, and writes with expressions.

use livestore_sqlite::{
    ColumnDef, ColumnType, DynSelect, Query, SqliteError, StatementError, Table, TableDef,
    TableError, ValueError, Write, count_rows, excluded,
};

use super::support::{
    Counter, Edge, Todo, counter, database, ids_where, insert, read, todo, write,
};
use livestore_sqlite::{Connection, Json};

fn counters() -> Connection {
    let connection = database();
    insert(&connection, [counter(1, "a", 1), counter(2, "b", 2)]);
    connection
}

fn rows(connection: &Connection) -> Vec<Counter> {
    read(connection, &Counter::select().order_by(Counter::id)).to_vec()
}

#[test]
fn a_conflict_on_other_columns_than_those_named_still_fails() {
    let connection = counters();
    let same_name = || Counter::insert(counter(3, "a", 9));
    assert!(write(&connection, same_name().on_conflict(Counter::id).ignore()).is_err());
    write(&connection, same_name().on_conflict(Counter::name).ignore()).unwrap();
    assert_eq!(rows(&connection), [counter(1, "a", 1), counter(2, "b", 2)]);
}

#[test]
fn replace_gives_the_row_that_is_there_all_new_values_and_keeps_its_key() {
    let connection = counters();
    let replace = Counter::insert(counter(9, "a", 7)).on_conflict(Counter::name).replace();
    write(&connection, replace).unwrap();
    assert_eq!(rows(&connection), [counter(2, "b", 2), counter(9, "a", 7)]);
    let replace = Counter::insert(counter(2, "z", 8)).on_conflict(Counter::id).replace();
    write(&connection, replace).unwrap();
    assert_eq!(rows(&connection)[0], counter(2, "z", 8));
    let row = Counter::insert_columns([Counter::id.set(2), Counter::count.set(9)]);
    write(&connection, row.on_conflict(Counter::id).replace()).unwrap();
    assert_eq!(rows(&connection)[0], counter(2, "z", 9), "columns not named stay");
}

#[test]
fn update_calculates_with_the_old_row_and_the_new() {
    let connection = counters();
    let add = |id, count| {
        Counter::insert(counter(id, "new", count)).on_conflict(Counter::id).update([
            Counter::count.set(Counter::count + excluded(Counter::count)),
            Counter::name.set(excluded(Counter::name).concat("er")),
        ])
    };
    write(&connection, add(2, 40)).unwrap();
    assert_eq!(rows(&connection)[1], counter(2, "newer", 42));
    write(&connection, add(3, 40)).unwrap();
    assert_eq!(rows(&connection)[2], counter(3, "new", 40));
}

#[test]
fn a_conflict_of_a_composite_key_names_all_of_its_columns() {
    let connection = database();
    let edge = |label: &str| {
        let attributes = Json(vec![]);
        Edge {
            source: "s".into(),
            target: 1,
            label: Some(label.into()),
            slot: None,
            length: None,
            body: None,
            attributes,
        }
    };
    insert(&connection, [edge("old")]);
    let key = (Edge::source, Edge::target);
    write(&connection, Edge::insert(edge("new")).on_conflict(key).replace()).unwrap();
    let labels = Edge::select().columns(Edge::label);
    assert_eq!(read(&connection, &labels).to_vec(), [Some("new".into())]);
    let half = Edge::insert(edge("half")).on_conflict(Edge::source).replace();
    assert!(write(&connection, half).is_err(), "half a key is no key");
}

#[test]
fn an_update_on_conflict_that_sets_nothing_is_refused() {
    let nothing = Counter::insert(counter(1, "a", 1)).on_conflict(Counter::id).update([]);
    let refused = Write::try_from(nothing).unwrap_err();
    assert_eq!(refused, ValueError::NothingToSet { table: "counters".into() });
}

#[test]
fn columns_that_are_not_given_get_their_default() {
    let connection = database();
    let row = [Todo::id.set("a"), Todo::text.set("only these")];
    write(&connection, Todo::insert_columns(row.clone())).unwrap();
    let found = read(&connection, &Todo::select().first_or_error());
    assert_eq!(*found, Todo { text: "only these".into(), ..todo("a") });
    write(&connection, Todo::insert_columns(row).or_ignore()).unwrap();
    let missing = write(&connection, Todo::insert_columns([Todo::id.set("b")]));
    assert!(missing.unwrap_err().to_string().contains("NOT NULL"));
    let nan = Write::try_from(Todo::insert_columns([Todo::weight.set(f64::NAN)])).unwrap_err();
    assert_eq!(nan, ValueError::NotANumber { column: "weight".into() });
}

/// A row that breaks another rule than UNIQUE is no row that another is in the way of.
#[test]
fn or_ignore_ignores_nothing_but_rows_in_the_way() {
    let connection = counters();
    let row = Counter::insert(Counter { id: i64::MAX, name: None, count: 0 }).or_ignore();
    let error = write(&connection, row).unwrap_err();
    assert!(error.to_string().contains("CHECK constraint failed"), "{error}");
}

#[test]
fn updates_and_deletes_calculate_and_look_elsewhere() {
    let connection = counters();
    insert(&connection, [todo("a"), todo("b"), todo("c")]);
    let add = Counter::update().set(Counter::count, Counter::count * 10 + Counter::id);
    write(&connection, add).unwrap();
    assert_eq!(rows(&connection), [counter(1, "a", 11), counter(2, "b", 22)]);

    let todos = Todo::select().columns(count_rows()).scalar().coalesce(0);
    let count = Counter::update().set(Counter::count, todos).filter(Counter::id.eq(1));
    write(&connection, count).unwrap();
    assert_eq!(rows(&connection)[0].count, 3);

    let named = Counter::select().within::<Todo>().filter(Counter::name.eq(Todo::id));
    write(&connection, Todo::delete().filter(named.exists())).unwrap();
    assert_eq!(ids_where(&connection, Todo::id.ne("")), ["c"]);
}

#[test]
fn a_write_with_a_sub_query_reads_no_table_out_of_scope() {
    use super::support::{Draft, definitions_of_all_scopes};
    let connection = super::support::database_of(definitions_of_all_scopes());
    let drafts = Draft::select().columns(count_rows()).scalar().coalesce(0);
    let refused = write(&connection, Counter::update().set(Counter::count, drafts));
    assert!(matches!(refused, Err(SqliteError::OutOfScope { .. })), "{refused:?}");
}

#[test]
fn the_row_that_was_to_be_inserted_exists_in_upserts_alone() {
    let connection = counters();
    let new = || excluded(Counter::count);
    let error = ValueError::ExcludedOutsideUpsert { column: "count".into() };
    let row = Counter::insert_columns([Counter::id.set(1), Counter::count.set(new())]);
    let filtered = Counter::select().filter(new().gt(1));
    for refused in [
        Write::try_from(Counter::update().set(Counter::count, new())).map(drop),
        Write::try_from(Counter::delete().filter(new().gt(1))).map(drop),
        Write::try_from(row).map(drop),
        filtered.clone().compile().map(drop),
    ] {
        assert_eq!(refused, Err(error.clone()));
    }
    let refused = connection.read().query(&filtered).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`excluded` has column count of the row that an upsert was to insert; use it in \
         `on_conflict(…).update(…)` alone"
    );
    // A sub-query there can name it.
    insert(&connection, [todo("a")]);
    let as_many = Todo::select().within::<Counter>().columns(new().lift());
    let upsert = Counter::insert(counter(1, "z", 7)).on_conflict(Counter::id);
    let upsert = upsert.update([Counter::count.set(as_many.scalar().coalesce(0))]);
    write(&connection, upsert).unwrap();
    assert_eq!(rows(&connection)[0], counter(1, "a", 7));

    let named = TableDef::new("Excluded", [ColumnDef::new("id", ColumnType::Text).primary_key()]);
    assert!(matches!(named, Err(TableError::InvalidName { .. })), "{named:?}");
    let mut select = Counter::select().into_ast();
    select.from.alias = Some("excluded".into());
    let refused = DynSelect::new(select, &super::support::definitions()).unwrap_err();
    assert!(matches!(refused, StatementError::InvalidName { .. }), "{refused}");
}
