//! Full-text search: FTS5 indexes over tables whose key is the rowid.
//!
//! An index holds no text of its own: it reads that of its table, and persistent triggers tell it
//! of every change, those of undo included. So it never has to be undone itself.

use std::fmt::Write as _;

use crate::TableDef;
use crate::table::quoted;

/// Ends of the names of the tables in which FTS5 keeps an index; it makes them by itself.
const SHADOWS: [&str; 4] = ["_data", "_idx", "_docsize", "_config"];

/// The definition of one full-text index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FtsDef {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) tokenizer: Option<String>,
}

impl FtsDef {
    /// Starts an index over text columns of a table with a single integer key.
    ///
    /// Its name is that of a table which queries can search, by raw SQL:
    /// `SELECT rowid FROM name WHERE name MATCH ?`. A row's `rowid` there is its key.
    pub fn new<C: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { name: name.into(), columns, tokenizer: None }
    }

    /// Sets how FTS5 finds words, such as `porter unicode61` or `trigram`; `unicode61` by default.
    #[must_use]
    pub fn tokenizer(mut self, tokenizer: impl Into<String>) -> Self {
        self.tokenizer = Some(tokenizer.into());
        self
    }

    /// Returns the index's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of the columns that it finds words in.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns how it finds words, if it says.
    pub fn tokenizer_words(&self) -> Option<&str> {
        self.tokenizer.as_deref()
    }

    /// Returns the names that it takes in its database: the table to search, those in which FTS5
    /// keeps it, and the triggers.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let own = std::iter::once(self.name.clone());
        own.chain(SHADOWS.iter().chain(&TRIGGERS).map(|end| format!("{}{end}", self.name)))
    }

    /// Returns the names of the triggers that keep it.
    pub(crate) fn triggers(&self) -> impl Iterator<Item = String> {
        TRIGGERS.iter().map(|end| format!("{}{end}", self.name))
    }

    /// Returns the names of the tables in which FTS5 keeps it.
    pub(crate) fn shadows(&self) -> impl Iterator<Item = String> {
        SHADOWS.iter().map(|end| format!("{}{end}", self.name))
    }

    pub(crate) fn write_ddl(&self, table: &TableDef, sql: &mut String) {
        let Self { name, columns, .. } = self;
        let database = if table.scope().is_on_disk() { "" } else { "memory." };
        let key: String = quoted(table.key_names());
        let columns = quoted(columns.iter().map(|column| &**column));
        let of = |row: &str| -> String {
            let columns = self.columns.iter().map(|column| format!(", {row}.\"{column}\""));
            format!("{row}.{key}{}", columns.collect::<String>())
        };
        let option = |name: &str, value: &str| format!(", {name}='{}'", value.replace('\'', "''"));
        let tokenizer = self.tokenizer.as_ref().map(|words| option("tokenize", words));
        let table_name = table.name();
        let _ = write!(
            sql,
            ";\nCREATE VIRTUAL TABLE {database}\"{name}\" USING fts5({columns}{}{}{})",
            option("content", table_name),
            option("content_rowid", &key[1..key.len() - 1]),
            tokenizer.unwrap_or_default()
        );
        let add = format!("INSERT INTO \"{name}\" (rowid, {columns}) VALUES ({})", of("NEW"));
        let remove = format!(
            "INSERT INTO \"{name}\" (\"{name}\", rowid, {columns}) VALUES ('delete', {})",
            of("OLD")
        );
        for (end, operation, body) in [
            (TRIGGERS[0], "INSERT", add.clone()),
            (TRIGGERS[1], "DELETE", remove.clone()),
            (TRIGGERS[2], "UPDATE", format!("{remove}; {add}")),
        ] {
            let _ = write!(
                sql,
                ";\nCREATE TRIGGER {database}\"{name}{end}\" AFTER {operation} ON \"{table_name}\" \
                 BEGIN {body}; END"
            );
        }
    }
}

const TRIGGERS: [&str; 3] = ["_inserted", "_deleted", "_updated"];
