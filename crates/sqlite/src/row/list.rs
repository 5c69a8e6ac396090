//! A list whose copies share what they have in common.
//!
//! A B-tree by position: changing an element of a list that is shared copies the few nodes on the way
//! to it, and leaves the others to both. All of reading, inserting and removing takes O(log n).

use std::sync::Arc;

/// Most elements of a leaf, and most children of a branch.
const WIDTH: usize = 64;
/// With this many or fewer, a node is made one with a neighbour, if both fit into one.
const NARROW: usize = WIDTH / 2;

#[derive(Debug)]
pub(crate) struct List<T> {
    root: Arc<Node<T>>,
}

#[derive(Debug, Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    Branch { len: usize, children: Vec<Arc<Self>> },
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root) }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())) }
    }
}

impl<T> Node<T> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch { len, .. } => *len,
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch { children, .. } => children.len(),
        }
    }

    fn branch(children: Vec<Arc<Self>>) -> Self {
        Self::Branch { len: children.iter().map(|child| child.len()).sum(), children }
    }
}

/// Returns the child that holds an index, and where in it; the last one holds the end.
fn child_at<T>(children: &[Arc<Node<T>>], mut index: usize) -> (usize, usize) {
    let last = children.len() - 1;
    for (at, child) in children[..last].iter().enumerate() {
        if index < child.len() {
            return (at, index);
        }
        index -= child.len();
    }
    (last, index)
}

impl<T: Clone> Node<T> {
    /// Inserts; what does not fit is returned, and belongs behind it.
    fn insert(this: &mut Arc<Self>, index: usize, item: T) -> Option<Arc<Self>> {
        match Arc::make_mut(this) {
            Self::Leaf(items) => {
                items.insert(index, item);
                let is_full = items.len() > WIDTH;
                is_full.then(|| Arc::new(Self::Leaf(items.split_off(WIDTH / 2))))
            }
            Self::Branch { len, children } => {
                let (at, index) = child_at(children, index);
                *len += 1;
                if let Some(more) = Self::insert(&mut children[at], index, item) {
                    children.insert(at + 1, more);
                }
                if children.len() <= WIDTH {
                    return None;
                }
                let more = Self::branch(children.split_off(WIDTH / 2));
                *len -= more.len();
                Some(Arc::new(more))
            }
        }
    }

    fn remove(this: &mut Arc<Self>, index: usize) -> T {
        match Arc::make_mut(this) {
            Self::Leaf(items) => items.remove(index),
            Self::Branch { len, children } => {
                let (at, index) = child_at(children, index);
                *len -= 1;
                let item = Self::remove(&mut children[at], index);
                if children[at].len() == 0 && children.len() > 1 {
                    // An empty node between others would lead a search astray.
                    children.remove(at);
                } else if children[at].width() <= NARROW {
                    Self::unite(children, at);
                }
                item
            }
        }
    }

    /// Makes one of a narrow child and a neighbour, if both are.
    fn unite(children: &mut Vec<Arc<Self>>, at: usize) {
        let neighbours = [at.checked_sub(1), (at + 1 < children.len()).then_some(at)];
        let narrow = |at: &usize| children[*at].width() + children[*at + 1].width() <= WIDTH;
        let Some(first) = neighbours.into_iter().flatten().find(narrow) else { return };
        let second = children.remove(first + 1);
        match (Arc::make_mut(&mut children[first]), &*second) {
            (Self::Leaf(items), Self::Leaf(more)) => items.extend_from_slice(more),
            (Self::Branch { len, children }, Self::Branch { len: more_len, children: more }) => {
                *len += more_len;
                children.extend_from_slice(more);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    fn get_mut(this: &mut Arc<Self>, index: usize) -> &mut T {
        match Arc::make_mut(this) {
            Self::Leaf(items) => &mut items[index],
            Self::Branch { children, .. } => {
                let (at, index) = child_at(children, index);
                Self::get_mut(&mut children[at], index)
            }
        }
    }
}

impl<T> List<T> {
    pub(crate) fn len(&self) -> usize {
        self.root.len()
    }

    pub(crate) fn get(&self, mut index: usize) -> Option<&T> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(items) => return items.get(index),
                Node::Branch { children, .. } => {
                    let (at, within) = child_at(children, index);
                    (node, index) = (&children[at], within);
                }
            }
        }
    }

    /// Tells whether both are one and the same copy.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// Returns the number of elements at the beginning for which a condition holds; it must hold for
    /// none behind the first for which it does not.
    pub(crate) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> usize {
        let (mut before, mut node) = (0, &self.root);
        loop {
            match &**node {
                Node::Leaf(items) => return before + items.partition_point(|item| holds(item)),
                Node::Branch { children, .. } => {
                    // The last child whose first element fulfils it holds the place.
                    let is_before = |child: &Arc<Node<T>>| first(child).is_some_and(&holds);
                    let at = children.partition_point(is_before).saturating_sub(1);
                    before += children[..at].iter().map(|child| child.len()).sum::<usize>();
                    node = &children[at];
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        Iter { list: self, front: Run::EMPTY, back: Run::EMPTY, start: 0, end: self.len() }
    }

    /// Returns the leaf that holds an index, and where in it that is.
    fn leaf(&self, mut index: usize) -> (&[T], usize) {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(items) => return (items, index),
                Node::Branch { children, .. } => {
                    let (at, within) = child_at(children, index);
                    (node, index) = (&children[at], within);
                }
            }
        }
    }

    /// Compares element by element, but for what both share, up to where their nodes begin to hold
    /// different elements.
    pub(crate) fn eq_by(&self, other: &Self, same: impl Fn(&T, &T) -> bool) -> bool {
        if self.len() != other.len() {
            return false;
        }
        // How many at the beginning are found equal, and what comes next, the last first.
        let (mut equal, mut pairs) = (0, vec![(&self.root, &other.root)]);
        while let Some((left, right)) = pairs.pop() {
            if Arc::ptr_eq(left, right) {
                equal += left.len();
                continue;
            }
            match (&**left, &**right) {
                (Node::Leaf(left), Node::Leaf(right)) if left.len() == right.len() => {
                    if !left.iter().zip(right).all(|(left, right)| same(left, right)) {
                        return false;
                    }
                    equal += left.len();
                }
                (Node::Branch { children: left, .. }, Node::Branch { children: right, .. }) => {
                    let both = left.iter().zip(right);
                    let alike = both.clone().take_while(|(left, right)| left.len() == right.len());
                    let alike = alike.count();
                    if alike < left.len().max(right.len()) {
                        // All behind those is compared without regard to nodes.
                        pairs.clear();
                    }
                    pairs.extend(both.take(alike).rev());
                }
                _ => break,
            }
        }
        let rest = self.iter().skip(equal).zip(other.iter().skip(equal));
        rest.into_iter().all(|(left, right)| same(left, right))
    }
}

fn first<T>(mut node: &Arc<Node<T>>) -> Option<&T> {
    loop {
        match &**node {
            Node::Leaf(items) => return items.first(),
            Node::Branch { children, .. } => node = &children[0],
        }
    }
}

impl<T: Clone> List<T> {
    pub(crate) fn insert(&mut self, index: usize, item: T) {
        assert!(index <= self.len(), "the place lies within the list");
        if let Some(more) = Node::insert(&mut self.root, index, item) {
            self.root = Arc::new(Node::branch(vec![Arc::clone(&self.root), more]));
        }
    }

    pub(crate) fn remove(&mut self, index: usize) -> T {
        assert!(index < self.len(), "the element is in the list");
        let item = Node::remove(&mut self.root, index);
        while let Node::Branch { children, .. } = &*self.root
            && children.len() == 1
        {
            self.root = Arc::clone(&children[0]);
        }
        item
    }

    pub(crate) fn set(&mut self, index: usize, item: T) {
        assert!(index < self.len(), "the element is in the list");
        *Node::get_mut(&mut self.root, index) = item;
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter().peekable();
        let mut level: Vec<Arc<Node<T>>> = Vec::new();
        while items.peek().is_some() {
            level.push(Arc::new(Node::Leaf(items.by_ref().take(WIDTH).collect())));
        }
        while level.len() > 1 {
            let mut children = level.into_iter().peekable();
            level = Vec::new();
            while children.peek().is_some() {
                level.push(Arc::new(Node::branch(children.by_ref().take(WIDTH).collect())));
            }
        }
        level.pop().map_or_else(Self::default, |root| Self { root })
    }
}

/// Walks over a list from both ends.
#[derive(Debug)]
pub struct Iter<'a, T> {
    list: &'a List<T>,
    front: Run<'a, T>,
    back: Run<'a, T>,
    start: usize,
    end: usize,
}

/// A leaf and the index of its first element in the list.
#[derive(Debug)]
struct Run<'a, T> {
    items: &'a [T],
    first: usize,
}

impl<T> Clone for Run<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Run<'_, T> {}

impl<'a, T> Run<'a, T> {
    const EMPTY: Self = Self { items: &[], first: 0 };

    fn get(&mut self, list: &'a List<T>, index: usize) -> Option<&'a T> {
        let within = index.wrapping_sub(self.first);
        if let Some(item) = self.items.get(within) {
            return Some(item);
        }
        let (items, within) = list.leaf(index);
        *self = Self { items, first: index - within };
        items.get(within)
    }
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            list: self.list,
            front: self.front,
            back: self.back,
            start: self.start,
            end: self.end,
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.start == self.end {
            return None;
        }
        self.start += 1;
        self.front.get(self.list, self.start - 1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.start;
        (left, Some(left))
    }

    fn nth(&mut self, skipped: usize) -> Option<&'a T> {
        self.start = self.start.saturating_add(skipped).min(self.end);
        self.next()
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        self.end -= 1;
        self.back.get(self.list, self.end)
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> std::iter::FusedIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Change {
        Insert(usize, u32),
        Remove(usize),
        Set(usize, u32),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => (any::<usize>(), any::<u32>()).prop_map(|(at, item)| Change::Insert(at, item)),
            3 => any::<usize>().prop_map(Change::Remove),
            1 => (any::<usize>(), any::<u32>()).prop_map(|(at, item)| Change::Set(at, item)),
        ]
    }

    proptest! {
        /// A list is a vector, and a copy of it stays what it was.
        #[test]
        fn a_list_does_as_a_vector_does(
            start in 0..5_000_usize,
            changes in prop::collection::vec(change(), 0..400),
            one_sided in any::<bool>(),
        ) {
            let mut plain: Vec<u32> = (0..start as u32).collect();
            let mut list: List<u32> = plain.iter().copied().collect();
            let (before, copy) = (plain.clone(), list.clone());
            for change in changes {
                match change {
                    Change::Insert(at, item) => {
                        let at = at % (plain.len() + 1);
                        plain.insert(at, item);
                        list.insert(at, item);
                    }
                    Change::Remove(_) | Change::Set(..) if plain.is_empty() => {}
                    Change::Remove(at) => {
                        // Many from one place empty whole nodes.
                        let at = if one_sided { at % plain.len().min(100) } else { at % plain.len() };
                        prop_assert_eq!(list.remove(at), plain.remove(at));
                    }
                    Change::Set(at, item) => {
                        let at = at % plain.len();
                        plain[at] = item;
                        list.set(at, item);
                    }
                }
            }
            prop_assert_eq!(list.len(), plain.len());
            prop_assert!(list.iter().eq(&plain));
            prop_assert!(list.iter().rev().eq(plain.iter().rev()));
            prop_assert!(list.iter().skip(70).step_by(9).eq(plain.iter().skip(70).step_by(9)));
            for at in [0, plain.len() / 2, plain.len()] {
                prop_assert_eq!(list.get(at), plain.get(at));
            }
            prop_assert!(copy.iter().eq(&before));
            prop_assert_eq!(list.eq_by(&copy, PartialEq::eq), plain == before);
            let rebuilt: List<u32> = plain.iter().copied().collect();
            prop_assert!(list.eq_by(&rebuilt, PartialEq::eq));
        }

        /// Also where so many went that whole branches are gone.
        #[test]
        fn a_place_is_found_behind_what_was_removed(
            start in 0..12_288_usize,
            count in 0..9_000_usize,
            backwards in any::<bool>(),
        ) {
            let mut plain: Vec<usize> = (0..12_288).collect();
            let mut list: List<usize> = plain.iter().copied().collect();
            let end = (start + count).min(plain.len());
            for removed in 0..end - start {
                list.remove(if backwards { end - 1 - removed } else { start });
            }
            plain.drain(start..end);
            prop_assert!(list.iter().eq(&plain));
            for place in (0..plain.len()).step_by(61) {
                let found = list.partition_point(|item| *item < plain[place]);
                prop_assert_eq!(found, place);
            }
        }

        #[test]
        fn a_place_in_an_ordered_list_is_found(mut items in prop::collection::vec(0..500_u32, 0..3_000), at in 0..501_u32) {
            items.sort_unstable();
            let mut list = List::default();
            for item in &items {
                let place = list.partition_point(|other| other <= item);
                list.insert(place, *item);
            }
            prop_assert!(list.iter().eq(&items));
            prop_assert_eq!(
                list.partition_point(|item| *item < at),
                items.partition_point(|item| *item < at)
            );
        }
    }
}
