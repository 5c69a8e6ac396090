//! Change capture: TEMP triggers tell a function of ours what is about to happen to which row.
//!
//! Before a row is changed or deleted, a trigger calls [`FUNCTION`] with the whole row. After one
//! is inserted, and before one moves to a key that no row has, it is called with the key. Triggers
//! need no special build of SQLite and see what `REPLACE`, cascades and other triggers do.
//!
//! What comes first in the journal is what was there before, so a row is captured *before* it
//! changes: with foreign keys that lead back to their table, one change can cascade to the very
//! same row, and triggers that fire afterwards would tell the second change first.
//!
//! Rows of memory tables are kept apart, and only while somebody watches their table: memory events
//! are never undone, so their rows cannot get into undo data, whoever asks for it and when.
//!
//! A state that is derived anew needs no undo data, and takes less time without triggers. The limit
//! of changes must be the same all the same: see [`MAX_UNCAPTURED_WORK`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};

use crate::changes::{MAX_ROWS, Watched};
use crate::table::quoted;
use crate::undo::{Preimage, Preimages, SEQUENCES};
use crate::{ChangedTables, ColumnDef, SqliteError, TableDef, Value};

pub(crate) const FUNCTION: &str = "__livestore_capture";

/// Most row changes that one commit may make.
///
/// Their undo data is held in memory until the commit is done.
const MAX_CHANGES: usize = 1_000_000;

/// Work that one event may do while nothing is captured, in steps of SQLite's machine and in
/// changed rows; what does more has to be captured, so that its changes are counted.
///
/// Whatever would be captured comes from a step of its own or is counted as a changed row: a row
/// that is inserted, moved, updated, deleted or replaced, or a number that is taken from a
/// sequence. So an event within this bound makes far fewer changes than [`MAX_CHANGES`].
const MAX_UNCAPTURED_WORK: usize = MAX_CHANGES / 10;

/// No row has the key that follows.
const ABSENT: i64 = 0;
/// The row that follows is there.
const PRESENT: i64 = 1;

/// Rows, each by its table and its key.
pub(crate) type RowKeys = Vec<(u16, Box<[Value]>)>;

/// The changes captured since it was last emptied, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    changes: Vec<Preimage>,
    /// The memory tables that changed, each once, in the order of their first changes.
    memory: Vec<u16>,
    /// Their rows, if they are watched, up to one more than whoever watches is told.
    memory_rows: Vec<Preimage>,
    /// How many of the changes were looked at for references that lead nowhere.
    recounted: usize,
    overflown: bool,
    silent: bool,
    /// The work of the present event, as long as nothing is captured.
    uncaptured: Option<usize>,
}

/// A moment in a journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JournalMark {
    changes: usize,
    memory: usize,
    memory_rows: usize,
    uncaptured: Option<usize>,
}

impl Journal {
    pub(crate) fn mark(&self) -> JournalMark {
        JournalMark {
            changes: self.changes.len(),
            memory: self.memory.len(),
            memory_rows: self.memory_rows.len(),
            uncaptured: self.uncaptured,
        }
    }

    /// Forgets what was captured since a moment.
    pub(crate) fn truncate(&mut self, to: JournalMark) {
        self.changes.truncate(to.changes);
        self.memory.truncate(to.memory);
        self.memory_rows.truncate(to.memory_rows);
        self.uncaptured = self.uncaptured.and(to.uncaptured);
        self.recounted = self.recounted.min(self.changes.len());
        self.overflown &= self.changes.len() >= MAX_CHANGES;
    }

    pub(crate) fn check(&self) -> Result<(), SqliteError> {
        if self.overflown {
            return Err(SqliteError::TooManyChanges { max: MAX_CHANGES });
        }
        if self.uncaptured.is_some_and(|work| work > MAX_UNCAPTURED_WORK) {
            return Err(SqliteError::NotCaptured);
        }
        Ok(())
    }

    /// Tells whether nothing is captured yet.
    pub(crate) fn is_uncaptured(&self) -> bool {
        self.uncaptured.is_some()
    }

    /// Notes what a write has done while nothing is captured.
    pub(crate) fn note_work(&mut self, work: usize) {
        if let Some(before) = &mut self.uncaptured {
            *before = before.saturating_add(work);
        }
    }

    /// Empties the journal into the undo data of what it holds.
    pub(crate) fn take(&mut self) -> Preimages {
        let mut all = self.drain();
        if all.rows.len() > 1 {
            let mut seen = HashSet::with_capacity(all.rows.len());
            all.rows.retain(|change| seen.insert((change.table, change.key.clone())));
        }
        all
    }

    /// Empties the journal; of a row that changed several times, the first entry counts.
    pub(crate) fn drain(&mut self) -> Preimages {
        (self.overflown, self.recounted) = (false, 0);
        self.uncaptured = self.uncaptured.map(|_| 0);
        Preimages {
            rows: std::mem::take(&mut self.changes),
            memory: self.take_memory(),
            memory_rows: std::mem::take(&mut self.memory_rows),
        }
    }

    /// Returns the keys that were captured since the last call, with their tables, and the memory
    /// tables that it names.
    pub(crate) fn since_recount(&mut self) -> (RowKeys, ChangedTables) {
        let written = self.changes.iter().skip(self.recounted);
        let written = written.map(|change| (change.table, change.key.clone())).collect();
        self.recounted = self.changes.len();
        let mut memory = ChangedTables::default();
        self.memory.iter().for_each(|table| memory.insert(*table));
        (written, memory)
    }

    fn take_memory(&mut self) -> ChangedTables {
        let mut tables = ChangedTables::default();
        self.memory.drain(..).for_each(|table| tables.insert(table));
        tables
    }

    fn note_memory(&mut self, table: u16) {
        if !self.memory.contains(&table) {
            self.memory.push(table);
        }
    }

    fn push_memory(&mut self, preimage: Preimage) {
        if self.memory_rows.len() <= MAX_ROWS {
            self.memory_rows.push(preimage);
        }
    }

    fn push(&mut self, table: u16, key: Box<[Value]>, row: Option<Box<[Value]>>) {
        if self.changes.len() >= MAX_CHANGES {
            self.overflown = true;
            return;
        }
        self.changes.push(Preimage { table, key, row });
    }
}

/// The connection's end of the capture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    journal: Arc<Mutex<Journal>>,
    watched: Watched,
}

impl Capture {
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        // Pushing a change cannot leave it half done, so a panic elsewhere does not spoil it.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which tables are watched.
    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Begins with tables that nobody watches.
    pub(crate) fn set_tables(&mut self, tables: usize) {
        self.watched = Watched::new(tables);
    }

    /// Runs a closure whose changes are not captured.
    pub(crate) fn silently<R>(&self, run: impl FnOnce() -> R) -> R {
        self.journal().silent = true;
        let result = run();
        self.journal().silent = false;
        result
    }

    /// Creates the triggers that changes need although nothing is captured yet.
    pub(crate) fn prepare(
        &self,
        connection: &rusqlite::Connection,
        tables: &[TableDef],
    ) -> Result<(), SqliteError> {
        self.journal().uncaptured = Some(0);
        let guards: String = tables.iter().map(guard).collect();
        Ok(connection.execute_batch(&guards)?)
    }

    /// Registers the function and creates the triggers of all tables, memory tables last.
    pub(crate) fn install(
        &self,
        connection: &rusqlite::Connection,
        tables: &[TableDef],
    ) -> Result<(), SqliteError> {
        let capture = self.clone();
        let shapes: Vec<Shape> = tables.iter().map(Shape::new).collect();
        let flags = FunctionFlags::SQLITE_UTF8;
        connection.create_scalar_function(FUNCTION, -1, flags, move |context| {
            capture.record(&shapes, context);
            Ok(rusqlite::types::Null)
        })?;
        // One transaction for all, instead of one for each trigger, if the caller has none.
        let transaction =
            connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
        for (index, table) in tables.iter().enumerate() {
            connection.execute_batch(&triggers(index, table))?;
        }
        transaction.map_or(Ok(()), rusqlite::Transaction::commit)?;
        self.journal().uncaptured = None;
        Ok(())
    }

    fn record(&self, shapes: &[Shape], context: &Context<'_>) {
        let mut journal = self.journal();
        if journal.silent {
            return;
        }
        let argument = |index| Value::from_sql(context.get_raw(index));
        let number = |index| context.get_raw(index).as_i64().unwrap_or(-1);
        let table = number(0) as u16;
        let values = |count: usize| (2..2 + count).map(argument).collect::<Box<[Value]>>();
        if table == SEQUENCES {
            let row = (number(1) == PRESENT).then(|| values(2));
            return journal.push(table, [argument(2)].into(), row);
        }
        let Some(Shape { columns, key, is_on_disk }) = shapes.get(usize::from(table)) else {
            return;
        };
        if !is_on_disk {
            journal.note_memory(table);
            if !self.watched.contains(table) {
                return;
            }
        }
        let (key, row) = if number(1) == ABSENT {
            (values(key.len()), None)
        } else {
            let row = values(*columns);
            (key.iter().map(|index| row[*index].clone()).collect(), Some(row))
        };
        if *is_on_disk {
            journal.push(table, key, row);
        } else {
            journal.push_memory(Preimage { table, key, row });
        }
    }
}

/// What the function needs to know of a table.
#[derive(Debug)]
struct Shape {
    columns: usize,
    key: Vec<usize>,
    is_on_disk: bool,
}

impl Shape {
    fn new(table: &TableDef) -> Self {
        let is_on_disk = table.scope().is_on_disk();
        Self { columns: table.written().count(), key: table.key().collect(), is_on_disk }
    }
}

/// Returns the trigger that keeps the numbers of a table from being used up.
fn guard(table: &TableDef) -> String {
    if !table.auto_increment() {
        return String::new();
    }
    // Such an insert fails on the table's CHECK, but under OR IGNORE it would use up all numbers
    // nevertheless, and SQLite then says that the disk is full.
    let (name, greatest) = (table.name(), i64::MAX);
    let is_greatest =
        format!("BEFORE INSERT {} WHEN {} = {greatest}", on(table), list("NEW", table.key_names()));
    let refusal =
        format!("RAISE(ABORT, 'CHECK constraint failed: {name} cannot have the key {greatest}')");
    trigger(table, "LIMIT", &is_greatest, &refusal)
}

fn on(table: &TableDef) -> String {
    format!("ON {}.\"{}\"", table.scope().database(), table.name())
}

fn trigger(table: &TableDef, what: &str, when: &str, body: &str) -> String {
    let name = table.name();
    format!("CREATE TEMP TRIGGER \"{FUNCTION}_{what}_{name}\" {when} BEGIN SELECT {body}; END;")
}

fn triggers(index: usize, table: &TableDef) -> String {
    let (name, scope, on) = (table.name(), table.scope(), on(table));
    let database = scope.database();
    let trigger = |what: &str, when: &str, body: &str| trigger(table, what, when, body);
    let mut sql = String::new();
    if scope.is_on_disk() && table.auto_increment() {
        // SQLite reads the sequence when an INSERT begins, and writes it when all rows are in.
        let call = format!(
            "{FUNCTION}({SEQUENCES}, max(seq) IS NOT NULL, '{name}', max(seq)) \
             FROM {database}.sqlite_sequence WHERE name = '{name}'"
        );
        sql += &trigger("SEQUENCE", &format!("BEFORE INSERT {on}"), &call);
    }
    let old = list("OLD", table.written().map(ColumnDef::name));
    let new_key = list("NEW", table.key_names());
    let absent = format!("{FUNCTION}({index}, {ABSENT}, {new_key})");
    let present = format!("{FUNCTION}({index}, {PRESENT}, {old})");
    let same: Vec<_> = table.key_names().map(|key| format!("\"{key}\" = NEW.\"{key}\"")).collect();
    let is_free =
        format!("NOT EXISTS (SELECT 1 FROM {database}.\"{name}\" WHERE {})", same.join(" AND "));
    let move_on = format!("BEFORE UPDATE OF {} {on} WHEN {is_free}", quoted(table.key_names()));
    sql += &trigger("INSERT", &format!("AFTER INSERT {on}"), &absent);
    sql += &trigger("MOVE", &move_on, &absent);
    sql += &trigger("UPDATE", &format!("BEFORE UPDATE {on}"), &present);
    sql += &trigger("DELETE", &format!("BEFORE DELETE {on}"), &present);
    sql
}

/// Lists columns of the old or the new row.
fn list<'a>(row: &str, columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<_> = columns.map(|column| format!("{row}.\"{column}\"")).collect();
    columns.join(", ")
}
