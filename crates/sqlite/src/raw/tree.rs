//! Walking over a tree from its root, around what is damaged.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::page::TreePage;
use super::{Entry, Place, RawDatabase};

/// Deeper than any tree that SQLite makes.
const MAX_DEPTH: u32 = 32;

/// What a tree's cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeKind {
    /// Rows with row ids.
    Table,
    /// Entries of an index, or rows of a table without row ids.
    Index,
}

/// A part of a tree that could not be visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The page that is missing or damaged, as a whole or in part.
    pub page: u32,
    /// The rows that it held come after this row id.
    pub after: Option<i64>,
    /// They go up to this row id.
    pub up_to: Option<i64>,
}

/// What a walk has seen.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// The pages of the tree that were read.
    pub pages: HashSet<u32>,
    /// What could not be visited, in order.
    pub gaps: Vec<Gap>,
    /// False if a page may be older than the tree.
    pub is_current: bool,
}

impl Walk {
    /// Tells whether everything that the tree holds was visited, as it was last written.
    pub fn is_complete(&self) -> bool {
        self.is_current && self.gaps.is_empty()
    }
}

/// The row ids that a page may hold: after the first, up to the second.
type Bounds = (Option<i64>, Option<i64>);

/// A walk that is under way.
struct Walker<'a> {
    database: &'a RawDatabase,
    kind: TreeKind,
    walk: Walk,
    visit: &'a mut dyn FnMut(Entry) -> ControlFlow<()>,
}

impl RawDatabase {
    /// Visits the entries of a tree in order, as far as they can be reached from its root.
    pub fn walk(
        &self,
        root: u32,
        kind: TreeKind,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Walk {
        let walk = Walk { is_current: true, ..Walk::default() };
        let mut walker = Walker { database: self, kind, walk, visit };
        // Whoever ends a walk early knows.
        _ = walker.page(root, (None, None), 0);
        walker.walk
    }
}

impl Walker<'_> {
    fn page(&mut self, page: u32, bounds: Bounds, depth: u32) -> ControlFlow<()> {
        let (after, up_to) = bounds;
        let pages = &self.database.pages;
        let tree_page = pages.tree_page(page, None);
        let is_ours = |found: &TreePage| {
            found.kind.is_table() == (self.kind == TreeKind::Table) && fits(found, bounds)
        };
        let Some(tree_page) = tree_page.filter(is_ours).filter(|_| depth < MAX_DEPTH) else {
            self.walk.gaps.push(Gap { page, after, up_to });
            return ControlFlow::Continue(());
        };
        if !self.walk.pages.insert(page) {
            // It was visited already, so it cannot be meant here.
            self.walk.gaps.push(Gap { page, after, up_to });
            return ControlFlow::Continue(());
        }
        let is_current = pages.is_current(page);
        self.walk.is_current &= is_current;
        self.cells(&tree_page, page, bounds, depth, is_current)?;
        if let Some(right) = tree_page.right() {
            // It may be the only child.
            let last = tree_page.cells().checked_sub(1).and_then(|last| tree_page.cell(last));
            let after = last.and_then(|cell| cell.rowid).or(after);
            self.page(right, (after, up_to), depth + 1)?;
        }
        ControlFlow::Continue(())
    }

    fn cells(
        &mut self,
        tree_page: &TreePage,
        page: u32,
        (low, high): Bounds,
        depth: u32,
        is_current: bool,
    ) -> ControlFlow<()> {
        let is_leaf = tree_page.kind.is_leaf();
        let mut after = low;
        // A gap in this page that ends where the next row begins.
        let mut open: Option<usize> = None;
        let mut is_in_order = true;
        for cell in 0..tree_page.cells() {
            let is_inside = |rowid: i64| {
                low.is_none_or(|low| rowid > low) && high.is_none_or(|high| rowid <= high)
            };
            let found = tree_page.cell(cell).filter(|cell| cell.rowid.is_none_or(is_inside));
            let Some(found) = found else {
                // Whoever searches shall look at the page as well: it may be of another place.
                self.walk.pages.remove(&page);
                if open.is_none() {
                    open = Some(self.walk.gaps.len());
                    self.walk.gaps.push(Gap { page, after, up_to: high });
                }
                continue;
            };
            if let Some(gap) = open.take() {
                let before = |rowid: i64| if is_leaf { rowid.saturating_sub(1) } else { rowid };
                self.walk.gaps[gap].up_to = found.rowid.map(before);
            }
            if let Some(left) = found.left {
                self.page(left, (after, found.rowid), depth + 1)?;
            }
            if is_leaf
                && after > low
                && found.rowid <= after
                && found.rowid.is_some()
                && is_in_order
            {
                // One of two rows has another's number, so a third is missing, or it is that one.
                is_in_order = false;
                self.walk.pages.remove(&page);
                self.walk.gaps.push(Gap { page, after: low, up_to: high });
            }
            after = found.rowid.or(after);
            if is_leaf || self.kind == TreeKind::Index {
                let place = Place { page, cell: cell as u16, image: None };
                let is_proven = self.database.pages.is_proven((page, None));
                let rowid = found.rowid;
                (self.visit)(Entry { place, rowid, is_current, is_proven })?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Tells whether an inner page's keys are in order and within bounds; if not, it belongs to another
/// place, and its children do so too.
fn fits(page: &TreePage, (low, high): Bounds) -> bool {
    if page.kind.is_leaf() || !page.kind.is_table() {
        return true;
    }
    let keys = (0..page.cells()).filter_map(|cell| page.cell(cell)?.rowid);
    let bounded = low.into_iter().chain(keys).chain(high);
    bounded.is_sorted()
}
