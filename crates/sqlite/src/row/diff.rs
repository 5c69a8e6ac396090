//! How one list of rows becomes another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::Rows;

/// Moves times rows, up to which each move is told; beyond, a row leaves and comes again.
const MAX_MOVING: usize = 1 << 22;

/// One step from a list to the next, which places are those of when it is taken.
#[derive(Debug)]
pub enum DiffStep<T> {
    /// A row comes.
    Insert {
        /// Its place.
        at: usize,
        /// The row.
        row: Arc<T>,
    },
    /// A row leaves.
    Remove {
        /// Its place.
        at: usize,
    },
    /// A row goes to another place.
    Move {
        /// Where it was.
        from: usize,
        /// Where it is once it was taken out from there.
        to: usize,
    },
    /// A row stays where it is and has other values.
    Update {
        /// Its place.
        at: usize,
        /// What it is now.
        row: Arc<T>,
    },
}

impl<T> Clone for DiffStep<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Insert { at, row } => Self::Insert { at: *at, row: Arc::clone(row) },
            Self::Remove { at } => Self::Remove { at: *at },
            Self::Move { from, to } => Self::Move { from: *from, to: *to },
            Self::Update { at, row } => Self::Update { at: *at, row: Arc::clone(row) },
        }
    }
}

impl<T: PartialEq> PartialEq for DiffStep<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Insert { at, row }, Self::Insert { at: other_at, row: other })
            | (Self::Update { at, row }, Self::Update { at: other_at, row: other }) => {
                at == other_at && row == other
            }
            (Self::Remove { at }, Self::Remove { at: other }) => at == other,
            (Self::Move { from, to }, Self::Move { from: other_from, to: other_to }) => {
                (from, to) == (other_from, other_to)
            }
            _ => false,
        }
    }
}

impl<T> DiffStep<T> {
    /// Takes the step on a list of one's own.
    ///
    /// # Panics
    ///
    /// If the list is not the one that the step leads from.
    pub fn apply(&self, list: &mut Vec<Arc<T>>) {
        match self {
            Self::Insert { at, row } => list.insert(*at, Arc::clone(row)),
            Self::Remove { at } => drop(list.remove(*at)),
            Self::Move { from, to } => {
                let row = list.remove(*from);
                list.insert(*to, row);
            }
            Self::Update { at, row } => list[*at] = Arc::clone(row),
        }
    }
}

/// How a list of rows became another one.
#[derive(Debug)]
pub struct Diff<T> {
    /// The steps, to be taken in this order.
    pub steps: Vec<DiffStep<T>>,
    /// What they lead to.
    pub rows: Rows<T>,
}

impl<T> Diff<T> {
    /// Leads from nothing to a list.
    pub(super) fn from_nothing(rows: Rows<T>) -> Self {
        let insert = |(at, row): (usize, &Arc<T>)| DiffStep::Insert { at, row: Arc::clone(row) };
        Self { steps: rows.iter().enumerate().map(insert).collect(), rows }
    }
}

/// Finds the steps between lists whose rows have keys, each of which stands in a list once.
pub(crate) fn by_key<K: Hash + Eq, T>(
    old: &[(K, Arc<T>)],
    new: &[(K, Arc<T>)],
) -> Vec<DiffStep<T>> {
    let places: HashMap<&K, usize> =
        new.iter().enumerate().map(|(at, (key, _))| (key, at)).collect();
    let mut steps = Vec::new();
    // Where those that stay will be, in the order in which they are.
    let mut kept: Vec<usize> = Vec::with_capacity(old.len());
    let mut updated: Vec<usize> = Vec::new();
    for (at, (key, row)) in old.iter().enumerate().rev() {
        match places.get(key) {
            None => steps.push(DiffStep::Remove { at }),
            Some(place) => {
                kept.push(*place);
                if !Arc::ptr_eq(row, &new[*place].1) {
                    updated.push(*place);
                }
            }
        }
    }
    kept.reverse();
    let mut is_there = vec![false; new.len()];
    for place in &kept {
        is_there[*place] = true;
    }
    let movers = not_in_longest_run(&kept);
    if movers.len().saturating_mul(kept.len()) <= MAX_MOVING {
        move_one_by_one(&mut kept, &movers, &mut steps);
    } else {
        let mut moving = vec![false; new.len()];
        for place in &movers {
            moving[*place] = true;
        }
        for (at, place) in kept.iter().enumerate().rev() {
            if moving[*place] {
                steps.push(DiffStep::Remove { at });
                is_there[*place] = false;
            }
        }
        updated.retain(|place| is_there[*place]);
    }
    for (at, (_, row)) in new.iter().enumerate() {
        if !is_there[at] {
            steps.push(DiffStep::Insert { at, row: Arc::clone(row) });
        }
    }
    updated.sort_unstable();
    let update = |at: usize| DiffStep::Update { at, row: Arc::clone(&new[at].1) };
    steps.extend(updated.into_iter().map(update));
    steps
}

/// Brings those that move to where they belong among the others, the first place first.
fn move_one_by_one<T>(order: &mut Vec<usize>, movers: &[usize], steps: &mut Vec<DiffStep<T>>) {
    let mut unplaced: Vec<usize> = movers.to_vec();
    unplaced.sort_unstable();
    let mut waiting: std::collections::HashSet<usize> = unplaced.iter().copied().collect();
    for place in unplaced {
        waiting.remove(&place);
        let Some(from) = order.iter().position(|other| *other == place) else { continue };
        order.remove(from);
        // Behind the last of those before it that have their place already.
        let is_before = |other: &usize| *other < place && !waiting.contains(other);
        let to = order.iter().rposition(is_before).map_or(0, |at| at + 1);
        order.insert(to, place);
        if from != to {
            steps.push(DiffStep::Move { from, to });
        }
    }
}

/// Returns the numbers that are not part of a longest ascending run, in any order.
fn not_in_longest_run(numbers: &[usize]) -> Vec<usize> {
    // The index of the number with which the best run of each length ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![usize::MAX; numbers.len()];
    for (index, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        if length > 0 {
            before[index] = ends[length - 1];
        }
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut stays = vec![false; numbers.len()];
    let mut at = ends.last().copied().unwrap_or(usize::MAX);
    while let Some(stay) = stays.get_mut(at) {
        *stay = true;
        at = before[at];
    }
    let moving = numbers.iter().zip(stays).filter(|(_, stays)| !stays);
    moving.map(|(number, _)| *number).collect()
}

/// How many rows two lists have in common at their beginnings, and at their ends.
pub(super) fn common_ends<T: PartialEq>(old: &Rows<T>, new: &Rows<T>) -> (usize, usize) {
    let start = old.iter().zip(new).take_while(|(old, new)| is_same(old, new)).count();
    let ends = old.iter().rev().zip(new.iter().rev());
    let ends = ends.take(old.len().min(new.len()) - start);
    (start, ends.take_while(|(old, new)| is_same(old, new)).count())
}

pub(super) fn is_same<T: PartialEq>(old: &Arc<T>, new: &Arc<T>) -> bool {
    Arc::ptr_eq(old, new) || old == new
}

/// Finds steps between lists whose rows have no keys: what both begin and end with stays, and what is
/// between is replaced, place by place.
pub(super) fn by_place<T: PartialEq>(old: &Rows<T>, new: &Rows<T>) -> Vec<DiffStep<T>> {
    let (start, end) = common_ends(old, new);
    let both = old.len().min(new.len()) - end;
    let mut steps = Vec::new();
    let pairs = old.iter().zip(new).enumerate().take(both).skip(start);
    for (at, (_, row)) in pairs.filter(|(_, (old, new))| !is_same(old, new)) {
        steps.push(DiffStep::Update { at, row: Arc::clone(row) });
    }
    steps.extend((both..old.len() - end).rev().map(|at| DiffStep::Remove { at }));
    let more = new.iter().enumerate().take(new.len() - end).skip(both);
    steps.extend(more.map(|(at, row)| DiffStep::Insert { at, row: Arc::clone(row) }));
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows by key, each key once.
    fn rows() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let rows = prop::collection::vec((0..40_u8, 0..4_u8), 0..40);
        rows.prop_map(|mut rows| {
            let mut seen = std::collections::HashSet::new();
            rows.retain(|(key, _)| seen.insert(*key));
            rows
        })
    }

    fn take(steps: &[DiffStep<(u8, u8)>], from: &[Arc<(u8, u8)>]) -> Vec<(u8, u8)> {
        let mut list = from.to_vec();
        for step in steps {
            step.apply(&mut list);
        }
        list.iter().map(|row| **row).collect()
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_one_list_to_the_other(old in rows(), new in rows()) {
            let old_rows: Vec<_> = old.iter().map(|row| (row.0, Arc::new(*row))).collect();
            let known: HashMap<(u8, u8), Arc<(u8, u8)>> =
                old_rows.iter().map(|(_, row)| (**row, Arc::clone(row))).collect();
            let shared = |row: &(u8, u8)| known.get(row).cloned().unwrap_or_else(|| Arc::new(*row));
            let new_rows: Vec<_> = new.iter().map(|row| (row.0, shared(row))).collect();
            let steps = by_key(&old_rows, &new_rows);
            let before: Vec<_> = old_rows.iter().map(|(_, row)| Arc::clone(row)).collect();
            prop_assert_eq!(take(&steps, &before), new.clone());
            if old == new {
                prop_assert!(steps.is_empty());
            }
            let old_list: Rows<_> = old.iter().copied().collect();
            let new_list: Rows<_> = new.iter().copied().collect();
            let before: Vec<_> = old_list.iter().cloned().collect();
            prop_assert_eq!(take(&by_place(&old_list, &new_list), &before), new);
        }
    }

    #[test]
    fn one_row_that_goes_far_is_one_move() {
        let rows =
            |keys: &[u8]| -> Vec<_> { keys.iter().map(|key| (*key, Arc::new(()))).collect() };
        let old = rows(&[1, 2, 3, 4, 5]);
        for (new, from, to) in
            [([2, 3, 4, 5, 1], 0, 4), ([5, 1, 2, 3, 4], 4, 0), ([1, 3, 2, 4, 5], 1, 2)]
        {
            let new: Vec<_> = new
                .iter()
                .map(|key| {
                    let (_, row) = old.iter().find(|(old, _)| old == key).unwrap();
                    (*key, Arc::clone(row))
                })
                .collect();
            let steps = by_key(&old, &new);
            let [DiffStep::Move { from: left, to: came }] = steps[..] else { panic!("{steps:?}") };
            assert!((left, came) == (from, to) || (left, came) == (to, from), "{left} to {came}");
        }
    }
}
