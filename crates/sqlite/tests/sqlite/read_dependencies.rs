use livestore_sqlite::{Connection, Query, Sql, Table};

use super::support::{
    Counter, Todo, cursor, database, database_of, definitions_of_all_scopes, draft, insert, names,
    todo,
};

fn tables<Q: Query>(connection: &Connection, query: &Q) -> Vec<String> {
    let indexes = connection.read().tables_read(query).unwrap();
    names(connection, indexes).into_iter().map(String::from).collect()
}

#[test]
fn builder_queries_read_their_table() {
    let connection = database();
    assert_eq!(tables(&connection, &Todo::select()), ["todos"]);
    assert_eq!(tables(&connection, &Todo::select().filter(Todo::done.eq(true)).first()), ["todos"]);
    assert_eq!(tables(&connection, &Todo::select().count()), ["todos"]);
    assert_eq!(tables(&connection, &Counter::select().limit(0)), ["counters"]);
}

#[test]
fn raw_queries_read_every_table_that_they_name() {
    let connection = database();
    for (sql, expected) in [
        ("SELECT 1", vec![]),
        ("SELECT count(*) FROM todos", vec!["todos"]),
        ("SELECT 1 FROM TODOS", vec!["todos"]),
        ("SELECT t.id FROM todos t, counters c", vec!["counters", "todos"]),
        (
            "SELECT t.id FROM todos t LEFT JOIN counters c ON c.name = t.id",
            vec!["counters", "todos"],
        ),
        ("SELECT (SELECT count(*) FROM counters) FROM todos", vec!["counters", "todos"]),
        ("SELECT id FROM todos WHERE id IN (SELECT source FROM edges)", vec!["edges", "todos"]),
        ("SELECT id FROM todos WHERE EXISTS (SELECT 1 FROM edges)", vec!["edges", "todos"]),
        ("SELECT id FROM todos UNION ALL SELECT name FROM counters", vec!["counters", "todos"]),
        ("SELECT * FROM (SELECT * FROM (SELECT id FROM todos))", vec!["todos"]),
        ("WITH x AS (SELECT id FROM counters) SELECT * FROM x", vec!["counters"]),
        ("WITH x AS (SELECT 1 FROM counters) SELECT count(*) FROM x", vec!["counters"]),
        ("SELECT value FROM todos, json_each(tags)", vec!["todos"]),
        (
            "SELECT 1 FROM todos GROUP BY done HAVING (SELECT max(id) FROM counters) > 0",
            vec!["counters", "todos"],
        ),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM Edges)", vec!["edges"]),
    ] {
        assert_eq!(tables(&connection, &Sql::new(sql)), expected, "{sql}");
    }
}

/// SQLite tells the authorizer nothing of the columns that such a join compares.
#[test]
fn tables_that_are_joined_by_the_names_of_columns_are_read() {
    let connection = database();
    for sql in [
        "SELECT a.name FROM counters AS a JOIN todos USING (id)",
        "SELECT count(*) FROM todos JOIN counters USING (id)",
        "SELECT done FROM todos NATURAL JOIN counters",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM counters natural join todos)",
        "WITH x AS (SELECT 1 FROM counters JOIN todos USING (id)) SELECT count(*) FROM x",
    ] {
        assert_eq!(tables(&connection, &Sql::new(sql)), ["counters", "todos"], "{sql}");
    }
}

#[test]
fn tables_of_every_scope_are_read() {
    let connection = database_of(definitions_of_all_scopes());
    let sql = "SELECT body, line FROM drafts LEFT JOIN cursors USING (id) WHERE id IN \
               (SELECT id FROM todos)";
    assert_eq!(tables(&connection, &Sql::new(sql)), ["drafts", "todos", "cursors"]);
    let counted = "SELECT (SELECT count(*) FROM memory.a_toasts), (SELECT count(*) FROM drafts)";
    assert_eq!(tables(&connection, &Sql::new(counted)), ["drafts", "a_toasts"]);
    insert(&connection, [draft("a", "text")]);
    insert(&connection, [cursor("a", 1)]);
    let changed: Vec<_> = connection.discard_changes().tables().iter().collect();
    let read = connection.read().tables_read(&Sql::new(sql)).unwrap();
    assert!(changed.iter().all(|table| read.contains(table)), "the same indexes");
}

#[test]
fn a_table_without_rows_is_read_all_the_same() {
    let connection = database();
    let join = Sql::new("SELECT 1 FROM todos JOIN counters ON todos.id = counters.name");
    assert_eq!(tables(&connection, &join), ["counters", "todos"]);
}

#[test]
fn unbound_values_do_not_matter() {
    let connection = database();
    let sql = Sql::new("SELECT id FROM todos WHERE due > ?");
    assert_eq!(tables(&connection, &sql), tables(&connection, &sql.clone().bind(5)));
}

#[test]
fn asking_runs_nothing_and_remembers_nothing() {
    let connection = database();
    let sql = Sql::new("SELECT id FROM todos");
    assert_eq!(tables(&connection, &sql), ["todos"]);
    assert_eq!(tables(&connection, &Sql::new("SELECT 1")), [""; 0]);
    insert(&connection, [todo("a")]);
    assert_eq!(connection.read().query(&sql).unwrap().len(), 1);
}

#[test]
fn what_cannot_run_cannot_be_asked_about() {
    let connection = database();
    for sql in ["SELECT missing FROM todos", "DELETE FROM todos", "SELECT * FROM __livestore_log"] {
        assert!(connection.read().tables_read(&Sql::new(sql)).is_err(), "{sql}");
    }
}
