//! Guards: what can be told of a row's part in a query by looking at its columns.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use super::compare::{compare, normalized};
use crate::{Collation, Value};

/// Most conjunctions that a guard consists of.
const MAX_ANY: usize = 32;

/// A condition that a row has to fulfil to have any part in a query, as far as it is understood.
///
/// It holds where all tests of at least one of its conjunctions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    pub(crate) any: Vec<Vec<Test>>,
    /// True if it is all that a row has to fulfil.
    pub(crate) is_exact: bool,
}

/// A test of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// The column, by index among those that are written.
    pub(crate) column: u16,
    /// True if it holds where its condition does not, also where that is null.
    pub(crate) not: bool,
    pub(crate) condition: Condition,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// It is one of these, none of which is null, in normal form and in the order of `total_cmp`.
    OneOf(Arc<[Value]>),
    IsNull,
    /// It is a number other than zero.
    IsTrue,
    /// It is within these bounds, not null, and compared byte by byte.
    Within(Box<(Bound<Value>, Bound<Value>)>),
    /// Its text begins with this, which is in lower case; ASCII letters in either case.
    BeginsWith(Box<str>),
}

impl Test {
    pub(crate) fn holds(&self, row: &[Value]) -> bool {
        let Some(value) = row.get(usize::from(self.column)) else { return true };
        self.condition.holds(value) != self.not
    }

    fn describe(&self, columns: &[&str]) -> String {
        let column = columns.get(usize::from(self.column)).copied().unwrap_or("?");
        let not = if self.not { "NOT " } else { "" };
        match &self.condition {
            Condition::OneOf(values) => match &values[..] {
                [value] if self.not => format!("{column} IS NOT {}", literal(value)),
                [value] => format!("{column} = {}", literal(value)),
                values => format!("{column} {not}IN {}", in_brackets(values)),
            },
            Condition::IsNull => format!("{column} IS {not}NULL"),
            Condition::IsTrue => format!("{column} IS {not}TRUE"),
            Condition::Within(bounds) => {
                let (low, high) = &**bounds;
                let sides = [
                    match low {
                        Bound::Included(low) => Some(format!("{column} >= {}", literal(low))),
                        Bound::Excluded(low) => Some(format!("{column} > {}", literal(low))),
                        Bound::Unbounded => None,
                    },
                    match high {
                        Bound::Included(high) => Some(format!("{column} <= {}", literal(high))),
                        Bound::Excluded(high) => Some(format!("{column} < {}", literal(high))),
                        Bound::Unbounded => None,
                    },
                ];
                let sides: Vec<_> = sides.into_iter().flatten().collect();
                let both = sides.join(" AND ");
                if self.not { format!("({both}) IS NOT TRUE") } else { both }
            }
            Condition::BeginsWith(prefix) => {
                format!("{column} {not}LIKE {}", literal(&format!("{prefix}%").into()))
            }
        }
    }

    /// Tells whether a column has to have a certain value.
    pub(crate) fn is_one_value(&self, column: usize) -> bool {
        let is_one = matches!(&self.condition, Condition::OneOf(values) if values.len() == 1);
        usize::from(self.column) == column && !self.not && is_one
    }
}

impl Condition {
    pub(crate) fn one_of(mut values: Vec<Value>) -> Self {
        values.sort_by(Value::total_cmp);
        values.dedup();
        Self::OneOf(values.into())
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::IsNull => *value == Value::Null,
            Self::OneOf(values) => {
                let value = lookup_form(value);
                values.binary_search_by(|one| one.total_cmp(&value)).is_ok()
            }
            Self::IsTrue => match value {
                Value::Integer(number) => *number != 0,
                Value::Real(number) => *number != 0.0,
                _ => false,
            },
            Self::Within(bounds) => *value != Value::Null && is_within(value, &bounds.0, &bounds.1),
            Self::BeginsWith(prefix) => match value {
                Value::Text(text) => {
                    let start = text.as_bytes().get(..prefix.len());
                    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
                }
                _ => false,
            },
        }
    }
}

/// Puts tests together; bounds of one column become one interval.
fn united(left: &[Test], right: &[Test]) -> Vec<Test> {
    let mut all = left.to_vec();
    for test in right {
        let bounds = |test: &Test| match &test.condition {
            Condition::Within(bounds) if !test.not => Some(bounds.clone()),
            _ => None,
        };
        let known = all.iter_mut().find(|known| {
            known.column == test.column && bounds(known).is_some() && bounds(test).is_some()
        });
        match (known, bounds(test)) {
            (Some(known), Some(new)) => {
                let old = bounds(known).unwrap_or_else(|| new.clone());
                let low = narrower(&old.0, &new.0, Ordering::Greater);
                let high = narrower(&old.1, &new.1, Ordering::Less);
                known.condition = Condition::Within(Box::new((low, high)));
            }
            _ => all.push(test.clone()),
        }
    }
    all
}

/// Returns the bound that leaves less: of two at one value that which excludes it, else that which lies
/// further in a direction.
fn narrower(a: &Bound<Value>, b: &Bound<Value>, further: Ordering) -> Bound<Value> {
    let (x, y) = match (a, b) {
        (Bound::Unbounded, other) | (other, Bound::Unbounded) => return other.clone(),
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            (x, y)
        }
    };
    let is_a = match compare(x, y, Collation::Binary) {
        Ordering::Equal => matches!(a, Bound::Excluded(_)),
        order => order == further,
    };
    if is_a { a.clone() } else { b.clone() }
}

/// Most values of a list that are written out.
const MAX_WRITTEN: usize = 8;
/// Longest text that is written out, in characters.
const MAX_CHARACTERS: usize = 40;

fn in_brackets(values: &[Value]) -> String {
    let mut written: Vec<_> = values.iter().take(MAX_WRITTEN).map(literal).collect();
    if values.len() > MAX_WRITTEN {
        written.push(format!("… {} more", values.len() - MAX_WRITTEN));
    }
    format!("({})", written.join(", "))
}

/// Writes a value as SQL does, if it is short.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => {
            let mut short: String = text.chars().take(MAX_CHARACTERS).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            format!("'{}'", short.replace('\'', "''"))
        }
        Value::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}

/// Returns the form in which a value is looked up.
pub(crate) fn lookup_form(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::Real(_) => Cow::Owned(normalized(value)),
        other => Cow::Borrowed(other),
    }
}

fn is_within(value: &Value, low: &Bound<Value>, high: &Bound<Value>) -> bool {
    let order = |bound: &Value| compare(value, bound, Collation::Binary);
    let above = match low {
        Bound::Unbounded => true,
        Bound::Included(low) => order(low) != Ordering::Less,
        Bound::Excluded(low) => order(low) == Ordering::Greater,
    };
    above
        && match high {
            Bound::Unbounded => true,
            Bound::Included(high) => order(high) != Ordering::Greater,
            Bound::Excluded(high) => order(high) == Ordering::Less,
        }
}

impl Guard {
    /// Every row may have a part.
    pub(crate) fn all() -> Self {
        Self { any: vec![Vec::new()], is_exact: false }
    }

    /// What is said holds everywhere, or nowhere.
    pub(crate) fn constant(holds: bool) -> Self {
        Self { any: if holds { vec![Vec::new()] } else { Vec::new() }, is_exact: true }
    }

    pub(crate) fn test(column: u16, condition: Condition) -> Self {
        Self { any: vec![vec![Test { column, not: false, condition }]], is_exact: true }
    }

    /// Tells whether a row may have a part; if it is exact, whether it has.
    pub(crate) fn admits(&self, row: &[Value]) -> bool {
        self.any.iter().any(|tests| tests.iter().all(|test| test.holds(row)))
    }

    /// Says in words what it admits, given the columns' names; nothing if it admits every row.
    pub fn describe(&self, columns: &[&str]) -> Option<String> {
        if self.any.iter().any(Vec::is_empty) {
            return None;
        }
        let all = |tests: &Vec<Test>| {
            let tests: Vec<_> = tests.iter().map(|test| test.describe(columns)).collect();
            tests.join(" AND ")
        };
        let any: Vec<_> = self.any.iter().map(all).collect();
        Some(if any.is_empty() { "never".into() } else { any.join(" OR ") })
    }

    pub(crate) fn or(mut self, other: Self) -> Self {
        self.any.extend(other.any);
        self.is_exact &= other.is_exact;
        if self.any.len() > MAX_ANY {
            return Self::all();
        }
        self
    }

    pub(crate) fn and(self, other: Self) -> Self {
        if self.any.len() * other.any.len() > MAX_ANY {
            // One of the two is as much as can be said, the one with fewer alternatives.
            let narrow = if self.any.len() <= other.any.len() { self } else { other };
            return Self { is_exact: false, ..narrow };
        }
        let both = |left: &Vec<Test>| {
            let left = left.clone();
            other.any.iter().map(move |right| united(&left, right))
        };
        let any = self.any.iter().flat_map(both).collect();
        Self { any, is_exact: self.is_exact && other.is_exact }
    }

    /// Holds where the other does not, if that is known exactly.
    pub(crate) fn not(self) -> Self {
        if !self.is_exact {
            return Self::all();
        }
        let flipped = |test: Test| vec![Test { not: !test.not, ..test }];
        let none = |tests: Vec<Test>| Self {
            any: tests.into_iter().map(flipped).collect(),
            is_exact: true,
        };
        self.any.into_iter().map(none).fold(Self::constant(true), Self::and)
    }
}
