//! A filtered and ordered list of rows of one table, or of two that are joined, or of groups of one
//! table's rows; or a part of such a list.
//!
//! Of each entry it keeps what SQLite made of it: the values that order it, and the row as it was read.
//! When an entry has changed, SQLite is asked about it alone, by its key: whether it belongs to the
//! list, where, and as what. So conditions, expressions and affinities are SQLite's own, and only
//! values are compared here.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::given::GivenRow;
use super::groups::Groups;
use super::members::{Concern, Joined, Members, One, RowMembers};
use super::{News, Refreshed, View};
use crate::ast::{
    Column, Comparison, Direction, Expr, Join, JoinKind, Name, Nulls, Order, Output, Select,
    Source, SqlWriter,
};
use crate::row::{DiffStep, History, List, RowRef, Rows, by_key};
use crate::watch::kind::kind_of;
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

/// What orders a row, and behind that its key, by which two of them are compared.
#[derive(Debug)]
struct Place {
    values: Box<[Value]>,
    key_at: usize,
}

impl Place {
    /// Makes the first of those whose keys begin with this one.
    fn first_of(key: &[Value]) -> Self {
        Self { values: key.into(), key_at: 0 }
    }

    fn key(&self) -> &[Value] {
        &self.values[self.key_at..]
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.key(), other.key());
        let mut different = left.iter().zip(right).map(|(left, right)| left.total_cmp(right));
        let different = different.find(|order| order.is_ne());
        different.unwrap_or_else(|| left.len().cmp(&right.len()))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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

pub(crate) struct ListView<R> {
    /// The query for all rows.
    all: (String, Vec<Value>),
    members: Box<dyn Members>,
    /// Columns of a row that are read as `R`; those behind order it, and the last ones are its key.
    columns: usize,
    order: Box<[By]>,
    /// Which values of a place are texts, or may be.
    texts: Box<[bool]>,
    /// True if all places are compared here as SQLite does. Texts that are no UTF-8 are not.
    is_sure: bool,
    decode: Box<Decode<R>>,
    same: fn(&R, &R) -> bool,
    /// Rows that are left out first, and how many are wanted then.
    offset: usize,
    limit: Option<usize>,
    /// All rows, or the first of them.
    rows: List<Arc<R>>,
    places: List<Arc<Place>>,
    known: BTreeSet<Arc<Place>>,
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
        if select.columns.is_empty() || has_sub_queries(select) {
            return None;
        }
        let places = places(select, tables)?;
        let keys: Vec<Expr> = places.iter().flat_map(Listed::key_columns).collect();
        let select = &select.without_distinct(&keys)?;
        let ties = select.ties(places.iter().flat_map(Listed::key));
        let key = if select.is_of_rows() { keys } else { select.group_by.clone() };
        let mut all = select.clone();
        all.order.extend(ties);
        // A key of the order that is a name of the result means that, and not the column.
        let is_output = |order: &Order| match without_collation(&order.expr) {
            Expr::Column(Column { of: None, name }) => select.columns.iter().any(|output| {
                output.name.as_ref().is_some_and(|output| output.eq_ignore_ascii_case(name))
            }),
            _ => false,
        };
        if all.order.iter().any(is_output) {
            return None;
        }
        let order = all.order.iter().map(By::of).collect::<Option<Box<[By]>>>()?;
        let kind_of_column = |column: &Column| {
            let of_it =
                |place: &&Listed<'_>| column.of.as_ref().is_none_or(|of| of == place.source.name());
            let mut found = places.iter().filter(of_it).map(|place| place.table);
            Some(found.find_map(|table| table.column(&column.name))?.column_type().sql())
        };
        let is_text = |expr: &Expr| {
            kind_of(without_collation(expr), &kind_of_column).is_none_or(|kind| kind == "TEXT")
        };
        let ordered = all.order.iter().map(|order| &order.expr);
        let texts = ordered.chain(&key).map(is_text).collect();
        all.columns.extend(all.order.iter().map(|order| order.expr.clone().into()));
        all.columns.extend(key.iter().cloned().map(Output::from));
        let members: Box<dyn Members> = match &places[..] {
            [only] if !select.is_of_rows() => Box::new(Groups::new(&all, only.table)?),
            [first] if select.is_of_rows() => Box::new(row_members(&all, first, None)?),
            [first, second] if select.is_of_rows() => {
                Box::new(row_members(&all, first, Some(second))?)
            }
            _ => return None,
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
            texts,
            is_sure: true,
            decode: Box::new(decode),
            same,
            offset,
            limit,
            rows: List::default(),
            places: List::default(),
            known: BTreeSet::new(),
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

    /// Tells whether a place is compared here as SQLite does: a text that is no UTF-8 is read as bytes.
    fn is_sure_of(&self, place: &Place) -> bool {
        let mut values = place.values.iter().zip(&self.texts);
        !values.any(|(value, is_text)| *is_text && matches!(value, Value::Blob(_)))
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
        self.is_sure = found.iter().all(|(place, _)| self.is_sure_of(place));
        self.known = found.iter().map(|(place, _)| Arc::clone(place)).collect();
        self.rows = found.iter().map(|(_, row)| Arc::clone(row)).collect();
        self.places = found.into_iter().map(|(place, _)| place).collect();
        Ok(())
    }

    /// Looks at entries again, and takes the steps that it takes to bring each in its place; false if
    /// one is not where it should be, or there are more than this.
    fn read_one(
        &mut self,
        read: StateRead<'_>,
        concern: &Concern,
        most: usize,
        steps: &mut Vec<DiffStep<R>>,
    ) -> Result<bool, SqliteError> {
        let (Concern::Of(key) | Concern::Alone(key)) = concern;
        let from_there = self.known.range(Place::first_of(key)..);
        let before = from_there.take_while(|known| known.key().starts_with(key));
        let is_alone = |known: &Place| known.key().get(key.len()) == Some(&Value::Null);
        let mut before: Vec<Arc<Place>> = before.take(most + 1).cloned().collect();
        let one = match concern {
            Concern::Of(_) => self.members.one(concern),
            Concern::Alone(_) => {
                let has_partner = before.iter().any(|known| !is_alone(known));
                before.retain(|known| is_alone(known));
                if has_partner { One::Gone } else { self.members.one(concern) }
            }
        };
        let mut now: Vec<(Arc<Place>, R)> = Vec::new();
        match one {
            One::Asked(text, binds) => read.run(text, &binds, |mut rows| {
                let columns = rows.column_count();
                while now.len() <= most
                    && let Some(row) = rows.next()?
                {
                    now.push(self.read(row, columns)?);
                }
                Ok::<_, SqliteError>(())
            })?,
            One::Gone => {}
            One::Unknown => return Ok(false),
        }
        let is_sure = now.iter().all(|(place, _)| self.is_sure_of(place));
        if !is_sure || before.len().max(now.len()) > most {
            return Ok(false);
        }
        now.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let (mut before, mut now) = (before.into_iter().peekable(), now.into_iter().peekable());
        loop {
            let order = match (before.peek(), now.peek()) {
                (Some(before), Some((now, _))) => before.cmp(now),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(true),
            };
            let before = before.next_if(|_| order.is_le());
            let now = now.next_if(|_| order.is_ge());
            if !self.settle(before, now, steps) {
                return Ok(false);
            }
        }
    }

    /// Brings an entry in its place; false if it is not where it should be.
    fn settle(
        &mut self,
        before: Option<Arc<Place>>,
        now: Option<(Arc<Place>, R)>,
        steps: &mut Vec<DiffStep<R>>,
    ) -> bool {
        let from = before.map(|place| (self.position(&place), place));
        // If SQLite has ordered otherwise than is compared here, its order counts.
        if let Some((at, place)) = &from
            && !self.places.get(*at).is_some_and(|found| Arc::ptr_eq(found, place))
        {
            return false;
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
                    return true;
                }
                let (at, row) = (self.position(&place), Arc::new(row));
                self.put_in(at, place, Arc::clone(&row));
                steps.push(DiffStep::Insert { at, row });
            }
            (Some((from, before)), Some((place, row))) => {
                if is_beyond(&place, self) {
                    self.take_out(from, &before);
                    steps.push(DiffStep::Remove { at: from });
                    return true;
                }
                // Without the row itself, if that stands before its new place.
                let is_after = self.compare(&before, &place) == Ordering::Less;
                let to = self.position(&place) - usize::from(is_after);
                let old = self.rows.get(from).filter(|old| (self.same)(old, &row)).cloned();
                let is_same = old.is_some();
                if is_same && before.values == place.values {
                    return true;
                }
                let row = old.unwrap_or_else(|| Arc::new(row));
                if from == to {
                    self.known.replace(Arc::clone(&place));
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
        true
    }

    fn take_out(&mut self, at: usize, place: &Arc<Place>) -> Arc<R> {
        self.known.remove(place);
        self.places.remove(at);
        self.rows.remove(at)
    }

    fn put_in(&mut self, at: usize, place: Arc<Place>, row: Arc<R>) {
        self.known.insert(Arc::clone(&place));
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
        let most = 2 * self.members.most(self.rows.len());
        let concerned = self.members.concerned(read, changes, most)?;
        let Some(concerned) = concerned.filter(|concerned| concerned.len() <= 2 * most) else {
            return Ok(Refreshed { value: self.refresh_all(read)?, was_run: true });
        };
        for concern in concerned {
            match self.read_one(read, &concern, most, &mut steps) {
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
            News::Rows(changes)
                if self.is_sure && changes.len() <= self.members.most(self.rows.len()) =>
            {
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

/// A table of a selection, by index among all.
struct Listed<'a> {
    index: usize,
    source: &'a Source,
    table: &'a TableDef,
}

impl Listed<'_> {
    /// Returns the columns of its key, each with what the selection calls it.
    fn key(&self) -> impl Iterator<Item = (Name, Name)> {
        let of = self.source.name();
        self.table.key_names().map(move |name| (of.clone(), name.to_owned().into()))
    }

    fn key_columns(&self) -> impl Iterator<Item = Expr> {
        self.key().map(|(of, name)| Column::of(of, name).into())
    }

    /// Tells whether a column, by index among those that are written, is of texts.
    fn is_text(&self, column: usize) -> bool {
        self.table.written().nth(column).is_some_and(|column| column.column_type().sql() == "TEXT")
    }
}

fn places<'a>(select: &'a Select, tables: &'a [TableDef]) -> Option<Vec<Listed<'a>>> {
    let joined = select.joins.iter().map(|join| &join.source);
    let find = |source: &'a Source| {
        let index = tables.iter().position(|table| table.name() == source.table)?;
        Some(Listed { index, source, table: &tables[index] })
    };
    [&select.from].into_iter().chain(joined).map(find).collect()
}

/// Writes how rows are found by the key of the first table, given how all are; and by what they are
/// joined to, if that is one more.
fn row_members(
    all: &Select,
    first: &Listed<'_>,
    second: Option<&Listed<'_>>,
) -> Option<RowMembers> {
    let key: Vec<Expr> = first.key_columns().collect();
    let joined = match second {
        Some(second) => Some(joined(all, first, second)?),
        None => None,
    };
    let one = found_by(all, &key, &[])?;
    Some(RowMembers::new(first.index, key.len(), one, joined))
}

/// Writes how rows are found by these columns, whose values come last, and those being null.
fn found_by(all: &Select, key: &[Expr], nulls: &[Expr]) -> Option<(String, Vec<Value>)> {
    let mut one = Select { order: Vec::new(), limit: None, offset: 0, ..all.clone() };
    for column in nulls {
        Expr::IsNull(column.clone().into()).narrow(&mut one.filter);
    }
    for column in key {
        // Its value comes with each row.
        let is_it = column.clone().compare(Comparison::Equal, Expr::Value(Value::Integer(0)));
        is_it.narrow(&mut one.filter);
    }
    let (text, mut binds) = written(&one)?;
    binds.truncate(binds.len() - key.len());
    Some((text, binds))
}

/// Writes how the rows are found to which one of the second table is joined.
fn joined(all: &Select, first: &Listed<'_>, second: &Listed<'_>) -> Option<Joined> {
    let is_inner = all.joins.iter().all(|join| join.kind == JoinKind::Inner);
    let inner = |join: &Join| Join { kind: JoinKind::Inner, ..join.clone() };
    let by = |filter: Option<Expr>| Select {
        columns: first.key_columns().map(Output::from).collect(),
        joins: all.joins.iter().map(inner).collect(),
        filter,
        // What comes with each row.
        limit: Some(0),
        ..Select::new(first.source.clone())
    };
    // What a left join finds makes a difference even where the filter does not want it; and it may be
    // about what cannot be given. Without it, some rows more are looked at.
    let filtered = all.filter.clone().filter(|_| is_inner);
    let partners = GivenRow::new(&by(filtered), 1, second.table)
        .or_else(|| GivenRow::new(&by(None), 1, second.table))?;
    let (mine, others): (Vec<_>, Vec<_>) =
        (first.key_columns().collect(), second.key_columns().collect());
    let both: Vec<Expr> = mine.iter().chain(&others).cloned().collect();
    Some(Joined {
        table: second.index,
        partners,
        texts: first.table.key().map(|key| first.is_text(key)).collect(),
        has_index: None,
        pair: found_by(all, &both, &[])?,
        alone: if is_inner { None } else { Some(found_by(all, &mine, &others)?) },
    })
}

/// Returns what is ordered by, without saying how it is compared.
fn without_collation(expr: &Expr) -> &Expr {
    match expr.as_written() {
        Expr::Collate { expr, .. } => without_collation(expr),
        expr => expr,
    }
}

/// Writes a selection, unless it is more than SQLite takes: it says a little more than the query, which
/// may be at its limits.
fn written(select: &Select) -> Option<(String, Vec<Value>)> {
    let mut writer = SqlWriter::new("");
    writer.select(select).ok()?;
    let (text, binds) = writer.finish();
    (binds.len() <= MAX_BINDS).then_some((text, binds))
}
