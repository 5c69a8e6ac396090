//! Tables: their definition at run time, their DDL, and the trait that the derive implements.

mod check;
mod ddl;
mod error;
mod schema;

use std::cmp::Ordering;

use crate::row::RowRef;
use crate::{
    Assignment, ColumnDef, DecodeError, Delete, ForeignKey, FtsDef, IndexDef, Insert, Scope,
    Select, Update, Value, ValueError, sql,
};

pub(crate) use ddl::quoted;
pub use error::{ForeignKeyProblem, TableError};
pub use schema::check_tables;

/// Most columns that a table may have.
///
/// Capturing a change passes a whole row to one function call, which takes at most 1,000 arguments.
const MAX_COLUMNS: usize = 400;

/// The definition of one state table.
///
/// `#[derive(Table)]` makes one from a struct; other languages build the same at run time. What
/// concerns other tables, and the columns that indexes and foreign keys name, is checked by
/// [`check_tables`], when a schema is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    name: String,
    columns: Vec<ColumnDef>,
    scope: Scope,
    checks: Vec<String>,
    indexes: Vec<IndexDef>,
    foreign_keys: Vec<ForeignKey>,
    full_texts: Vec<FtsDef>,
}

impl TableDef {
    /// Checks and makes a definition, of a synced table.
    pub fn new(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = ColumnDef>,
    ) -> Result<Self, TableError> {
        let def = Self {
            name: name.into(),
            columns: columns.into_iter().collect(),
            scope: Scope::Synced,
            checks: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            full_texts: Vec::new(),
        };
        def.check_columns()?;
        Ok(def)
    }

    /// Sets who derives the table.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Refuses rows for which an SQL expression over several of its columns is false.
    ///
    /// It is held to the same rules as that of [`ColumnDef::check`].
    #[must_use]
    pub fn check(mut self, expression: impl Into<String>) -> Self {
        self.checks.push(expression.into());
        self
    }

    /// Adds an index.
    #[must_use]
    pub fn index(mut self, index: IndexDef) -> Self {
        self.indexes.push(index);
        self
    }

    /// Adds a foreign key; one of a single column can also be said by [`ColumnDef::references`].
    #[must_use]
    pub fn foreign_key(mut self, foreign_key: ForeignKey) -> Self {
        self.foreign_keys.push(foreign_key);
        self
    }

    /// Adds an index for full-text search.
    #[must_use]
    pub fn full_text(mut self, index: FtsDef) -> Self {
        self.full_texts.push(index);
        self
    }

    /// Returns who derives the table.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Compares two tables of one schema by their place in it, which undo data on disk names.
    ///
    /// Memory tables come last, so that one that comes or goes moves none of those on disk. Within
    /// these two parts, tables are ordered by name.
    pub fn cmp_place(&self, other: &Self) -> Ordering {
        let is_last = |table: &Self| !table.scope.is_on_disk();
        is_last(self).cmp(&is_last(other)).then_with(|| self.name.cmp(&other.name))
    }

    /// Returns the table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its columns in order.
    pub fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }

    /// Returns the column of a name.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the SQL expressions that [`Self::check`] added.
    pub fn checks(&self) -> &[String] {
        &self.checks
    }

    /// Returns its indexes, without those that the key and unique columns have anyway.
    pub fn indexes(&self) -> &[IndexDef] {
        &self.indexes
    }

    /// Returns its foreign keys: those of single columns first, then those of the table.
    pub fn foreign_keys(&self) -> Vec<ForeignKey> {
        let of_column = |column: &ColumnDef| {
            let (table, referenced) = column.references.as_ref()?;
            let foreign_key = ForeignKey::new([&*column.name], &**table, [&**referenced]);
            let foreign_key = foreign_key.on_delete(column.on_delete.unwrap_or_default());
            Some(foreign_key.on_update(column.on_update.unwrap_or_default()))
        };
        let of_columns = self.columns.iter().filter_map(of_column);
        of_columns.chain(self.foreign_keys.iter().cloned()).collect()
    }

    /// Returns its indexes for full-text search.
    pub fn full_texts(&self) -> &[FtsDef] {
        &self.full_texts
    }

    /// Tells whether its rows refer to others.
    pub(crate) fn has_foreign_keys(&self) -> bool {
        let has_reference = |column: &ColumnDef| column.references.is_some();
        !self.foreign_keys.is_empty() || self.columns.iter().any(has_reference)
    }

    /// Tells whether SQLite numbers its rows.
    pub(crate) fn auto_increment(&self) -> bool {
        self.columns.iter().any(|column| column.auto_increment)
    }

    /// Tells whether its key is the rowid itself: a single INTEGER.
    pub(crate) fn has_rowid_key(&self) -> bool {
        let mut types = self.columns.iter().filter(|c| c.primary_key).map(|c| c.column_type);
        types.next().is_some_and(|t| t.sql() == "INTEGER") && types.next().is_none()
    }

    /// Returns the names of the key columns.
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|column| column.primary_key).map(ColumnDef::name)
    }

    /// Returns the names of the columns that are written: all but those that are generated.
    pub fn written_names(&self) -> impl Iterator<Item = &str> {
        self.written().map(ColumnDef::name)
    }

    /// Returns the columns that are written: all but those that are generated.
    pub(crate) fn written(&self) -> impl Iterator<Item = &ColumnDef> {
        self.columns.iter().filter(|column| column.generated.is_none())
    }

    /// Returns the indexes of the key columns among the columns that are written.
    pub(crate) fn key(&self) -> impl Iterator<Item = usize> {
        let columns = self.written().enumerate();
        columns.filter(|(_, column)| column.primary_key).map(|(index, _)| index)
    }
}

/// The constant statements of a table, written once.
#[derive(Debug)]
pub struct TableSql {
    pub(crate) insert: Box<str>,
    pub(crate) select: Box<str>,
}

impl TableSql {
    /// Writes the statements of a table, given all columns and those that are written; for the
    /// derive macro.
    pub fn new(table: &str, columns: &[&str], written: &[&str]) -> Self {
        let marks = vec!["?"; written.len()].join(", ");
        let (columns, written) = (quoted(columns.iter().copied()), quoted(written.iter().copied()));
        let insert = format!("INSERT INTO \"{table}\" ({written}) VALUES ({marks})");
        Self {
            insert: sql::mark_write(&insert),
            select: format!("SELECT {columns} FROM \"{table}\"").into(),
        }
    }
}

/// A struct whose values are rows of one state table; implemented by `#[derive(Table)]`.
pub trait Table: Sized + Send + Sync + 'static {
    /// The table's name.
    const NAME: &'static str;
    /// The names of its columns, in the order of the struct's fields.
    const COLUMNS: &'static [&'static str];
    /// The names of those that are its primary key, in the same order.
    ///
    /// Rows that a selection's order leaves equal come in the order of the key. Without it, they come
    /// in any order.
    const KEY: &'static [&'static str] = &[];
    /// The names of those that an insert writes, in the same order: all but the generated ones.
    const WRITTEN: &'static [&'static str] = Self::COLUMNS;

    /// Returns the table's definition.
    ///
    /// # Errors
    ///
    /// The struct may describe a table that cannot be, such as one without a primary key.
    fn definition() -> Result<TableDef, TableError>;

    /// Returns the table's constant statements.
    fn sql() -> &'static TableSql;

    /// Reads a row whose columns are [`Self::COLUMNS`].
    fn from_row(row: RowRef<'_>) -> Result<Self, DecodeError>;

    /// Returns the values of [`Self::WRITTEN`].
    fn into_values(self) -> Result<Vec<Value>, ValueError>;

    /// Selects all rows; narrow it with [`Select::filter`].
    fn select() -> Select<Self> {
        Select::of_table()
    }

    /// Inserts one row.
    fn insert(row: Self) -> Insert<Self> {
        Insert::new(row)
    }

    /// Inserts one row of which some columns are given, such as `Todo::id.set("a")`; the others get
    /// their default.
    fn insert_columns(columns: impl IntoIterator<Item = Assignment<Self>>) -> Insert<Self> {
        Insert::of_columns(columns)
    }

    /// Updates rows; name columns with [`Update::set`] and rows with [`Update::filter`].
    fn update() -> Update<Self> {
        Update::new()
    }

    /// Deletes rows; name them with [`Delete::filter`].
    fn delete() -> Delete<Self> {
        Delete::new()
    }
}
