//! The connection and its three views.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{CachedStatement, OpenFlags, Params, Statement, StatementStatus, params_from_iter};

use crate::authorizer::{Authorizer, Mode};
use crate::capture::{Capture, JournalMark};
use crate::kept::{self, Bind, Kept};
use crate::reads::TableRead;
use crate::row::{RowCursor, RowRef};
use crate::steps::Steps;
use crate::undo::{Preimages, UndoSql};
use crate::{
    Changes, DecodeError, Query, RunWrite, Scope, SqliteError, TableDef, Value, Write,
    date_functions, sql,
};

/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 256;

/// Length of the `-wal` file, in pages, from which on it is moved into the database.
const WAL_LIMIT: i32 = 1_000;

/// How long a `-wal` file stays that one long transaction has made longer, in bytes.
const KEPT_WAL_BYTES: i64 = 16 << 20;

/// How long the other side of a lock on the file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it lives in memory.
    Memory,
    /// A crash of the process; a power cut may cost the last moments.
    Normal,
    /// A power cut: it was synced to the disk.
    Full,
}

/// One SQLite database with its authorizer and change capture.
#[derive(Debug)]
pub struct Connection {
    /// Comes before the connection, which does not close while statements are prepared.
    pub(crate) kept: Kept,
    pub(crate) raw: rusqlite::Connection,
    pub(crate) authorizer: Authorizer,
    pub(crate) capture: Capture,
    pub(crate) tables: Vec<TableDef>,
    /// For the tables on disk, which are the first among all.
    pub(crate) undo_sql: Vec<UndoSql>,
    /// For all tables: how to read a row by its key.
    pub(crate) row_sql: Vec<Box<str>>,
    /// For all tables, see [`crate::enforcement`].
    pub(crate) recounts: Vec<Option<String>>,
    /// Pages in the `-wal` file as of the last commit.
    wal_pages: Arc<AtomicI32>,
    wal_limit: i32,
    steps: Steps,
}

impl Connection {
    /// How a file is opened that this process does not write to.
    pub(crate) const READ_ONLY: OpenFlags =
        OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

    /// Opens an empty database in memory.
    pub fn open_memory() -> Result<Self, SqliteError> {
        let raw = rusqlite::Connection::open_in_memory()?;
        // A transaction in memory copies each page that it changes: with half of SQLite's usual
        // size a commit takes a twentieth less.
        raw.pragma_update(None, "page_size", 2048)?;
        Self::set_up(raw)
    }

    /// Opens or creates a database file, in WAL mode with `synchronous=NORMAL`.
    pub fn open_file(path: &Path) -> Result<Self, SqliteError> {
        Self::set_up_file(rusqlite::Connection::open(path)?)
    }

    /// Opens an existing database file for reading, also while another process writes to it.
    pub fn open_read_only(path: &Path) -> Result<Self, SqliteError> {
        Self::set_up(rusqlite::Connection::open_with_flags(path, Self::READ_ONLY)?)
    }

    /// Sets up a database file of any VFS for reading and writing.
    pub(crate) fn set_up_file(raw: rusqlite::Connection) -> Result<Self, SqliteError> {
        let mut connection = Self::set_up(raw)?;
        // The switch to WAL deletes a rollback journal; if a power cut brought that back, it would
        // take the whole new database with it. EXTRA makes the deletion durable.
        connection.raw.execute_batch("PRAGMA synchronous=EXTRA")?;
        let pragma = "PRAGMA journal_mode=WAL";
        let mode: String = connection
            .raw
            .query_row(pragma, [], |row| row.get(0))
            .map_err(|error| SqliteError::new(error, pragma))?;
        if mode != "wal" {
            let message = Some(format!("the file system allows journal mode {mode} only, not WAL"));
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            return Err(rusqlite::Error::SqliteFailure(error, message).into());
        }
        // On macOS a plain fsync leaves the data in the drive's cache, and a checkpoint needs the
        // log on the disk before the database changes; elsewhere the second pragma does nothing.
        connection.raw.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA checkpoint_fullfsync=ON; \
             PRAGMA wal_autocheckpoint=0",
        )?;
        connection.raw.pragma_update(None, "journal_size_limit", KEPT_WAL_BYTES)?;
        let wal_pages = Arc::clone(&connection.wal_pages);
        connection.raw.wal_hook(Some(move |_: &mut Wal, pages| {
            if wal_pages.load(Ordering::Relaxed) >= 0 {
                wal_pages.store(pages, Ordering::Relaxed);
            }
            Ok(())
        }))?;
        Ok(connection)
    }

    pub(crate) fn set_up(mut raw: rusqlite::Connection) -> Result<Self, SqliteError> {
        raw.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        raw.busy_timeout(BUSY_TIMEOUT)?;
        raw.execute_batch(
            "PRAGMA foreign_keys=ON; PRAGMA recursive_triggers=ON; PRAGMA temp_store=MEMORY",
        )?;
        // Text in double quotes that names no column is an error, not a string.
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Without it SQLite plans a statement anew whenever its LIMIT is bound.
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let steps = Steps::install(&mut raw)?;
        let authorizer = Authorizer::install(&mut raw)?;
        date_functions::register(&raw, &authorizer)?;
        Ok(Self {
            kept: Kept::default(),
            raw,
            authorizer,
            capture: Capture::default(),
            tables: Vec::new(),
            undo_sql: Vec::new(),
            row_sql: Vec::new(),
            recounts: Vec::new(),
            wal_pages: Arc::default(),
            wal_limit: WAL_LIMIT,
            steps,
        })
    }

    pub(crate) fn raw(&self) -> &rusqlite::Connection {
        &self.raw
    }

    pub(crate) fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    /// Prepares a statement in the present mode, or takes it from the cache.
    fn prepare(&self, mode: Mode, sql: &str) -> Result<CachedStatement<'_>, SqliteError> {
        let explain = |error| self.authorizer.explain(mode, error, sql);
        self.steps.count_run().map_err(explain)?;
        let statement = self.raw.prepare_cached(sql).map_err(explain)?;
        if self.authorizer.was_asked() {
            if let Err(error) = self.authorize_opened_tables(&statement, sql) {
                // The cache would hand it out next time, without another question.
                statement.discard();
                return Err(explain(error));
            }
            self.steps.count_prepared().map_err(explain)?;
        }
        Ok(statement)
    }

    /// Sets how long the `-wal` file may grow, in pages; 1,000 by default.
    pub fn set_wal_limit(&mut self, pages: i32) {
        self.wal_limit = pages;
    }

    /// Moves the `-wal` file's content into the database once it has grown long, as far as nobody
    /// reads it.
    ///
    /// SQLite would do so by itself, but would not tell that a sync has failed.
    pub fn tidy_wal(&self) -> Result<(), SqliteError> {
        if self.wal_pages.load(Ordering::Relaxed) < self.wal_limit {
            return Ok(());
        }
        self.wal_pages.store(0, Ordering::Relaxed);
        let pragma = "PRAGMA wal_checkpoint(PASSIVE)";
        self.system().query_one(pragma, [], |_| Ok(())).map(drop)
    }

    /// Moves all of the `-wal` file's content into the database, syncs both, and empties it; if
    /// somebody reads from it, as far as that lets it.
    pub fn checkpoint(&self) -> Result<(), SqliteError> {
        let pragma = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.system().query_one(pragma, [], |_| Ok(())).map(drop)
    }

    /// Begins with an empty `-wal` file, if one was left by a process that did not come to its end.
    ///
    /// Behind a hole that a power cut has made in it, frames of lost transactions may stand. Were
    /// new ones written before them, whoever reads the file without SQLite could not tell which of
    /// them count.
    ///
    /// # Errors
    ///
    /// A sync failed. A full disk, say, is none, nor is somebody who reads: the file is as good as
    /// before.
    pub fn empty_left_wal(&self) -> Result<(), SqliteError> {
        // Whoever opens a store does not wait for a long check or backup of it to end.
        self.raw.busy_timeout(Duration::ZERO)?;
        let emptied = self.checkpoint();
        self.raw.busy_timeout(BUSY_TIMEOUT)?;
        match emptied {
            Err(error) if error.is_sync_failure() => Err(error),
            _ => Ok(()),
        }
    }

    /// Leaves the `-wal` file alone from now on, also when the connection is closed.
    ///
    /// After a sync of it has failed, a part of it may never reach the disk, whatever later syncs
    /// say. The rest is still a sound database as of some commit, but only with the database file
    /// as it is now.
    pub fn keep_wal(&self) -> Result<(), SqliteError> {
        self.wal_pages.store(i32::MIN, Ordering::Relaxed);
        self.raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(())
    }

    /// Runs a closure whose statements may take so many steps of SQLite's machine together; tells
    /// also whether they took more.
    ///
    /// What takes one too many is interrupted, and so is whatever follows. SQLite counts some thousand
    /// steps at a time, for each statement by itself; a statement of the state counts for 100 besides,
    /// and for 1,000 more if it had to be prepared.
    ///
    /// Within another such closure, no more steps may be taken than are left of its budget.
    pub fn within_steps<R>(&self, steps: u64, run: impl FnOnce() -> R) -> (R, bool) {
        self.steps.within(steps, run)
    }

    /// Tells whether the statements of [`Connection::within_steps`] took too many already.
    pub fn is_out_of_steps(&self) -> bool {
        self.steps.are_used_up()
    }

    /// Interrupts whatever runs on the connection when the check says so; asked many times a
    /// second while a statement runs. Takes the place of an earlier check.
    pub fn interrupt_when(&self, check: impl FnMut() -> bool + Send + 'static) {
        self.steps.interrupt_when(check);
    }

    /// Returns the view that runs queries.
    pub fn read(&self) -> StateRead<'_> {
        StateRead { connection: self, mode: Mode::Read, mark: sql::READ_MARK }
    }

    /// Returns the view that runs the writes of the materializers of events of a scope.
    pub fn write(&self, event: Scope) -> StateWrite<'_> {
        StateWrite { connection: self, event }
    }

    /// Returns the view that runs LiveStore's own statements.
    pub fn system(&self) -> System<'_> {
        System(self)
    }

    /// Runs a closure in one transaction: all of it happens, or nothing does.
    ///
    /// Changes captured by a failed transaction are forgotten.
    pub fn transaction<R, E: From<SqliteError>>(
        &self,
        run: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let open = self.begin("BEGIN IMMEDIATE", "ROLLBACK")?;
        let result = run()?;
        open.keep("COMMIT")?;
        Ok(result)
    }

    /// Runs a closure inside the transaction such that its failure undoes only what it did.
    pub fn savepoint<R, E: From<SqliteError>>(
        &self,
        run: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let undo = "ROLLBACK TO __livestore; RELEASE __livestore";
        let open = self.begin("SAVEPOINT __livestore", undo)?;
        let result = run()?;
        open.keep("RELEASE __livestore")?;
        Ok(result)
    }

    /// Begins what is undone unless it is kept.
    fn begin(&self, sql: &'static str, undo: &'static str) -> Result<RollBack<'_>, SqliteError> {
        self.system().run(sql, &[])?;
        Ok(RollBack { connection: self, mark: self.capture.journal().mark(), sql: undo })
    }

    /// Hands out what was captured since the last call: how to undo it.
    ///
    /// Of changes in memory tables it names the tables and nothing else.
    pub fn take_changes(&self) -> Preimages {
        self.capture.journal().take()
    }

    /// Hands out what changed since the last call, for steps that nobody undoes.
    pub fn discard_changes(&self) -> Changes {
        let step = self.capture.journal().drain();
        self.changes_of(step)
    }
}

/// Undoes a transaction or savepoint on the way out, be it an error or a panic.
struct RollBack<'a> {
    connection: &'a Connection,
    /// The journal at the beginning.
    mark: JournalMark,
    sql: &'static str,
}

impl RollBack<'_> {
    /// Ends it with a statement; if that fails, it is undone.
    fn keep(self, sql: &'static str) -> Result<(), SqliteError> {
        self.connection.system().run(sql, &[])?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for RollBack<'_> {
    fn drop(&mut self) {
        let Self { connection, mark, sql } = *self;
        connection.capture.journal().truncate(mark);
        // Some failures, such as a full disk, have rolled the whole transaction back already.
        if connection.raw.is_autocommit() {
            return;
        }
        // If even this fails, SQLite rolls back when the connection closes; every later
        // transaction fails on BEGIN until then, so nothing half done is ever built upon.
        let _ = connection.raw.execute_batch(sql);
    }
}

/// Runs queries on the state; cannot write.
#[derive(Debug, Clone, Copy)]
pub struct StateRead<'a> {
    connection: &'a Connection,
    mode: Mode,
    mark: &'static str,
}

impl StateRead<'_> {
    /// Runs a query.
    pub fn query<Q: Query>(self, query: &Q) -> Result<Q::Output, SqliteError> {
        self.rows(query, |rows| query.collect(rows))
    }

    /// Runs a query and hands its rows to a closure, which steps through them as far as it likes.
    pub fn rows<Q: Query, R>(
        self,
        query: &Q,
        read: impl FnOnce(RowCursor<'_>) -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        let (text, binds) = query.compile()?;
        self.run(&text, &binds, read)
    }

    /// Runs a query by its text and hands its rows to a closure, which steps through them as far as it
    /// likes.
    #[expect(clippy::missing_panics_doc, reason = "the closure is called if there is no error")]
    pub fn run<R>(
        self,
        text: &str,
        binds: &[Value],
        read: impl FnOnce(RowCursor<'_>) -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        let (mut read, mut result) = (Some(read), None);
        self.run_dyn(text, binds, &mut |rows| {
            result = read.take().map(|read| read(rows)).transpose()?;
            Ok(())
        })?;
        Ok(result.expect("a query that runs has its rows read"))
    }

    /// The same for any closure, which is called once; there are many, so this is not compiled for each
    /// of them.
    fn run_dyn(
        self,
        text: &str,
        binds: &[Value],
        read: &mut dyn FnMut(RowCursor<'_>) -> Result<(), SqliteError>,
    ) -> Result<(), SqliteError> {
        let Self { connection, mode, mark } = self;
        let marked = sql::mark(mark, &pure_dates(mode, text));
        connection.authorizer.with_mode(mode, || {
            // What the app wrote, not what became of it.
            let explain = |error| connection.authorizer.explain(mode, error, text);
            let mut statement = connection.prepare(mode, &marked)?;
            let rows = statement.query(params_from_iter(binds)).map_err(explain)?;
            // Some statements ask for permission only while they run.
            read(RowCursor::new(rows, text)).map_err(|error| match error {
                SqliteError::Sqlite { source, .. } => explain(source),
                other => other,
            })
        })
    }

    /// Returns what a query reads, by its text.
    ///
    /// That includes the columns of indexes which it goes through, since what it does not order comes in
    /// theirs.
    pub fn reads(self, text: &str) -> Result<Vec<TableRead>, SqliteError> {
        let Self { connection, mode, .. } = self;
        let text = pure_dates(mode, text);
        let (prepared, mut names) = connection.authorizer.recording_reads(|| {
            connection.authorizer.with_mode(mode, || {
                let statement = connection.raw.prepare(&text)?;
                connection.authorize_opened_tables(&statement, &text)?;
                if statement.is_explain() == 0 {
                    connection.opened_indexes(&text)
                } else {
                    Ok(Vec::new())
                }
            })
        });
        let explain = |error| connection.authorizer.explain(mode, error, &text);
        for (table, columns) in prepared.map_err(explain)? {
            names.note_index(&table, columns);
        }
        Ok(connection.state_tables_read(&names))
    }

    /// Returns the state tables that a query reads, by index among [`Connection::tables`].
    pub fn tables_read<Q: Query>(self, query: &Q) -> Result<Vec<usize>, SqliteError> {
        let (text, _) = query.compile()?;
        Ok(self.reads(&text)?.into_iter().map(|read| read.table).collect())
    }
}

/// Makes calls of date functions what materializers may call.
fn pure_dates(mode: Mode, text: &str) -> Cow<'_, str> {
    match mode {
        Mode::Materialize(_) => date_functions::with_pure_dates(text),
        _ => text.into(),
    }
}

/// Runs the writes and queries of the materializers of events of one scope: on the tables that
/// these events may touch, with deterministic SQL only.
#[derive(Debug, Clone, Copy)]
pub struct StateWrite<'a> {
    connection: &'a Connection,
    event: Scope,
}

impl<'a> StateWrite<'a> {
    /// Runs one write; its row changes are captured.
    pub fn execute(self, write: &Write) -> Result<(), SqliteError> {
        self.captured(write, |statement, _| {
            let mut rows = statement.query(params_from_iter(write.binds.iter()))?;
            // To the end, whatever it gives back: the statement is not done before.
            while rows.next()?.is_some() {}
            Ok(())
        })
    }

    /// Runs one write and reads the rows that it gives back.
    ///
    /// # Errors
    ///
    /// If a row cannot be read, the write has been done all the same, and is captured.
    pub(crate) fn execute_returning<R>(
        self,
        write: &Write,
        mut read: impl FnMut(RowRef<'_>) -> Result<R, DecodeError>,
    ) -> Result<Vec<R>, SqliteError> {
        let rows = self.captured(write, |statement, sql| {
            let rows = statement.query(params_from_iter(write.binds.iter()))?;
            let (mut rows, mut out) = (RowCursor::new(rows, sql), Vec::new());
            // To the end, also behind one that cannot be read: the statement is not done before.
            while let Some(row) = rows.next()? {
                out.push(read(row));
            }
            Ok(out)
        })?;
        Ok(rows.into_iter().collect::<Result<_, _>>()?)
    }

    /// Runs the statement of a write, whose row changes are captured; if it fails, nothing is.
    fn captured<R>(
        self,
        write: &Write,
        run: impl FnOnce(&mut Statement<'_>, &str) -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        let Self { connection, event } = self;
        let sql = &*sql::mark_write_for(event, write.sql.as_str());
        let mode = Mode::Write(event);
        let (mark, is_uncaptured) = {
            let journal = connection.capture.journal();
            (journal.mark(), journal.is_uncaptured())
        };
        let mut work = 0;
        let written = connection.authorizer.with_mode(mode, || {
            let explain = |error| connection.authorizer.explain(mode, error, sql);
            let mut statement = connection.prepare(mode, sql)?;
            let changed = connection.raw.total_changes();
            let result = run(&mut statement, sql).map_err(|error| match error {
                SqliteError::Sqlite { source, .. } => explain(source),
                other => other,
            })?;
            if is_uncaptured {
                let changed = connection.raw.total_changes() - changed;
                let steps = statement.reset_status(StatementStatus::VmStep);
                work =
                    usize::try_from(steps).unwrap_or(usize::MAX).saturating_add(changed as usize);
            }
            Ok(result)
        });
        let mut journal = connection.capture.journal();
        let result = match written {
            Ok(result) => result,
            Err(error) => {
                // SQLite has taken back what the statement did before it failed.
                journal.truncate(mark);
                return Err(error);
            }
        };
        journal.note_work(work);
        journal.check()?;
        Ok(result)
    }

    /// Runs one write of any kind and returns what it gives back.
    pub fn run<W: RunWrite>(self, write: W) -> Result<W::Output, SqliteError> {
        write.run(self)
    }

    /// Returns the view through which such a materializer queries the state.
    pub fn read(self) -> StateRead<'a> {
        let Self { connection, event } = self;
        let (mode, mark) = (Mode::Materialize(event), sql::materialize_mark(event));
        StateRead { connection, mode, mark }
    }
}

/// Runs LiveStore's own statements, on any table.
#[derive(Debug, Clone, Copy)]
pub struct System<'a>(&'a Connection);

impl<'a> System<'a> {
    pub(crate) fn connection(self) -> &'a Connection {
        self.0
    }

    /// Runs a statement that returns no rows and stays prepared as long as the connection is open;
    /// for those of every commit.
    pub fn run(self, sql: &'static str, binds: &[Bind<'_>]) -> Result<(), SqliteError> {
        kept::run(self.0, sql, binds).map_err(|error| SqliteError::new(error, sql))
    }

    /// Runs a statement that returns no rows; returns how many rows it changed.
    pub fn execute(self, sql: &str, params: impl Params) -> Result<usize, SqliteError> {
        let run = || self.0.raw.prepare_cached(sql)?.execute(params);
        run().map_err(|error| SqliteError::new(error, sql))
    }

    /// Runs several statements without values.
    pub fn execute_batch(self, sql: &str) -> Result<(), SqliteError> {
        self.0.raw.execute_batch(sql).map_err(|error| SqliteError::new(error, sql))
    }

    /// Runs a query and maps each of its rows.
    pub fn query<R>(
        self,
        sql: &str,
        params: impl Params,
        mut row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<R>,
    ) -> Result<Vec<R>, SqliteError> {
        let mut rows = Vec::new();
        self.walk(sql, params, &mut |found| {
            rows.push(row(found)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Runs a query and maps its first row, if it has one.
    pub fn query_one<R>(
        self,
        sql: &str,
        params: impl Params,
        mut row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<R>,
    ) -> Result<Option<R>, SqliteError> {
        let mut first = None;
        self.walk(sql, params, &mut |found| {
            first = Some(row(found)?);
            Ok(false)
        })?;
        Ok(first)
    }

    /// Walks over a query's rows until the closure says stop.
    pub fn for_each(
        self,
        sql: &str,
        params: impl Params,
        mut row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<(), SqliteError> {
        self.walk(sql, params, &mut row)
    }

    /// Walks over a query's rows until the closure says stop; there are many closures, so this is not
    /// compiled for each of them.
    fn walk(
        self,
        sql: &str,
        params: impl Params,
        row: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<(), SqliteError> {
        let run = || {
            let mut statement = self.0.raw.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            while let Some(found) = rows.next()? {
                if !row(found)? {
                    break;
                }
            }
            Ok(())
        };
        run().map_err(|error: rusqlite::Error| SqliteError::new(error, sql))
    }
}
