//! Undo: what every touched row was before, and how to bring that back.

use std::collections::HashSet;

use crate::codec::{Reader, write_values, write_varint};
use crate::{ChangedTables, SqliteError, Value};

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
/// Of memory tables it holds the names alone, since what memory events did is never undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preimages {
    pub(crate) rows: Vec<Preimage>,
    pub(crate) memory: ChangedTables,
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
        self.rows.iter().for_each(|preimage| tables.insert(preimage.table));
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
                last = last.max(Some(u16::try_from(reader.varint()?).ok()?));
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
            let memory = ChangedTables::default();
            reader.is_at_end().then_some(Self { rows, memory })
        })();
        read.ok_or(SqliteError::DamagedUndo { at: reader.at() })
    }
}
