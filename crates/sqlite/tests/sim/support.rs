//! A database in which every lost, doubled or torn transaction shows.

use livestore_sqlite::sim::SimDisk;
use livestore_sqlite::{Connection, SqliteError, params, rusqlite};

pub(crate) const NAME: &str = "store.db";

/// How far a run got before the machine died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last transaction that was begun.
    pub(crate) begun: u32,
    /// The last one whose commit returned.
    pub(crate) committed: u32,
    /// The last one that a successful sync of the WAL followed.
    pub(crate) synced: u32,
}

/// What stops a run.
#[derive(Debug)]
#[expect(dead_code, reason = "shown if a test fails")]
pub(crate) enum Stop {
    Sqlite(SqliteError),
    Sync(std::io::Error),
}

impl From<SqliteError> for Stop {
    fn from(error: SqliteError) -> Self {
        Self::Sqlite(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Sync(error)
    }
}

/// How a run goes about it.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    /// How many transactions there are.
    pub(crate) transactions: u32,
    /// What is set up on each connection.
    pub(crate) pragmas: &'static str,
    /// Runs one transaction.
    pub(crate) commit: fn(&Connection, u32) -> Result<(), SqliteError>,
    /// Makes durable what is committed.
    pub(crate) barrier: fn(&SimDisk) -> std::io::Result<()>,
}

/// What a correct program does; checkpoints are frequent.
pub(crate) const CORRECT: Script = Script {
    transactions: 24,
    pragmas: "PRAGMA wal_autocheckpoint=12",
    commit,
    barrier: |disk| disk.sync_wal(NAME),
};

pub(crate) fn body(n: u32) -> Vec<u8> {
    let mut body = vec![n as u8; n as usize * 577 % 6_000];
    body.extend_from_slice(&n.to_be_bytes());
    body
}

pub(crate) fn create(connection: &Connection) -> Result<(), SqliteError> {
    connection.transaction(|| {
        connection.system().execute_batch(
            "CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, body BLOB UNIQUE);
             CREATE TABLE IF NOT EXISTS head (n INTEGER);
             INSERT INTO head SELECT 0 WHERE NOT EXISTS (SELECT * FROM head)",
        )
    })
}

/// Writes one transaction, to several pages.
pub(crate) fn commit(connection: &Connection, n: u32) -> Result<(), SqliteError> {
    connection.transaction(|| commit_piecemeal(connection, n))
}

/// Writes the same, but in transactions of their own if there is none around it.
pub(crate) fn commit_piecemeal(connection: &Connection, n: u32) -> Result<(), SqliteError> {
    let system = connection.system();
    system.execute("INSERT INTO log VALUES (?, ?)", params![n, body(n)])?;
    system.execute("UPDATE head SET n = n + 1", [])?;
    Ok(())
}

/// Runs transactions until something fails, from the one after the last that is there.
///
/// All of its connections are closed when it returns.
pub(crate) fn run(disk: &SimDisk, script: &Script, progress: &mut Progress) -> Result<(), Stop> {
    let open = || -> Result<Connection, SqliteError> {
        let connection = disk.open(NAME)?;
        connection.system().execute_batch(script.pragmas)?;
        Ok(connection)
    };
    let mut connection = open()?;
    create(&connection)?;
    let next = progress.committed + 1;
    for n in next..next + script.transactions {
        progress.begun = n;
        (script.commit)(&connection, n)?;
        progress.committed = n;
        if n % 3 == 0 {
            (script.barrier)(disk)?;
            progress.synced = n;
        }
        match n % 24 {
            7 => checkpoint(&connection, "PASSIVE")?,
            14 => checkpoint(&connection, "TRUNCATE")?,
            19 => {
                // Closing the last connection moves all into the database and deletes the WAL.
                drop(connection);
                connection = open()?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<(), SqliteError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.system().query(&sql, [], |_| Ok(())).map(drop)
}

/// Opens the database and tells how many transactions are there; or what is wrong with it.
///
/// They have to be whole, be the first ones, and none of those that must be there may be missing.
pub(crate) fn check(disk: &SimDisk, least: u32, most: u32) -> Result<u32, String> {
    let connection = disk.open(NAME).map_err(|error| format!("does not open: {error}"))?;
    let found = survivors(&connection)?;
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(format!("{found} transactions are there, not {least} to {most}"))
    }
}

/// Tells how many transactions a database holds, all of them whole; or what is wrong with it.
pub(crate) fn survivors(connection: &Connection) -> Result<u32, String> {
    let system = connection.system();
    let string = |error: SqliteError| error.to_string();
    let verdict = system.query("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    let verdict = verdict.map_err(string)?;
    if verdict != ["ok"] {
        return Err(format!("integrity check: {verdict:?}"));
    }
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    match system.query_one(tables, [], |row| row.get(0)).map_err(string)? {
        Some(0) => return Ok(0),
        Some(2) => {}
        other => return Err(format!("{other:?} tables of 2 are there")),
    }
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let log: Vec<(u32, Vec<u8>)> =
        system.query("SELECT n, body FROM log ORDER BY n", [], row).map_err(string)?;
    for (index, (n, found)) in log.iter().enumerate() {
        if *n != index as u32 + 1 {
            return Err(format!("transaction {n} is there, but not {}", index + 1));
        }
        if *found != body(*n) {
            return Err(format!("transaction {n} has another body"));
        }
    }
    let head = system.query("SELECT n FROM head", [], |row| row.get::<_, usize>(0));
    match head.map_err(string)?[..] {
        [head] if head == log.len() => Ok(head as u32),
        ref heads => Err(format!("{} transactions, but the head is {heads:?}", log.len())),
    }
}
