use livestore_sqlite::{Connection, Json, Scope, StateHash, Table, TableWrite, Value};
use proptest::prelude::*;

use super::support::{
    Counter, Edge, Todo, cases, columns, counter, cursor, database, database_of, definitions,
    definitions_of_all_scopes, draft, insert, todo, write,
};

fn hash_of(todos: impl IntoIterator<Item = Todo>) -> StateHash {
    let connection = database();
    insert(&connection, todos);
    connection.state_hash().unwrap()
}

#[test]
fn the_order_in_which_rows_were_written_does_not_matter() {
    let rows = || (0..50).map(|n| todo(&format!("{n}")));
    assert_eq!(hash_of(rows()), hash_of(rows().rev()));
}

#[test]
fn what_happened_before_does_not_matter() {
    let connection = database();
    insert(&connection, [todo("gone"), todo("a"), Todo { done: true, ..todo("b") }]);
    write(&connection, Todo::delete().filter(Todo::id.eq("gone"))).unwrap();
    write(&connection, Todo::update().set(Todo::done, false)).unwrap();
    let hash = connection.state_hash().unwrap();
    assert_eq!(hash, hash_of([todo("a"), todo("b")]));
    connection.system().execute_batch("VACUUM").unwrap();
    assert_eq!(connection.state_hash().unwrap(), hash);
}

#[test]
fn livestores_own_tables_do_not_matter() {
    let connection = database();
    let before = connection.state_hash().unwrap();
    connection.system().execute("DELETE FROM __livestore_log", []).unwrap();
    assert_eq!(connection.state_hash().unwrap(), before);
}

#[test]
fn client_and_memory_tables_do_not_matter() {
    let connection = database_of(definitions_of_all_scopes());
    insert(&connection, [todo("a")]);
    let hash = connection.state_hash().unwrap();
    assert_eq!(hash, hash_of([todo("a")]), "nor does it matter that they are there");
    insert(&connection, [draft("a", "text")]);
    insert(&connection, [cursor("a", 1)]);
    assert_eq!(connection.state_hash().unwrap(), hash);
    insert(&connection, [todo("b")]);
    assert_ne!(connection.state_hash().unwrap(), hash);
}

#[test]
fn any_other_value_gives_another_hash() {
    let rows = [
        vec![],
        vec![todo("a")],
        vec![todo("b")],
        vec![todo("a"), todo("b")],
        vec![Todo { text: "x".into(), ..todo("a") }],
        vec![Todo { done: true, ..todo("a") }],
        vec![Todo { due: Some(0), ..todo("a") }],
        vec![Todo { due: Some(1), ..todo("a") }],
        vec![Todo { due: Some(-1), ..todo("a") }],
        vec![Todo { weight: 1.0 + f64::EPSILON, ..todo("a") }],
        vec![Todo { note: Some(String::new()), ..todo("a") }],
        vec![Todo { note: Some("\0".into()), ..todo("a") }],
        vec![Todo { photo: Some(vec![]), ..todo("a") }],
        vec![Todo { photo: Some(vec![0]), ..todo("a") }],
        vec![Todo { tags: Json(vec![String::new()]), ..todo("a") }],
    ];
    let hashes: std::collections::HashSet<_> = rows.iter().cloned().map(hash_of).collect();
    assert_eq!(hashes.len(), rows.len());
}

#[test]
fn a_value_in_another_column_row_or_table_gives_another_hash() {
    let of = |fill: &dyn Fn(&Connection)| {
        let connection = database();
        fill(&connection);
        connection.state_hash().unwrap()
    };
    let edge = |source: &str, target| Edge {
        source: source.into(),
        target,
        label: None,
        slot: None,
        length: None,
        body: None,
        attributes: Json(vec![]),
    };
    let hashes = [
        of(&|db| insert(db, [counter(1, "a", 2)])),
        of(&|db| insert(db, [counter(2, "a", 1)])),
        of(&|db| insert(db, [counter(1, "a", 1), counter(2, "b", 2)])),
        of(&|db| insert(db, [counter(1, "b", 1), counter(2, "a", 2)])),
        of(&|db| insert(db, [Edge { slot: Some(1), ..edge("a", 2) }])),
        of(&|db| insert(db, [Edge { slot: Some(2), ..edge("a", 1) }])),
        of(&|db| insert(db, [Edge { label: Some("x".into()), ..edge("a", 1) }])),
        of(&|db| insert(db, [Edge { body: Some(b"x".to_vec()), ..edge("a", 1) }])),
    ];
    let different: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len());
}

#[test]
fn the_order_in_which_tables_were_named_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut writer = Connection::open_file(&path).unwrap();
    writer.recreate_state(&definitions()).unwrap();
    writer.watch_state(definitions()).unwrap();
    insert(&writer, [todo("a")]);
    let mut reader = Connection::open_read_only(&path).unwrap();
    let mut tables = definitions();
    tables.sort_by(|a, b| b.name().cmp(a.name()));
    reader.admit_state(tables);
    assert_eq!(reader.tables(), writer.tables());
    assert_eq!(reader.state_hash().unwrap(), writer.state_hash().unwrap());
}

#[test]
fn a_hash_prints_as_64_hexadecimal_digits() {
    let hash = hash_of([]);
    let text = hash.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text[..2], format!("{:02x}", hash.as_bytes()[0]));
    assert_eq!(format!("{hash:?}"), format!("StateHash({text})"));
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn rows_of_any_values_hash_the_same_in_any_order(
        rows in proptest::collection::btree_map(i64::MIN..i64::MAX, (any::<i64>(), any::<bool>()), 0..12)
            .prop_flat_map(|rows| {
                let rows: Vec<_> = rows.into_iter().collect();
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
    ) {
        let table = Counter::definition().unwrap();
        let hash = |rows: &[(i64, (i64, bool))]| {
            let connection = database_of(vec![table.clone()]);
            for (id, (count, named)) in rows {
                let name = if *named { Value::from(id.to_string()) } else { Value::Null };
                let row = columns([("count", (*count).into()), ("id", (*id).into()), ("name", name)]);
                connection.write(Scope::Synced).execute(&TableWrite::insert(&table, row).unwrap()).unwrap();
            }
            connection.state_hash().unwrap()
        };
        prop_assert_eq!(hash(&rows.0), hash(&rows.1));
        if let Some((_, less)) = rows.0.split_last() {
            prop_assert_ne!(hash(&rows.0), hash(less));
        }
    }
}
