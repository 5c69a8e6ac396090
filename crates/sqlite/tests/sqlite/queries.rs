use livestore_sqlite::{
    Column, Connection, DecodeError, Json, Rows, Sql, SqliteError, Table, Value, ValueError,
};

use super::support::{
    Counter, Edge, Todo, counter, database, ids, ids_where, insert, raw, read, state_table, todo,
};

/// Four todos: a and b are due, c and d are not; b and d are done.
fn four_todos() -> Connection {
    let connection = database();
    let rows = [
        Todo { due: Some(10), weight: 0.5, note: Some("Home".into()), ..todo("a") },
        Todo { due: Some(20), done: true, photo: Some(vec![1, 2]), ..todo("b") },
        Todo { weight: 2.5, tags: Json(vec!["x".into(), "y".into()]), ..todo("c") },
        Todo { done: true, note: Some(String::new()), ..todo("d") },
    ];
    insert(&connection, rows);
    connection
}

#[test]
fn rows_read_back_as_they_were_inserted() {
    let connection = database();
    let full = Todo {
        id: "it's".into(),
        text: "\0 é🎉".into(),
        done: true,
        due: Some(i64::MIN),
        weight: f64::MAX,
        tags: Json(vec!["\"".into(), "\u{1f600}".into()]),
        note: Some(String::new()),
        photo: Some(vec![0, 0xff]),
    };
    insert(&connection, [full.clone(), todo("plain")]);
    let rows = read(&connection, &Todo::select().order_by(Todo::id));
    assert_eq!(rows.to_vec(), [full, todo("plain")]);
}

#[test]
fn comparisons_hold_where_their_names_say() {
    let connection = four_todos();
    let found = |condition| ids_where(&connection, condition);
    assert_eq!(found(Todo::id.eq("b")), ["b"]);
    assert_eq!(found(Todo::id.ne("b")), ["a", "c", "d"]);
    assert_eq!(found(Todo::id.lt("b")), ["a"]);
    assert_eq!(found(Todo::id.le("b")), ["a", "b"]);
    assert_eq!(found(Todo::id.gt("b")), ["c", "d"]);
    let owned = String::from("b");
    assert_eq!(found(Todo::id.ge(&owned)), ["b", "c", "d"], "not less than {owned}");
    assert_eq!(found(Todo::done.eq(true)), ["b", "d"]);
    assert_eq!(found(Todo::weight.gt(1.0)), ["c"]);
    assert_eq!(found(Todo::due.lt(15)), ["a"]);
    assert_eq!(found(Todo::due.eq(Some(20))), ["b"]);
    assert_eq!(found(Todo::photo.eq(vec![1, 2])), ["b"]);
    assert_eq!(found(Todo::tags.eq(Json(vec!["x".into(), "y".into()]))), ["c"]);
}

#[test]
fn none_equals_null_and_null_differs_from_every_value() {
    let connection = four_todos();
    let found = |condition| ids_where(&connection, condition);
    assert_eq!(found(Todo::due.eq(None)), ["c", "d"]);
    assert_eq!(found(Todo::due.is_null()), ["c", "d"]);
    assert_eq!(found(Todo::due.ne(None)), ["a", "b"]);
    assert_eq!(found(Todo::due.ne(10)), ["b", "c", "d"]);
    assert_eq!(found(Todo::note.eq("")), ["d"], "an empty text is not null");
    assert!(found(Todo::due.lt(None)).is_empty(), "null is neither less nor greater");
    assert!(found(Todo::due.ge(None)).is_empty());
}

#[test]
fn is_in_holds_for_each_of_its_operands_and_for_none_without_any() {
    let connection = four_todos();
    let found = |condition| ids_where(&connection, condition);
    assert_eq!(found(Todo::id.is_in(["a", "d", "x"])), ["a", "d"]);
    assert_eq!(found(Todo::due.is_in([10, 20])), ["a", "b"]);
    assert!(found(Todo::id.is_in(Vec::<String>::new())).is_empty());
    assert!(found(Todo::due.is_in(Vec::<i64>::new())).is_empty());
    assert_eq!(found(!Todo::due.is_in(Vec::<i64>::new())), ["a", "b", "c", "d"]);
}

#[test]
fn none_among_the_operands_of_is_in_equals_null() {
    let connection = four_todos();
    let found = |condition| ids_where(&connection, condition);
    assert_eq!(found(Todo::due.is_in([None, Some(10)])), ["a", "c", "d"]);
    assert_eq!(found(Todo::due.is_in([None::<i64>])), ["c", "d"]);
    assert_eq!(found(!Todo::due.is_in([None, Some(10)])), ["b"]);
}

#[test]
fn and_or_and_not_combine_as_written() {
    let connection = four_todos();
    let found = |condition| ids_where(&connection, condition);
    let (a, b, done) = (Todo::id.eq("a"), Todo::id.eq("b"), Todo::done.eq(true));
    assert_eq!(found(a.clone().or(b.clone()).and(done.clone())), ["b"]);
    assert_eq!(found(a.clone().or(b.clone().and(done.clone()))), ["a", "b"]);
    assert_eq!(found(!a.clone().or(b.clone())), ["c", "d"]);
    assert_eq!(found((!a).or(b)), ["b", "c", "d"]);
    assert_eq!(found(!!done), ["b", "d"]);
}

/// SQL's own NOT would leave out rows whose column is null.
#[test]
fn not_holds_exactly_where_its_condition_does_not() {
    let connection = four_todos();
    let conditions = || {
        [
            Todo::due.eq(10),
            Todo::due.ne(10),
            Todo::due.lt(15),
            Todo::due.is_null(),
            Todo::due.is_in([10]),
            Todo::note.like("h%"),
            Todo::due.lt(15).and(Todo::note.eq("Home")),
            Todo::due.lt(15).or(Todo::note.eq("")),
            !Todo::due.lt(15),
        ]
    };
    for (condition, same) in conditions().into_iter().zip(conditions()) {
        let label = format!("{condition:?}");
        let mut both = ids_where(&connection, condition);
        both.extend(ids_where(&connection, !same));
        both.sort();
        assert_eq!(both, ["a", "b", "c", "d"], "{label}");
    }
}

#[test]
fn like_knows_its_two_wildcards() {
    let connection = four_todos();
    let found = |pattern: &str| ids_where(&connection, Todo::text.like(pattern));
    assert_eq!(found("text of _"), ["a", "b", "c", "d"]);
    assert_eq!(found("%B"), ["b"], "ASCII letters match in either case");
    assert_eq!(found("text"), [""; 0]);
    assert!(ids_where(&connection, Todo::note.like("%")).len() == 2, "null matches nothing");
}

#[test]
fn several_filters_all_have_to_hold() {
    let connection = four_todos();
    let selection = Todo::select().filter(Todo::done.eq(true)).filter(Todo::due.is_null());
    assert_eq!(ids(&connection, &selection), ["d"]);
}

#[test]
fn orders_apply_in_the_order_given() {
    let connection = four_todos();
    let selection = Todo::select().order_by(Todo::done.desc()).order_by(Todo::id.desc());
    assert_eq!(ids(&connection, &selection), ["d", "b", "c", "a"]);
    let selection = Todo::select().order_by(Todo::due).order_by(Todo::id);
    assert_eq!(ids(&connection, &selection), ["c", "d", "a", "b"], "null comes first");
}

#[test]
fn limit_and_offset_cut_a_window() {
    let connection = four_todos();
    let all = Todo::select().order_by(Todo::id);
    assert_eq!(ids(&connection, &all.clone().limit(2)), ["a", "b"]);
    assert_eq!(ids(&connection, &all.clone().limit(2).offset(1)), ["b", "c"]);
    assert_eq!(ids(&connection, &all.clone().offset(3)), ["d"]);
    assert_eq!(ids(&connection, &all.clone().offset(9)), [""; 0]);
    assert_eq!(ids(&connection, &all.limit(0)), [""; 0]);
}

#[test]
fn count_counts_the_rows_of_the_selection() {
    let connection = four_todos();
    assert_eq!(read(&connection, &Todo::select().count()), 4);
    assert_eq!(read(&connection, &Todo::select().filter(Todo::done.eq(true)).count()), 2);
    assert_eq!(read(&connection, &Todo::select().limit(3).count()), 3);
    assert_eq!(read(&connection, &Todo::select().offset(3).count()), 1);
    assert_eq!(read(&connection, &Edge::select().count()), 0);
}

#[test]
fn first_reads_one_row_or_none() {
    let connection = four_todos();
    let first = |selection: livestore_sqlite::Select<Todo>| {
        read(&connection, &selection.first()).map(|todo| todo.id.clone())
    };
    let all = Todo::select().order_by(Todo::id.desc());
    assert_eq!(first(all.clone()).as_deref(), Some("d"));
    assert_eq!(first(all.clone().offset(1)).as_deref(), Some("c"));
    assert_eq!(first(all.clone().filter(Todo::id.eq("x"))), None);
    assert_eq!(first(all.limit(0)), None, "the first of no rows");
}

#[test]
fn raw_queries_bind_their_values_in_order() {
    let connection = four_todos();
    let sql = "SELECT id, due, ? AS given FROM todos WHERE due > ? OR note = ? ORDER BY id";
    let query = Sql::new(sql).bind("it's").bind(15).bind("Home");
    let rows = read(&connection, &query);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].columns().join(" "), "id due given");
    assert_eq!(rows[0].values(), ["a".into(), 10.into(), Value::from("it's")]);
    assert_eq!(rows[1].get::<String>("id").unwrap(), "b");
    assert_eq!(rows[1].get::<Option<i64>>("due").unwrap(), Some(20));
}

#[test]
fn a_raw_query_with_too_few_or_too_many_values_fails() {
    let connection = database();
    let query = Sql::new("SELECT * FROM todos WHERE id = ? AND text = ?").bind("a");
    assert!(connection.read().query(&query).is_err());
    assert!(connection.read().query(&query.clone().bind("b")).is_ok());
    assert!(connection.read().query(&query.bind("b").bind("c")).is_err());
}

#[test]
fn a_raw_row_refuses_columns_and_types_that_it_does_not_have() {
    let connection = four_todos();
    let row = raw(&connection, "SELECT id, due FROM todos WHERE id = 'c'").unwrap()[0].clone();
    let missing = row.get::<String>("text").unwrap_err();
    assert_eq!((&*missing.column, &*missing.found), ("text", "only the columns id, due"));
    let wrong = row.get::<i64>("id").unwrap_err();
    assert_eq!((wrong.expected, &*wrong.found), ("i64", "a text"));
    assert_eq!(
        row.get::<i64>("due").unwrap_err().to_string(),
        "column due: expected i64, found null; read it as an Option"
    );
}

#[test]
fn integers_out_of_the_range_of_their_type_are_decode_errors() {
    let connection = database();
    let row = raw(&connection, "SELECT 300 AS a, -1 AS b, 2 AS c").unwrap()[0].clone();
    assert!(row.get::<u8>("a").is_err() && row.get::<u32>("b").is_err());
    assert!(row.get::<bool>("c").is_err(), "a boolean is 0 or 1");
    assert_eq!(row.get::<i16>("a"), Ok(300));
}

#[test]
fn a_stored_json_that_does_not_fit_its_type_is_a_decode_error() {
    let connection = four_todos();
    connection.system().execute("UPDATE todos SET tags = '{}' WHERE id = 'a'", []).unwrap();
    let error = connection.read().query(&Todo::select()).unwrap_err();
    let SqliteError::Decode(DecodeError { column, .. }) = error else { panic!("{error}") };
    assert_eq!(column, "tags");
}

#[test]
fn a_condition_whose_value_has_no_sqlite_form_fails_with_its_column() {
    let connection = database();
    let error = connection.read().query(&Todo::select().filter(Todo::weight.eq(f64::NAN)));
    let expected = ValueError::NotANumber { column: "weight".into() };
    assert!(matches!(error, Err(SqliteError::Value(error)) if error == expected));
}

#[test]
fn wrong_sql_fails_with_a_message_that_shows_it() {
    let connection = database();
    for sql in ["SELECT * FROM missing", "SELEC 1", "SELECT \"missing\" FROM todos"] {
        let error = raw(&connection, sql).unwrap_err();
        assert!(error.is_deterministic());
        assert!(error.to_string().ends_with(&format!("(in: {sql})")), "{error}");
        assert!(!error.to_string().contains("/*"), "a mark of ours: {error}");
    }
    assert_eq!(
        raw(&connection, "SELECT 1 FROMM todos").unwrap_err().to_string(),
        "SQLite: near \"todos\": syntax error at byte 15 (in: SELECT 1 FROMM todos)"
    );
}

#[test]
fn rows_are_shared_and_compare_by_content() {
    let connection = database();
    insert(&connection, [counter(1, "a", 0), counter(2, "b", 0)]);
    let rows: Rows<Counter> = read(&connection, &Counter::select().order_by(Counter::id));
    assert_eq!((rows.len(), rows.is_empty(), rows[1].id), (2, false, 2));
    assert_eq!(rows, read(&connection, &Counter::select().order_by(Counter::id)));
    assert!(std::sync::Arc::ptr_eq(rows.get(0).unwrap(), rows.clone().get(0).unwrap()));
    assert!(rows.get(2).is_none());
    assert_eq!(rows.iter().rev().map(|row| row.id).collect::<Vec<_>>(), [2, 1]);
}

state_table! {
    /// A table and columns named by SQL's own words.
    Order, "order", {
        from: i64, primary_key();
        group: String;
    }
}

#[test]
fn words_of_sql_can_name_tables_and_columns() {
    let connection = super::support::database_of(vec![Order::definition().unwrap()]);
    insert(&connection, [Order { from: 1, group: "by".into() }]);
    let selection = Order::select().filter(Order::group.eq("by")).order_by(Order::from.desc());
    assert_eq!(read(&connection, &selection).len(), 1);
    let column: Column<Order, i64> = Order::from;
    assert_eq!(column.name(), "from");
}
