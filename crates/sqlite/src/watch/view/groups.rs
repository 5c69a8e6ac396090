//! Groups of rows of one table, and what aggregates make of them.
//!
//! SQLite evaluates all expressions: which groups a row belongs to by its values, and what becomes of a
//! group's key and its aggregates. Here values are only counted, added up and ordered, so a change takes
//! time for the rows that changed, however large their groups are.

use std::collections::HashMap;
use std::sync::Arc;

use super::given::{GivenRow, Statement, given};
use super::members::{Concern, FEW, Key, Members, One, once};
use super::tally::{Kept, Tally, count};
use crate::ast::{Aggregate, AggregateFunction, Column, Expr, Output, Select, Source, SqlWriter};
use crate::watch::kind::kind_of;
use crate::{RowChange, SqliteError, StateRead, TableDef, Value};

const GROUP: &str = "__livestore_group";

/// Most groups and values that are kept (about 20 MB); of more, the query is run again.
const MAX_KEPT: usize = 200_000;

/// How often in a row all rows are read for what is then not used.
const ATTEMPTS: u8 = 4;

/// A change is looked at, if reading so many rows takes longer.
const ROWS_PER_CHANGE: usize = 32;

pub(super) struct Groups {
    /// Reads of each row that counts its key, and what the aggregates are taken of.
    scan: Statement,
    /// The same of a row with certain values.
    row: GivenRow,
    /// Reads the entry of a group with this key and these aggregates.
    group: Statement,
    /// Of the expressions of the key, and of what aggregates are taken of.
    keys: Box<[Kept]>,
    arguments: Box<[Kept]>,
    aggregates: Box<[Taken]>,
    /// Nothing until a row has changed, or where not all is understood.
    known: Option<Known>,
    attempts: u8,
}

/// An aggregate, by what it is taken of; of rows, if that is nothing.
struct Taken {
    function: AggregateFunction,
    distinct: bool,
    argument: Option<usize>,
}

#[derive(Default)]
struct Known {
    groups: HashMap<Key, Group>,
    rows: usize,
    /// Groups and values of them.
    kept: usize,
}

#[derive(Default)]
struct Group {
    rows: u64,
    tallies: Box<[Tally]>,
}

impl Groups {
    /// Makes it of a selection with all that is read of a group among its columns; none if not all of
    /// it can be kept up to date.
    pub(super) fn new(select: &Select, table: &TableDef) -> Option<Self> {
        let key = |key| Some(Kept { kind: Some(ordered_kind(key, table)?), values: false });
        let keys = select.group_by.iter().map(key).collect::<Option<Box<[Kept]>>>()?;
        let mut found = Vec::new();
        let mut visit = |expr: &Expr| {
            expr.visit(&mut |expr| {
                if let Expr::Aggregate(aggregate) = expr
                    && !found.contains(aggregate)
                {
                    found.push(aggregate.clone());
                }
            });
        };
        select.columns.iter().for_each(|output| visit(&output.expr));
        select.having.iter().for_each(&mut visit);
        // With an index, SQLite finds an extreme at once.
        let is_extreme = |aggregate: &Aggregate| {
            matches!(aggregate.function, AggregateFunction::Min | AggregateFunction::Max)
        };
        if keys.is_empty() && found.len() == 1 && found.iter().all(is_extreme) {
            return None;
        }
        let (mut arguments, mut exprs) = (Vec::new(), Vec::new());
        let mut aggregates = Vec::new();
        for Aggregate { function, distinct, argument, .. } in &found {
            let argument = match argument {
                None => None,
                Some(argument) => {
                    let kept = kept(*function, *distinct, argument, table)?;
                    let at = exprs.iter().position(|known| known == &**argument);
                    let at = at.unwrap_or_else(|| {
                        exprs.push(Expr::clone(argument));
                        arguments.push(kept);
                        exprs.len() - 1
                    });
                    arguments[at].values |= kept.values;
                    arguments[at].kind = arguments[at].kind.or(kept.kind);
                    Some(at)
                }
            };
            aggregates.push(Taken { function: *function, distinct: *distinct, argument });
        }
        // Without any column, it would read all of them.
        let nothing = Expr::Value(Value::Null);
        let read = select.group_by.iter().chain(&exprs).chain([&nothing]);
        let scan = Select {
            columns: read.cloned().map(Output::from).collect(),
            filter: select.filter.clone(),
            ..Select::new(select.from.clone())
        };
        let row = GivenRow::new(&scan, 0, table)?;
        let mut writer = SqlWriter::new("");
        writer.select(&scan).ok()?;
        Some(Self {
            scan: writer.finish(),
            row,
            group: of_group(select, &found, table)?,
            keys,
            arguments: arguments.into(),
            aggregates: aggregates.into(),
            known: None,
            attempts: ATTEMPTS,
        })
    }

    /// Copies of a row its key, and what the aggregates are taken of; none if the key is not understood.
    fn parts(&self, value: impl Fn(usize) -> Value) -> Option<(Key, Box<[Value]>)> {
        let key: Key = (0..self.keys.len()).map(&value).collect();
        let fits = |(kept, value): (&Kept, &Value)| *value == Value::Null || kept.fits(value);
        let arguments = (0..self.arguments.len()).map(|index| value(self.keys.len() + index));
        self.keys.iter().zip(&key).all(fits).then(|| (key, arguments.collect()))
    }

    /// Reads all rows.
    fn learn(&self, read: StateRead<'_>) -> Result<Option<Known>, SqliteError> {
        let mut known = Known::default();
        if self.keys.is_empty() {
            known.groups.insert(Key::default(), self.new_group());
        }
        let (text, binds) = &self.scan;
        read.run(text, binds, |mut rows| {
            while let Some(row) = rows.next()? {
                let Some((key, values)) = self.parts(|index| row.value(index)) else {
                    return Ok(None);
                };
                self.add(&mut known, key, values);
                if known.kept > MAX_KEPT {
                    return Ok(None);
                }
            }
            Ok(Some(known))
        })
    }

    fn new_group(&self) -> Group {
        let tallies = self.arguments.iter().map(|_| Tally::default()).collect();
        Group { rows: 0, tallies }
    }

    fn add(&self, known: &mut Known, key: Key, values: Box<[Value]>) {
        known.rows += 1;
        let group = known.groups.entry(key).or_insert_with(|| self.new_group());
        known.kept += usize::from(group.rows == 0);
        group.rows += 1;
        for ((tally, kept), value) in group.tallies.iter_mut().zip(&self.arguments).zip(values) {
            let before = tally.kept();
            tally.add(*kept, value);
            known.kept += tally.kept() - before;
        }
    }

    /// Takes a row away; false if it was not there.
    fn remove(&self, known: &mut Known, key: &Key, values: Box<[Value]>) -> bool {
        let Some(group) = known.groups.get_mut(key) else { return false };
        let (Some(rows), Some(all)) = (group.rows.checked_sub(1), known.rows.checked_sub(1)) else {
            return false;
        };
        (group.rows, known.rows) = (rows, all);
        let kept = |group: &Group| group.tallies.iter().map(Tally::kept).sum::<usize>();
        let before = kept(group) + 1;
        let mut values = group.tallies.iter_mut().zip(&self.arguments).zip(values);
        let was_there = values.all(|((tally, kept), value)| tally.remove(*kept, value));
        let now = kept(group) + usize::from(rows > 0);
        known.kept = known.kept.saturating_sub(before - now);
        if rows == 0 && !self.keys.is_empty() {
            known.groups.remove(key);
        }
        was_there
    }

    /// Takes a changed row to where it belongs; false if that is not known.
    fn take(
        &self,
        known: &mut Known,
        read: StateRead<'_>,
        change: &RowChange,
        concerned: &mut Vec<Key>,
    ) -> Result<bool, SqliteError> {
        let parts = |row: &Option<Box<[Value]>>| {
            let Some(row) = row else { return Ok(Some(None)) };
            let (text, binds) = self.row.of(row);
            read.run(text, &binds, |mut rows| {
                let Some(row) = rows.next()? else { return Ok(Some(None)) };
                Ok(self.parts(|index| row.value(index)).map(Some))
            })
        };
        let (Some(old), Some(new)) = (parts(&change.old)?, parts(&change.new)?) else {
            return Ok(false);
        };
        if old == new {
            return Ok(true);
        }
        if let Some((key, values)) = old {
            if !self.remove(known, &key, values) {
                return Ok(false);
            }
            concerned.push(key);
        }
        if let Some((key, values)) = new {
            concerned.push(key.clone());
            self.add(known, key, values);
        }
        Ok(true)
    }
}

impl Members for Groups {
    fn forget(&mut self) {
        self.known = None;
    }

    fn most(&self, _: usize) -> usize {
        FEW + self.known.as_ref().map_or(0, |known| known.rows / ROWS_PER_CHANGE)
    }

    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
        _: usize,
    ) -> Result<Option<Vec<Concern>>, SqliteError> {
        // Whatever fails below, all is learned anew.
        let Some(mut known) = self.known.take() else {
            if let Some(left) = self.attempts.checked_sub(1) {
                self.attempts = left;
                self.known = self.learn(read)?;
            }
            return Ok(None);
        };
        let mut concerned = Vec::new();
        for change in changes {
            if !self.take(&mut known, read, change, &mut concerned)? || known.kept > MAX_KEPT {
                return Ok(None);
            }
        }
        self.known = Some(known);
        self.attempts = ATTEMPTS;
        once(&mut concerned);
        Ok(Some(concerned.into_iter().map(Concern::Of).collect()))
    }

    fn one(&self, concern: &Concern) -> One<'_> {
        let (Some(known), Concern::Of(key)) = (&self.known, concern) else { return One::Unknown };
        let Some(group) = known.groups.get(key) else { return One::Gone };
        let aggregate = |Taken { function, distinct, argument }: &Taken| match argument {
            None => Some(count(group.rows)),
            Some(argument) => group.tallies[*argument].of(*function, *distinct),
        };
        let aggregates: Option<Vec<Value>> = self.aggregates.iter().map(aggregate).collect();
        let Some(aggregates) = aggregates else { return One::Unknown };
        let (text, constants) = &self.group;
        One::Asked(text, key.iter().cloned().chain(aggregates).chain(constants.clone()).collect())
    }
}

/// Returns the type of an expression, if values that are equal are the same.
fn ordered_kind(expr: &Expr, table: &TableDef) -> Option<&'static str> {
    let mut has_collation = false;
    expr.visit(&mut |expr| has_collation |= matches!(expr, Expr::Collate { .. }));
    kind_of(expr, &|column| kind_in(column, table)).filter(|_| !has_collation)
}

fn kind_in(column: &Column, table: &TableDef) -> Option<&'static str> {
    Some(table.column(&column.name)?.column_type().sql())
}

/// Returns what has to be kept for an aggregate; none if the order of the rows counts.
fn kept(
    function: AggregateFunction,
    distinct: bool,
    argument: &Expr,
    table: &TableDef,
) -> Option<Kept> {
    use AggregateFunction::{Avg, Count, GroupConcat, Max, Min, Sum, Total};
    let kind = ordered_kind(argument, table);
    match function {
        Count if !distinct => Some(Kept { kind: None, values: false }),
        Count | Min | Max => Some(Kept { kind: Some(kind?), values: true }),
        // Sums of reals depend on the order in which they are added up.
        Sum | Total | Avg if !distinct && kind == Some("INTEGER") => {
            Some(Kept { kind, values: false })
        }
        Sum | Total | Avg | GroupConcat => None,
    }
}

/// Writes a selection of groups for the key and the aggregates of one.
fn of_group(select: &Select, aggregates: &[Aggregate], table: &TableDef) -> Option<Statement> {
    let (mut values, mut texts) = (Vec::new(), Vec::new());
    for (index, key) in select.group_by.iter().enumerate() {
        let text = format!("\"{GROUP}\".\"key{index}\"");
        // What is compared with a column is converted to its type.
        let kind = match key.as_written() {
            Expr::Column(_) | Expr::Cast { .. } => ordered_kind(key, table),
            _ => None,
        };
        values.push(match kind {
            Some(kind) => format!("CAST(? AS {kind}) AS \"key{index}\""),
            None => format!("? AS \"key{index}\""),
        });
        if let Expr::Column(Column { name, .. }) = key.as_written() {
            let of = [None, Some(select.from.name().clone())];
            let either = of.map(|of| Expr::Column(Column { of, name: name.clone() }));
            texts.extend(either.map(|column| (column, text.clone())));
        }
        texts.push((key.clone(), text));
    }
    for (index, aggregate) in aggregates.iter().enumerate() {
        values.push(format!("? AS \"aggregate{index}\""));
        let text = format!("\"{GROUP}\".\"aggregate{index}\"");
        texts.push((Expr::Aggregate(aggregate.clone()), text));
    }
    let named = |output: &Output| {
        // Without a name, SQLite calls it what its text is.
        let name = match (&output.name, output.expr.as_written()) {
            (Some(name), _) => name.clone(),
            (None, Expr::Column(column)) => column.name.clone(),
            (None, expr) => {
                let mut writer = SqlWriter::new("");
                writer.expr(expr).ok()?;
                writer.finish().0.replace('"', "\"\"").into()
            }
        };
        Some(Output { expr: output.expr.clone(), name: Some(name) })
    };
    let columns = select.columns.iter().map(named).collect::<Option<_>>()?;
    let filter = select.having.clone();
    let select = Select { columns, filter, ..Select::new(Source::table(GROUP)) };
    let mut writer = SqlWriter::with_instead(&given(GROUP, values.into_iter()), texts);
    writer.select(&select).ok()?;
    writer.is_complete().then(|| writer.finish())
}
