//! Writes.

use serde::{Deserialize, Serialize};

use super::{Expr, Name};

/// A write to one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// Adds one row.
    Insert(Insert),
    /// Changes rows.
    Update(Update),
    /// Removes rows.
    Delete(Delete),
}

/// A column and the value that it gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The column.
    pub column: Name,
    /// Its value.
    pub value: Expr,
}

/// Adds one row to a table; columns that are not named get their default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    /// The table.
    pub table: Name,
    /// The row.
    #[serde(default)]
    pub values: Vec<Set>,
    /// What happens if rows are in the way; without it, the insert fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
}

/// What an insert does about rows that are in its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The columns of the primary key or a UNIQUE constraint that the other row shares; if empty,
    /// any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Name>,
    /// What is done.
    pub action: ConflictAction,
}

/// What is done about a row that is in the way of an insert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictAction {
    /// It stays, and nothing is inserted.
    Ignore,
    /// It gets the new row's values in all columns that the insert names. Without conflict
    /// columns, all rows in the way are removed instead.
    Replace,
    /// It gets these values; the table `excluded` is the row that was to be inserted.
    Update(Vec<Set>),
}

/// Changes columns of rows of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The table.
    pub table: Name,
    /// The columns, at least one.
    pub set: Vec<Set>,
    /// Which rows; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
}

/// Removes rows of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The table.
    pub table: Name,
    /// Which rows; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
}
