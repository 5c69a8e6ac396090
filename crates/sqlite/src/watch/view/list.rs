//! A filtered and ordered list of rows of one table, or of groups of them, or a part of it.
//!
//! Of each entry it keeps what SQLite made of it: the values that order it, and the row as it was read.
//! When an entry has changed, SQLite is asked about it alone, by its key: whether it belongs to the
//! list, where, and as what. So conditions, expressions and affinities are SQLite's own, and only
//! values are compared here.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::groups::Groups;
use super::members::{Members, One, RowMembers};
use super::{News, Refreshed, View};
use crate::ast::{Column, Comparison, Direction, Expr, Nulls, Order, Output, Select, SqlWriter};
use crate::row::{DiffStep, History, List, RowRef, Rows, by_key};
use crate::watch::{compare, has_sub_queries};
use crate::{Collation, DecodeError, RowChange, SqliteError, StateRead, TableDef, Value};

/// Rows that are kept behind those that are wanted, so that one that leaves is seldom missed.
const SPARE: usize = 16;

/// Most values that a statement of a view has; SQLite takes a few more.
const MAX_BINDS: usize = 32_000;

type Decode<R> = dyn Fn(RowRef<'_>) -> Result<R, DecodeError> + Send;

/// How one key of an order compares.
#[derive(Debug, Clone, Copy)]
struct By {
    is_descending: bool,
    nulls_first: bool,
    collation: Collation,
}

impl By {
    fn compare(self, a: &Value, b: &Value) -> Ordering {
        match (a, b) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) if self.nulls_first => Ordering::Less,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) if self.nulls_first => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            _ if self.is_descending => compare(b, a, self.collation),
            _ => compare(a, b, self.collation),
        }
    }
}

/// What orders a row, and behind that its key; two of them are one row's if the keys are equal.
#[derive(Debug)]
struct Place {
    values: Box<[Value]>,
    key_at: usize,
}

impl Place {
    fn key(&self) -> &[Value] {
        &self.values[self.key_at..]
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// A place, found by its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Known(Arc<Place>);

impl Borrow<[Value]> for Known {
    fn borrow(&self) -> &[Value] {
        self.0.key()
    }
}

pub(crate) struct ListView<R> {
    /// The query for all rows.
    all: (String, Vec<Value>),
    members: Box<dyn Members>,
    /// Columns of a row that are read as `R`; those behind order it, and the last ones are its key.
    columns: usize,
    order: Box<[By]>,
    decode: Box<Decode<R>>,
    same: fn(&R, &R) -> bool,
    /// Rows that are left out first, and how many are wanted then.
    offset: usize,
    limit: Option<usize>,
    /// All rows, or the first of them.
    rows: List<Arc<R>>,
    places: List<Arc<Place>>,
    known: HashSet<Known>,
    /// True if there are no more rows than those.
    is_whole: bool,
    /// The part that was handed out last, with places, if there is a limit or an offset.
    part: Vec<(Arc<Place>, Arc<R>)>,
    handed_out: List<Arc<R>>,
    history: History<R>,
    /// True if no steps lead to the next list: until it was read for the first time, and where looking
    /// at rows has ended halfway.
    is_new: bool,
}

impl<R: Send + Sync + 'static> ListView<R> {
    /// Makes a view of a selection that spells out its columns; none if it is not of this kind.
    pub(crate) fn new(
        select: &Select,
        tables: &[TableDef],
        decode: impl Fn(RowRef<'_>) -> Result<R, DecodeError> + Send + 'static,
        same: fn(&R, &R) -> bool,
    ) -> Option<Self> {
        let table = tables.iter().find(|table| table.name() == select.from.table)?;
        if !select.joins.is_empty() || select.columns.is_empty() || has_sub_queries(select) {
            return None;
        }
        let of = select.from.name();
        let column = |name: &str| Expr::Column(Column::of(of.clone(), name.to_owned()));
        let key: Vec<Expr> = if select.is_of_rows() {
            table.key_names().map(column).collect()
        } else {
            select.group_by.clone()
        };
        let mut all = select.clone();
        all.order.extend(select.ties(table.key_names()));
        // A key of the order that is a name of the result means that, and not the column.
        let is_output = |order: &Order| match &order.expr {
            Expr::Column(Column { of: None, name }) => select.columns.iter().any(|output| {
                output.name.as_ref().is_some_and(|output| output.eq_ignore_ascii_case(name))
            }),
            _ => false,
        };
        if all.order.iter().any(is_output) {
            return None;
        }
        let order = all.order.iter().map(By::of).collect::<Option<Box<[By]>>>()?;
        all.columns.extend(all.order.iter().map(|order| order.expr.clone().into()));
        all.columns.extend(key.iter().cloned().map(Output::from));
        let members: Box<dyn Members> = if select.is_of_rows() {
            Box::new(row_members(&all, key)?)
        } else if select.distinct {
            return None;
        } else {
            Box::new(Groups::new(&all, table)?)
        };
        let offset = select.offset as usize;
        let limit = select.limit.map(|limit| limit as usize);
        all.offset = 0;
        all.limit = limit.and_then(|limit| u32::try_from(offset + limit + SPARE).ok());
        let all = written(&all)?;
        Some(Self {
            all,
            members,
            columns: select.columns.len(),
            order,
            decode: Box::new(decode),
            same,
            offset,
            limit,
            rows: List::default(),
            places: List::default(),
            known: HashSet::new(),
            is_whole: false,
            part: Vec::new(),
            handed_out: List::default(),
            history: History::default(),
            is_new: true,
        })
    }

    /// How many rows have to be kept, if not all of them.
    fn wanted(&self) -> Option<usize> {
        self.limit.map(|limit| self.offset + limit)
    }

    /// Reads a row that has so many columns.
    fn read(&self, row: RowRef<'_>, columns: usize) -> Result<(Arc<Place>, R), SqliteError> {
        let values = (self.columns..columns).map(|index| row.value(index)).collect();
        Ok((Arc::new(Place { values, key_at: self.order.len() }), (self.decode)(row)?))
    }

    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let pairs = a.values.iter().zip(&b.values).zip(&self.order);
        let mut different = pairs.map(|((a, b), by)| by.compare(a, b));
        different.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Returns where a row belongs, and how many are before it.
    fn position(&self, place: &Place) -> usize {
        self.places.partition_point(|other| self.compare(other, place) == Ordering::Less)
    }

    /// Runs the query for all rows; those that are known and equal stay the same objects.
    fn read_all(&mut self, read: StateRead<'_>) -> Result<(), SqliteError> {
        let old: HashMap<&[Value], &Arc<R>> =
            self.places.iter().map(|place| place.key()).zip(self.rows.iter()).collect();
        let mut found: Vec<(Arc<Place>, Arc<R>)> = Vec::new();
        let (text, binds) = &self.all;
        read.run(text, binds, |mut rows| {
            let columns = rows.column_count();
            while let Some(row) = rows.next()? {
                let (place, row) = self.read(row, columns)?;
                let known = old.get(place.key()).filter(|old| (self.same)(old, &row));
                let row = known.map_or_else(|| Arc::new(row), |old| Arc::clone(old));
                found.push((place, row));
            }
            Ok(())
        })?;
        let asked = self.wanted().map(|wanted| wanted + SPARE);
        self.is_whole = asked.is_none_or(|asked| found.len() < asked);
        self.known = found.iter().map(|(place, _)| Known(Arc::clone(place))).collect();
        self.rows = found.iter().map(|(_, row)| Arc::clone(row)).collect();
        self.places = found.into_iter().map(|(place, _)| place).collect();
        Ok(())
    }

    /// Looks at one row again, and takes the steps that it takes to bring it in its place; false if it
    /// is not where it should be.
    fn read_one(
        &mut self,
        read: StateRead<'_>,
        key: &[Value],
        steps: &mut Vec<DiffStep<R>>,
    ) -> Result<bool, SqliteError> {
        let now = match self.members.one(key) {
            One::Asked(text, binds) => read.run(text, &binds, |mut rows| {
                let columns = rows.column_count();
                rows.next()?.map(|row| self.read(row, columns)).transpose()
            })?,
            One::Gone => None,
            One::Unknown => return Ok(false),
        };
        let before = self.known.get(key).map(|Known(place)| Arc::clone(place));
        let from = before.map(|place| (self.position(&place), place));
        // If SQLite has ordered otherwise than is compared here, its order counts.
        if let Some((at, place)) = &from
            && !self.places.get(*at).is_some_and(|found| Arc::ptr_eq(found, place))
        {
            return Ok(false);
        }
        // Behind the last row that is kept may be others that are not.
        let is_beyond = |place: &Place, view: &Self| {
            let last = view.places.len().checked_sub(1).and_then(|last| view.places.get(last));
            !view.is_whole && last.is_none_or(|last| view.compare(place, last) == Ordering::Greater)
        };
        match (from, now) {
            (None, None) => {}
            (Some((at, place)), None) => {
                self.take_out(at, &place);
                steps.push(DiffStep::Remove { at });
            }
            (None, Some((place, row))) => {
                if is_beyond(&place, self) {
                    return Ok(true);
                }
                let (at, row) = (self.position(&place), Arc::new(row));
                self.put_in(at, place, Arc::clone(&row));
                steps.push(DiffStep::Insert { at, row });
            }
            (Some((from, before)), Some((place, row))) => {
                if is_beyond(&place, self) {
                    self.take_out(from, &before);
                    steps.push(DiffStep::Remove { at: from });
                    return Ok(true);
                }
                // Without the row itself, if that stands before its new place.
                let is_after = self.compare(&before, &place) == Ordering::Less;
                let to = self.position(&place) - usize::from(is_after);
                let old = self.rows.get(from).filter(|old| (self.same)(old, &row)).cloned();
                let is_same = old.is_some();
                let row = old.unwrap_or_else(|| Arc::new(row));
                if from == to {
                    self.known.replace(Known(Arc::clone(&place)));
                    self.places.set(from, place);
                    if !is_same {
                        self.rows.set(from, Arc::clone(&row));
                    }
                } else {
                    self.take_out(from, &before);
                    self.put_in(to, place, Arc::clone(&row));
                    steps.push(DiffStep::Move { from, to });
                }
                if !is_same {
                    steps.push(DiffStep::Update { at: to, row });
                }
            }
        }
        Ok(true)
    }

    fn take_out(&mut self, at: usize, place: &Arc<Place>) -> Arc<R> {
        self.known.remove(place.key());
        self.places.remove(at);
        self.rows.remove(at)
    }

    fn put_in(&mut self, at: usize, place: Arc<Place>, row: Arc<R>) {
        self.known.insert(Known(Arc::clone(&place)));
        self.places.insert(at, place);
        self.rows.insert(at, row);
    }

    /// Leaves out rows at the end that are too many.
    fn trim(&mut self) {
        let Some(wanted) = self.wanted() else { return };
        while self.rows.len() > wanted + 2 * SPARE {
            let last = self.rows.len() - 1;
            if let Some(place) = self.places.get(last).cloned() {
                self.take_out(last, &place);
            }
            self.is_whole = false;
        }
    }

    /// Hands out the part that is wanted.
    fn part(&mut self) -> Rows<R> {
        let skip = self.offset.min(self.rows.len());
        let take = self.limit.unwrap_or(usize::MAX);
        let places = self.places.iter().skip(skip).take(take).cloned();
        let part: Vec<_> = places.zip(self.rows.iter().skip(skip).cloned()).collect();
        let steps = by_key(&self.part, &part);
        let list = part.iter().map(|(_, row)| Arc::clone(row)).collect();
        self.part = part;
        self.hand_out(steps, list)
    }

    /// Hands out a list to which these steps lead from what was handed out before; if there are none,
    /// that is it.
    fn hand_out(&mut self, steps: Vec<DiffStep<R>>, list: List<Arc<R>>) -> Rows<R> {
        if self.is_new || !steps.is_empty() {
            let before = std::mem::replace(&mut self.handed_out, list);
            if !std::mem::take(&mut self.is_new) {
                self.history.push(before, steps);
            }
        }
        self.history.snapshot(self.handed_out.clone())
    }

    /// Takes note that no steps lead from what was handed out to the rows as they are.
    fn tear(&mut self) {
        self.history = History::default();
        self.is_new = true;
    }

    fn is_part(&self) -> bool {
        self.limit.is_some() || self.offset > 0
    }

    fn pairs(&self) -> Vec<(Arc<Place>, Arc<R>)> {
        self.places.iter().cloned().zip(self.rows.iter().cloned()).collect()
    }

    fn refresh_all(&mut self, read: StateRead<'_>) -> Result<Rows<R>, SqliteError> {
        if self.is_part() {
            self.read_all(read)?;
            return Ok(self.part());
        }
        let old = self.pairs();
        self.read_all(read)?;
        let steps = if self.is_new { Vec::new() } else { by_key(&old, &self.pairs()) };
        Ok(self.hand_out(steps, self.rows.clone()))
    }

    fn refresh_rows(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
    ) -> Result<Refreshed<Rows<R>>, SqliteError> {
        let mut steps = Vec::new();
        let Some(keys) = self.members.concerned(read, changes)? else {
            return Ok(Refreshed { value: self.refresh_all(read)?, was_run: true });
        };
        for key in keys {
            match self.read_one(read, &key, &mut steps) {
                Ok(true) => {}
                Ok(false) => {
                    self.tear();
                    return Ok(Refreshed { value: self.refresh_all(read)?, was_run: true });
                }
                Err(error) => {
                    self.tear();
                    return Err(error);
                }
            }
        }
        if !self.is_part() {
            let value = self.hand_out(steps, self.rows.clone());
            return Ok(Refreshed { value, was_run: false });
        }
        let was_run =
            !self.is_whole && self.wanted().is_some_and(|wanted| self.rows.len() < wanted);
        if was_run {
            self.read_all(read)?;
        }
        self.trim();
        Ok(Refreshed { value: self.part(), was_run })
    }
}

impl<R: Send + Sync + 'static> View<Rows<R>> for ListView<R> {
    fn refresh(
        &mut self,
        read: StateRead<'_>,
        news: News,
    ) -> Result<Refreshed<Rows<R>>, SqliteError> {
        match news {
            News::Rows(changes) if changes.len() <= self.members.most(self.rows.len()) => {
                self.refresh_rows(read, &changes)
            }
            _ => {
                self.members.forget();
                Ok(Refreshed { value: self.refresh_all(read)?, was_run: true })
            }
        }
    }
}

impl By {
    fn of(order: &Order) -> Option<Self> {
        let (expr, inner) = match &order.expr {
            Expr::Collate { expr, collation } => (&**expr, Some(*collation)),
            expr => (expr, None),
        };
        // Within an expression it may or may not reach the outside.
        let mut has_collation = false;
        expr.visit(&mut |expr| has_collation |= matches!(expr, Expr::Collate { .. }));
        let is_descending = order.direction == Direction::Descending;
        let nulls_first = order.nulls.map_or(!is_descending, |nulls| nulls == Nulls::First);
        let collation = order.collation.or(inner).unwrap_or(Collation::Binary);
        (!has_collation).then_some(Self { is_descending, nulls_first, collation })
    }
}

/// Writes how a row is found by its key, given how all are.
fn row_members(all: &Select, key: Vec<Expr>) -> Option<RowMembers> {
    let mut one = Select { order: Vec::new(), limit: None, offset: 0, ..all.clone() };
    let columns = key.len();
    for column in key {
        // Its value comes with each row.
        let is_it = column.compare(Comparison::Equal, Expr::Value(Value::Integer(0)));
        is_it.narrow(&mut one.filter);
    }
    let (text, mut binds) = written(&one)?;
    binds.truncate(binds.len() - columns);
    Some(RowMembers::new(text, binds))
}

/// Writes a selection, unless it is more than SQLite takes: it says a little more than the query, which
/// may be at its limits.
fn written(select: &Select) -> Option<(String, Vec<Value>)> {
    let mut writer = SqlWriter::new("");
    writer.select(select).ok()?;
    let (text, binds) = writer.finish();
    (binds.len() <= MAX_BINDS).then_some((text, binds))
}
