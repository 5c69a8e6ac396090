//! The writes that materializers return.
//!
//! They are values that run after the materializer has returned, so nothing is there to receive
//! rows from a RETURNING clause, and none of them has one. What a write depends on is read before,
//! with the materializer's context, or stands in it: expressions and sub-queries are evaluated
//! where it runs.

mod delete;
mod dynamic;
mod insert;
mod update;

use crate::ast::{self, Checker, SqlWriter, StatementError};
use crate::{Table, TableDef, Value, ValueError, sql};

pub use delete::Delete;
pub use dynamic::TableWrite;
pub use insert::{ConflictColumns, Insert, OnConflict, excluded};
pub use update::{Assignment, Update};

/// One SQL write with its values, ready to run.
///
/// It can only be made by the builders of this crate, so its text never holds input.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) sql: WriteSql,
    pub(crate) binds: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum WriteSql {
    Constant(&'static str),
    Built(Box<str>),
}

impl WriteSql {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Constant(sql) => sql,
            Self::Built(sql) => sql,
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

    /// Makes a write whose names are known to exist.
    fn build(
        write: impl FnOnce(&mut SqlWriter) -> Result<(), ValueError>,
    ) -> Result<Self, ValueError> {
        let mut writer = SqlWriter::new(sql::SYNCED_WRITE_MARK);
        write(&mut writer)?;
        let (sql, binds) = writer.finish();
        Ok(Self { sql: WriteSql::Built(sql.into()), binds })
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
