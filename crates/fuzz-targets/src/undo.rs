//! Undo data: what decodes encodes to data that means the same, and can be carried out or fails.

use std::cell::RefCell;

use livestore_sqlite::{Connection, SqliteError};

use crate::{Outcome, class, family};

thread_local! {
    /// A database with the app's tables, all of them empty before and after each run.
    static DATABASE: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

fn database() -> Connection {
    let schema = family::schema();
    let mut connection = Connection::open_memory().expect("memory is there");
    connection.recreate_state(schema.tables()).expect("the schema is valid");
    connection.watch_state(schema.tables().to_vec()).expect("the schema is valid");
    connection
}

pub(crate) fn run(input: &[u8]) -> Outcome {
    DATABASE.with_borrow_mut(|connection| undo(connection.get_or_insert_with(database), input))
}

/// Ends the transaction without an effect.
struct Back;

impl From<SqliteError> for Back {
    fn from(_: SqliteError) -> Self {
        Self
    }
}

fn undo(connection: &Connection, input: &[u8]) -> Outcome {
    let decoded = match connection.decode_undo(input) {
        Ok(decoded) => decoded,
        Err(error @ SqliteError::DamagedUndo { at }) => {
            assert!(at <= input.len());
            return Outcome::Refused(class(&error));
        }
        Err(other) => panic!("{other}"),
    };
    let again = connection.decode_undo(&decoded.encode()).expect("what is encoded decodes");
    assert_eq!(again, decoded);
    let mut outcome = Outcome::Accepted(if decoded.is_empty() { "nothing" } else { "rows" });
    let _: Result<(), Back> = connection.transaction(|| {
        if let Err(error) = connection.undo(&decoded) {
            outcome = Outcome::Reported(class(&error));
        }
        Err(Back)
    });
    assert!(connection.take_changes().is_empty(), "undoing is not captured");
    outcome
}
