//! The index of what queries are interested in: which of them a change concerns, without a look at
//! the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::guard::{Condition, Guard, Test, lookup_form};
use super::intervals::Intervals;
use crate::{Columns, RowChange, Value};

/// Who is interested.
pub type Id = u32;

/// Most values by which one condition is looked up.
const MAX_VALUES: usize = 10_000;
/// Longest beginning of a text by which a condition is looked up, in bytes.
const MAX_PREFIX: usize = 1_000;

/// Which changes of a table concern a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Interest {
    /// The table, by index among [`Connection::tables`](crate::Connection::tables).
    pub table: usize,
    /// The columns that it reads.
    pub columns: Columns,
    /// What the rows that it reads fulfil.
    pub guard: Guard,
}

impl Interest {
    /// Tells whether a change may make a difference.
    fn is_met_by(&self, change: &RowChange) -> bool {
        let admits =
            |row: &Option<Box<[Value]>>| row.as_ref().is_some_and(|row| self.guard.admits(row));
        match (admits(&change.old), admits(&change.new)) {
            (false, false) => false,
            (true, true) => self.columns.are_changed_by(change),
            _ => true,
        }
    }
}

/// What queries are interested in, by table, column and value.
#[derive(Debug, Default)]
pub struct Index {
    tables: Vec<TableIndex>,
    /// Counts the changes that were looked up.
    round: u64,
}

#[derive(Debug, Default)]
struct TableIndex {
    interests: HashMap<Id, Entry>,
    by_value: BTreeMap<u16, HashMap<Value, Ids>>,
    by_range: BTreeMap<u16, Intervals>,
    /// By the beginning of a text, in lower case.
    by_prefix: BTreeMap<u16, Intervals>,
    /// Those that cannot be looked up.
    others: BTreeSet<Id>,
}

/// Those who are interested in a value: mostly one.
#[derive(Debug)]
enum Ids {
    One(Id),
    Many(BTreeSet<Id>),
}

impl Ids {
    fn insert(&mut self, id: Id) {
        match self {
            Self::One(one) if *one == id => {}
            Self::One(one) => *self = Self::Many(BTreeSet::from([*one, id])),
            Self::Many(many) => drop(many.insert(id)),
        }
    }

    /// Removes one; tells whether nobody is left.
    fn remove(&mut self, id: Id) -> bool {
        match self {
            Self::One(one) => *one == id,
            Self::Many(many) => {
                many.remove(&id);
                many.is_empty()
            }
        }
    }

    fn for_each(&self, found: &mut impl FnMut(Id)) {
        match self {
            Self::One(one) => found(*one),
            Self::Many(many) => many.iter().copied().for_each(found),
        }
    }
}

#[derive(Debug)]
struct Entry {
    interest: Arc<Interest>,
    /// The last change that it was considered for.
    round: u64,
}

/// How an interest is found.
enum Access<'a> {
    Values(u16, &'a [Value]),
    Range(u16, &'a Bound<Value>, &'a Bound<Value>),
    Prefix(u16, &'a str),
    None,
}

impl<'a> Access<'a> {
    /// Chooses the test of a conjunction by which the fewest rows are taken for one that fulfils it.
    fn of(tests: &'a [Test]) -> Self {
        let plain = || tests.iter().filter(|test| !test.not);
        let by_values = plain().filter_map(|test| match &test.condition {
            Condition::OneOf(values) if values.len() <= MAX_VALUES => {
                Some((values.len(), Self::Values(test.column, values)))
            }
            Condition::IsNull => Some((1, Self::Values(test.column, &[Value::Null]))),
            _ => None,
        });
        // Half of all rows may be true, or null; so these come last.
        let is_vague = |access: &Self| match access {
            Self::Values(_, values) => {
                values.iter().any(|value| matches!(value, Value::Null | Value::Integer(0 | 1)))
            }
            _ => false,
        };
        let (mut vague, mut telling) = (None, None);
        for (count, access) in by_values {
            let best = if is_vague(&access) { &mut vague } else { &mut telling };
            if best.as_ref().is_none_or(|(least, _)| count < *least) {
                *best = Some((count, access));
            }
        }
        if let Some((_, access)) = telling {
            return access;
        }
        let by_range = plain().find_map(|test| match &test.condition {
            Condition::Within(bounds) => Some((test.column, &bounds.0, &bounds.1)),
            _ => None,
        });
        let by_prefix = plain().find_map(|test| match &test.condition {
            Condition::BeginsWith(prefix) if (1..=MAX_PREFIX).contains(&prefix.len()) => {
                Some((test.column, prefix))
            }
            _ => None,
        });
        match (by_range, by_prefix) {
            (_, Some((column, prefix))) => Self::Prefix(column, prefix),
            (Some((column, low, high)), None) => Self::Range(column, low, high),
            (None, None) => vague.map_or(Self::None, |(_, access)| access),
        }
    }
}

/// Returns between what a text lies, in lower case, that begins so.
fn prefix_range(prefix: &str) -> (Bound<Value>, Bound<Value>) {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 0xFF.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (Bound::Included(bytes(prefix)), Bound::Excluded(end.into()))
}

/// Texts are looked up as bytes, since what comes after a prefix may not be UTF-8.
fn bytes(text: &str) -> Value {
    text.as_bytes().into()
}

impl TableIndex {
    fn file(&mut self, id: Id, guard: &Guard) {
        for tests in &guard.any {
            match Access::of(tests) {
                Access::Values(column, values) => {
                    let by_value = self.by_value.entry(column).or_default();
                    for value in values {
                        by_value.entry(value.clone()).or_insert(Ids::One(id)).insert(id);
                    }
                }
                Access::Range(column, low, high) => {
                    let intervals = self.by_range.entry(column).or_default();
                    intervals.insert(low.clone(), high.clone(), id);
                }
                Access::Prefix(column, prefix) => {
                    let (low, high) = prefix_range(prefix);
                    self.by_prefix.entry(column).or_default().insert(low, high, id);
                }
                Access::None => {
                    self.others.insert(id);
                }
            }
        }
    }

    fn unfile(&mut self, id: Id, guard: &Guard) {
        for tests in &guard.any {
            match Access::of(tests) {
                Access::Values(column, values) => {
                    let Some(by_value) = self.by_value.get_mut(&column) else { continue };
                    for value in values {
                        if by_value.get_mut(value).is_some_and(|ids| ids.remove(id)) {
                            by_value.remove(value);
                        }
                    }
                    if by_value.is_empty() {
                        self.by_value.remove(&column);
                    }
                }
                Access::Range(column, low, _) => {
                    take_out(&mut self.by_range, column, low, id);
                }
                Access::Prefix(column, prefix) => {
                    take_out(&mut self.by_prefix, column, &prefix_range(prefix).0, id);
                }
                Access::None => {
                    self.others.remove(&id);
                }
            }
        }
    }

    /// Calls a function with whoever may be interested in a row, maybe several times.
    fn candidates(&self, row: &[Value], found: &mut impl FnMut(Id)) {
        for (column, by_value) in &self.by_value {
            let value = row.get(usize::from(*column)).map(lookup_form);
            let ids = value.and_then(|value| by_value.get(&*value));
            if let Some(ids) = ids {
                ids.for_each(&mut *found);
            }
        }
        for (column, intervals) in &self.by_range {
            match row.get(usize::from(*column)) {
                None | Some(Value::Null) => {}
                Some(value) => intervals.around(value, &mut *found),
            }
        }
        for (column, intervals) in &self.by_prefix {
            if let Some(Value::Text(text)) = row.get(usize::from(*column)) {
                // No prefix is longer than what is left.
                let start = &text.as_bytes()[..text.len().min(MAX_PREFIX + 1)];
                intervals.around(&start.to_ascii_lowercase().into(), &mut *found);
            }
        }
    }
}

fn take_out(from: &mut BTreeMap<u16, Intervals>, column: u16, low: &Bound<Value>, id: Id) {
    if let Some(intervals) = from.get_mut(&column) {
        intervals.remove(low, id);
        if intervals.is_empty() {
            from.remove(&column);
        }
    }
}

impl Index {
    /// Adds somebody, and what of one table is of interest.
    ///
    /// One who was added for a table must be removed before being added for it again.
    pub fn insert(&mut self, id: Id, interest: Arc<Interest>) {
        if self.tables.len() <= interest.table {
            self.tables.resize_with(interest.table + 1, TableIndex::default);
        }
        let table = &mut self.tables[interest.table];
        table.file(id, &interest.guard);
        table.interests.insert(id, Entry { interest, round: 0 });
    }

    /// Removes somebody from a table.
    pub fn remove(&mut self, id: Id, table: usize) {
        let Some(table) = self.tables.get_mut(table) else { return };
        if let Some(Entry { interest, .. }) = table.interests.remove(&id) {
            table.unfile(id, &interest.guard);
        }
    }

    /// Calls a function with everybody whom a change concerns, once; returns how many were
    /// considered.
    pub fn concerned(&mut self, change: &RowChange, mut found: impl FnMut(Id)) -> usize {
        self.round += 1;
        let Some(table) = self.tables.get_mut(change.table) else { return 0 };
        let mut candidates: Vec<Id> = table.others.iter().copied().collect();
        for row in [&change.old, &change.new].into_iter().flatten() {
            table.candidates(row, &mut |id| candidates.push(id));
        }
        let mut considered = 0;
        for id in candidates {
            let Some(entry) = table.interests.get_mut(&id) else { continue };
            if entry.round == self.round {
                continue;
            }
            entry.round = self.round;
            considered += 1;
            if entry.interest.is_met_by(change) {
                found(id);
            }
        }
        considered
    }

    /// Calls a function with everybody who is interested in anything of a table.
    pub fn interested_in(&self, table: usize, found: impl FnMut(Id)) {
        let table = self.tables.get(table);
        table.into_iter().flat_map(|table| table.interests.keys()).copied().for_each(found);
    }
}
