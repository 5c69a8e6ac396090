//! What the builder can say: expressions, joins, groups, sub-queries.

use livestore_sqlite::{
    Collation, Connection, Expr, Json, Query, Select, Sql, SqliteError, Table, Write, alias, case,
    count_rows, value,
};

use super::support::{
    Counter, Edge, Todo, counter, database, ids, ids_where, insert, read, state_table, todo,
};

state_table! {
    /// A table that refers to itself and to todos.
    Comment, "comments", {
        id: i64, primary_key();
        todo: String;
        parent: Option<i64>;
        text: String;
        stars: Option<i64>;
        meta: Json<Meta>, default("null");
    }
}

alias!(
    /// The comment that another answers.
    pub(crate) struct Parent = Comment
);

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Meta {
    flags: Vec<i64>,
    place: Option<String>,
    seen: bool,
}

fn comment(id: i64, todo: &str, parent: Option<i64>, text: &str, stars: Option<i64>) -> Comment {
    let meta = Meta { flags: vec![id, 10 * id], place: None, seen: id == 1 };
    Comment { id, todo: todo.into(), parent, text: text.into(), stars, meta: Json(meta) }
}

/// Three todos, of which a has three comments, b one, and c none.
fn comments() -> Connection {
    let mut tables = super::support::definitions();
    tables.push(Comment::definition().unwrap());
    let connection = super::support::database_of(tables);
    insert(
        &connection,
        [
            Todo { due: Some(10), tags: Json(vec!["x".into(), "y".into()]), ..todo("a") },
            Todo { due: Some(20), weight: 3.0, ..todo("b") },
            Todo { done: true, tags: Json(vec!["y".into()]), ..todo("c") },
        ],
    );
    insert(
        &connection,
        [
            comment(1, "a", None, "First", Some(5)),
            comment(2, "a", Some(1), "second", None),
            comment(3, "a", Some(1), "Third", Some(2)),
            comment(4, "b", Some(3), "fourth  ", Some(2)),
        ],
    );
    connection
}

/// The values that a selection of one column gives, in its order.
fn values<V, Q>(connection: &Connection, query: Q) -> Vec<V>
where
    V: Clone,
    Q: Query<Output = livestore_sqlite::Rows<V>>,
{
    read(connection, &query).to_vec()
}

#[test]
fn a_column_is_selected_alone_and_several_as_a_tuple() {
    let connection = comments();
    let all = Todo::select().order_by(Todo::id);
    assert_eq!(values(&connection, all.clone().columns(Todo::id)), ["a", "b", "c"]);
    let both = all.columns((Todo::id, Todo::due, Todo::weight + 1.0));
    let row = |id: &str, due, weight| (String::from(id), due, weight);
    let expected = [row("a", Some(10), 2.0), row("b", Some(20), 4.0), row("c", None, 2.0)];
    assert_eq!(values(&connection, both), expected);
}

#[test]
fn expressions_calculate_and_compare_columns_with_each_other() {
    let connection = comments();
    let found = |condition: Expr<Comment>| {
        values(&connection, Comment::select().filter(condition).columns(Comment::id))
    };
    assert_eq!(found(Comment::stars.gt(Comment::id)), [1]);
    assert_eq!(found((Comment::id + Comment::stars).eq(6)), [1, 4]);
    assert_eq!(found((Comment::id * 2 - 1).ge(5)), [3, 4]);
    assert_eq!(found((Comment::id % 2).eq(0).and((Comment::id / 2).eq(2))), [4]);
    assert_eq!(found(Comment::text.lower().like("f%")), [1, 4]);
    assert_eq!(found(Comment::text.upper().eq("SECOND")), [2]);
    assert_eq!(found(Comment::text.trim().length().eq(6)), [2, 4]);
    assert_eq!(found(Comment::stars.coalesce(0).lt(3)), [2, 3, 4]);
    assert_eq!(found((value::<_, i64>(3) - Comment::id).abs().eq(1)), [2, 4]);
    assert_eq!(found(Comment::text.concat("!").eq("First!")), [1]);
}

#[test]
fn not_in_between_glob_and_their_kind_hold_where_their_names_say() {
    let connection = comments();
    let found = |condition: Expr<Comment>| {
        values(&connection, Comment::select().filter(condition).columns(Comment::id))
    };
    assert_eq!(found(Comment::id.not_in([1, 3])), [2, 4]);
    assert_eq!(found(Comment::stars.not_in([2])), [1, 2], "null is not among the numbers");
    assert_eq!(found(Comment::id.between(2, 3)), [2, 3]);
    assert_eq!(found(Comment::id.between(Comment::stars, 4)), [3, 4]);
    assert_eq!(found(Comment::stars.is_not_null()), [1, 3, 4]);
    assert_eq!(found(Comment::text.not_like("f%")), [2, 3]);
    assert_eq!(found(Comment::text.glob("F*")), [1], "GLOB tells case apart");
    assert_eq!(found(Comment::text.collate(Collation::NoCase).eq("first")), [1]);
    assert_eq!(found(Comment::text.collate(Collation::RTrim).eq("fourth")), [4]);
    assert_eq!(found(Comment::parent.is(Comment::stars)), [0; 0]);
    assert_eq!(found(Comment::parent.is(None)), [1]);
    assert_eq!(found(Expr::all([])), [1, 2, 3, 4]);
    assert_eq!(found(Expr::any([])), [0; 0]);
    assert_eq!(found(Expr::any([Comment::id.eq(1), Comment::id.eq(4)])), [1, 4]);
}

#[test]
fn nulls_of_two_columns_are_not_equal_but_the_same() {
    let connection = comments();
    let both = || Comment::select().columns(Comment::id).order_by(Comment::id);
    insert(&connection, [comment(5, "c", None, "", None)]);
    let equal = both().filter(Comment::parent.eq(Comment::stars));
    assert_eq!(values(&connection, equal), [0; 0]);
    let same = both().filter(Comment::parent.is(Comment::stars));
    assert_eq!(values(&connection, same), [5]);
    let different = both().filter(Comment::parent.ne(Comment::stars));
    assert_eq!(values(&connection, different), [1, 2, 3, 4]);
}

#[test]
fn a_boolean_column_is_a_condition() {
    let connection = comments();
    assert_eq!(values(&connection, Todo::select().filter(Todo::done).columns(Todo::id)), ["c"]);
}

#[test]
fn json_is_read_by_path_and_arrays_by_what_they_contain() {
    let connection = comments();
    assert_eq!(ids_where(&connection, Todo::tags.contains("y")), ["a", "c"]);
    assert_eq!(ids_where(&connection, !Todo::tags.contains("x")), ["b", "c"]);
    assert_eq!(ids_where(&connection, Todo::tags.path("$[0]").eq("y")), ["c"]);
    let found = |condition: Expr<Comment>| {
        values(&connection, Comment::select().filter(condition).columns(Comment::id))
    };
    assert_eq!(found(Comment::meta.path("$.flags[1]").gt(20)), [3, 4]);
    assert_eq!(found(Comment::meta.path("$.seen").eq(true)), [1]);
    assert_eq!(found(Comment::meta.path::<String>("$.place").is_null()), [1, 2, 3, 4]);
    assert_eq!(found(Comment::meta.path::<String>("$.nothing.there").is_not_null()), [0; 0]);
    let flags = Comment::select().columns(Comment::meta.path::<Json<Vec<i64>>>("$.flags"));
    assert_eq!(values(&connection, flags)[0], Some(Json(vec![1, 10])));
    let wrong = Comment::select().filter(Comment::meta.path("flags").eq(1));
    assert!(connection.read().query(&wrong).is_err(), "a path begins with $");
}

#[test]
fn an_inner_join_gives_the_rows_of_both_tables() {
    let connection = comments();
    let joined = Todo::select()
        .join::<Comment>(Comment::todo.eq(Todo::id))
        .filter(Comment::stars.eq(2))
        .order_by(Comment::id.desc());
    let rows = read(&connection, &joined);
    let found: Vec<_> = rows.iter().map(|row| (&*row.0.id, row.1.id)).collect();
    assert_eq!(found, [("b", 4), ("a", 3)]);
    assert_eq!(rows[1].0.tags, Json(vec!["x".into(), "y".into()]), "whole rows");
    let columns = joined.columns((Todo::id, Comment::text, Comment::id.plus(Todo::due)));
    let first = &values(&connection, columns)[0];
    assert_eq!(first, &("b".into(), "fourth  ".into(), Some(24)));
}

#[test]
fn a_left_join_keeps_rows_without_a_partner() {
    let connection = comments();
    let on = Comment::todo.eq(Todo::id).and(Comment::stars.is_not_null());
    let joined = Todo::select().left_join::<Comment>(on).order_by(Todo::id).order_by(Comment::id);
    let rows = read(&connection, &joined);
    let found: Vec<_> =
        rows.iter().map(|row| (&*row.0.id, row.1.as_ref().map(|comment| comment.id))).collect();
    assert_eq!(found, [("a", Some(1)), ("a", Some(3)), ("b", Some(4)), ("c", None)]);
    let alone = joined.clone().filter(Comment::id.is_null()).columns(Todo::id);
    assert_eq!(values(&connection, alone), ["c"]);
}

#[test]
fn columns_of_a_left_joined_table_are_optional() {
    let connection = comments();
    let on = || Comment::todo.eq(Todo::id).and(Comment::stars.is_not_null());
    let joined = Todo::select().left_join::<Comment>(on()).order_by(Todo::id).order_by(Comment::id);
    let texts: Vec<Option<String>> = values(&connection, joined.clone().columns(Comment::text));
    assert_eq!(texts[2..], [Some("fourth  ".into()), None]);
    let columns = (Todo::id, Comment::stars, Comment::text.trim().upper(), Comment::id.times(2));
    let rows = values(&connection, joined.clone().columns(columns));
    assert_eq!(rows[2], ("b".into(), Some(2), Some("FOURTH".into()), Some(8)));
    assert_eq!(rows[3], ("c".into(), None, None, None));
    let names: Vec<String> =
        values(&connection, joined.clone().columns(Comment::text.lower().coalesce("none")));
    assert_eq!(names[3], "none");
    // Also from inside a sub-query.
    let around = Counter::select().within::<(Todo, Option<Comment>)>().columns(Comment::text);
    let texts: Vec<Option<String>> = values(&connection, joined.columns(around.scalar()));
    assert_eq!(texts, [None, None, None, None], "there is no counter");
}

#[test]
fn what_is_made_of_columns_of_a_left_joined_table_is_optional() {
    let connection = comments();
    let on = Comment::todo.eq(Todo::id).and(Comment::stars.is_not_null());
    let joined = Todo::select().left_join::<Comment>(on).order_by(Todo::id.desc()).limit(1);
    let last = |columns| -> Option<i64> { values(&connection, columns)[0] };
    assert_eq!(last(joined.clone().columns((Comment::id * 2).lift())), None);
    assert_eq!(last(joined.clone().columns(Todo::text.length().plus(Comment::id))), None);
    assert_eq!(last(joined.clone().columns(Comment::id.minus(Todo::text.length()))), None);
    assert_eq!(last(joined.clone().columns(Comment::text.length())), None);
    assert_eq!(last(joined.clone().columns(Comment::text.to_integer())), None);
    assert_eq!(last(joined.clone().columns(Todo::due.coalesce(Comment::id))), None);
    let chosen = case::<_, Option<i64>>().when(Todo::done, Comment::id).otherwise(1);
    assert_eq!(last(joined.clone().columns(chosen)), None);
    // A condition that is null does not hold.
    let is_second = (Comment::id % 2).eq(0).lift();
    assert_eq!(values(&connection, joined.filter(is_second.is(true)).columns(Todo::id)), ["b"]);
}

#[test]
fn what_cannot_be_null_is_not_optional() {
    let connection = comments();
    let one = |query| -> i64 { values(&connection, query)[0] };
    let joined = || {
        let on = Comment::todo.eq(Todo::id);
        Todo::select().left_join::<Comment>(on).order_by(Todo::id).order_by(Comment::id).limit(1)
    };
    assert_eq!(one(joined().columns(Todo::id.length())), 1);
    assert_eq!(one(joined().columns(Todo::weight.to_integer())), 1);
    assert_eq!(one(joined().columns(Todo::due.coalesce(7).plus(1))), 11);
    assert_eq!(one(joined().columns((Todo::weight + 1.0).to_integer().lift())), 2);
    assert_eq!(one(joined().columns(Comment::stars.coalesce(0).times(2))), 10);
}

#[test]
fn an_expression_that_is_null_against_its_type_says_what_to_do() {
    let connection = comments();
    let on = Comment::todo.eq(Todo::id);
    let joined = Todo::select().left_join::<Comment>(on).order_by(Todo::id.desc());
    let by_zero = Comment::id / 0;
    let error = connection.read().query(&Comment::select().columns(by_zero.clone())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column \"comments\".\"id\" / ?: expected i64, found null; read it as an Option, which \
         `optional()` makes of an expression"
    );
    let optional = Comment::select().columns(by_zero.optional()).limit(1);
    assert_eq!(values(&connection, optional), [None]);
    let condition = joined.columns((Todo::id, Comment::id.gt(1)));
    let error = connection.read().query(&condition).unwrap_err().to_string();
    assert!(error.starts_with("column \"comments\".\"id\" > ?: expected bool, found"), "{error}");
    let beside = Comment::select().filter(Comment::id.gt(9)).columns((Comment::id, count_rows()));
    let error = connection.read().query(&beside).unwrap_err().to_string();
    assert!(error.starts_with("column id: expected i64, found null"), "{error}");
    insert(&connection, [Todo { weight: f64::INFINITY, ..todo("d") }]);
    let no_number = Todo::select().filter(Todo::id.eq("d")).columns(Todo::weight * 0.0);
    let error = connection.read().query(&no_number).unwrap_err().to_string();
    assert!(error.contains("expected f64, found null"), "{error}");
    let raw = livestore_sqlite::query_as::<(i64, i64)>("SELECT id, stars FROM comments");
    let error = connection.read().query(&raw).unwrap_err().to_string();
    assert!(error.starts_with("column stars: expected i64, found null; read it"), "{error}");
}

#[test]
fn a_table_is_joined_to_itself_by_an_alias() {
    let connection = comments();
    let answers = Comment::select()
        .join::<Parent>(Comment::parent.eq(Comment::id.of::<Parent>()))
        .order_by(Comment::id);
    let rows = read(&connection, &answers);
    let found: Vec<_> = rows.iter().map(|row| (row.0.id, row.1.id)).collect();
    assert_eq!(found, [(2, 1), (3, 1), (4, 3)]);
    let first = answers
        .join::<Todo>(Todo::id.eq(Comment::todo.of::<Parent>()))
        .left_join::<Edge>(Edge::source.eq(Todo::id))
        .filter(Comment::text.of::<Parent>().eq("Third"))
        .first();
    let (answer, parent, todo, edge) = &*read(&connection, &first).unwrap();
    assert_eq!((answer.id, parent.id, &*todo.id, edge), (4, 3, "a", &None));
}

#[test]
fn groups_have_counts_sums_and_extremes() {
    let connection = comments();
    let groups = Comment::select()
        .columns((
            Comment::todo,
            count_rows(),
            Comment::stars.count(),
            Comment::stars.sum(),
            Comment::stars.max(),
            Comment::text.group_concat("+"),
        ))
        .group_by(Comment::todo)
        .order_by(count_rows().desc());
    let expected = [
        ("a".into(), 3, 2, Some(7), Some(5), Some("First+second+Third".into())),
        ("b".into(), 1, 1, Some(2), Some(2), Some("fourth  ".into())),
    ];
    assert_eq!(values(&connection, groups.clone()), expected);
    let large = groups.having(count_rows().gt(1)).having(Comment::stars.min().is_not_null());
    assert_eq!(values(&connection, large).len(), 1);
}

#[test]
fn the_aggregates_of_no_row_are_null_or_zero() {
    let connection = comments();
    let all = Comment::select()
        .filter(Comment::id.gt(9))
        .columns((
            Comment::stars.count_distinct(),
            Comment::stars.sum(),
            Comment::stars.avg(),
            Comment::stars.total(),
            Comment::id.min(),
            Comment::id.max(),
        ))
        .first_or_error();
    assert_eq!(*read(&connection, &all), (0, None, None, 0.0, None, None));
    let all = Comment::select().columns((
        Comment::stars.count_distinct(),
        Comment::stars.avg(),
        Comment::id.min(),
    ));
    assert_eq!(values(&connection, all), [(2, Some(3.0), Some(1))]);
    let heaviest = Todo::select().columns(Todo::weight.max());
    assert_eq!(values(&connection, heaviest), [Some(3.0)]);
}

#[test]
fn a_sum_that_grows_too_large_is_an_error() {
    let connection = database();
    insert(&connection, [counter(1, "a", i64::MAX), counter(2, "b", 1)]);
    let sum = Counter::select().columns(Counter::count.sum());
    let error = connection.read().query(&sum).unwrap_err();
    assert!(error.to_string().contains("integer overflow"), "{error}");
}

#[test]
fn distinct_takes_equal_rows_once() {
    let connection = comments();
    let todos = Comment::select().columns(Comment::todo).order_by(Comment::todo);
    assert_eq!(values(&connection, todos.clone()), ["a", "a", "a", "b"]);
    assert_eq!(values(&connection, todos.clone().distinct()), ["a", "b"]);
    assert_eq!(read(&connection, &todos.distinct().count()), 2);
    assert_eq!(read(&connection, &Comment::select().distinct()).len(), 4);
}

#[test]
fn sub_queries_give_lists_values_and_existence() {
    let connection = comments();
    let starred = Comment::select().filter(Comment::stars.ge(2)).columns(Comment::todo);
    assert_eq!(ids_where(&connection, Todo::id.in_select(starred.clone())), ["a", "b"]);
    assert_eq!(ids_where(&connection, !Todo::id.in_select(starred)), ["c"]);

    let of_todo = || Comment::select().within::<Todo>().filter(Comment::todo.eq(Todo::id));
    assert_eq!(ids_where(&connection, of_todo().exists()), ["a", "b"]);
    let second = of_todo().filter(Comment::parent.eq(1)).filter(Comment::id.lt(Todo::due));
    assert_eq!(ids_where(&connection, second.exists()), ["a"]);
    assert_eq!(ids_where(&connection, !Edge::select().exists()), ["a", "b", "c"]);

    let count = of_todo().columns(count_rows()).scalar();
    assert_eq!(ids_where(&connection, count.clone().gt(1)), ["a"]);
    let counted = Todo::select().columns((Todo::id, count)).order_by(Todo::id);
    let expected = [("a".into(), Some(3)), ("b".into(), Some(1)), ("c".into(), Some(0))];
    assert_eq!(values(&connection, counted), expected);
}

#[test]
fn a_null_in_a_sub_query_finds_nothing_and_hides_nothing() {
    let connection = comments();
    let stars = Comment::select().columns(Comment::stars);
    let found = Comment::select().columns(Comment::id).order_by(Comment::id);
    let among = found.clone().filter(Comment::id.in_select(stars.clone()));
    assert_eq!(values(&connection, among), [2]);
    let others = found.filter(!Comment::id.in_select(stars));
    assert_eq!(values(&connection, others), [1, 3, 4]);
}

#[test]
fn orders_place_nulls_and_compare_texts_as_they_are_told() {
    let connection = comments();
    let order = |order| values(&connection, Comment::select().columns(Comment::id).order_by(order));
    assert_eq!(order(Comment::stars.asc().nulls_last())[3], 2);
    assert_eq!(order(Comment::stars.desc().nulls_first())[0], 2);
    assert_eq!(order(Comment::text.asc()), [1, 3, 4, 2], "capitals come first");
    assert_eq!(order(Comment::text.asc().collate(Collation::NoCase)), [1, 4, 2, 3]);
    assert_eq!(order((Comment::id % 2).desc()), [3, 1, 4, 2], "ties go the way of the last key");
    assert_eq!(order((value::<_, i64>(1)).desc()).len(), 4, "a value is no number of a column");
}

#[test]
fn first_is_none_an_error_or_a_fallback_if_there_is_no_row() {
    let connection = comments();
    let none = Todo::select().filter(Todo::id.eq("x"));
    assert_eq!(read(&connection, &none.clone().first()), None);
    let error = connection.read().query(&none.clone().first_or_error()).unwrap_err();
    assert!(matches!(error, SqliteError::NoRow { .. }) && error.is_deterministic());
    assert!(error.to_string().starts_with("no row was found (in: SELECT \"id\""), "{error}");
    assert_eq!(*read(&connection, &none.first_or(todo("fallback"))), todo("fallback"));
    let some = Todo::select().order_by(Todo::id.desc());
    assert_eq!(read(&connection, &some.clone().first_or_error()).id, "c");
    assert_eq!(read(&connection, &some.first_or(todo("fallback"))).id, "c");
}

#[test]
fn a_condition_that_is_too_deep_is_refused_before_sqlite_sees_it() {
    let connection = comments();
    let deep = (0..250).fold(Todo::done.eq(true), |condition, _| !condition);
    let error = connection.read().query(&Todo::select().filter(deep)).unwrap_err();
    assert!(error.to_string().starts_with("an expression is more than 200 levels deep"), "{error}");
    let wide = Expr::any((0..900).map(|i| Todo::due.eq(i)));
    assert_eq!(ids(&connection, &Todo::select().filter(wide).order_by(Todo::id)), ["a", "b"]);
}

/// Every query text that the builder makes here is one that SQLite takes, with all of its values.
#[test]
fn values_are_bound_and_never_part_of_the_text() {
    let evil = "x' OR 1=1 --";
    let query = Todo::select()
        .filter(Todo::id.eq(evil).or(Todo::text.like(evil)).or(Todo::tags.contains(evil)))
        .filter(Todo::tags.path(evil).eq(evil))
        .limit(7)
        .offset(3);
    let (sql, binds) = query.compile().unwrap();
    assert!(!sql.contains("OR 1=1"), "{sql}");
    assert_eq!(binds.len(), sql.matches('?').count());
    assert_eq!(binds.len(), 7);
}

#[test]
fn raw_queries_are_read_as_values_and_tuples() {
    use livestore_sqlite::query_as;
    let connection = comments();
    let count = query_as::<i64>("SELECT count(*) FROM comments WHERE todo = ?").bind("a");
    assert_eq!(*read(&connection, &count.first_or_error()), 3);
    let pairs = query_as::<(i64, Option<i64>)>("SELECT id, stars FROM comments WHERE id < 3");
    assert_eq!(values(&connection, pairs), [(1, Some(5)), (2, None)]);
    let none = query_as::<i64>("SELECT id FROM comments WHERE 0");
    assert_eq!(read(&connection, &none.clone().first()), None);
    assert_eq!(*read(&connection, &none.first_or(7)), 7);
    let wide = connection.read().query(&query_as::<(i64, i64)>("SELECT 1 AS a, 2 AS b, 3 AS c"));
    let error = wide.unwrap_err().to_string();
    assert!(error.ends_with("found the columns a, b, c"), "{error}");
    let writing = query_as::<i64>("DELETE FROM comments RETURNING id");
    assert!(matches!(connection.read().query(&writing), Err(SqliteError::Denied { .. })));
    let typed = Sql::new("SELECT text FROM comments WHERE id = ?").bind(1).rows_as::<String>();
    assert_eq!(values(&connection, typed), ["First"]);
}

#[test]
fn a_joined_query_depends_on_all_of_its_tables() {
    let connection = comments();
    let of = |query: &dyn Fn() -> Vec<usize>| super::support::names(&connection, query());
    let joined = Todo::select().join::<Comment>(Comment::todo.eq(Todo::id));
    let read = of(&|| connection.read().tables_read(&joined).unwrap());
    assert_eq!(read, ["comments", "todos"]);
    let nested = Todo::select().filter(!Edge::select().exists());
    let read = of(&|| connection.read().tables_read(&nested).unwrap());
    assert_eq!(read, ["edges", "todos"]);
}

#[test]
fn functions_of_many_rows_are_refused_where_there_is_one() {
    let connection = comments();
    let refused = |query: Select<Comment>, place: &str| {
        let error = connection.read().query(&query).unwrap_err().to_string();
        let says = format!(
            "count stands for many rows and cannot be used in {place}; use `having`, or a sub-query"
        );
        assert_eq!(error, says);
    };
    let many = || Comment::id.count().gt(3);
    refused(Comment::select().filter(many()), "a filter");
    refused(Comment::select().group_by(Comment::id.count()), "GROUP BY");
    refused(Comment::select().order_by(Comment::id.count().sum()), "a function of many rows");
    let nested = Todo::select().columns(Todo::id).filter(count_rows().gt(3));
    refused(Comment::select().filter(Comment::todo.in_select(nested)), "a filter");
    let update = Write::try_from(Counter::update().set(Counter::count, Counter::id.count()));
    let says = "count stands for many rows and cannot be used in a write; use `having`, or a \
                sub-query";
    assert_eq!(update.unwrap_err().to_string(), says);
    // What it says to use.
    let having = Comment::select().columns(Comment::todo).group_by(Comment::todo);
    let having = having.having(Comment::id.count().gt(2));
    assert_eq!(values(&connection, having), ["a"]);
    let most = Comment::select().columns(Comment::id.max()).scalar();
    let last = Comment::select().filter(Comment::id.eq(most)).columns(Comment::id);
    assert_eq!(values(&connection, last), [4]);
}

#[test]
fn a_case_takes_the_value_of_the_first_condition_that_holds() {
    let connection = comments();
    let all = || Comment::select().order_by(Comment::id);
    let rating = || {
        case::<_, String>().when(Comment::stars.gt(4), "good").when(Comment::stars.gt(1), "fair")
    };
    let texts: Vec<String> = values(&connection, all().columns(rating().otherwise(Comment::text)));
    assert_eq!(texts, ["good", "second", "fair", "fair"]);
    let texts: Vec<Option<String>> = values(&connection, all().columns(rating().or_null()));
    assert_eq!(texts[..2], [Some("good".into()), None]);
    // In filters, orders, groups and aggregates, like every expression.
    let is_early = case().when(Comment::id.lt(3), true).otherwise(Comment::stars.eq(2));
    let early = all().filter(is_early).columns(Comment::id);
    assert_eq!(values(&connection, early), [1, 2, 3, 4]);
    let last = case::<_, i64>().when(Comment::id.eq(1), 9).otherwise(Comment::id);
    let ordered = Comment::select().order_by(last).columns(Comment::id);
    assert_eq!(values(&connection, ordered), [2, 3, 4, 1]);
    let good = case::<_, i64>().when(Comment::stars.gt(4), 1).otherwise(0);
    assert_eq!(values(&connection, Comment::select().columns(good.sum())), [Some(1)]);
    let owner = case::<_, Option<i64>>().when(Comment::id.gt(2), Comment::parent).otherwise(0);
    let joined = all().left_join::<Todo>(Todo::id.eq(Comment::todo)).columns(owner);
    assert_eq!(values(&connection, joined), [Some(0), Some(0), Some(1), Some(3)]);
    // Without a condition, there is only what stands otherwise.
    assert_eq!(values(&connection, all().limit(1).columns(case::<_, i64>().otherwise(5))), [5]);
    assert_eq!(values(&connection, all().limit(1).columns(case::<_, i64>().or_null())), [None]);
}

#[test]
fn casts_turn_values_into_others_as_sql_does() {
    let connection = comments();
    let all = Comment::select().order_by(Comment::id).limit(2);
    let texts = values(&connection, all.clone().columns(Comment::stars.to_text()));
    assert_eq!(texts, [Some("5".into()), None]);
    let half = (Comment::id.to_real() / 2.0).to_integer();
    assert_eq!(values(&connection, all.clone().columns(half)), [0, 1]);
    assert_eq!(values(&connection, all.clone().columns(Comment::text.to_integer())), [0; 2]);
    let text = value::<_, String>(" 12.5 apples".into());
    let number: Vec<f64> = values(&connection, all.columns(text.to_real()));
    assert_eq!(number, [12.5; 2]);
}

#[test]
fn selections_are_ordered_to_the_end() {
    fn ends(query: &impl Query, end: &str) {
        let (text, _) = query.compile().unwrap();
        assert!(text.ends_with(end), "{text}");
    }
    ends(&Todo::select(), r#" ORDER BY "todos"."id""#);
    ends(&Todo::select().order_by(Todo::text), r#" ORDER BY "todos"."text", "todos"."id""#);
    let last = Todo::select().order_by(Todo::text.desc());
    ends(&last, r#" ORDER BY "todos"."text" DESC, "todos"."id" DESC"#);
    ends(&Todo::select().order_by(Todo::id.desc()), r#" ORDER BY "todos"."id" DESC"#);
    // What is different is in the order of what is shown, unless a key is.
    let texts = Todo::select().columns(Todo::text).distinct();
    ends(&texts, r#" FROM "todos" ORDER BY "todos"."text""#);
    ends(&Todo::select().distinct(), r#" ORDER BY "todos"."id""#);
    let both = Todo::select().join::<Comment>(Todo::id.eq(Comment::todo));
    ends(&both, r#" ORDER BY "todos"."id", "comments"."id""#);
    let groups = Todo::select().columns(count_rows()).group_by((Todo::done, Todo::text));
    ends(&groups, r#" ORDER BY "todos"."done", "todos"."text""#);
    let by_key = Todo::select().columns(count_rows()).group_by((Todo::text, Todo::id));
    ends(&by_key, r#" ORDER BY "todos"."id""#);
    // A number would be taken for that of a column.
    let constant = Todo::select().columns(count_rows()).group_by(Expr::<Todo>::all([]));
    ends(&constant, " GROUP BY (1 = 1)");
    let count = Todo::select().order_by(Todo::text).count();
    assert!(!count.compile().unwrap().0.contains("ORDER BY"), "a count goes the shortest way");
    let some = Todo::select().order_by(Todo::text).limit(2).count();
    assert!(some.compile().unwrap().0.contains("ORDER BY"));
}
