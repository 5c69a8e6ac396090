//! Undo: what every touched row was before, and how to bring that back.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{params, params_from_iter};

use crate::codec::{Reader, write_values, write_varint};
use crate::table::quoted;
use crate::{ChangedTables, Changes, ColumnDef, Connection, SqliteError, TableDef, Value};

/// Stands in a preimage for `sqlite_sequence`, in place of the index of a table.
///
/// Its rows are those of any table: the key is the name of a table whose rows SQLite numbers, and
/// the row has the greatest number given out so far besides.
pub(crate) const SEQUENCES: u16 = u16::MAX;

/// A row as it was before a step touched it, or the fact that it was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preimage {
    pub(crate) table: u16,
    pub(crate) key: Box<[Value]>,
    pub(crate) row: Option<Box<[Value]>>,
}

/// Undo data: for every row that a step touched, what it was before.
///
/// It does not tell how the row changed, or how often. Undoing deletes all touched rows, then
/// writes back those that were there; so neither the order of changes nor uniqueness constraints
/// between them matter.
///
/// Of tables whose rows SQLite numbers it also tells how far that had come.
///
/// Of memory tables it holds the names alone, since what memory events did is never undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preimages {
    pub(crate) rows: Vec<Preimage>,
    pub(crate) memory: ChangedTables,
    /// The rows of memory tables that are watched, which are not undone either.
    pub(crate) memory_rows: Vec<Preimage>,
}

impl Preimages {
    /// Tells whether the step touched no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.memory.is_empty()
    }

    /// Returns the tables in which rows were touched, memory tables included.
    pub fn tables(&self) -> ChangedTables {
        let mut tables = self.undone_tables();
        tables.extend(&self.memory);
        tables
    }

    /// Returns the tables in which undoing it changes rows.
    pub(crate) fn undone_tables(&self) -> ChangedTables {
        let mut tables = ChangedTables::default();
        let rows = self.rows.iter().filter(|preimage| preimage.table != SEQUENCES);
        rows.for_each(|preimage| tables.insert(preimage.table));
        tables
    }

    /// Joins the undo data of consecutive steps, given oldest first, into that of all of them.
    pub fn join(steps: impl IntoIterator<Item = Self>) -> Self {
        let mut steps = steps.into_iter();
        let Some(mut joined) = steps.next() else { return Self::default() };
        let mut rest = steps.peekable();
        if rest.peek().is_none() {
            return joined;
        }
        let mut seen: HashSet<_> =
            joined.rows.iter().map(|preimage| (preimage.table, preimage.key.clone())).collect();
        for step in rest {
            joined.memory.extend(&step.memory);
            joined.memory_rows.extend(step.memory_rows);
            for preimage in step.rows {
                // What an older step found is what was there before all of them.
                if seen.insert((preimage.table, preimage.key.clone())) {
                    joined.rows.push(preimage);
                }
            }
        }
        joined
    }

    /// Writes the undo data as bytes; `docs/storage-format.md` specifies them.
    ///
    /// Nothing of memory tables goes into them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 48 * self.rows.len());
        write_varint(&mut out, self.rows.len() as u64);
        for Preimage { table, key, row } in &self.rows {
            write_varint(&mut out, u64::from(*table));
            out.push(row.is_some().into());
            write_values(&mut out, row.as_ref().unwrap_or(key));
        }
        out
    }

    /// Checks that undo data is what [`Self::encode`] writes, as far as that can be told without
    /// the tables; returns the index of the last table that it names.
    pub fn check(bytes: &[u8]) -> Result<Option<u16>, SqliteError> {
        let mut reader = Reader::new(bytes);
        let read = (|| {
            let mut last = None;
            for _ in 0..reader.varint()? {
                let table = u16::try_from(reader.varint()?).ok()?;
                last = last.max((table != SEQUENCES).then_some(table));
                if reader.byte()? > 1 || reader.values()?.is_empty() {
                    return None;
                }
            }
            reader.is_at_end().then_some(last)
        })();
        read.ok_or(SqliteError::DamagedUndo { at: reader.at() })
    }

    /// Reads undo data back; `shape_of` tells a table's number of columns and which are its key.
    pub(crate) fn decode<'a>(
        bytes: &[u8],
        shape_of: impl Fn(u16) -> Option<(usize, &'a [usize])>,
    ) -> Result<Self, SqliteError> {
        let mut reader = Reader::new(bytes);
        let read = (|| {
            let count = reader.varint()?;
            let mut rows = Vec::new();
            for _ in 0..count {
                let table = u16::try_from(reader.varint()?).ok()?;
                let (columns, key) = shape_of(table)?;
                let was_there = reader.byte()?;
                let values = reader.values()?;
                let (key, row) = match was_there {
                    0 if values.len() == key.len() => (values, None),
                    1 if values.len() == columns => {
                        (key.iter().map(|index| values[*index].clone()).collect(), Some(values))
                    }
                    _ => return None,
                };
                rows.push(Preimage { table, key, row });
            }
            reader.is_at_end().then_some(Self { rows, ..Self::default() })
        })();
        read.ok_or(SqliteError::DamagedUndo { at: reader.at() })
    }
}

/// The statements that undo changes of one table on disk.
#[derive(Debug)]
pub(crate) struct UndoSql {
    delete: String,
    insert: String,
    /// Columns of a whole row, as undo data has it: without those that are generated.
    columns: usize,
    key: Vec<usize>,
}

impl UndoSql {
    pub(crate) fn new(table: &TableDef) -> Self {
        let name = table.name();
        let columns = table.written().count();
        let equal: Vec<_> = table.key_names().map(|key| format!("\"{key}\" = ?")).collect();
        let marks = vec!["?"; columns].join(", ");
        Self {
            delete: format!("DELETE FROM main.\"{name}\" WHERE {}", equal.join(" AND ")),
            insert: format!(
                "INSERT INTO main.\"{name}\" ({}) VALUES ({marks})",
                quoted(table.written().map(ColumnDef::name))
            ),
            columns,
            key: table.key().collect(),
        }
    }
}

impl Connection {
    /// Brings every row back to what it was; run it inside a transaction. Memory tables stay.
    ///
    /// Foreign keys are not enforced meanwhile, since a row that is deleted to be written back
    /// would take others with it that refer to it.
    pub fn undo(&self, preimages: &Preimages) -> Result<Changes, SqliteError> {
        let changes = self.changes_of_undo(preimages)?;
        let tables = preimages.undone_tables();
        let bring_back = || {
            let sequences = self.sequences_before(preimages, &tables)?;
            let rows = preimages.rows.iter().filter(|preimage| preimage.table != SEQUENCES);
            for preimage in rows.clone() {
                let sql = &self.undo_sql_of(preimage.table)?.delete;
                self.system().execute(sql, params_from_iter(preimage.key.iter()))?;
            }
            for preimage in rows {
                if let Some(row) = &preimage.row {
                    let sql = &self.undo_sql_of(preimage.table)?.insert;
                    self.system().execute(sql, params_from_iter(row.iter()))?;
                }
            }
            sequences.iter().try_for_each(|(name, last)| self.set_sequence(name, *last))
        };
        self.capture.silently(|| self.without_foreign_keys(bring_back))?;
        Ok(changes)
    }

    fn undo_sql_of(&self, table: u16) -> Result<&UndoSql, SqliteError> {
        self.undo_sql.get(usize::from(table)).ok_or(SqliteError::DamagedUndo { at: 0 })
    }

    /// Returns how far SQLite had come with numbering the rows of each table that is undone.
    fn sequences_before<'a>(
        &'a self,
        preimages: &'a Preimages,
        undone: &ChangedTables,
    ) -> Result<BTreeMap<&'a str, Option<i64>>, SqliteError> {
        let mut sequences = BTreeMap::new();
        for index in undone.iter() {
            // Writing rows back can move it, so it is set also where no insert had.
            if let Some(table) = self.tables.get(index).filter(|table| table.auto_increment()) {
                sequences.insert(table.name(), self.sequence(table.name())?);
            }
        }
        for Preimage { key, row, .. } in preimages.rows.iter().filter(|p| p.table == SEQUENCES) {
            let (name, last) = match (&**key, row.as_deref()) {
                ([Value::Text(name)], None) => (name, None),
                ([Value::Text(name)], Some([_, Value::Integer(last)])) => (name, Some(*last)),
                _ => return Err(SqliteError::DamagedUndo { at: 0 }),
            };
            sequences.insert(name, last);
        }
        Ok(sequences)
    }

    fn sequence(&self, table: &str) -> Result<Option<i64>, SqliteError> {
        let sql = "SELECT seq FROM main.sqlite_sequence WHERE name = ?";
        self.system().query_one(sql, [table], |row| row.get(0))
    }

    /// Sets the greatest number that SQLite has given to a row of a table on disk; the next gets
    /// one more.
    pub(crate) fn set_sequence(&self, table: &str, last: Option<i64>) -> Result<(), SqliteError> {
        let Some(last) = last else {
            let sql = "DELETE FROM main.sqlite_sequence WHERE name = ?";
            return self.system().execute(sql, [table]).map(drop);
        };
        let update = "UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?";
        if self.system().execute(update, params![last, table])? == 0 {
            let insert = "INSERT INTO main.sqlite_sequence (seq, name) VALUES (?, ?)";
            self.system().execute(insert, params![last, table])?;
        }
        Ok(())
    }

    /// Reads undo data that [`Preimages::encode`] wrote for the same tables.
    pub fn decode_undo(&self, bytes: &[u8]) -> Result<Preimages, SqliteError> {
        let is_numbered = self.tables.iter().any(TableDef::auto_increment);
        Preimages::decode(bytes, |table| {
            if table == SEQUENCES {
                return is_numbered.then_some((2, &[0][..]));
            }
            let UndoSql { columns, key, .. } = self.undo_sql.get(usize::from(table))?;
            Some((*columns, &key[..]))
        })
    }
}
