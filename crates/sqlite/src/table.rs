//! Tables: their definition at run time, their DDL, and the trait that the derive implements.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::row::RowRef;
use crate::{
    Assignment, ColumnDef, ColumnType, DecodeError, Delete, Insert, Scope, Select, TableError,
    Update, Value, ValueError, sql,
};

/// Most columns that a table may have.
///
/// A captured update passes the old row and the new key to one function call, and SQLite's
/// limit of 1,000 arguments has to hold both.
const MAX_COLUMNS: usize = 400;

/// The definition of one state table.
///
/// `#[derive(Table)]` makes one from a struct; other languages build the same at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    name: String,
    columns: Vec<ColumnDef>,
    scope: Scope,
}

impl TableDef {
    /// Checks and makes a definition, of a synced table.
    pub fn new(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = ColumnDef>,
    ) -> Result<Self, TableError> {
        let columns = columns.into_iter().collect();
        let def = Self { name: name.into(), columns, scope: Scope::Synced };
        def.check()?;
        Ok(def)
    }

    fn check(&self) -> Result<(), TableError> {
        check_name(&self.name)?;
        let (table, count) = (self.name.clone(), self.columns.len());
        if count == 0 || count > MAX_COLUMNS {
            return Err(TableError::ColumnCount { table, count, max: MAX_COLUMNS });
        }
        let mut names = HashSet::new();
        for column in &self.columns {
            check_name(&column.name)?;
            if !names.insert(column.name.to_ascii_lowercase()) {
                return Err(TableError::DuplicateColumn { table, column: column.name.clone() });
            }
            let invalid_key = match column.column_type {
                _ if !column.primary_key => None,
                _ if column.nullable => Some("it is nullable"),
                ColumnType::Real => Some("reals are not compared exactly"),
                ColumnType::Json => Some("JSON is no key; keep the key in a column of its own"),
                _ => None,
            };
            if let Some(reason) = invalid_key {
                return Err(TableError::InvalidKey { table, column: column.name.clone(), reason });
            }
            let default_fits = column.default.as_ref().is_none_or(|value| match value {
                Value::Null => column.nullable,
                // SQL text ends at a zero character, and so would the definition.
                Value::Text(text) if text.contains('\0') => false,
                value => column.column_type.accepts(value),
            });
            if !default_fits {
                let (column, expected) = (column.name.clone(), column.column_type);
                return Err(TableError::InvalidDefault { table, column, expected });
            }
        }
        if !self.columns.iter().any(|column| column.primary_key) {
            return Err(TableError::NoPrimaryKey { table });
        }
        Ok(())
    }

    /// Sets who derives the table.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
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

    /// Returns the indexes of the key columns among all columns.
    pub(crate) fn key(&self) -> impl Iterator<Item = usize> {
        let columns = self.columns.iter().enumerate();
        columns.filter(|(_, column)| column.primary_key).map(|(index, _)| index)
    }

    /// Returns the statement that creates the table, in the database where its scope keeps it.
    ///
    /// It holds all that the definition says: two tables with one statement are one table.
    /// The table is STRICT. Unless its key is a single INTEGER, which is the rowid itself, it is
    /// WITHOUT ROWID, so that no hidden rowid has to be restored by undo. An INTEGER key is less
    /// than the greatest 64-bit integer.
    pub fn ddl(&self) -> String {
        let mut sql = match self.scope {
            Scope::Synced => format!("CREATE TABLE \"{}\" (", self.name),
            // To SQLite this is a table like those above; the comment tells them apart, also in the
            // file, whose schema keeps it.
            Scope::Client => format!("CREATE TABLE \"{}\" /* client */ (", self.name),
            Scope::Memory => format!("CREATE TABLE memory.\"{}\" (", self.name),
        };
        for column in &self.columns {
            let _ = write!(sql, "\"{}\" {}", column.name, column.column_type.sql());
            if !column.nullable {
                sql.push_str(" NOT NULL");
            }
            if column.unique {
                sql.push_str(" UNIQUE");
            }
            if let Some(default) = &column.default {
                let _ = write!(sql, " DEFAULT {}", sql::literal(default));
            }
            if let Some(check) = &column.check {
                let _ = write!(sql, " CHECK ({check})");
            }
            sql.push_str(", ");
        }
        let key: Vec<_> = self.key().map(|i| format!("\"{}\"", self.columns[i].name)).collect();
        let _ = write!(sql, "PRIMARY KEY ({})", key.join(", "));
        let mut types = self.key().map(|index| self.columns[index].column_type);
        let has_rowid_key =
            types.next().is_some_and(|t| t.sql() == "INTEGER") && types.next().is_none();
        // A rowid that is not given is one more than the greatest; once the greatest of all is
        // taken it would be random, and differ between clients.
        if has_rowid_key {
            let _ = write!(sql, ", CHECK ({} < {})) STRICT", key[0], i64::MAX);
        } else {
            sql.push_str(") STRICT, WITHOUT ROWID");
        }
        sql
    }
}

fn check_name(name: &str) -> Result<(), TableError> {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 64;
    let lower = name.to_ascii_lowercase();
    if plain && !lower.starts_with("sqlite_") && !lower.starts_with("__livestore") {
        return Ok(());
    }
    Err(TableError::InvalidName { name: name.chars().take(80).collect() })
}

/// The constant statements of a table, written once.
#[derive(Debug)]
pub struct TableSql {
    pub(crate) insert: Box<str>,
    pub(crate) select: Box<str>,
}

impl TableSql {
    /// Writes the statements of a table; for the derive macro.
    pub fn new(table: &str, columns: &[&str]) -> Self {
        let names: Vec<_> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        let names = names.join(", ");
        let marks = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO \"{table}\" ({names}) VALUES ({marks})");
        Self {
            insert: sql::mark_write(&insert),
            select: format!("SELECT {names} FROM \"{table}\"").into(),
        }
    }
}

/// A struct whose values are rows of one state table; implemented by `#[derive(Table)]`.
pub trait Table: Sized + Send + Sync + 'static {
    /// The table's name.
    const NAME: &'static str;
    /// The names of its columns, in the order of the struct's fields.
    const COLUMNS: &'static [&'static str];

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

    /// Returns the values of [`Self::COLUMNS`].
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
