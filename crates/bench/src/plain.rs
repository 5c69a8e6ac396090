//! The limit: the rows that a commit writes, written by plain rusqlite.

use std::path::Path;

use livestore_sqlite::rusqlite::{Connection, params};

use crate::app::{TEXT, TodoCreated};

/// A plain database with the tables that a commit touches.
#[derive(Debug)]
pub struct Plain {
    connection: Connection,
    ordinal: i64,
    session: String,
}

const TABLES: &str = "
CREATE TABLE pending (
    ordinal INTEGER PRIMARY KEY, group_id BLOB NOT NULL, event_index INTEGER NOT NULL,
    event_id BLOB NOT NULL, name TEXT NOT NULL, args TEXT NOT NULL, session_id TEXT NOT NULL,
    undo BLOB
) STRICT;
CREATE TABLE eventlog (
    seq INTEGER PRIMARY KEY, event_id BLOB NOT NULL, group_id BLOB NOT NULL, name TEXT NOT NULL,
    args TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL, log_hash BLOB
) STRICT;
CREATE UNIQUE INDEX eventlog_group ON eventlog (group_id);
CREATE TABLE todos (
    id TEXT NOT NULL, text TEXT NOT NULL, completed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
";

/// One event as it is written: ids, payload, key and undo data, made before the clock runs.
#[derive(Debug, Clone)]
pub struct PlainEvent {
    group_id: [u8; 16],
    event_id: [u8; 16],
    id: String,
    args: String,
    undo: Vec<u8>,
}

impl PlainEvent {
    /// Makes the next event.
    pub fn new() -> Self {
        let id = livestore::new_id();
        let bytes = |id: String| {
            let digits: String = id.chars().filter(|digit| *digit != '-').collect();
            u128::from_str_radix(&digits, 16).unwrap_or_default().to_be_bytes()
        };
        // What LiveStore keeps to undo an insert: a table, a flag and the key.
        let mut undo = vec![1, 0, 0, 1, 3, id.len() as u8];
        undo.extend_from_slice(id.as_bytes());
        Self {
            group_id: bytes(livestore::new_id()),
            event_id: bytes(livestore::new_id()),
            args: format!(r#"{{"id":"{id}","text":"{TEXT}"}}"#),
            id,
            undo,
        }
    }
}

impl Default for PlainEvent {
    fn default() -> Self {
        Self::new()
    }
}

type Result<T> = livestore_sqlite::rusqlite::Result<T>;

impl Plain {
    /// Opens an empty database in memory.
    pub fn memory() -> Result<Self> {
        Self::set_up(Connection::open_in_memory()?)
    }

    /// Opens an empty database file with the settings that LiveStore uses.
    pub fn file(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")?;
        Self::set_up(connection)
    }

    fn set_up(connection: Connection) -> Result<Self> {
        connection.execute_batch(TABLES)?;
        Ok(Self { connection, ordinal: 0, session: "0123456789abcdef".into() })
    }

    /// Writes events as one group in one transaction.
    pub fn commit(&mut self, events: &[PlainEvent]) -> Result<()> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for event in events {
            connection
                .prepare_cached("INSERT INTO todos (id, text, completed) VALUES (?, ?, ?)")?
                .execute(params![event.id, TEXT, 0])?;
        }
        let undo = match events {
            [event] => event.undo.clone(),
            events => events.iter().flat_map(|event| event.undo.iter().copied()).collect(),
        };
        for (index, event) in events.iter().enumerate() {
            self.ordinal += 1;
            connection
                .prepare_cached("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    self.ordinal,
                    event.group_id,
                    index as i64,
                    event.event_id,
                    "v1.TodoCreated",
                    event.args,
                    self.session,
                    (index == 0).then_some(undo.as_slice()),
                ])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Writes events as they come from upstream, one group each, in one transaction.
    pub fn apply(&mut self, events: &[PlainEvent]) -> Result<()> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for event in events {
            self.ordinal += 1;
            connection
                .prepare_cached("INSERT INTO eventlog VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    self.ordinal,
                    event.event_id,
                    event.group_id,
                    "v1.TodoCreated",
                    event.args,
                    self.session,
                    self.session,
                    [0_u8; 32],
                ])?;
            connection
                .prepare_cached("INSERT INTO todos (id, text, completed) VALUES (?, ?, ?)")?
                .execute(params![event.id, TEXT, 0])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Empties the todos and makes them anew from the log, a transaction for each batch.
    ///
    /// # Panics
    ///
    /// If a payload in the log were none.
    pub fn rebuild(&mut self, batch: i64) -> Result<()> {
        let connection = &self.connection;
        connection.execute_batch("DELETE FROM todos")?;
        let mut after = 0;
        loop {
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let mut select = connection.prepare_cached(
                "SELECT seq, event_id, group_id, name, args, client_id, session_id FROM eventlog \
                 WHERE seq > ? ORDER BY seq LIMIT ?",
            )?;
            let mut insert = connection
                .prepare_cached("INSERT INTO todos (id, text, completed) VALUES (?, ?, ?)")?;
            let (mut rows, before) = (select.query([after, batch])?, after);
            while let Some(row) = rows.next()? {
                after = row.get(0)?;
                let args = row.get_ref(4)?.as_str()?;
                let event: TodoCreated = serde_json::from_str(args).expect("a payload");
                insert.execute(params![event.id, event.text, 0])?;
            }
            drop(rows);
            connection.prepare_cached("COMMIT")?.execute([])?;
            if after == before {
                return Ok(());
            }
        }
    }

    /// Moves everything into the database file.
    pub fn checkpoint(&self) -> Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Reads one row by key.
    pub fn point(&self, id: &str) -> Result<(String, String, bool)> {
        self.connection
            .prepare_cached("SELECT id, text, completed FROM todos WHERE id = ?")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    /// Reads all rows in key order.
    pub fn list(&self) -> Result<Vec<(String, String, bool)>> {
        self.connection
            .prepare_cached("SELECT id, text, completed FROM todos ORDER BY id")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    }
}
