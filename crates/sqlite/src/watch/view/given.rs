//! Selections in which a row, given by its values, stands instead of a table.

use std::collections::BTreeMap;

use crate::ast::{Expr, Select, Source, SqlWriter};
use crate::{ColumnDef, TableDef, Value};

/// A text and the values for its last `?`.
pub(super) type Statement = (String, Vec<Value>);

pub(super) struct GivenRow {
    text: String,
    /// Those of its columns that count, by index among those that are written; their values come first.
    columns: Box<[usize]>,
    constants: Vec<Value>,
}

const ROW: &str = GivenRow::NAME;

impl GivenRow {
    /// What statements call it.
    pub(super) const NAME: &str = "__livestore_row";

    /// Writes a selection of rows for the values that one has; none if it reads what was not written.
    ///
    /// `place` is that of the table, 0 for the first and those that are joined after it.
    pub(super) fn new(select: &Select, place: usize, table: &TableDef) -> Option<Self> {
        let mut select = select.clone();
        let source = match place.checked_sub(1) {
            None => &mut select.from,
            Some(join) => &mut select.joins.get_mut(join)?.source,
        };
        let source = std::mem::replace(source, Source::table(ROW));
        let (mut columns, mut texts, mut is_known) = (BTreeMap::new(), Vec::new(), true);
        let mut visit = |expr: &Expr| {
            let Expr::Column(column) = expr else { return };
            // A column without a table is one that no other table has.
            let is_own = column.of.as_ref().is_none_or(|of| of == source.name());
            if !is_own || table.column(&column.name).is_none() {
                return;
            }
            let mut written = table.written().enumerate();
            match written.find(|(_, own)| own.name() == column.name) {
                Some((index, own)) => {
                    columns.insert(index, own);
                    if !texts.iter().any(|(known, _)| known == expr) {
                        texts.push((expr.clone(), format!("\"{ROW}\".\"{}\"", own.name())));
                    }
                }
                None => is_known = false,
            }
        };
        let joined = select.joins.iter().map(|join| &join.on);
        let exprs = select.columns.iter().map(|output| &output.expr);
        exprs.chain(joined).chain(&select.filter).for_each(|expr| expr.visit(&mut visit));
        let value = |column: &&ColumnDef| {
            format!("CAST(? AS {}) AS \"{}\"", column.column_type().sql(), column.name())
        };
        let start = given(ROW, columns.values().map(value));
        let mut writer = SqlWriter::with_instead(&start, texts);
        writer.select(&select).ok()?;
        let (text, constants) = writer.finish();
        is_known.then(|| Self { text, constants, columns: columns.into_keys().collect() })
    }

    /// Returns the statement for a row, given the columns that are written.
    pub(super) fn of(&self, row: &[Value]) -> (&str, Vec<Value>) {
        let values = self.columns.iter().filter_map(|column| row.get(*column).cloned());
        (&self.text, values.chain(self.constants.iter().cloned()).collect())
    }
}

/// Writes a table of one row.
pub(super) fn given(name: &str, values: impl Iterator<Item = String>) -> String {
    // With none of its columns, it is a row nevertheless.
    let values: Vec<_> = std::iter::once("1".to_owned()).chain(values).collect();
    format!("WITH \"{name}\" AS (SELECT {}) ", values.join(", "))
}
