//! What a query reads: tables, and which of their columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::authorizer::ReadNames;
use crate::{Connection, FtsDef, RowChange, TableDef};

/// What a query reads of one state table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRead {
    /// The table, by index among [`Connection::tables`].
    pub table: usize,
    /// Which columns of it.
    pub columns: Columns,
}

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// All of them.
    All,
    /// These, by index among those that are written, in their order.
    These(Arc<[u16]>),
}

impl Columns {
    /// Tells whether a change is one of these columns, or of whether there is such a row at all.
    pub fn are_changed_by(&self, change: &RowChange) -> bool {
        match self {
            Self::All => true,
            Self::These(columns) => {
                columns.iter().any(|column| change.changed_column((*column).into()))
            }
        }
    }

    fn of(table: &TableDef, names: &BTreeSet<String>) -> Self {
        let written: Vec<_> =
            table.written().map(|column| column.name().to_ascii_lowercase()).collect();
        let place = |name: &String| Some(written.iter().position(|own| own == name)? as u16);
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            // What is generated follows from others, which are not named.
            let Some(column) = place(name) else { return Self::All };
            columns.push(column);
        }
        columns.sort_unstable();
        Self::These(columns.into())
    }
}

impl Connection {
    /// Returns the state tables among those of these names, and which of their columns are read.
    pub(crate) fn state_tables_read(&self, names: &ReadNames) -> Vec<TableRead> {
        let read = |(index, table): (usize, &TableDef)| {
            // Whoever searches an index reads its table.
            let is_searched =
                |index: &FtsDef| names.0.contains_key(&index.name().to_ascii_lowercase());
            let own = names.0.get(&table.name().to_ascii_lowercase());
            let columns = match own {
                _ if table.full_texts().iter().any(is_searched) => Columns::All,
                Some(Some(columns)) => Columns::of(table, columns),
                Some(None) => Columns::All,
                None => return None,
            };
            Some(TableRead { table: index, columns })
        };
        self.tables.iter().enumerate().filter_map(read).collect()
    }
}
