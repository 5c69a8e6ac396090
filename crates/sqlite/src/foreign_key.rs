//! Foreign keys: rows that refer to rows, and what happens when those go.
//!
//! Within one event rows may come and go in any order; when its writes are done, every reference
//! has to lead somewhere, or the event fails.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens to a row when the row that it refers to goes or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Nothing. If the reference leads nowhere when the event's writes are done, the event fails.
    #[default]
    NoAction,
    /// The write that would do it fails at once.
    Restrict,
    /// The row goes too, or changes with it.
    Cascade,
    /// The referring columns become null.
    SetNull,
    /// The referring columns get their defaults.
    SetDefault,
}

impl fmt::Display for Action {
    /// Writes the action as SQL does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        })
    }
}

/// A reference from columns of one table to columns of another, or of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub(crate) columns: Vec<String>,
    pub(crate) table: String,
    pub(crate) referenced: Vec<String>,
    pub(crate) on_delete: Action,
    pub(crate) on_update: Action,
}

impl ForeignKey {
    /// Refers from columns of the table that it belongs to, to columns of another, in pairs.
    ///
    /// The columns referred to are that table's primary key, or have a unique index. A row of
    /// which one of the referring columns is null refers to nothing.
    pub fn new<C: Into<String>, R: Into<String>>(
        columns: impl IntoIterator<Item = C>,
        table: impl Into<String>,
        referenced: impl IntoIterator<Item = R>,
    ) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            table: table.into(),
            referenced: referenced.into_iter().map(Into::into).collect(),
            on_delete: Action::NoAction,
            on_update: Action::NoAction,
        }
    }

    /// Says what happens to a row when the row it refers to is deleted.
    #[must_use]
    pub fn on_delete(mut self, action: Action) -> Self {
        self.on_delete = action;
        self
    }

    /// Says what happens to a row when the row it refers to gets other values.
    #[must_use]
    pub fn on_update(mut self, action: Action) -> Self {
        self.on_update = action;
        self
    }

    /// Returns the referring columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns the name of the table referred to.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the columns referred to, one for each referring column.
    pub fn referenced(&self) -> &[String] {
        &self.referenced
    }

    /// Returns what happens when the row referred to is deleted.
    pub fn delete_action(&self) -> Action {
        self.on_delete
    }

    /// Returns what happens when the row referred to gets other values.
    pub fn update_action(&self) -> Action {
        self.on_update
    }
}
