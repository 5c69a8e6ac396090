//! A database file read without SQLite, page by page, for what damage has left of it.
//!
//! SQLite stops at the first page that makes no sense, and without a header or a schema it does
//! not even begin. Here every page is looked at on its own: what a tree still reaches is visited
//! in order, what it no longer reaches is named, and the pages that nothing reaches can be
//! searched. Nothing fails on content; only a file that cannot be opened is an error.
//!
//! Only structure is judged here. Whether a record is what it looks like, and whether a page that
//! no tree reaches is still in use, is for the caller to say. The file is never written to.

mod page;
mod pages;
mod record;
mod tree;
mod wal;

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use page::{Cell, TreePage};
use pages::{Image, Key, Pages};
use record::Layout;

use crate::Value;

pub use tree::{Gap, TreeKind, Walk};

/// A database and its write-ahead log, opened for reading only.
#[derive(Debug)]
pub struct RawDatabase {
    pages: Pages,
}

/// Something that is not as SQLite wrote it, as far as the file as a whole tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The header at the beginning of the file makes no sense.
    Header,
    /// The file ends too early.
    Truncated {
        /// Whole pages that are there.
        pages: u32,
        /// Pages that are missing, as the header has it.
        missing: u32,
    },
    /// The header of the `-wal` file makes no sense, so SQLite would not use that file.
    WalHeader,
    /// A frame of the `-wal` file is damaged, or does not follow on the one before it; SQLite would
    /// use nothing from there on.
    WalFrame {
        /// Which, counted from 0.
        frame: u32,
        /// The page that it seems to hold.
        page: Option<u32>,
    },
    /// Good frames of whole transactions stand behind a damaged one in the `-wal` file. They may be
    /// newer than what is before it, or be what lost transactions have left there.
    WalUnproven {
        /// How many.
        frames: u32,
    },
    /// The `-wal` file ends within a transaction: it was cut off, or was never finished.
    WalEnd {
        /// Frames of that transaction.
        frames: u32,
    },
}

/// Where a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The page.
    pub page: u32,
    cell: u16,
    /// The image of the page, if it is not the newest.
    image: Option<Image>,
}

/// A row of a table or an entry of an index.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// Its row id, if it is a row of a table that has row ids.
    pub rowid: Option<i64>,
    /// False if something newer may have been written over it and got lost.
    pub is_current: bool,
    /// False if it stands behind damage in the `-wal` file, so that it may be of another time than
    /// everything that does not.
    pub is_proven: bool,
}

/// A record's values.
#[derive(Debug, Clone)]
pub struct Record {
    /// The first values, as many as were asked for.
    pub values: Vec<Value>,
    /// False if something newer may have been written over a part of them and got lost.
    pub is_current: bool,
}

/// A line of the database's schema.
#[derive(Debug, Clone)]
pub struct SchemaObject {
    /// The name of the table or index.
    pub name: String,
    /// The first page of its tree.
    pub root: u32,
    /// Its definition; indexes that SQLite made by itself have none.
    pub sql: Option<String>,
}

impl RawDatabase {
    /// Opens a database file, and the `-wal` file beside it if there is one.
    ///
    /// # Errors
    ///
    /// A file cannot be opened, or its length not be found out. What cannot be read later counts
    /// as damage.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { pages: Pages::open(path)? })
    }

    /// Returns what is wrong with the files as a whole.
    pub fn damage(&self) -> &[Damage] {
        &self.pages.damage
    }

    /// Returns the size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.pages.page_size()
    }

    /// Returns how many pages there may be; some of them may be missing.
    pub fn page_count(&self) -> u32 {
        self.pages.count()
    }

    /// Returns the application id and the user version, if the header is sound.
    pub fn identity(&self) -> Option<(i64, i64)> {
        let header = self.pages.header()?;
        Some((be32(header, 68).into(), be32(header, 60).into()))
    }

    /// Tells what kind of tree a page belongs to, if it looks like one of a tree.
    pub fn kind_of(&self, page: u32) -> Option<TreeKind> {
        let page = self.pages.tree_page(page, None)?;
        Some(if page.kind.is_table() { TreeKind::Table } else { TreeKind::Index })
    }

    /// Reads the schema, as far as it can be read.
    pub fn schema(&self) -> Vec<SchemaObject> {
        let mut objects = Vec::new();
        self.walk(1, TreeKind::Table, &mut |entry| {
            let record = self.record(entry.place, 5, 5);
            if let Some([_, Value::Text(name), _, Value::Integer(root), sql]) =
                record.as_ref().map(|record| &record.values[..])
                && let Ok(root) = u32::try_from(*root)
            {
                let sql = match sql {
                    Value::Text(sql) => Some(sql.as_ref().into()),
                    _ => None,
                };
                objects.push(SchemaObject { name: name.as_ref().into(), root, sql });
            }
            ControlFlow::Continue(())
        });
        objects
    }

    /// Lists the pages that are not in use; `None` if that cannot be told for sure.
    pub fn free_pages(&self) -> Option<HashSet<u32>> {
        self.pages.free()
    }

    /// Visits the cells of all pages of trees of one kind, but for those that are left out.
    ///
    /// If a part of the `-wal` file is damaged, what other images hold of any page is visited as
    /// well: older ones, and last the unproven ones behind the damage, the newest first.
    pub fn search(
        &self,
        kind: TreeKind,
        leave_out: &HashSet<u32>,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) {
        let newest = (1..=self.page_count()).filter(|page| !leave_out.contains(page));
        let others = self.pages.others().into_iter().map(|(image, page)| (page, Some(image)));
        for (page, image) in newest.map(|page| (page, None)).chain(others) {
            let Some(tree_page) = self.pages.tree_page(page, image) else { continue };
            let has_entries = tree_page.kind.is_leaf() || kind == TreeKind::Index;
            if tree_page.kind.is_table() != (kind == TreeKind::Table) || !has_entries {
                continue;
            }
            let is_current = image.is_none() && self.pages.is_current(page);
            let is_proven = self.pages.is_proven((page, image));
            for cell in 0..tree_page.cells() {
                let Some(Cell { rowid, .. }) = tree_page.cell(cell) else { continue };
                let place = Place { page, cell: cell as u16, image };
                if visit(Entry { place, rowid, is_current, is_proven }).is_break() {
                    return;
                }
            }
        }
    }

    /// Reads the first values of the record in a cell, if it is one of so many columns.
    pub fn record(&self, at: Place, columns: usize, wanted: usize) -> Option<Record> {
        let page = self.pages.tree_page(at.page, at.image)?;
        let cell = page.cell(at.cell.into())?;
        let mut payload = Payload::new(&self.pages, (at.page, at.image), &page, &cell);
        payload.read(1)?;
        let header_len = record::header_len(&payload.bytes)?;
        let layout = Layout::read(payload.read(header_len as u64)?, cell.len)?;
        if layout.len() != columns {
            return None;
        }
        let values = layout.values(payload.read(layout.end_of(wanted)?)?, wanted)?;
        let is_current = at.image.is_none() && payload.is_current && self.pages.is_current(at.page);
        Some(Record { values, is_current })
    }
}

/// A payload, of which more is read when it is needed.
struct Payload<'a> {
    pages: &'a Pages,
    /// Where it begins.
    from: Key,
    bytes: Vec<u8>,
    len: u64,
    next: Option<u32>,
    is_current: bool,
}

impl<'a> Payload<'a> {
    fn new(pages: &'a Pages, from: Key, page: &TreePage, cell: &Cell) -> Self {
        let bytes = page.bytes()[cell.local.clone()].to_vec();
        Self { pages, from, bytes, len: cell.len, next: cell.overflow, is_current: true }
    }

    /// Reads on until there are so many bytes, as far as the payload has them.
    fn read(&mut self, wanted: u64) -> Option<&[u8]> {
        let wanted = wanted.min(self.len);
        // No payload is longer than all pages together, whatever a damaged length says.
        if wanted > u64::from(self.pages.count()) * self.pages.usable() as u64 {
            return None;
        }
        while (self.bytes.len() as u64) < wanted {
            let page = self.next.filter(|page| *page != 0)?;
            let bytes = self.pages.read_on(self.from, page)?;
            self.is_current &= self.pages.is_current(page);
            let rest = (self.len - self.bytes.len() as u64).min(self.pages.usable() as u64 - 4);
            self.bytes.extend_from_slice(&bytes[4..4 + rest as usize]);
            self.next = Some(be32(&bytes, 0));
        }
        Some(&self.bytes)
    }
}

fn is_page_size(size: usize) -> bool {
    (512..=65_536).contains(&size) && size.is_power_of_two()
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
