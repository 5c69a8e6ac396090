//! Names of tables and columns.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The name of a table, an alias or a column.
pub type Name = Cow<'static, str>;

/// A column of one of a statement's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The table's name or its alias; without it, the only table that has such a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Name>,
    /// The column's name.
    pub name: Name,
}

impl Column {
    /// The name by which an upsert calls the row that was to be inserted.
    pub const EXCLUDED: &'static str = "excluded";

    /// Names a column of a table.
    pub fn of(table: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self { of: Some(table.into()), name: name.into() }
    }
}
