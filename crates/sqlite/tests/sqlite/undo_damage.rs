//! Undo data that is not what was written.

use livestore_sqlite::{Connection, Json, Preimages, SqliteError, Table};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{
    Counter, Edge, Todo, cases, counter, database_of, definitions, insert, todo, write,
};

/// A database, and the undo data of steps with values of every kind.
fn database_and_undo() -> (Connection, Vec<u8>) {
    let connection = database_of(definitions());
    insert(&connection, [Todo { photo: Some(vec![1, 2, 3]), due: Some(-300), ..todo("a") }]);
    insert(&connection, [counter(i64::MAX - 1, "a", i64::MIN)]);
    let edge = Edge {
        source: "s".into(),
        target: 1,
        label: None,
        slot: None,
        length: Some(0.1),
        body: None,
        attributes: Json(vec![1]),
    };
    insert(&connection, [edge]);
    connection.take_changes();
    write(&connection, Todo::delete()).unwrap();
    write(&connection, Counter::update().set(Counter::id, 5)).unwrap();
    write(&connection, Edge::update().set(Edge::target, 2)).unwrap();
    let bytes = connection.take_changes().encode();
    (connection, bytes)
}

fn is_damaged(connection: &Connection, bytes: &[u8]) -> bool {
    matches!(connection.decode_undo(bytes), Err(SqliteError::DamagedUndo { at }) if at <= bytes.len())
}

#[test]
fn every_truncation_is_noticed() {
    let (connection, bytes) = database_and_undo();
    assert!(connection.decode_undo(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(is_damaged(&connection, &bytes[..end]), "cut at {end}");
    }
}

#[test]
fn the_check_without_tables_knows_whole_undo_data_and_notices_truncations() {
    let (_, bytes) = database_and_undo();
    let last = definitions().len() as u16 - 1;
    assert!(matches!(Preimages::check(&bytes), Ok(Some(table)) if table <= last));
    assert!(matches!(Preimages::check(&Preimages::default().encode()), Ok(None)));
    for end in 0..bytes.len() {
        assert!(Preimages::check(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn bytes_behind_the_end_are_noticed() {
    let (connection, mut bytes) = database_and_undo();
    bytes.push(0);
    assert!(is_damaged(&connection, &bytes));
}

#[test]
fn counts_beyond_the_bytes_are_noticed_before_memory_is_reserved() {
    let connection = database_of(definitions());
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(is_damaged(&connection, &huge), "preimages");
    for tag in [3, 4] {
        let text = [&[1, 0, 0, 1, tag][..], &huge].concat();
        assert!(is_damaged(&connection, &text), "bytes of a value");
    }
    assert!(is_damaged(&connection, &[&[1, 0, 0][..], &huge].concat()), "values");
    let beyond_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert!(is_damaged(&connection, &beyond_64_bits));
}

#[test]
fn what_does_not_fit_the_tables_is_noticed() {
    let connection = database_of(definitions());
    // One preimage: table, was it there, then the values. Table 0 has a key of one column and
    // rows of three.
    let with = |rest: &[u8]| [&[1][..], rest].concat();
    assert!(connection.decode_undo(&with(&[0, 0, 1, 1, 2])).is_ok(), "a key that was not there");
    assert!(connection.decode_undo(&with(&[0, 1, 3, 1, 2, 0, 1, 2])).is_ok(), "a row");
    assert!(is_damaged(&connection, &with(&[3, 0, 1, 1, 2])), "no such table");
    assert!(is_damaged(&connection, &with(&[0xff, 0xff, 0x03, 0, 1, 1, 2])), "no such table");
    assert!(is_damaged(&connection, &with(&[0, 2, 1, 1, 2])), "neither there nor not");
    assert!(is_damaged(&connection, &with(&[0, 0, 0])), "a key of no values");
    assert!(is_damaged(&connection, &with(&[0, 0, 2, 1, 2, 1, 2])), "a key of too many values");
    assert!(is_damaged(&connection, &with(&[0, 1, 1, 1, 2])), "a row of too few values");
    assert!(is_damaged(&connection, &with(&[0, 1, 4, 1, 2, 0, 1, 2, 0])), "of too many");
    assert!(is_damaged(&connection, &with(&[0, 0, 1, 5])), "no such kind of value");
    assert!(is_damaged(&connection, &with(&[0, 0, 1, 3, 1, 0xff])), "text that is not UTF-8");
}

#[test]
fn damage_says_something_about_the_disk_not_about_the_event() {
    let connection = database_of(definitions());
    let error = connection.decode_undo(&[]).unwrap_err();
    assert!(!error.is_deterministic());
    assert_eq!(error.to_string(), "undo data is damaged at byte 0");
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn damaged_bytes_are_refused_or_read_as_other_undo_data(
        damages in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let (connection, mut bytes) = database_and_undo();
        for (at, byte, how) in damages {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes[at] ^= 1 << (byte % 8),
            }
        }
        match connection.decode_undo(&bytes) {
            Err(SqliteError::DamagedUndo { at }) => prop_assert!(at <= bytes.len()),
            Err(other) => prop_assert!(false, "{other}"),
            // It may hold values that the table refuses, which fails like any write.
            Ok(undo) => drop(connection.transaction(|| connection.undo(&undo))),
        }
        prop_assert!(connection.take_changes().is_empty());
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..40)) {
        let connection = database_of(definitions());
        if let Ok(undo) = connection.decode_undo(&bytes) {
            prop_assert_eq!(connection.decode_undo(&undo.encode()).unwrap(), undo);
        }
    }
}
