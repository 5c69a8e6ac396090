//! Checking a store's file: everything that can be told without the app's schema.
//!
//! All checks read in one transaction, so their findings belong to the same moment, also while an
//! app commits. Nothing is changed. Damage is a finding and never an error; an error means that
//! the file could not be checked.
//!
//! Whether the state is what the log leads to, only the schema's materializers can tell:
//! [`Inspector::verify_state`](super::Inspector::verify_state).

mod client_log;
mod exceptions;
mod heads;
mod log;
mod pending;
mod state;
mod structure;

use std::fmt;
use std::path::{Path, PathBuf};

use livestore_core::{GlobalSeqNum, Group, GroupId, StoreId};
use livestore_sqlite::{Connection, SqliteError, Value, rusqlite};
use serde::Serialize;

pub use state::StateVerdict;
pub(super) use structure::expected_objects;

use super::reading::Reading;
use super::rows::{MetaRow, StoredRow};
use super::{Inspector, Progress, Work, snapshot};
use crate::{OpenError, QueryError};

/// Problems of one kind that are listed; more are only counted.
const MAX_LISTED: usize = 100;

/// Why a file could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It could not be opened, for a reason that is no damage.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be read, for a reason that is no damage.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The caller asked to end it.
    #[error("cancelled; nothing was found out")]
    Cancelled,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Check {
    /// The file as a SQLite database.
    Database,
    /// The definitions of LiveStore's own tables.
    Tables,
    /// The row that says whose the file is and how far everything has come.
    Heads,
    /// The confirmed log.
    Log,
    /// This client's own settled events.
    ClientLog,
    /// The pending tail.
    Pending,
    /// Groups that did not make it.
    DeadLetters,
    /// Events that were skipped.
    Quarantine,
    /// Groups of histories that were left.
    Archive,
}

impl Check {
    /// Says what to do about a problem.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Database | Self::Tables => {
                "`livestore recover` makes a new file of what can be read, and derives the state anew"
            }
            Self::Heads | Self::Quarantine => {
                "`livestore recover` works this out anew from the log"
            }
            Self::Log => {
                "`livestore recover` keeps the log up to here; the rest comes again from the backend"
            }
            Self::ClientLog | Self::Pending => {
                "`livestore recover` keeps the groups that are whole and names the others"
            }
            Self::DeadLetters | Self::Archive => {
                "`livestore recover` keeps the rows that can be read and names the others"
            }
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::Tables => "tables",
            Self::Heads => "heads",
            Self::Log => "log",
            Self::ClientLog => "client log",
            Self::Pending => "pending",
            Self::DeadLetters => "dead letters",
            Self::Quarantine => "quarantine",
            Self::Archive => "archive",
        })
    }
}

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Problem {
    /// What it is about.
    pub check: Check,
    /// Where: a position, an ordinal, a table.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// How much was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Counted {
    /// The first position in the log; 1 unless the log begins with a later one.
    pub first: Option<GlobalSeqNum>,
    /// The last position in the log.
    pub last: Option<GlobalSeqNum>,
    /// Events in the confirmed log.
    pub confirmed_events: u64,
    /// Groups in the confirmed log.
    pub confirmed_groups: u64,
    /// Events in the client log.
    pub client_only_events: u64,
    /// Events in the pending tail.
    pub pending_events: u64,
    /// Groups in the pending tail.
    pub pending_groups: u64,
    /// Groups in the dead letters.
    pub dead_letters: u64,
    /// Events in the quarantine.
    pub quarantined: u64,
    /// Groups in the archive.
    pub archived: u64,
}

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifyReport {
    /// The file.
    #[serde(serialize_with = "crate::inspect::path_as_text")]
    pub file: PathBuf,
    /// Whose it is, if it tells.
    pub store_id: Option<StoreId>,
    /// How much was read.
    pub counted: Counted,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Further problems, which are not listed.
    pub unlisted_problems: u64,
}

impl VerifyReport {
    fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            store_id: None,
            counted: Counted::default(),
            problems: Vec::new(),
            unlisted_problems: 0,
        }
    }

    /// Tells whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, check: Check, place: impl Into<String>, what: impl Into<String>) {
        let listed = self.problems.iter().filter(|problem| problem.check == check).count();
        if listed == MAX_LISTED {
            self.unlisted_problems += 1;
            return;
        }
        let (place, what, remedy) = (place.into(), what.into(), check.remedy());
        self.problems.push(Problem { check, place, what, remedy });
    }
}

/// Checks a store's file, also while an app has it open.
///
/// A file whose header or meta row is damaged, so that it cannot be opened, is a finding as well.
///
/// # Errors
///
/// The file is missing, is no store, or could not be read; or the work was cancelled.
pub fn verify_file(path: &Path, progress: &Progress) -> Result<VerifyReport, VerifyError> {
    progress.begin(Work::Starting, 0);
    // An `Inspector` would want a meta row that makes sense.
    match Reading::open(path) {
        Ok(mut reading) => verify(&mut reading.connection, path, progress),
        Err(error) => {
            let mut report = VerifyReport::new(path);
            let check = match &error {
                OpenError::NotADatabase { .. } => Check::Database,
                OpenError::Damaged { .. } => Check::Heads,
                OpenError::Sqlite(error) if is_damage(error) => Check::Database,
                _ => return Err(error.into()),
            };
            report.add(check, "the file", error.to_string());
            Ok(report)
        }
    }
}

impl Inspector {
    /// Checks everything that can be checked without the app's schema.
    ///
    /// A read transaction stays open meanwhile; an app that commits goes on, but its `-wal` file
    /// grows until the check is done.
    pub fn verify(&mut self, progress: &Progress) -> Result<VerifyReport, VerifyError> {
        verify(&mut self.connection, &self.path, progress)
    }
}

fn verify(
    connection: &mut Connection,
    path: &Path,
    progress: &Progress,
) -> Result<VerifyReport, VerifyError> {
    let cancelled = progress.clone();
    connection.interrupt_when(move || cancelled.is_cancelled());
    let report = snapshot(connection, || {
        let mut checker = Checker::new(connection, path, progress);
        checker.run()?;
        Ok(checker.report)
    });
    // A check that is cut short may end in the middle of anything.
    if progress.is_cancelled() { Err(VerifyError::Cancelled) } else { report }
}

impl From<SqliteError> for VerifyError {
    fn from(error: SqliteError) -> Self {
        Self::Query(error.into())
    }
}

/// Tells damage from a machine that does not let us read.
fn is_damage(error: &SqliteError) -> bool {
    use rusqlite::ErrorCode as Code;
    match error {
        SqliteError::Sqlite { source, .. } => !matches!(
            source.sqlite_error_code(),
            Some(
                Code::PermissionDenied
                    | Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::OutOfMemory
                    | Code::OperationInterrupted
                    | Code::SystemIoFailure
                    | Code::CannotOpen
                    | Code::DiskFull
            )
        ),
        _ => true,
    }
}

/// The checks, and what they have found so far.
struct Checker<'a> {
    connection: &'a Connection,
    progress: &'a Progress,
    report: VerifyReport,
}

impl<'a> Checker<'a> {
    fn new(connection: &'a Connection, path: &Path, progress: &'a Progress) -> Self {
        Self { connection, progress, report: VerifyReport::new(path) }
    }

    fn run(&mut self) -> Result<(), VerifyError> {
        self.progress.begin(Work::CheckingDatabase, 0);
        self.check_database()?;
        self.check_tables()?;
        self.progress.begin(Work::CheckingEvents, count_events(self.connection));
        let meta = self.check_meta()?;
        let end = self.check_log()?;
        if let Some(meta) = &meta {
            self.report.store_id = Some(meta.store_id.clone());
            self.check_heads(meta, end)?;
        }
        self.check_client_log(meta.as_ref())?;
        self.check_pending(meta.as_ref())?;
        self.check_dead_letters()?;
        self.check_quarantine(meta.as_ref())?;
        self.check_archive()
    }

    fn add(&mut self, check: Check, place: impl Into<String>, what: impl Into<String>) {
        self.report.add(check, place, what);
    }

    /// Makes a finding of a failure, unless it says something about the machine.
    fn failed(
        &mut self,
        check: Check,
        place: impl Into<String>,
        error: SqliteError,
    ) -> Result<(), VerifyError> {
        if self.progress.is_cancelled() {
            return Err(VerifyError::Cancelled);
        }
        if !is_damage(&error) {
            return Err(error.into());
        }
        self.add(check, place, format!("reading goes no further: {}", without_sql(&error)));
        Ok(())
    }

    /// Runs a query; a row that it finds is a problem, which the function describes.
    fn find(
        &mut self,
        check: Check,
        place: &str,
        sql: &str,
        params: impl rusqlite::Params,
        describe: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<(String, String)>,
    ) -> Result<(), VerifyError> {
        let mut found = Vec::new();
        let read = self.connection.system().for_each(sql, params, |row| {
            found.push(describe(row)?);
            Ok(found.len() <= MAX_LISTED)
        });
        for (place, what) in found {
            self.add(check, place, what);
        }
        match read {
            Ok(()) => Ok(()),
            Err(error) => self.failed(check, place, error),
        }
    }

    /// Reads the rows of a table in an order, and calls a function with each: its first values,
    /// and what they make.
    fn each_row<T: StoredRow>(
        &mut self,
        check: Check,
        order: &str,
        mut each: impl FnMut(&mut Self, &[Value], Result<T, super::rows::Flaw>),
    ) -> Result<(), VerifyError> {
        let columns = T::COLUMNS.join(", ");
        let sql = format!("SELECT {columns} FROM {} ORDER BY {order}", T::TABLE);
        let connection = self.connection;
        let mut last = None;
        let read = connection.system().for_each(&sql, [], |row| {
            let value = |at| Ok(Value::from_sql(row.get_ref(at)?));
            let values: Vec<_> =
                (0..T::COLUMNS.len()).map(value).collect::<rusqlite::Result<_>>()?;
            each(self, &values, T::from_values(&values));
            self.progress.add(1);
            last = values.into_iter().next();
            Ok(!self.progress.is_cancelled())
        });
        let place = match last {
            Some(last) => format!("after {} {}", T::COLUMNS[0], key(&[last])),
            None => "the beginning".into(),
        };
        match read {
            Ok(()) => Ok(()),
            Err(error) => self.failed(check, place, error),
        }
    }

    fn check_meta(&mut self) -> Result<Option<MetaRow>, VerifyError> {
        let (mut meta, mut rows) = (None, 0);
        self.each_row(Check::Heads, "id", |this, _, row: Result<MetaRow, _>| {
            rows += 1;
            match row {
                Ok(row) => meta = Some(row),
                Err(flaw) => this.add(Check::Heads, "the meta row", flaw.to_string()),
            }
        })?;
        if rows != 1 {
            self.add(Check::Heads, "the meta row", format!("expected one row, found {rows}"));
        }
        Ok(meta)
    }
}

/// Counts what there is to read, for whoever waits; a damaged table is found out about later.
fn count_events(connection: &Connection) -> u64 {
    let sql = "SELECT (SELECT count(*) FROM __livestore_eventlog) \
               + (SELECT count(*) FROM __livestore_client_log) \
               + (SELECT count(*) FROM __livestore_pending)";
    let count = connection.system().query_one(sql, [], |row| row.get(0));
    count.ok().flatten().unwrap_or(0)
}

/// Writes the key of a row that may make no sense.
fn key(values: &[Value]) -> String {
    let value = |value: &Value| match value {
        Value::Integer(number) => number.to_string(),
        _ => "?".into(),
    };
    values.iter().map(value).collect::<Vec<_>>().join(".")
}

/// Writes a group's id as it is stored.
fn group_name(id: rusqlite::types::ValueRef<'_>) -> String {
    let id = id.as_blob().ok().and_then(GroupId::from_slice);
    id.map_or("without an id".into(), |id| id.to_string())
}

/// Says what failed without repeating the statement, which means nothing to a reader.
fn without_sql(error: &SqliteError) -> String {
    match error {
        SqliteError::Sqlite { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Tells why a group cannot be, if it cannot.
fn flaw_of_group(group: &Result<Group, livestore_core::GroupError>) -> Option<String> {
    group.as_ref().err().map(ToString::to_string)
}
