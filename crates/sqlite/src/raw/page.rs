//! One page of a b-tree, and where its cells stand.

use std::ops::Range;
use std::rc::Rc;

use super::pages::DATABASE_HEADER;
use super::record::varint;
use super::{be16, be32};

/// What a page of a b-tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    IndexInterior,
    TableInterior,
    IndexLeaf,
    TableLeaf,
}

impl PageKind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            2 => Self::IndexInterior,
            5 => Self::TableInterior,
            10 => Self::IndexLeaf,
            13 => Self::TableLeaf,
            _ => return None,
        })
    }

    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::TableInterior | Self::TableLeaf)
    }

    pub(super) fn is_leaf(self) -> bool {
        matches!(self, Self::TableLeaf | Self::IndexLeaf)
    }
}

/// A page whose header makes sense; each cell has to be looked at on its own.
#[derive(Debug)]
pub(super) struct TreePage {
    bytes: Rc<[u8]>,
    pub(super) kind: PageKind,
    /// Where the page's header begins: after the database's on page 1.
    start: usize,
    cells: usize,
    usable: usize,
}

/// A cell: what it points to, and where its payload is.
#[derive(Debug)]
pub(super) struct Cell {
    /// The page with what comes before it, in interior pages.
    pub(super) left: Option<u32>,
    /// The row id, in tables.
    pub(super) rowid: Option<i64>,
    /// Length of the payload; 0 in interior pages of tables, which have none.
    pub(super) len: u64,
    /// The part of the payload that is in the page.
    pub(super) local: Range<usize>,
    /// The page with the next part.
    pub(super) overflow: Option<u32>,
}

impl TreePage {
    pub(super) fn parse(bytes: Rc<[u8]>, page: u32, usable: usize) -> Option<Self> {
        let start = if page == 1 { DATABASE_HEADER } else { 0 };
        let kind = PageKind::of(bytes[start])?;
        let cells = usize::from(be16(&bytes, start + 3));
        let parsed = Self { bytes, kind, start, cells, usable };
        (parsed.pointers().end <= usable).then_some(parsed)
    }

    /// Tells whether all cells and the page's own figures make sense together.
    pub(super) fn is_sound(&self) -> bool {
        let content = match be16(&self.bytes, self.start + 5) {
            0 => 65_536,
            content => usize::from(content),
        };
        let is_sound = |cell| {
            self.cell_start(cell).is_some_and(|at| at >= content) && self.cell(cell).is_some()
        };
        (self.pointers().end..=self.usable).contains(&content) && (0..self.cells).all(is_sound)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Returns the page with what comes after all cells, in interior pages.
    pub(super) fn right(&self) -> Option<u32> {
        (!self.kind.is_leaf()).then(|| be32(&self.bytes, self.start + 8))
    }

    fn pointers(&self) -> Range<usize> {
        let begin = self.start + if self.kind.is_leaf() { 8 } else { 12 };
        begin..begin + 2 * self.cells
    }

    fn cell_start(&self, cell: usize) -> Option<usize> {
        let pointers = self.pointers();
        let at = usize::from(be16(&self.bytes, pointers.start + 2 * cell));
        (pointers.end..self.usable.saturating_sub(3)).contains(&at).then_some(at)
    }

    /// Reads a cell; `None` if it does not fit into the page.
    pub(super) fn cell(&self, cell: usize) -> Option<Cell> {
        let mut at = self.cell_start(cell)?;
        let page = &self.bytes[..self.usable];
        let left = (!self.kind.is_leaf()).then(|| be32(page, at));
        at += left.map_or(0, |_| 4);
        let mut next = || {
            let (value, len) = varint(page.get(at..)?)?;
            at += len;
            Some(value)
        };
        if self.kind == PageKind::TableInterior {
            let rowid = Some(next()? as i64);
            return Some(Cell { left, rowid, len: 0, local: at..at, overflow: None });
        }
        let len = next()?;
        let rowid = if self.kind.is_table() { Some(next()? as i64) } else { None };
        let local = at..at.checked_add(self.local_len(len))?;
        if local.end > self.usable {
            return None;
        }
        let overflow = if (local.len() as u64) < len {
            Some(be32(page.get(local.end..local.end + 4)?, 0))
        } else {
            None
        };
        Some(Cell { left, rowid, len, local, overflow })
    }

    /// Returns how much of a payload of a length is in the page itself.
    fn local_len(&self, len: u64) -> usize {
        let usable = self.usable;
        let share = |part: usize| (usable - 12) * part / 255 - 23;
        let most = if self.kind.is_table() { usable - 35 } else { share(64) };
        if len <= most as u64 {
            return len as usize;
        }
        let least = share(32);
        let fitting = least + ((len - least as u64) % (usable as u64 - 4)) as usize;
        if fitting <= most { fitting } else { least }
    }
}
