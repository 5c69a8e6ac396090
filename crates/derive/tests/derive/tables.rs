use livestore_derive::Table;
use livestore_sqlite::{
    Action, ColumnDef, ColumnType, Connection, DateTime, DateTimeMillis, ForeignKey, FtsDef,
    Generated, IndexDef, Scope, Sql, Table, TableDef, Write,
};

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

#[derive(Table, Debug, Clone, PartialEq)]
#[table(
    name = "teams",
    check = "org <> ''",
    index(columns = [size], filter = "size > 1"),
    index(name = "teams_by_kind", columns = [kind, size], unique)
)]
struct Team {
    #[column(primary_key)]
    org: String,
    #[column(primary_key)]
    num: i64,
    #[column(name = "type")]
    kind: String,
    size: i64,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(
    name = "members",
    full_text(name = "members_text", columns = [team, org], tokenizer = "trigram"),
    foreign_key(columns = [org, num], table = "teams", references = [org, num], on_delete = "cascade")
)]
struct Member {
    #[column(auto_increment)]
    id: Option<i64>,
    org: Option<String>,
    num: Option<i64>,
    #[column(references = "members.id", on_delete = "set null", on_update = "cascade")]
    mentor: Option<i64>,
    #[column(generated = "org || ' ' || num")]
    team: Option<String>,
    #[column(generated = "length(org)", virtual, unique)]
    letters: Option<u64>,
    joined: DateTime,
    left: Option<DateTimeMillis>,
}

#[test]
fn indexes_foreign_keys_and_generated_columns_are_what_the_attributes_say() {
    let teams = TableDef::new(
        "teams",
        [
            ColumnDef::new("org", ColumnType::Text).primary_key(),
            ColumnDef::new("num", ColumnType::Integer).primary_key(),
            ColumnDef::new("type", ColumnType::Text),
            ColumnDef::new("size", ColumnType::Integer),
        ],
    );
    let teams = teams
        .unwrap()
        .check("org <> ''")
        .index(IndexDef::new("teams_size", ["size"]).filter("size > 1"))
        .index(IndexDef::new("teams_by_kind", ["type", "size"]).unique());
    assert_eq!(Team::definition(), Ok(teams));

    let integer = |name| ColumnDef::new(name, ColumnType::Integer).nullable();
    let text = |name| ColumnDef::new(name, ColumnType::Text).nullable();
    let mentor = integer("mentor").references("members", "id");
    let members = TableDef::new(
        "members",
        [
            ColumnDef::new("id", ColumnType::Integer).auto_increment(),
            text("org"),
            integer("num"),
            mentor.on_delete(Action::SetNull).on_update(Action::Cascade),
            text("team").generated("org || ' ' || num", Generated::Stored),
            integer("letters").generated("length(org)", Generated::Virtual).unique(),
            ColumnDef::new("joined", ColumnType::DateTime),
            ColumnDef::new("left", ColumnType::DateTimeMillis).nullable(),
        ],
    );
    let to_team = ForeignKey::new(["org", "num"], "teams", ["org", "num"]);
    let text = FtsDef::new("members_text", ["team", "org"]).tokenizer("trigram");
    let members = members.unwrap().full_text(text).foreign_key(to_team.on_delete(Action::Cascade));
    assert_eq!(Member::definition(), Ok(members));
    assert_eq!(Member::WRITTEN, ["id", "org", "num", "mentor", "joined", "left"]);
    assert_eq!(Team::WRITTEN, Team::COLUMNS);
}

#[test]
fn numbered_and_generated_columns_are_read_and_not_written() {
    let tables = vec![Team::definition().unwrap(), Member::definition().unwrap()];
    let mut connection = Connection::open_memory().unwrap();
    connection.recreate_state(&tables).unwrap();
    connection.watch_state(tables).unwrap();
    let execute = |write: Write| connection.write(Scope::Synced).execute(&write).unwrap();
    let team = Team { org: "acme".into(), num: 7, kind: "k".into(), size: 1 };
    let member = |org: &str| Member {
        id: None,
        org: Some(org.into()),
        num: Some(7),
        mentor: None,
        team: Some("whatever is here is left out".into()),
        letters: None,
        joined: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        left: Some(DateTimeMillis::from_millis(-1).unwrap()),
    };
    execute(Team::insert(team).try_into().unwrap());
    execute(Member::insert(member("acme")).try_into().unwrap());
    let second = Member { mentor: Some(1), org: None, ..member("") };
    execute(Member::insert(second).try_into().unwrap());
    connection.check_foreign_keys().unwrap();
    let found = connection.read().query(&Member::select().order_by(Member::id)).unwrap();
    let first =
        Member { id: Some(1), team: Some("acme 7".into()), letters: Some(4), ..member("acme") };
    assert_eq!(found[0], first);
    assert_eq!((found[1].id, found[1].team.clone(), found[1].mentor), (Some(2), None, Some(1)));
    let search =
        Sql::new("SELECT rowid FROM members_text WHERE members_text MATCH ?").bind("cme 7");
    let rows = connection.read().query(&search).unwrap();
    assert_eq!(rows.iter().map(|row| row.get("rowid")).collect::<Vec<_>>(), [Ok(1_i64)]);
    execute(Team::delete().try_into().unwrap());
    assert!(connection.read().query(&search).unwrap().is_empty());
    let left = connection.read().query(&Member::select().filter(Member::id.eq(2))).unwrap();
    assert_eq!((left.len(), left[0].mentor), (1, None));
}
