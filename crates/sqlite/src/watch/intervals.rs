//! Which of many intervals a value lies in.
//!
//! A treap by lower ends, each node knowing the greatest upper end below it. Finding the k intervals
//! around a value takes O(log n + k).

use std::cmp::Ordering;
use std::ops::Bound;

use super::compare::compare;
use super::index::Id;
use crate::{Collation, Value};

#[derive(Debug, Default)]
pub(super) struct Intervals(Option<Box<Node>>);

#[derive(Debug)]
struct Node {
    low: Bound<Value>,
    high: Bound<Value>,
    id: Id,
    /// The greatest upper end of this node and those below it.
    greatest: Bound<Value>,
    priority: u32,
    less: Option<Box<Self>>,
    more: Option<Box<Self>>,
}

/// Where an interval begins; of those at one value, the one that includes it comes first.
fn compare_low(a: &Bound<Value>, b: &Bound<Value>) -> Ordering {
    use Bound::{Excluded, Included, Unbounded};
    match (a, b) {
        (Unbounded, Unbounded) => Ordering::Equal,
        (Unbounded, _) => Ordering::Less,
        (_, Unbounded) => Ordering::Greater,
        (Included(x) | Excluded(x), Included(y) | Excluded(y)) => {
            let is_open = |bound: &Bound<Value>| matches!(bound, Excluded(_));
            compare(x, y, Collation::Binary).then(is_open(a).cmp(&is_open(b)))
        }
    }
}

/// Where an interval ends; of those at one value, the one that includes it comes last.
fn compare_high(a: &Bound<Value>, b: &Bound<Value>) -> Ordering {
    use Bound::{Excluded, Included, Unbounded};
    match (a, b) {
        (Unbounded, Unbounded) => Ordering::Equal,
        (Unbounded, _) => Ordering::Greater,
        (_, Unbounded) => Ordering::Less,
        (Included(x) | Excluded(x), Included(y) | Excluded(y)) => {
            let is_closed = |bound: &Bound<Value>| matches!(bound, Included(_));
            compare(x, y, Collation::Binary).then(is_closed(a).cmp(&is_closed(b)))
        }
    }
}

/// Tells whether a value lies behind where an interval begins.
fn is_begun(low: &Bound<Value>, value: &Value) -> bool {
    match low {
        Bound::Unbounded => true,
        Bound::Included(low) => compare(low, value, Collation::Binary) != Ordering::Greater,
        Bound::Excluded(low) => compare(low, value, Collation::Binary) == Ordering::Less,
    }
}

/// Tells whether a value lies before where an interval ends.
fn is_open(high: &Bound<Value>, value: &Value) -> bool {
    match high {
        Bound::Unbounded => true,
        Bound::Included(high) => compare(high, value, Collation::Binary) != Ordering::Less,
        Bound::Excluded(high) => compare(high, value, Collation::Binary) == Ordering::Greater,
    }
}

impl Node {
    /// Compares the place of a node with that of an interval.
    fn order(&self, low: &Bound<Value>, id: Id) -> Ordering {
        compare_low(&self.low, low).then(self.id.cmp(&id))
    }

    fn update(&mut self) {
        let below = [&self.less, &self.more].into_iter().flatten().map(|node| &node.greatest);
        let greatest = below.fold(&self.high, |greatest, other| {
            if compare_high(other, greatest) == Ordering::Greater { other } else { greatest }
        });
        self.greatest = greatest.clone();
    }
}

type Tree = Option<Box<Node>>;

/// Joins two trees, all of the first being before all of the second.
fn join(less: Tree, more: Tree) -> Tree {
    match (less, more) {
        (None, tree) | (tree, None) => tree,
        (Some(mut less), Some(mut more)) => {
            if less.priority > more.priority {
                less.more = join(less.more.take(), Some(more));
                less.update();
                Some(less)
            } else {
                more.less = join(Some(less), more.less.take());
                more.update();
                Some(more)
            }
        }
    }
}

/// Splits a tree into what is before an interval and what is not.
fn split(tree: Tree, low: &Bound<Value>, id: Id) -> (Tree, Tree) {
    let Some(mut node) = tree else { return (None, None) };
    if node.order(low, id) == Ordering::Less {
        let (less, more) = split(node.more.take(), low, id);
        node.more = less;
        node.update();
        (Some(node), more)
    } else {
        let (less, more) = split(node.less.take(), low, id);
        node.less = more;
        node.update();
        (less, Some(node))
    }
}

impl Intervals {
    pub(super) fn insert(&mut self, low: Bound<Value>, high: Bound<Value>, id: Id) {
        let (less, more) = split(self.0.take(), &low, id);
        // Spread over all numbers, so that the tree is as deep as a random one.
        let priority = id.wrapping_add(1).wrapping_mul(0x9E37_79B9).rotate_left(15) ^ id;
        let priority = priority.wrapping_mul(0x85EB_CA6B);
        let greatest = high.clone();
        let node = Box::new(Node { low, high, id, greatest, priority, less: None, more: None });
        self.0 = join(join(less, Some(node)), more);
    }

    /// Removes somebody's intervals that begin there.
    pub(super) fn remove(&mut self, low: &Bound<Value>, id: Id) {
        let (less, rest) = split(self.0.take(), low, id);
        let (_, more) = split(rest, low, id + 1);
        self.0 = join(less, more);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Calls a function with each interval that a value lies in.
    pub(super) fn around(&self, value: &Value, mut found: impl FnMut(Id)) {
        let mut left: Vec<&Node> = self.0.as_deref().into_iter().collect();
        while let Some(node) = left.pop() {
            if !is_open(&node.greatest, value) {
                continue;
            }
            left.extend(node.less.as_deref());
            if is_begun(&node.low, value) {
                if is_open(&node.high, value) {
                    found(node.id);
                }
                left.extend(node.more.as_deref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound() -> impl Strategy<Value = Bound<Value>> {
        let value = || {
            prop_oneof![
                (-9_i64..9).prop_map(Value::from),
                (-18_i64..18).prop_map(|half| Value::from(half as f64 / 2.0)),
            ]
        };
        prop_oneof![
            Just(Bound::Unbounded),
            value().prop_map(Bound::Included),
            value().prop_map(Bound::Excluded),
        ]
    }

    proptest! {
        /// What is found is what a look at each interval finds.
        #[test]
        fn the_intervals_around_a_value_are_found(
            intervals in prop::collection::vec((bound(), bound(), any::<bool>()), 0..40),
            value in (-20_i64..20).prop_map(|half| Value::from(half as f64 / 2.0)),
        ) {
            let mut tree = Intervals::default();
            for (id, (low, high, _)) in intervals.iter().enumerate() {
                tree.insert(low.clone(), high.clone(), id as Id);
            }
            for (id, (low, _, stays)) in intervals.iter().enumerate() {
                if !stays {
                    tree.remove(low, id as Id);
                }
            }
            let mut found = Vec::new();
            tree.around(&value, |id| found.push(id));
            found.sort_unstable();
            let is_in = |low: &Bound<Value>, high: &Bound<Value>| {
                is_begun(low, &value) && is_open(high, &value)
            };
            let expected: Vec<Id> = intervals
                .iter()
                .enumerate()
                .filter(|(_, (low, high, stays))| *stays && is_in(low, high))
                .map(|(id, _)| id as Id)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    fn depth(tree: &Tree) -> usize {
        tree.as_ref().map_or(0, |node| 1 + depth(&node.less).max(depth(&node.more)))
    }

    #[test]
    fn many_intervals_make_no_deep_tree() {
        let mut tree = Intervals::default();
        for id in 0..50_000 {
            tree.insert(Bound::Included(i64::from(id).into()), Bound::Unbounded, id);
        }
        assert!(depth(&tree.0) < 100, "{}", depth(&tree.0));
    }
}
