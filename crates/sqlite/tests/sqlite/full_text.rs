//! Full-text search: what it finds, what undo does to it, and who may touch it.

use livestore_sqlite::{
    Action, ColumnDef, ColumnType, Connection, FtsDef, IndexDef, Preimages, Scope, Sql,
    SqliteError, TableDef, TableError, TableWrite, check_tables,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{cases, columns, database_of, dump, transfer};

fn notes() -> TableDef {
    let text = |name| ColumnDef::new(name, ColumnType::Text).nullable();
    let id = ColumnDef::new("id", ColumnType::Integer).auto_increment();
    let parent = ColumnDef::new("parent", ColumnType::Integer).nullable();
    let parent = parent.references("notes", "id").on_delete(Action::Cascade);
    TableDef::new("notes", [text("body"), id, text("title").unique(), parent])
        .unwrap()
        .full_text(FtsDef::new("notes_text", ["title", "body"]))
        .full_text(
            FtsDef::new("notes_stems", ["body"]).tokenizer("porter unicode61 separators '_'"),
        )
}

fn found(connection: &Connection, index: &str, words: &str) -> Vec<i64> {
    let sql = format!("SELECT rowid FROM {index} WHERE {index} MATCH ? ORDER BY rowid");
    let rows = connection.read().query(&Sql::new(sql).bind(words)).unwrap();
    rows.iter().map(|row| row.get("rowid").unwrap()).collect()
}

fn insert(connection: &Connection, id: i64, title: &str, body: &str) -> Result<(), SqliteError> {
    let table = &connection.tables()[0];
    let row = columns([("id", id.into()), ("title", title.into()), ("body", body.into())]);
    connection.write(table.scope()).execute(&TableWrite::insert(table, row).unwrap())
}

#[test]
fn words_are_found_in_the_rows_that_have_them() {
    for scope in [Scope::Synced, Scope::Client, Scope::Memory] {
        let connection = database_of(vec![notes().with_scope(scope)]);
        insert(&connection, 1, "Shopping", "apples, pears and cheese").unwrap();
        insert(&connection, 2, "Apples", "are running_out").unwrap();
        assert_eq!(found(&connection, "notes_text", "apples"), [1, 2], "{scope}");
        assert_eq!(found(&connection, "notes_text", "title : apples"), [2]);
        assert_eq!(found(&connection, "notes_stems", "run"), [2]);
        let table = &connection.tables()[0];
        let update = TableWrite::update(
            table,
            columns([("title", "Pears".into()), ("id", 7.into())]),
            columns([("id", 2.into())]),
        );
        connection.write(scope).execute(&update.unwrap()).unwrap();
        assert_eq!(found(&connection, "notes_text", "apples"), [1]);
        assert_eq!(found(&connection, "notes_text", "pears"), [1, 7]);
        let delete = TableWrite::delete(table, columns([("id", 1.into())])).unwrap();
        connection.write(scope).execute(&delete).unwrap();
        assert_eq!(found(&connection, "notes_text", "pears"), [7]);
        let text = "SELECT snippet(notes_text, 0, '<', '>', '', 5) AS s, bm25(notes_text) FROM \
                    notes_text('pears') ORDER BY rank";
        let rows = connection.read().query(&Sql::new(text)).unwrap();
        assert_eq!(rows[0].get::<String>("s").unwrap(), "<Pears>");
    }
}

#[test]
fn who_searches_an_index_reads_its_table() {
    let other = TableDef::new("others", [ColumnDef::new("id", ColumnType::Text).primary_key()]);
    let connection = database_of(vec![other.unwrap(), notes()]);
    for sql in [
        "SELECT count(*) FROM notes_text",
        "SELECT rowid FROM NOTES_TEXT WHERE notes_text MATCH 'a'",
        "SELECT 1 FROM notes_stems('a') ORDER BY rank",
    ] {
        assert_eq!(connection.read().tables_read(&Sql::new(sql)).unwrap(), [0], "{sql}");
    }
}

#[test]
fn an_index_is_written_by_its_table_alone_and_no_materializer_reads_it() {
    let connection = database_of(vec![notes()]);
    insert(&connection, 1, "a", "b").unwrap();
    let parts = ["notes_text", "notes_text_data", "notes_text_config", "notes_text_docsize"];
    for name in parts {
        let key = ColumnDef::new("id", ColumnType::Integer).primary_key();
        let fake = TableDef::new(name, [key, ColumnDef::new("title", ColumnType::Text)]).unwrap();
        let row = columns([("title", "x".into())]);
        for scope in [Scope::Synced, Scope::Client, Scope::Memory] {
            let write = TableWrite::insert(&fake, row.clone()).unwrap();
            assert!(connection.write(scope).execute(&write).is_err(), "{name}");
            for sql in [format!("SELECT count(*) FROM {name}"), format!("SELECT * FROM {name}")] {
                let refused = connection.write(scope).read().query(&Sql::new(&*sql));
                assert!(matches!(refused, Err(SqliteError::Denied { .. })), "{sql}: {refused:?}");
            }
        }
        let delete = connection.read().query(&Sql::new(format!("DELETE FROM {name}")));
        assert!(delete.is_err(), "{name}: {delete:?}");
    }
    let optimize = "INSERT INTO notes_text (notes_text) VALUES ('delete-all')";
    let refused = connection.read().query(&Sql::new(optimize));
    assert!(matches!(refused, Err(SqliteError::Denied { .. })), "{refused:?}");
    assert_eq!(found(&connection, "notes_text", "a"), [1]);
}

#[test]
fn the_state_is_recreated_and_emptied_with_its_indexes() {
    let connection = database_of(vec![notes()]);
    insert(&connection, 1, "a", "b").unwrap();
    connection.transaction(|| connection.clear_state()).unwrap();
    assert!(found(&connection, "notes_text", "a").is_empty());
    insert(&connection, 2, "a", "b").unwrap();
    let tables = connection.tables().to_vec();
    connection.transaction(|| connection.recreate_state(&tables)).unwrap();
    assert!(found(&connection, "notes_text", "a").is_empty());
    connection.recreate_state(&[]).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name <> 'sqlite_sequence'";
    assert_eq!(connection.system().query_one(sql, [], |row| row.get(0)).unwrap(), Some(0));
}

#[test]
fn full_text_indexes_that_cannot_be_say_why() {
    let text = |name| ColumnDef::new(name, ColumnType::Text);
    let key = || ColumnDef::new("id", ColumnType::Integer).primary_key();
    let table = |columns: Vec<ColumnDef>| TableDef::new("t", columns).unwrap();
    let plain =
        || table(vec![key(), text("a"), text("rank"), ColumnDef::new("n", ColumnType::Integer)]);
    let none: [&str; 0] = [];
    for (table, reason) in [
        (
            table(vec![text("id").primary_key(), text("a")]).full_text(FtsDef::new("f", ["a"])),
            "full-text search needs a table whose key is a single integer",
        ),
        (plain().full_text(FtsDef::new("f", none)), "it has no columns"),
        (plain().full_text(FtsDef::new("f", ["b"])), "the table has no column \"b\""),
        (plain().full_text(FtsDef::new("f", ["n"])), "column n is Integer, not text"),
        (plain().full_text(FtsDef::new("f", ["a", "a"])), "column a is named twice"),
        (
            plain().full_text(FtsDef::new("f", ["rank"])),
            "FTS5 has another meaning for rank; rename the column",
        ),
        (
            plain().full_text(FtsDef::new("A", ["a"])),
            "FTS5 has another meaning for a; rename the column",
        ),
    ] {
        let refused = check_tables(&[table]);
        assert!(
            matches!(&refused, Err(TableError::InvalidIndex { reason: found, .. }) if found == reason),
            "{refused:?}"
        );
    }
    for clash in ["f", "F_DATA", "f_updated"] {
        let indexed = plain().full_text(FtsDef::new("f", ["a"]));
        let refused = check_tables(&[indexed.index(IndexDef::new(clash, ["a"]))]);
        assert!(matches!(refused, Err(TableError::DuplicateIndex { .. })), "{refused:?}");
    }
    let injected = plain().full_text(FtsDef::new("f", ["a"]).tokenizer("x'); DROP TABLE t; --"));
    let refused = Connection::open_memory().unwrap().recreate_state(&[injected]);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("tokenize"), "{refused}");
}

const WORDS: [&str; 5] = ["apple", "pear", "plum pear", "apples", ""];

const STATEMENTS: [&str; 8] = [
    "INSERT OR REPLACE INTO notes (id, title, body) VALUES (?1, ?2, ?3)",
    "INSERT OR REPLACE INTO notes (title, body, parent) VALUES (?2, ?3, (SELECT max(id) FROM notes WHERE id <> ?1))",
    "INSERT OR IGNORE INTO notes (id, title, body) VALUES (?1, ?2, ?3)",
    "UPDATE notes SET body = ?3 || ' ' || ?2 WHERE id <> ?1",
    "UPDATE OR REPLACE notes SET title = ?2, body = ?3 WHERE id >= ?1",
    "UPDATE OR REPLACE notes SET id = id + 1, body = ?2 || ?3 WHERE id = ?1",
    "DELETE FROM notes WHERE id = ?1 OR title = ?2 AND body = ?3",
    "INSERT INTO notes (id, title, body) VALUES (?1, ?2, ?3) ON CONFLICT (title) DO UPDATE SET body = ?3",
];

fn answers(connection: &Connection) -> Vec<Vec<i64>> {
    let indexes = ["notes_text", "notes_stems"].into_iter();
    let words = ["apple", "apples", "pear", "plum", "\"plum pear\"", "appl*", "ppl"];
    indexes.flat_map(|index| words.map(|words| found(connection, index, words))).collect()
}

/// Fails if an index is not exactly what its table says.
fn assert_is_whole(connection: &Connection) {
    for index in ["notes_text", "notes_stems"] {
        let check = format!("INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)");
        connection.system().execute(&check, []).unwrap();
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn undo_restores_what_a_search_finds(
        steps in vec(vec((0..STATEMENTS.len(), 1..5_i64, 0..5_usize, 0..5_usize), 0..5), 1..5),
        undone: prop::sample::Index,
    ) {
        let connection = database_of(vec![notes()]);
        let kept = steps.len() - undone.index(steps.len() + 1);
        let (mut before, mut undo) = ((answers(&connection), dump(&connection)), Vec::new());
        let outcome: Result<(), SqliteError> = connection.transaction(|| {
            for (index, step) in steps.into_iter().enumerate() {
                for (statement, id, title, body) in step {
                    let binds = (id, WORDS[title], WORDS[body]);
                    drop(connection.savepoint(|| {
                        connection.system().execute(STATEMENTS[statement], binds)?;
                        connection.check_foreign_keys()
                    }));
                }
                let changes = connection.take_changes();
                if index < kept {
                    before = (answers(&connection), dump(&connection));
                } else {
                    undo.push(changes);
                }
            }
            assert_is_whole(&connection);
            connection.undo(&Preimages::join(undo))?;
            assert_is_whole(&connection);
            assert_eq!((answers(&connection), dump(&connection)), before);
            Ok(())
        });
        outcome.unwrap();
        let elsewhere = database_of(vec![notes()]);
        transfer(&connection, &elsewhere, 64);
        assert_is_whole(&elsewhere);
        prop_assert_eq!((answers(&elsewhere), dump(&elsewhere)), before);
    }
}
