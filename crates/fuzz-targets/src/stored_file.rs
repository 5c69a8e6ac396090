//! Store files that are not what was written: refused, or a store that works, or reports damage.
//!
//! The input is a list of changes to a store with a row of every kind, each of eight bytes. Some
//! change bytes of the file, as a failing disk does; others change rows by SQL, so that the file is
//! a database in order which says what cannot be.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use livestore::inspect::Inspector;
use livestore::{CommitError, GlobalSeqNum, OpenError, ReplicaError};
use livestore_core::CanonicalJson;
use livestore_sqlite::{Connection, SqliteError, Value, rusqlite};

use crate::replica::{Backend, commit, open};
use crate::{Outcome, class};

/// The golden file of the storage format.
const STORE: &[u8] = include_bytes!("../../livestore/tests/fixtures/store-1.livestore");

/// Most changes of one input.
const MAX_CHANGES: usize = 16;

/// LiveStore's own tables, whose rows are changed.
const TABLES: [&str; 9] = [
    "__livestore_meta",
    "__livestore_eventlog",
    "__livestore_client_log",
    "__livestore_pending",
    "__livestore_pending_group",
    "__livestore_dead_letter",
    "__livestore_forgotten",
    "__livestore_quarantine",
    "__livestore_archive",
];

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

pub(crate) fn run(input: &[u8]) -> Outcome {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder is there"));
        let path = folder.path().join("store");
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        let changes: Vec<Change> =
            input.chunks_exact(8).take(MAX_CHANGES).map(Change::new).collect();
        fs::write(&path, STORE).expect("the folder can be written to");
        change_rows(&path, &changes);
        change_bytes(&path, &changes);
        use_store(&path)
    })
}

/// One change: what, where, and to what.
#[derive(Debug, Clone, Copy)]
struct Change {
    kind: u8,
    at: [u8; 3],
    value: [u8; 4],
}

impl Change {
    fn new(bytes: &[u8]) -> Self {
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
        Self {
            kind: byte(0) % 8,
            at: [byte(1), byte(2), byte(3)],
            value: [byte(4), byte(5), byte(6), byte(7)],
        }
    }

    fn offset(self, len: usize) -> usize {
        let [a, b, c] = self.at.map(usize::from);
        ((a << 16) | (b << 8) | c) % len.max(1)
    }

    /// A value of any kind, with those at the ends of ranges among them.
    fn sql_value(self) -> Value {
        let [kind, rest @ ..] = self.value;
        let small = i64::from(rest[0]);
        match kind % 12 {
            0 => Value::Null,
            1 => Value::Integer(small),
            2 => Value::Integer(-small),
            3 => Value::Integer(i64::MAX - small),
            4 => Value::Integer(i64::MIN + small),
            5 => Value::Integer(i64::from(u32::MAX) - small + 1),
            6 => Value::Text(String::from_utf8_lossy(&rest).into()),
            7 => Value::Text("{\"kind\":1}".into()),
            8 => Value::Blob(rest.into()),
            9 => Value::Blob([rest[0]; 16].into()),
            10 => Value::Blob([rest[0]; 32].into()),
            _ => Value::Text("x".repeat(usize::from(rest[0])).into()),
        }
    }
}

/// Changes rows; what the tables refuse does not happen.
fn change_rows(path: &Path, changes: &[Change]) {
    let connection = rusqlite::Connection::open(path).expect("the golden file opens");
    let setting = "PRAGMA synchronous=OFF; PRAGMA ignore_check_constraints=ON";
    connection.execute_batch(setting).expect("it is a database");
    for change in changes {
        let [table, row, column] = change.at;
        let table = TABLES[usize::from(table) % TABLES.len()];
        let columns: Vec<String> = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .map(|all| all.column_names().map(Into::into).collect())
            .expect("the table is there");
        let column = &columns[usize::from(column) % columns.len()];
        // The key of every table is its first column, or its first two.
        let key = columns[..columns.len().min(2)].join(", ");
        let row = format!(
            "({key}) = (SELECT {key} FROM {table} LIMIT 1 OFFSET {row} % max(1, \
             (SELECT count(*) FROM {table})))"
        );
        let value = change.sql_value();
        let _ = match change.kind {
            4 => {
                connection.execute(&format!("UPDATE {table} SET {column} = ? WHERE {row}"), [value])
            }
            5 => connection.execute(&format!("DELETE FROM {table} WHERE {row}"), []),
            6 => connection.execute(&format!("UPDATE {table} SET {column} = ?"), [value]),
            7 => {
                // The same row under another key.
                let all = columns.join(", ");
                let others = columns[1..].iter().map(|column| format!(", {column}"));
                let others: String = others.collect();
                let sql = format!(
                    "INSERT INTO {table} ({all}) SELECT ?{others} FROM {table} WHERE {row}"
                );
                connection.execute(&sql, [value])
            }
            _ => Ok(0),
        };
    }
}

fn change_bytes(path: &Path, changes: &[Change]) {
    let mut file = fs::read(path).expect("it was written");
    for change in changes {
        let at = change.offset(file.len());
        match change.kind {
            0 => {
                if let Some(byte) = file.get_mut(at) {
                    *byte = change.value[0];
                }
            }
            1 => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << (change.value[0] % 8);
                }
            }
            2 => {
                // A sector that was lost, or is somebody else's.
                let end = file.len().min(at / 512 * 512 + 512);
                let from = usize::from(change.value[1]) * 512 % file.len().max(1);
                for target in at / 512 * 512..end {
                    let other = from + target % 512;
                    let stray = file.get(other).copied().unwrap_or(0);
                    file[target] = if change.value[0] & 1 == 0 { 0 } else { stray };
                }
            }
            3 => file.truncate(at),
            _ => {}
        }
    }
    fs::write(path, file).expect("the folder can be written to");
}

/// Does with a store what an app does, and tells the first thing that was reported.
fn use_store(path: &Path) -> Outcome {
    let inspected = inspect(path);
    let opened = Connection::open_file(path).map_err(OpenError::Sqlite).and_then(open);
    let mut replica = match opened {
        Ok(replica) => replica,
        Err(error) => return Outcome::Refused(open_class(&error)),
    };
    let mut reported = Vec::new();
    let mut note = |what: Result<(), String>| reported.extend(what.err());
    note(inspected.map_err(|error| format!("inspector: {error}")));
    let sqlite = |error: SqliteError| class(&error);
    note(replica.state_hash().map(drop).map_err(sqlite));
    note(replica.dead_letters().map(drop).map_err(sqlite));
    note(replica.archived().map(drop).map_err(sqlite));
    note(replica.quarantined().map(drop).map_err(sqlite));
    let note_written = CanonicalJson::encode(&serde_json::json!({"id": "a", "text": "b"}));
    let args = note_written.expect("it has a canonical form");
    for name in ["v1.NoteWritten", "v1.DraftSaved"] {
        let committed = commit(&mut replica, name, args.clone());
        note(committed.map_err(|error: CommitError| class(&error)));
    }
    let mut backend = Backend::default();
    let replica_class = |error: ReplicaError| class(&error);
    note(backend.talk(&mut replica).map_err(replica_class));
    let page = backend.page("v1.NoteWritten", args);
    note(backend.tell(&mut replica, page).map_err(replica_class));
    let replayed = replica.replay_hash();
    let state = replica.state_hash();
    drop(replica);
    let again = Connection::open_file(path).map_err(OpenError::Sqlite).and_then(open);
    note(again.map(drop).map_err(|error| format!("reopening: {}", open_class(&error))));
    match (replayed, state) {
        (Ok(replayed), Ok(state)) if replayed == state => {}
        (Ok(_), Ok(_)) => note(Err("the state is no replay".into())),
        (Err(error), _) => note(Err(format!("replay: {}", class(&error)))),
        (_, Err(error)) => note(Err(format!("state: {}", class(&error)))),
    }
    match reported.into_iter().next() {
        Some(what) => Outcome::Reported(what),
        None => Outcome::Accepted("a store that works"),
    }
}

/// Reads a file as tools do, beside the store.
fn inspect(path: &Path) -> Result<(), String> {
    let inspector = Inspector::open_file(path).map_err(|error| open_class(&error))?;
    inspector.status().map_err(|error| class(&error))?;
    let each = |_| true;
    inspector.for_each_event(GlobalSeqNum::ROOT, each).map_err(|error| class(&error))?;
    inspector.dead_letters().map_err(|error| class(&error))?;
    inspector.quarantined().map(drop).map_err(|error| class(&error))
}

fn open_class(error: &OpenError) -> String {
    match error {
        OpenError::Sqlite(error) => format!("Sqlite: {}", class(error)),
        OpenError::Rebuild { source } => format!("Rebuild: {}", class(source)),
        other => class(other),
    }
}
