//! What can go wrong below the store.

use crate::{Scope, TableAccess, TableError};

/// A Rust value that has no SQLite form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// NaN: SQLite would store NULL in its place.
    #[error("NaN cannot be stored in column {column}; use an optional column and None")]
    NotANumber {
        /// The column.
        column: String,
    },
    /// An unsigned integer that is greater than every integer of SQLite.
    #[error("{value} is too large for integer column {column}, which ends at 2^63 - 1")]
    IntegerTooLarge {
        /// The column.
        column: String,
        /// The value.
        value: u64,
    },
    /// A value of a JSON column without canonical JSON.
    #[error("the value of JSON column {column} cannot be encoded: {source}")]
    Json {
        /// The column.
        column: String,
        /// Why not.
        source: livestore_core::JsonError,
    },
    /// An update that sets nothing.
    #[error("an update of {table} sets no column; set one, or leave the update out")]
    NothingToSet {
        /// The table.
        table: String,
    },
    /// A write gives a value to a column that is computed from others.
    #[error("column {column} of {table} is generated; set the columns that it is computed from")]
    GeneratedColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The row that was to be inserted is named where there is none.
    #[error(
        "`excluded` has column {column} of the row that an upsert was to insert; use it in \
         `on_conflict(…).update(…)` alone"
    )]
    ExcludedOutsideUpsert {
        /// The column.
        column: String,
    },
    /// A function of groups of rows stands where there are no groups.
    #[error(
        "{function} stands for many rows and cannot be used in {place}; use `having`, or a sub-query"
    )]
    Aggregate {
        /// The function.
        function: &'static str,
        /// Where it stands.
        place: &'static str,
    },
    /// A sub-query stands where SQLite does not say which rows it finds.
    #[error(
        "a sub-query cannot be used in `returning`, where it may or may not see what the write \
         does; query the rows after the write"
    )]
    SubQueryInReturning,
    /// Expressions stand inside each other too deep for SQLite.
    #[error("an expression is more than {max} levels deep; split it, or use one list of many")]
    TooDeep {
        /// The limit.
        max: usize,
    },
}

/// A stored value that does not fit the type it is read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "column {column}: expected {expected}, found {found}{}{}",
    if .advice.is_some() { "; " } else { "" }, .advice.unwrap_or_default()
)]
pub struct DecodeError {
    /// The column, by name or index.
    pub column: String,
    /// The Rust type.
    pub expected: &'static str,
    /// What was there.
    pub found: String,
    /// What to do instead, where that is known.
    pub advice: Option<&'static str>,
}

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// SQLite itself refused or failed.
    #[error("SQLite: {source}{}", for_sql(.sql.as_deref()))]
    Sqlite {
        /// SQLite's error.
        source: rusqlite::Error,
        /// The statement, if there was one.
        sql: Option<Box<str>>,
    },
    /// The statement does what its view may not do.
    #[error("{what} is not allowed in {mode}: {advice}{}", for_sql(.sql.as_deref()))]
    Denied {
        /// What it tried.
        what: String,
        /// Where it tried.
        mode: &'static str,
        /// What the rule is, and what to do instead.
        advice: &'static str,
        /// The statement.
        sql: Option<Box<str>>,
    },
    /// A materializer reached for a table that its event may not touch.
    #[error(
        "{access} {table}, a {scope} table, is not allowed in a materializer of a {} event: {}{}",
        .event.event_kind(), advice(.table, *.scope, *.access, *.event), for_sql(.sql.as_deref())
    )]
    OutOfScope {
        /// The table.
        table: String,
        /// The table's scope.
        scope: Scope,
        /// What the materializer tried.
        access: TableAccess,
        /// The scope of the tables that the event writes to.
        event: Scope,
        /// The statement.
        sql: Option<Box<str>>,
    },
    /// The database file holds something by the name of a memory table, which would hide it.
    #[error("the file has a table named {table}, which would hide the memory table; rename one")]
    HidesMemoryTable {
        /// The name.
        table: String,
    },
    /// The tables cannot be what their definitions say.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An event's writes are done, and a row refers to one that is not there.
    #[error(
        "FOREIGN KEY constraint failed: {} refers to a row that is not there; write that one in \
         the same event, or refer to it later", .table.as_deref().unwrap_or("a row")
    )]
    ForeignKey {
        /// The table of such a row, and the table it refers to.
        table: Option<String>,
    },
    /// A stored value does not fit the type that a query reads.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A value to be written has no SQLite form.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A query or a write that has to give a row gave none.
    #[error("no row was found (in: {sql}); use `first` if there may be none")]
    NoRow {
        /// The query or write.
        sql: Box<str>,
    },
    /// One group changed more rows than undo data is kept for.
    #[error("more than {max} row changes in one commit; split it into smaller commits")]
    TooManyChanges {
        /// The limit.
        max: usize,
    },
    /// An event does so much that its changes have to be counted, and nothing is captured yet.
    #[error("an event changes so many rows that they have to be captured")]
    NotCaptured,
    /// Stored undo data is not what this crate writes.
    #[error("undo data is damaged at byte {at}")]
    DamagedUndo {
        /// Offset of the first byte that makes no sense.
        at: usize,
    },
    /// Bytes that should be rows of another database are none.
    #[error("rows of another database are damaged at byte {at}")]
    DamagedRows {
        /// Offset of the first byte that makes no sense.
        at: usize,
    },
}

fn for_sql(sql: Option<&str>) -> String {
    sql.map_or_else(String::new, |sql| {
        let shown: String = sql.chars().take(300).collect();
        format!(" (in: {shown})")
    })
}

/// Says what to do about a table that is out of an event's scope.
fn advice(table: &str, scope: Scope, access: TableAccess, event: Scope) -> String {
    let (writers, kind) = (scope.event_kind(), event.event_kind());
    match (access, event) {
        (TableAccess::Read, Scope::Synced) => format!(
            "what it writes has to be equal on every client; put what it needs into the event's \
             payload, or make {table} a synced table"
        ),
        (TableAccess::Read, _) => format!(
            "what it writes has to follow from what is on disk; put what it needs into the event's \
             payload, or make {table} a {event} table"
        ),
        _ => format!(
            "only {writers} events write to {scope} tables; write to {table} from one of these, \
             or make it a {event} table, which {kind} events write to"
        ),
    }
}

impl SqliteError {
    pub(crate) fn new(source: rusqlite::Error, marked_sql: &str) -> Self {
        let sql = crate::sql::as_written(marked_sql);
        let source = match source {
            // It would repeat the whole statement, with our mark in front.
            rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
                let before = usize::try_from(offset).ok().and_then(|end| marked_sql.get(..end));
                let offset = before.map_or(0, |before| crate::sql::as_written(before).len());
                rusqlite::Error::SqliteFailure(error, Some(format!("{msg} at byte {offset}")))
            }
            other => other,
        };
        Self::Sqlite { source, sql: Some(sql.into()) }
    }

    /// Tells whether the disk failed to sync, after which it cannot be told what it has.
    pub fn is_sync_failure(&self) -> bool {
        use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};
        let Self::Sqlite { source: rusqlite::Error::SqliteFailure(error, _), .. } = self else {
            return false;
        };
        matches!(error.extended_code, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC)
    }

    /// Tells whether the same statement on the same state would fail again, anywhere.
    ///
    /// Constraint violations and wrong statements are such; a full disk, a failed read or write,
    /// lack of memory and an interrupt are not: they say something about the machine.
    pub fn is_deterministic(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite { source: rusqlite::Error::SqliteFailure(error, _), .. } => !matches!(
                error.code,
                Code::InternalMalfunction
                    | Code::PermissionDenied
                    | Code::OperationAborted
                    | Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::OutOfMemory
                    | Code::ReadOnly
                    | Code::OperationInterrupted
                    | Code::SystemIoFailure
                    | Code::DatabaseCorrupt
                    | Code::DiskFull
                    | Code::CannotOpen
                    | Code::FileLockingProtocolFailed
                    | Code::NoLargeFileSupport
                    | Code::NotADatabase
            ),
            Self::DamagedUndo { .. } | Self::DamagedRows { .. } | Self::NotCaptured => false,
            _ => true,
        }
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite { source, sql: None }
    }
}
