use livestore_derive::Table;
use livestore_sqlite::{ColumnDef, ColumnType, Connection, Scope, Table, TableDef, Write};

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "todos")]
struct Todo {
    #[column(primary_key)]
    id: String,
    #[column(unique, check = "length(text) > 0")]
    text: Option<String>,
    #[column(default = -1)]
    due: i64,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "drafts", scope = "client")]
struct Draft {
    #[column(primary_key)]
    id: String,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(scope = "memory", name = "cursors")]
struct Cursor {
    #[column(primary_key)]
    id: String,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "explicit", scope = "synced")]
struct Explicit {
    #[column(primary_key)]
    id: String,
}

/// A table whose columns are named like functions of tables, where a handle can be.
#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "words")]
struct Word {
    #[column(primary_key, name = "select")]
    key: i64,
    #[column(name = "delete")]
    deleted: bool,
    sql: String,
    definition: String,
    r#type: String,
}

fn database() -> Connection {
    let tables = vec![
        Todo::definition().unwrap(),
        Draft::definition().unwrap(),
        Cursor::definition().unwrap(),
        <Word as Table>::definition().unwrap(),
    ];
    let mut connection = Connection::open_memory().unwrap();
    connection.recreate_state(&tables).unwrap();
    connection.watch_state(tables).unwrap();
    connection
}

#[test]
fn a_struct_becomes_the_definition_that_its_attributes_say() {
    let by_hand = TableDef::new(
        "todos",
        [
            ColumnDef::new("id", ColumnType::Text).primary_key(),
            ColumnDef::new("text", ColumnType::Text).nullable().unique().check("length(text) > 0"),
            ColumnDef::new("due", ColumnType::Integer).default(-1),
        ],
    );
    assert_eq!(Todo::definition(), by_hand);
}

#[test]
fn a_table_has_the_scope_that_its_attribute_names_and_is_synced_without() {
    assert_eq!(Todo::definition().unwrap().scope(), Scope::Synced);
    assert_eq!(Explicit::definition().unwrap().scope(), Scope::Synced);
    assert_eq!(Draft::definition().unwrap().scope(), Scope::Client);
    assert_eq!(Cursor::definition().unwrap().scope(), Scope::Memory);
}

#[test]
fn rows_of_every_scope_are_written_and_read() {
    let connection = database();
    let write = |event, write: Write| connection.write(event).execute(&write).unwrap();
    let todo = Todo { id: "a".into(), text: Some("text".into()), due: 1 };
    write(Scope::Synced, Todo::insert(todo.clone()).try_into().unwrap());
    write(Scope::Client, Draft::insert(Draft { id: "b".into() }).try_into().unwrap());
    write(Scope::Memory, Cursor::insert(Cursor { id: "c".into() }).try_into().unwrap());
    let read = connection.read();
    let found = read.query(&Todo::select().filter(Todo::due.eq(1))).unwrap();
    assert_eq!(found.to_vec(), [todo]);
    assert_eq!(read.query(&Draft::select()).unwrap()[0].id, "b");
    assert_eq!(read.query(&Cursor::select().filter(Cursor::id.eq("c")).count()).unwrap(), 1);
}

#[test]
fn columns_may_have_the_names_of_a_tables_functions() {
    let connection = database();
    let word = Word {
        key: 1,
        deleted: false,
        sql: "s".into(),
        definition: "d".into(),
        r#type: "t".into(),
    };
    let execute = |write: Write| connection.write(Scope::Synced).execute(&write).unwrap();
    execute(Word::insert(word.clone()).try_into().unwrap());
    execute(Word::update().set(Word::deleted, true).try_into().unwrap());
    let selection = Word::select()
        .filter(Word::key.eq(1).and(Word::sql.eq("s")))
        .filter(Word::definition.eq("d").and(Word::r#type.eq("t")));
    let found = connection.read().query(&selection).unwrap();
    assert_eq!(found.to_vec(), [Word { deleted: true, ..word }]);
    assert_eq!(Word::COLUMNS, ["select", "delete", "sql", "definition", "type"]);
    execute(Word::delete().filter(Word::deleted.eq(true)).try_into().unwrap());
    assert_eq!(connection.read().query(&Word::select().count()).unwrap(), 0);
}
