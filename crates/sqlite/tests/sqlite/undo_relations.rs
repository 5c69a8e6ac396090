//! Undo restores every row, and how far numbering had come, in schemas whose rows refer to each
//! other, whatever cascades, replacements and refusals happened.

use livestore_sqlite::{
    Action, ColumnDef, ColumnType, Connection, ForeignKey, Generated, IndexDef, Preimages, Scope,
    SqliteError, TableDef, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{cases, database_of, dump, transfer};

/// What differs between one schema and the next.
#[derive(Debug, Clone)]
struct Shape {
    numbered: bool,
    stored: bool,
    partial: bool,
    /// On delete and on update, for each reference in order.
    actions: Vec<(Action, Action)>,
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let action = || {
        proptest::sample::select(vec![
            Action::NoAction,
            Action::Restrict,
            Action::Cascade,
            Action::Cascade,
            Action::SetNull,
            Action::SetDefault,
        ])
    };
    (any::<bool>(), any::<bool>(), any::<bool>(), vec((action(), action()), 7)).prop_map(
        |(numbered, stored, partial, actions)| Shape { numbered, stored, partial, actions },
    )
}

fn referring(column: ColumnDef, to: (&str, &str), actions: (Action, Action)) -> ColumnDef {
    column.references(to.0, to.1).on_delete(actions.0).on_update(actions.1)
}

/// An action for a column that can be set to its default but not to null.
fn never_null((on_delete, on_update): (Action, Action)) -> (Action, Action) {
    let instead = |action| if action == Action::SetNull { Action::SetDefault } else { action };
    (instead(on_delete), instead(on_update))
}

fn tables(shape: &Shape) -> Vec<TableDef> {
    let column = ColumnDef::new;
    let (integer, text) = (ColumnType::Integer, ColumnType::Text);
    let id = column("id", integer).primary_key();
    let id = if shape.numbered { id.auto_increment() } else { id };
    let when = if shape.stored { Generated::Stored } else { Generated::Virtual };
    let boss = column("boss", integer).nullable().default(1);
    let boss_code = column("boss_code", text).nullable().default("a");
    let people = TableDef::new(
        "people",
        [
            column("shout", text).nullable().generated("upper(code) || '!'", when),
            id,
            column("code", text).nullable().unique(),
            referring(boss, ("people", "id"), shape.actions[0]),
            referring(boss_code, ("people", "code"), shape.actions[1]),
            column("sum", integer).nullable().generated("2 * boss + id", when).unique(),
        ],
    );
    let free = IndexDef::new("free_code", ["boss", "code"]).unique();
    let free = if shape.partial { free.filter("boss_code IS NULL") } else { free };
    let teams = TableDef::new(
        "teams",
        [
            column("org", text).primary_key(),
            column("num", integer).primary_key(),
            referring(
                column("lead", integer).nullable().default(2),
                ("people", "id"),
                shape.actions[2],
            ),
            column("place", integer).nullable(),
        ],
    );
    let (on_delete, on_update) = never_null(shape.actions[3]);
    let member_of = ForeignKey::new(["org", "num"], "teams", ["org", "num"]);
    let members = TableDef::new(
        "members",
        [
            column("org", text).primary_key().default("a"),
            column("num", integer).primary_key().default(1),
            referring(
                column("person", integer).primary_key().default(1),
                ("people", "id"),
                never_null(shape.actions[4]),
            ),
            column("since", integer).nullable(),
        ],
    );
    // A cascade can come back to the very row whose change it follows, key and all.
    let rings = TableDef::new(
        "rings",
        [
            column("name", integer).primary_key().unique().default(1),
            referring(
                column("next", integer).primary_key().default(1),
                ("rings", "name"),
                never_null(shape.actions[5]),
            ),
            referring(
                column("far", integer).nullable().default(3),
                ("rings", "name"),
                shape.actions[6],
            ),
        ],
    );
    vec![
        people.unwrap().index(free).check("id <> 77 OR boss IS NULL"),
        teams.unwrap().index(IndexDef::new("places", ["org", "place"]).unique()),
        members.unwrap().foreign_key(member_of.on_delete(on_delete).on_update(on_update)),
        rings.unwrap(),
    ]
}

const CONFLICTS: [&str; 3] = ["", "OR IGNORE", "OR REPLACE"];

/// Statements with a conflict clause and three small numbers, which are words too.
const STATEMENTS: [&str; 24] = [
    "INSERT {or} INTO people (id, code, boss) VALUES (?1, char(96 + ?2), ?3)",
    "INSERT {or} INTO people (id, code, boss, boss_code) VALUES (?1, char(96 + ?2), NULL, char(96 + ?3))",
    "INSERT {or} INTO people (code, boss, boss_code) VALUES (char(96 + ?1), NULL, NULL)",
    "INSERT {or} INTO people (code, boss, boss_code) VALUES (char(96 + ?1), ?2, char(96 + ?3))",
    "INSERT INTO people (id, boss, boss_code) VALUES (?1, NULL, NULL) ON CONFLICT (id) DO UPDATE SET id = id + ?2",
    "INSERT {or} INTO teams VALUES (char(96 + ?1), ?2, NULL, ?3)",
    "INSERT {or} INTO teams VALUES (char(96 + ?1), ?2, ?3, NULL)",
    "INSERT {or} INTO members VALUES (char(96 + ?1), ?2, ?3, ?1)",
    "INSERT {or} INTO rings VALUES (?1, ?1, ?1)",
    "INSERT {or} INTO rings VALUES (?1, ?2, ?3)",
    "INSERT {or} INTO rings SELECT name + ?1, next + ?1, far FROM rings",
    "UPDATE {or} people SET id = ?2 WHERE id = ?1",
    "UPDATE {or} people SET code = char(96 + ?2) WHERE id >= ?1",
    "UPDATE {or} people SET boss = ?2, boss_code = NULL WHERE id = ?1",
    "UPDATE {or} people SET id = id + ?1",
    "UPDATE {or} teams SET num = ?2, org = char(96 + ?3) WHERE num = ?1",
    "UPDATE {or} teams SET lead = ?2, place = ?3 WHERE num <> ?1",
    "UPDATE {or} members SET person = ?2 WHERE person = ?1",
    "UPDATE {or} rings SET name = ?2 WHERE name = ?1",
    "UPDATE {or} rings SET next = ?2, name = ?3 WHERE next = ?1",
    "DELETE FROM people WHERE id = ?1",
    "DELETE FROM teams WHERE num = ?1 OR lead = ?2",
    "DELETE FROM rings WHERE name = ?1",
    "DELETE FROM people WHERE code IS NOT char(96 + ?1)",
];

type Op = (usize, usize, [i64; 3]);

fn any_op() -> impl Strategy<Value = Op> {
    (0..STATEMENTS.len(), 0..CONFLICTS.len(), proptest::array::uniform3(1..5_i64))
}

fn run(connection: &Connection, (statement, conflict, numbers): Op) -> Result<(), SqliteError> {
    let sql = STATEMENTS[statement].replace("{or}", CONFLICTS[conflict]);
    let used = (1..=3).take_while(|n| sql.contains(&format!("?{n}"))).count();
    let binds = numbers[..used].iter();
    let done =
        connection.system().execute(&sql, livestore_sqlite::rusqlite::params_from_iter(binds));
    if let Err(error) = &done {
        assert!(error.is_deterministic(), "{sql}: {error}");
        assert!(error.to_string().contains("constraint failed"), "{sql}: {error}");
    }
    done.map(drop)
}

/// Runs one event: whole or not at all, with every reference leading somewhere at its end. An
/// event may itself get over statements that are refused.
fn run_event(connection: &Connection, ops: Vec<Op>, forgiving: bool) {
    let event = || {
        for op in ops {
            match run(connection, op) {
                Err(error) if !forgiving => return Err(error),
                _ => {}
            }
        }
        connection.check_foreign_keys()
    };
    drop(connection.savepoint(event));
}

/// Every row of every table, generated columns included, and how far numbering has come.
type Everything = (Vec<Vec<Vec<Value>>>, Vec<(String, i64)>);

fn everything(connection: &Connection) -> Everything {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    let sequences = match connection.system().query_one(exists, [], |_| Ok(())).unwrap() {
        Some(()) => connection.system().query(
            "SELECT name, seq FROM sqlite_sequence ORDER BY name",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        ),
        None => Ok(Vec::new()),
    };
    (dump(connection), sequences.unwrap())
}

/// Tells whether SQLite counts the references that an operation leaves open.
///
/// It loses count of those within a table in `UPDATE OR REPLACE` and `UPDATE OR IGNORE`. No builder
/// makes such statements; undo has to be right about them nevertheless.
fn is_counted(&(statement, conflict, _): &Op) -> bool {
    !STATEMENTS[statement].starts_with("UPDATE {or}") || CONFLICTS[conflict].is_empty()
}

fn lost_references(connection: &Connection) -> usize {
    connection.system().query("PRAGMA foreign_key_check", [], |_| Ok(())).unwrap().len()
}

/// Rows that refer to each other and to themselves, to begin with.
fn some_rows(connection: &Connection) {
    for sql in [
        "INSERT INTO people (id, code, boss, boss_code) VALUES (1, 'a', 1, 'a'), (2, 'b', 1, 'a'), \
         (3, 'c', 2, 'c'), (4, NULL, NULL, 'b')",
        "INSERT INTO teams VALUES ('a', 1, 1, 1), ('a', 2, 2, NULL), ('b', 1, NULL, 1)",
        "INSERT INTO members VALUES ('a', 1, 1, 5), ('a', 1, 2, NULL), ('b', 1, 3, 1)",
        "INSERT INTO rings VALUES (1, 1, 1), (2, 3, 1), (3, 2, 3)",
    ] {
        connection.system().execute(sql, []).unwrap();
    }
    connection.take_changes();
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn undo_of_the_last_events_restores_every_row_and_number(
        shape in any_shape(),
        events in vec((vec(any_op(), 1..5), any::<bool>()), 1..7),
        undone: prop::sample::Index,
        stored: bool,
    ) {
        let connection = database_of(tables(&shape));
        let are_counted = events.iter().all(|(ops, _)| ops.iter().all(is_counted));
        let outcome: Result<(), SqliteError> = connection.transaction(|| {
            some_rows(&connection);
            let kept = events.len() - undone.index(events.len() + 1);
            let (mut undo, mut before) = (Vec::new(), everything(&connection));
            for (index, (ops, forgiving)) in events.into_iter().enumerate() {
                run_event(&connection, ops, forgiving);
                let changes = connection.take_changes();
                if index < kept {
                    before = everything(&connection);
                } else if stored {
                    undo.push(connection.decode_undo(&changes.encode())?);
                } else {
                    undo.push(changes);
                }
            }
            assert!(lost_references(&connection) == 0 || !are_counted);
            connection.undo(&Preimages::join(undo))?;
            assert_eq!(everything(&connection), before);
            assert!(connection.take_changes().is_empty());
            Ok(())
        });
        prop_assert!(!are_counted || outcome.is_ok(), "{outcome:?}");
        prop_assert!(!are_counted || lost_references(&connection) == 0);
    }

    #[test]
    fn an_emptied_state_is_like_one_that_was_never_filled(
        shape in any_shape(), ops in vec(any_op(), 0..12),
    ) {
        let filled = database_of(tables(&shape));
        some_rows(&filled);
        filled.transaction(|| filled.clear_state()).unwrap();
        let fresh = database_of(tables(&shape));
        prop_assert_eq!(everything(&filled).1, []);
        for connection in [&filled, &fresh] {
            run_event(connection, ops.clone(), true);
        }
        prop_assert_eq!(everything(&filled), everything(&fresh));
    }

    #[test]
    fn a_state_that_was_brought_into_another_database_is_the_same_there(
        shape in any_shape(), ops in vec(any_op(), 0..12), chunk_bytes in 1..200_usize,
        before in vec(any_op(), 0..4), after in vec(any_op(), 0..4),
    ) {
        let (from, to) = (database_of(tables(&shape)), database_of(tables(&shape)));
        some_rows(&from);
        run_event(&from, ops, true);
        run_event(&to, before, true);
        to.discard_changes();
        transfer(&from, &to, chunk_bytes);
        prop_assert!(to.take_changes().is_empty());
        prop_assert_eq!(everything(&to), everything(&from));
        prop_assert_eq!(to.state_hash().unwrap(), from.state_hash().unwrap());
        for connection in [&from, &to] {
            run_event(connection, after.clone(), true);
        }
        prop_assert_eq!(everything(&to), everything(&from));
    }
}

#[test]
fn a_cascade_that_comes_back_to_its_own_row_is_undone() {
    let cascade = (Action::Cascade, Action::Cascade);
    let shape = Shape { numbered: true, stored: true, partial: true, actions: vec![cascade; 7] };
    let connection = database_of(tables(&shape));
    some_rows(&connection);
    let before = everything(&connection);
    // The third person refers to her own code.
    connection.system().execute("UPDATE people SET code = 'z' WHERE id = 3", []).unwrap();
    connection.transaction(|| connection.undo(&connection.take_changes())).unwrap();
    assert_eq!(everything(&connection), before);
    for (sql, rings) in [
        ("UPDATE rings SET name = 9 WHERE name = 1", "9,9,9 2,3,9 3,2,3"),
        ("UPDATE rings SET name = 9 WHERE name = 3", "1,1,1 2,9,1 9,2,9"),
        ("DELETE FROM rings WHERE name = 3", "1,1,1"),
    ] {
        connection.system().execute(sql, []).unwrap();
        let found = connection
            .system()
            .query_one(
                "SELECT group_concat(concat_ws(',', name, next, far), ' ' ORDER BY name) FROM rings",
                [],
                |row| row.get::<_, String>(0),
            )
            .unwrap();
        let sorted = |list: &str| {
            let mut list: Vec<_> = list.split(' ').map(String::from).collect();
            list.sort();
            list
        };
        assert_eq!(sorted(&found.unwrap()), sorted(rings), "{sql}");
        connection.transaction(|| connection.undo(&connection.take_changes())).unwrap();
        assert_eq!(everything(&connection), before, "{sql}");
    }
}

/// SQLite's own count says that all is well.
#[test]
fn a_new_row_that_refers_to_the_row_it_replaces_is_noticed() {
    let column = |name| ColumnDef::new(name, ColumnType::Integer);
    for scope in [Scope::Synced, Scope::Memory] {
        let to_self =
            |name| column(name).nullable().references("nodes", "id").on_delete(Action::SetNull);
        let columns =
            [column("id").primary_key(), column("place").unique(), to_self("a"), to_self("b")];
        let connection =
            database_of(vec![TableDef::new("nodes", columns).unwrap().with_scope(scope)]);
        let event = |sql: &str| -> Result<(), SqliteError> {
            connection.savepoint(|| {
                connection.system().execute(sql, [])?;
                connection.check_foreign_keys()
            })
        };
        let outcome: Result<(), SqliteError> = connection.transaction(|| {
            event("INSERT INTO nodes VALUES (1, 1, 1, 1), (3, 3, 1, 1)")?;
            for new in ["(5, 3, 3, NULL)", "(5, 3, NULL, 3)", "(5, 3, 3, 3)"] {
                let refused = event(&format!("INSERT OR REPLACE INTO nodes VALUES {new}"));
                assert!(
                    matches!(refused, Err(SqliteError::ForeignKey { .. })),
                    "{new}: {refused:?}"
                );
            }
            event("INSERT OR REPLACE INTO nodes VALUES (5, 3, 5, 1)")?;
            event("INSERT OR REPLACE INTO nodes VALUES (5, 3, NULL, 5)")
        });
        outcome.unwrap();
    }
}
