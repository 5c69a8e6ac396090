//! Lists of rows.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use super::diff::{self, Diff, DiffStep};
use super::list::{Iter, List};

/// A snapshot of a list of rows.
///
/// A clone shares everything, and the snapshots that a live query hands out one after the other share
/// all rows that did not change, each as the same object.
pub struct Rows<T> {
    list: List<Arc<T>>,
    /// The steps that led to it, the last ones last.
    origins: Option<Arc<[Arc<Origin<T>>]>>,
}

/// A snapshot from which steps lead to the next one.
struct Origin<T> {
    before: List<Arc<T>>,
    steps: Box<[DiffStep<T>]>,
}

/// Snapshots that are remembered, so that whoever has missed some is told by steps nevertheless.
const MAX_ORIGINS: usize = 8;

/// The last steps of a list that goes on.
pub(crate) struct History<T>(VecDeque<Arc<Origin<T>>>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> History<T> {
    /// Notes the steps that lead from a list to the next.
    pub(crate) fn push(&mut self, before: List<Arc<T>>, steps: Vec<DiffStep<T>>) {
        if self.0.len() == MAX_ORIGINS {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(Origin { before, steps: steps.into() }));
    }

    /// Returns a snapshot of the list that all of these lead to.
    pub(crate) fn snapshot(&self, list: List<Arc<T>>) -> Rows<T> {
        let origins = (!self.0.is_empty()).then(|| self.0.iter().cloned().collect());
        Rows { list, origins }
    }
}

impl<T> Rows<T> {
    pub(crate) fn new(list: List<Arc<T>>) -> Self {
        Self { list, origins: None }
    }

    /// Returns the steps that led from an earlier list to this one, if they are known.
    fn steps_from(&self, before: &List<Arc<T>>) -> Option<Vec<DiffStep<T>>> {
        if self.list.is_same(before) {
            return Some(Vec::new());
        }
        let origins = self.origins.as_deref()?;
        let from = origins.iter().rposition(|origin| origin.before.is_same(before))?;
        Some(origins[from..].iter().flat_map(|origin| origin.steps.iter().cloned()).collect())
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Tells whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.list.len() == 0
    }

    /// Returns the row at an index.
    pub fn get(&self, index: usize) -> Option<&Arc<T>> {
        self.list.get(index)
    }

    /// Returns the first row.
    pub fn first(&self) -> Option<&Arc<T>> {
        self.get(0)
    }

    /// Returns the last row.
    pub fn last(&self) -> Option<&Arc<T>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Walks over the rows in order.
    pub fn iter(&self) -> Iter<'_, Arc<T>> {
        self.list.iter()
    }

    /// Copies the rows out.
    pub fn to_vec(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.iter().map(|row| T::clone(row)).collect()
    }
}

impl<T: PartialEq> Rows<T> {
    /// Returns how an earlier snapshot became this one; from nothing, if there was none.
    ///
    /// Between the last snapshots of a live query that is maintained row by row, that takes time for what
    /// changed alone, and rows are told apart by their keys. Between others, rows are compared, and have
    /// no keys: what both begin and end with stays, and what is between is replaced, place by place.
    pub fn diff_from(&self, before: Option<&Self>) -> Diff<T> {
        let rows = self.clone();
        let Some(before) = before else { return Diff::from_nothing(rows) };
        let steps = self.steps_from(&before.list);
        let steps = steps.unwrap_or_else(|| diff::by_place(before, self));
        Diff { steps, rows }
    }

    /// Takes the rows of an earlier snapshot where they are equal and at the same place, counted from
    /// either end.
    #[must_use]
    pub fn reusing(self, before: &Self) -> Self {
        if self.list.is_same(&before.list) {
            return self;
        }
        let (start, end) = diff::common_ends(before, &self);
        if start == self.len() && start == before.len() {
            return before.clone();
        }
        let (ends_at, both) = (self.len() - end, before.len().min(self.len()) - end);
        let reused = |(at, row): (usize, &Arc<T>)| {
            let old = if at < both {
                before.get(at).filter(|old| at < start || diff::is_same(old, row))
            } else {
                (at >= ends_at).then(|| before.get(at + before.len() - self.len())).flatten()
            };
            Arc::clone(old.unwrap_or(row))
        };
        let list = self.iter().enumerate().map(reused).collect();
        let mut history = History::default();
        history.push(before.list.clone(), diff::by_place(before, &self));
        history.snapshot(list)
    }
}

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        Self { list: self.list.clone(), origins: self.origins.clone() }
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self::new(List::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: PartialEq> PartialEq for Rows<T> {
    fn eq(&self, other: &Self) -> bool {
        self.list.eq_by(&other.list, |a, b| Arc::ptr_eq(a, b) || a == b)
    }
}

impl<T: Eq> Eq for Rows<T> {}

impl<T> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self::new(rows.into_iter().map(Arc::new).collect())
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        match self.get(index) {
            Some(row) => row,
            None => panic!("there is no row {index} among {}", self.len()),
        }
    }
}

impl<'a, T> IntoIterator for &'a Rows<T> {
    type Item = &'a Arc<T>;
    type IntoIter = Iter<'a, Arc<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
