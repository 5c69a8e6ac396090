//! The writes of materializers.
//!
//! They are values. Those that a materializer returns run after it, when nobody is there to receive
//! rows; so one with a RETURNING clause is of another type, which the materializer's context runs
//! at once. What a write depends on is read before, or stands in it: expressions and sub-queries
//! are evaluated where it runs.

mod delete;
mod dynamic;
mod insert;
mod returning;
mod update;

use std::sync::Arc;

use crate::ast::{self, Checker, SqlWriter, StatementError};
use crate::date_functions::with_pure_dates;
use crate::{Table, TableDef, Value, ValueError, sql};

pub use delete::Delete;
pub use dynamic::TableWrite;
pub use insert::{ConflictColumns, Insert, OnConflict, excluded};
pub use returning::{Returning, RunWrite};
pub use update::{Assignment, Update};

/// One SQL write with its values, ready to run.
///
/// The builders make it, and then its text holds no input; [`raw`](Self::raw) takes a text of the app's.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) sql: WriteSql,
    pub(crate) binds: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum WriteSql {
    Constant(&'static str),
    Built(Box<str>),
    Shared(Arc<str>),
}

impl WriteSql {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Constant(sql) => sql,
            Self::Built(sql) => sql,
            Self::Shared(sql) => sql,
        }
    }
}

impl Write {
    /// Makes a write that came as plain data, after its names were checked against the definitions
    /// of the tables that there are.
    pub fn checked(
        statement: &ast::Statement,
        tables: &[TableDef],
    ) -> Result<Self, StatementError> {
        Checker::new(tables).statement(statement)?;
        Ok(Self::build(|writer| writer.statement(statement))?)
    }

    /// Takes the text of one statement, with the values for its `?`.
    ///
    /// It is held to the same rules as every write: it can use the tables that its event may use, and of
    /// date functions what is the same for all clients. Rows that it gives back are received by nobody.
    pub fn raw(sql: &str, binds: Vec<Value>) -> Self {
        RawWrite::new(sql).with(binds)
    }

    /// Makes a write whose names are known to exist, which gives these back of each row.
    fn build_returning(
        returning: &[ast::Expr],
        write: impl FnOnce(&mut SqlWriter) -> Result<(), ValueError>,
    ) -> Result<Self, ValueError> {
        Self::build(|writer| {
            write(writer)?;
            writer.returning(returning)
        })
    }

    fn build(
        write: impl FnOnce(&mut SqlWriter) -> Result<(), ValueError>,
    ) -> Result<Self, ValueError> {
        let mut writer = SqlWriter::new(sql::SYNCED_WRITE_MARK);
        write(&mut writer)?;
        let (sql, binds) = writer.finish();
        Ok(Self { sql: WriteSql::Built(sql.into()), binds })
    }

    /// Returns the text without its mark, for messages.
    fn as_written(&self) -> Box<str> {
        sql::as_written(self.sql.as_str()).into()
    }
}

/// The text of a write of the app's, for any values; see [`Write::raw`].
#[derive(Debug, Clone)]
pub struct RawWrite(Arc<str>);

impl RawWrite {
    /// Takes the text of one statement.
    pub fn new(sql: &str) -> Self {
        Self(sql::mark_write(&with_pure_dates(sql)).into())
    }

    /// Returns the write with the values for its `?`.
    pub fn with(&self, binds: Vec<Value>) -> Write {
        Write { sql: WriteSql::Shared(Arc::clone(&self.0)), binds }
    }
}

/// Refuses to give values to columns of table `T` that are generated.
fn check_written<T: Table>(set: &[ast::Set]) -> Result<(), ValueError> {
    if T::WRITTEN.len() == T::COLUMNS.len() {
        return Ok(());
    }
    let is_generated = |set: &&ast::Set| !T::WRITTEN.contains(&&*set.column);
    set.iter().find(is_generated).map_or(Ok(()), |set| {
        let (table, column) = (T::NAME.into(), set.column.to_string());
        Err(ValueError::GeneratedColumn { table, column })
    })
}
