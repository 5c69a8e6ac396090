//! Writes for tables that were defined at run time.

use super::Write;
use crate::ast::{
    Column, Comparison, Delete, Expr, Insert, Set, Statement, StatementError, Update,
};
use crate::{TableDef, Value};

/// Writes for tables that have no Rust struct, because they were defined at run time.
///
/// These are the plain ones; [`Write::checked`] takes all that there are.
#[derive(Debug)]
pub enum TableWrite {}

impl TableWrite {
    /// Inserts a row into a table that was defined at run time.
    ///
    /// Columns that are not named get their default. The names are checked against the
    /// definition, so none of the input becomes SQL.
    pub fn insert(
        table: &TableDef,
        values: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, StatementError> {
        let (name, values) = (table.name().to_owned().into(), sets(values));
        let insert = Insert { table: name, values, conflict: None };
        checked(table, Statement::Insert(insert))
    }

    /// Sets columns of the rows whose columns equal the given values.
    pub fn update(
        table: &TableDef,
        set: impl IntoIterator<Item = (String, Value)>,
        equal: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, StatementError> {
        let (name, filter) = (table.name().to_owned().into(), all_equal(table, equal));
        checked(table, Statement::Update(Update { table: name, set: sets(set), filter }))
    }

    /// Deletes the rows whose columns equal the given values.
    pub fn delete(
        table: &TableDef,
        equal: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, StatementError> {
        let (name, filter) = (table.name().to_owned().into(), all_equal(table, equal));
        checked(table, Statement::Delete(Delete { table: name, filter }))
    }
}

fn checked(table: &TableDef, statement: Statement) -> Result<Write, StatementError> {
    Write::checked(&statement, std::slice::from_ref(table))
}

fn sets(values: impl IntoIterator<Item = (String, Value)>) -> Vec<Set> {
    let set = |(name, value): (String, _)| Set { column: name.into(), value: Expr::Value(value) };
    values.into_iter().map(set).collect()
}

fn all_equal(table: &TableDef, equal: impl IntoIterator<Item = (String, Value)>) -> Option<Expr> {
    let is_equal = |(name, value): (String, _)| {
        let column = Expr::Column(Column::of(table.name().to_owned(), name));
        column.compare(Comparison::Is, Expr::Value(value))
    };
    equal.into_iter().map(is_equal).reduce(Expr::and)
}
