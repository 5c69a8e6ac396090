//! What a step changed, for whoever watches the state.
//!
//! Every step tells which tables it changed. Of tables that somebody watches it also tells which
//! rows, each with what it was before; what it is afterwards is looked up once, when the step is
//! over. So a row that is undone, changed by others and done again is one change, or none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::params_from_iter;

use crate::table::quoted;
use crate::undo::{Preimage, SEQUENCES};
use crate::{ColumnDef, Connection, SqliteError, TableDef, Value};

/// Most changes of rows that are told at a time; of more, the tables alone are.
pub(crate) const MAX_ROWS: usize = 10_000;

/// The tables that a step changed, by index among [`Connection::tables`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedTables(Vec<u16>);

impl ChangedTables {
    /// Notes a table.
    pub(crate) fn insert(&mut self, table: u16) {
        if let Err(at) = self.0.binary_search(&table) {
            self.0.insert(at, table);
        }
    }

    /// Adds the tables that another step changed.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|table| self.insert(*table));
    }

    /// Walks over the indexes of the changed tables.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|table| usize::from(*table))
    }

    /// Tells whether no table changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, table: u16) -> bool {
        self.0.binary_search(&table).is_ok()
    }
}

/// What a step changed: tables, and rows of those that are watched.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    tables: ChangedTables,
    /// The tables among them whose rows are not told.
    whole: ChangedTables,
    /// What the rows of the others were before, oldest first; of each row the first one counts.
    before: Vec<Preimage>,
}

impl Changes {
    /// Says that tables changed, and nothing of their rows.
    pub(crate) fn of_whole(tables: ChangedTables) -> Self {
        Self { whole: tables.clone(), tables, before: Vec::new() }
    }

    /// Returns the tables that changed.
    pub fn tables(&self) -> &ChangedTables {
        &self.tables
    }

    /// Tells whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Adds what happened afterwards.
    pub fn extend(&mut self, later: Self) {
        if self.is_empty() {
            return *self = later;
        }
        self.tables.extend(&later.tables);
        let known = self.whole.0.len();
        self.whole.extend(&later.whole);
        if self.whole.0.len() > known {
            self.before.retain(|row| !self.whole.contains(row.table));
        }
        self.before.extend(later.before.into_iter().filter(|row| !self.whole.contains(row.table)));
        self.bound();
    }

    /// Adds rows as they were before they changed, in the order of the changes.
    fn add(&mut self, before: impl IntoIterator<Item = Preimage>, watched: &Watched) {
        for preimage in before {
            if self.note(preimage.table, watched) {
                self.before.push(preimage);
                self.bound();
            }
        }
    }

    /// Notes that a table changed; tells whether its rows are to be told.
    fn note(&mut self, table: u16, watched: &Watched) -> bool {
        if table == SEQUENCES {
            return false;
        }
        self.tables.insert(table);
        if !watched.contains(table) {
            self.whole.insert(table);
        }
        !self.whole.contains(table)
    }

    /// Forgets the rows if there are too many to tell.
    fn bound(&mut self) {
        if self.before.len() > MAX_ROWS {
            self.before.drain(..).for_each(|row| self.whole.insert(row.table));
        }
    }
}

/// How often each table is watched, by index among [`Connection::tables`]; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Watched(Arc<[AtomicU32]>);

impl Watched {
    pub(crate) fn new(tables: usize) -> Self {
        Self((0..tables).map(|_| AtomicU32::new(0)).collect())
    }

    /// Watches a table once more: from now on its rows are told.
    pub fn add(&self, table: usize) {
        self.0[table].fetch_add(1, Ordering::Relaxed);
    }

    /// Watches a table once less.
    pub fn remove(&self, table: usize) {
        self.0[table].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn contains(&self, table: u16) -> bool {
        self.0.get(usize::from(table)).is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }
}

/// The columns of a row that are written, in their order.
pub type WrittenRow = Box<[Value]>;

/// One row, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// Its table, by index among [`Connection::tables`].
    pub table: usize,
    /// Its primary key.
    pub key: Box<[Value]>,
    /// What it was; nothing if it was not there.
    pub old: Option<WrittenRow>,
    /// What it is; nothing if it is not there.
    pub new: Option<WrittenRow>,
}

impl RowChange {
    /// Tells whether it changed a column, by index among those that are written.
    pub fn changed_column(&self, column: usize) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => old.get(column) != new.get(column),
            _ => true,
        }
    }
}

/// Writes the query that reads a row by its key.
pub(crate) fn row_sql(table: &TableDef) -> Box<str> {
    let equal: Vec<_> = table.key_names().map(|key| format!("\"{key}\" = ?")).collect();
    let columns = quoted(table.written().map(ColumnDef::name));
    let (name, database) = (table.name(), table.scope().database());
    format!("SELECT {columns} FROM {database}.\"{name}\" WHERE {}", equal.join(" AND ")).into()
}

impl Connection {
    /// Returns which tables are watched.
    pub fn watched(&self) -> &Watched {
        self.capture.watched()
    }

    /// Turns the undo data of a step, which was not undone, into what the step changed.
    pub fn changes_of(&self, step: crate::Preimages) -> Changes {
        let mut changes = Changes { tables: step.memory, ..Changes::default() };
        let watched = self.watched();
        let unwatched = changes.tables.0.iter().filter(|table| !watched.contains(**table));
        changes.whole = ChangedTables(unwatched.copied().collect());
        changes.add(step.rows.into_iter().chain(step.memory_rows), watched);
        changes
    }

    /// Returns what undoing a step will change; to be called before it is undone.
    pub(crate) fn changes_of_undo(&self, step: &crate::Preimages) -> Result<Changes, SqliteError> {
        let mut changes = Changes::default();
        let watched = self.watched();
        for Preimage { table, key, .. } in &step.rows {
            if changes.note(*table, watched) {
                let row = self.row(*table, key)?;
                changes.before.push(Preimage { table: *table, key: key.clone(), row });
                changes.bound();
            }
        }
        Ok(changes)
    }

    /// Returns the rows that changed, as they were and as they are now, and the tables whose rows
    /// are not known.
    ///
    /// A row that is what it was is left out. Of a table with texts that are no UTF-8, which SQLite makes
    /// of blobs, rows are not known: what is compared here would not be what SQLite compares.
    pub fn changed_rows(
        &self,
        changes: Changes,
    ) -> Result<(Vec<RowChange>, ChangedTables), SqliteError> {
        let Changes { mut whole, before, .. } = changes;
        let mut rows = Vec::with_capacity(before.len());
        let is_one = before.len() == 1;
        let mut seen = HashSet::new();
        for Preimage { table, key, row: old } in before {
            if !is_one && !seen.insert((table, key.clone())) {
                continue;
            }
            let new = self.row(table, &key)?;
            if [&old, &new].into_iter().flatten().any(|row| self.has_bad_text(table, row)) {
                whole.insert(table);
            } else if old != new {
                rows.push(RowChange { table: usize::from(table), key, old, new });
            }
        }
        Ok((rows, whole))
    }

    fn has_bad_text(&self, table: u16, row: &[Value]) -> bool {
        let columns = self.tables.get(usize::from(table)).into_iter().flat_map(TableDef::written);
        let is_bad = |(column, value): (&ColumnDef, &Value)| {
            matches!(value, Value::Blob(_)) && column.column_type().sql() == "TEXT"
        };
        columns.zip(row).any(is_bad)
    }

    fn row(&self, table: u16, key: &[Value]) -> Result<Option<WrittenRow>, SqliteError> {
        let Some(sql) = self.row_sql.get(usize::from(table)) else { return Ok(None) };
        self.system().query_one(sql, params_from_iter(key), |row| {
            let columns = row.as_ref().column_count();
            (0..columns).map(|index| Ok(Value::from_sql(row.get_ref(index)?))).collect()
        })
    }
}
