//! Rows as bytes, and bytes that are none.

use livestore_sqlite::{Connection, SqliteError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{Todo, cases, database, insert, todo, transfer};

const SELECT: &str = "SELECT * FROM todos ORDER BY id";

fn chunks_of(connection: &Connection, bytes: usize) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let read = connection.system().read_chunks(SELECT, [], bytes, |chunk| {
        chunks.push(chunk);
        Ok::<_, SqliteError>(())
    });
    read.unwrap();
    chunks
}

#[test]
fn chunks_are_cut_between_rows_and_not_made_of_nothing() {
    let connection = database();
    assert_eq!(chunks_of(&connection, 1), Vec::<Vec<u8>>::new());
    for id in ["a", "b", "c"] {
        insert(&connection, [todo(id)]);
    }
    assert_eq!(chunks_of(&connection, 1).len(), 3);
    assert_eq!(chunks_of(&connection, usize::MAX), [chunks_of(&connection, 1).concat()]);
}

#[test]
fn whoever_takes_chunks_can_say_stop() {
    let connection = database();
    insert(&connection, [todo("a")]);
    insert(&connection, [todo("b")]);
    let mut taken = 0;
    let read = connection.system().read_chunks(SELECT, [], 1, |_| {
        taken += 1;
        Err(SqliteError::NotCaptured)
    });
    assert!(matches!(read, Err(SqliteError::NotCaptured)));
    assert_eq!(taken, 1);
}

#[test]
fn values_come_over_as_they_are() {
    let (from, to) = (database(), database());
    let odd = Todo {
        text: "\u{0}ä\u{1f600}".into(),
        due: Some(i64::MIN),
        weight: -0.0,
        note: Some(String::new()),
        photo: Some(vec![0, 255]),
        ..todo("odd")
    };
    insert(&from, [odd]);
    transfer(&from, &to, 1 << 10);
    assert_eq!(to.state_hash().unwrap(), from.state_hash().unwrap());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn bytes_that_are_no_rows_are_refused(at: prop::sample::Index, byte: u8, noise in vec(any::<u8>(), 0..64)) {
        let connection = database();
        insert(&connection, [todo("a")]);
        let mut chunk = chunks_of(&connection, usize::MAX).concat();
        let at = at.index(chunk.len());
        chunk[at] = byte;
        for bytes in [&chunk, &chunk[..at].to_vec(), &noise] {
            let insert = "INSERT OR REPLACE INTO todos VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            match connection.transaction(|| connection.system().write_chunk(insert, bytes)) {
                // Another value is one as well, or refused by the table.
                Ok(()) | Err(SqliteError::DamagedRows { .. } | SqliteError::Sqlite { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
