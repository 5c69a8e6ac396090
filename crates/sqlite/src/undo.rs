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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preimages(pub(crate) Vec<Preimage>);

impl Preimages {
    /// Tells whether the step touched no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the tables in which rows were touched.
    pub fn tables(&self) -> ChangedTables {
        let mut tables = ChangedTables::default();
        self.0.iter().for_each(|preimage| tables.insert(preimage.table));
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
            joined.0.iter().map(|preimage| (preimage.table, preimage.key.clone())).collect();
        for preimage in rest.flat_map(|step| step.0) {
            // What an older step found is what was there before all of them.
            if seen.insert((preimage.table, preimage.key.clone())) {
                joined.0.push(preimage);
            }
        }
        joined
    }

    /// Writes the undo data as bytes; `docs/storage-format.md` specifies them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 48 * self.0.len());
        write_varint(&mut out, self.0.len() as u64);
        for Preimage { table, key, row } in &self.0 {
            write_varint(&mut out, u64::from(*table));
            out.push(row.is_some().into());
            write_values(&mut out, row.as_ref().unwrap_or(key));
        }
        out
    }

    /// Reads undo data back; `shape_of` tells a table's number of columns and which are its key.
    pub(crate) fn decode<'a>(
        bytes: &[u8],
        shape_of: impl Fn(u16) -> Option<(usize, &'a [usize])>,
    ) -> Result<Self, SqliteError> {
        let mut reader = Reader::new(bytes);
        let read = (|| {
            let count = reader.varint()?;
            let mut preimages = Vec::new();
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
                preimages.push(Preimage { table, key, row });
            }
            reader.is_at_end().then_some(Self(preimages))
        })();
        read.ok_or(SqliteError::DamagedUndo { at: reader.at() })
    }
}
