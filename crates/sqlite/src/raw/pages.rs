//! The images of each page, from the write-ahead log and from the database itself.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::page::TreePage;
use super::wal::Wal;
use super::{Damage, be16, be32, is_page_size};

/// The first bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Length of the database's header, at the beginning of page 1.
pub(super) const DATABASE_HEADER: usize = 100;
/// Pages that are kept in memory.
const CACHED: usize = 64;
/// Pages that are looked at to find out their size.
const SAMPLED: u64 = 256;

/// An image of a page that is not its newest, or not proven to be one of it at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Image {
    /// In the database, while the log has a newer one.
    Database,
    /// In a frame of the log.
    Frame(u32),
}

/// A page, or another image of it than the newest.
pub(super) type Key = (u32, Option<Image>);

/// The pages of a database and its write-ahead log.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    wal: Option<Wal>,
    page_size: usize,
    /// Bytes of each page that SQLite uses.
    usable: usize,
    /// Whole pages in the database file.
    in_file: u32,
    header: Option<Vec<u8>>,
    cache: RefCell<VecDeque<(Key, Rc<[u8]>)>>,
    pub(super) damage: Vec<Damage>,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let guessed = guess_page_size(&file, len)?;
        let wal = match File::open(wal_path(path)) {
            Ok(wal) => Wal::read(wal, guessed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let page_size = wal.as_ref().map(Wal::page_size).or(guessed).unwrap_or(4096);
        let mut pages = Self {
            file,
            wal,
            page_size,
            usable: page_size,
            in_file: u32::try_from(len / page_size as u64).unwrap_or(u32::MAX),
            header: None,
            cache: RefCell::default(),
            damage: Vec::new(),
        };
        pages.read_header(len);
        Ok(pages)
    }

    /// Takes what the database's header tells, if it is sound.
    fn read_header(&mut self, len: u64) {
        let size = match self.page_size {
            65_536 => 1,
            size => size as u16,
        };
        let header = self.read(1).map(|page| page[..DATABASE_HEADER].to_vec());
        let is_sound = |header: &Vec<u8>| {
            let usable = self.page_size - usize::from(header[20]);
            header.starts_with(MAGIC) && header[16..18] == size.to_be_bytes() && usable >= 480
        };
        self.header = header.filter(is_sound);
        match &self.header {
            Some(header) => {
                // Few databases set something aside in each page; then the pages show it.
                let usable = self.page_size - usize::from(header[20]);
                let sound = |usable| sound_pages(&self.file, len, self.page_size, usable);
                if usable == self.page_size || sound(usable) >= sound(self.page_size) {
                    self.usable = usable;
                } else {
                    self.damage.push(Damage::Header);
                }
            }
            None => self.damage.push(Damage::Header),
        }
        if let Some(wal) = &mut self.wal {
            self.damage.append(&mut wal.damage);
        }
        // The size counts only if the same program wrote it as the rest of the header.
        let size =
            |header: &Vec<u8>| if header[24..28] == header[92..96] { be32(header, 28) } else { 0 };
        let expected = self.header.as_ref().map_or(0, size);
        let bytes = u64::from(expected) * self.page_size as u64;
        let is_in_log = self.wal.as_ref().is_some_and(|wal| wal.pages().is_some());
        if !len.is_multiple_of(self.page_size as u64) || len < bytes && !is_in_log {
            let missing = expected.saturating_sub(self.in_file);
            self.damage.push(Damage::Truncated { pages: self.in_file, missing });
        }
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(super) fn usable(&self) -> usize {
        self.usable
    }

    /// Returns the highest page number that there may be.
    pub(super) fn count(&self) -> u32 {
        let in_log = self.wal.as_ref().and_then(Wal::most_pages).unwrap_or(0);
        self.in_file.max(in_log)
    }

    /// Returns the database's header, if it is sound.
    pub(super) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    /// Tells whether [`Self::read`] gives a page as it was last written.
    pub(super) fn is_current(&self, page: u32) -> bool {
        self.wal.as_ref().is_none_or(|wal| wal.is_current(page))
    }

    /// Tells whether an image belongs to the database as SQLite would read it, or once did.
    pub(super) fn is_proven(&self, key: Key) -> bool {
        let is_unproven = |frame| self.wal.as_ref().is_some_and(|wal| wal.is_unproven(frame));
        !self.frame_of(key).is_some_and(is_unproven)
    }

    /// Reads the newest proven image of a page, or an unproven one if there is no other; `None` if
    /// there is none.
    pub(super) fn read(&self, page: u32) -> Option<Rc<[u8]>> {
        self.read_in((page, None))
    }

    fn read_in(&self, key: Key) -> Option<Rc<[u8]>> {
        if let Some((_, bytes)) = self.cache.borrow().iter().find(|(cached, _)| *cached == key) {
            return Some(Rc::clone(bytes));
        }
        let bytes: Rc<[u8]> = self.load(key)?.into();
        let mut cache = self.cache.borrow_mut();
        cache.push_back((key, Rc::clone(&bytes)));
        if cache.len() > CACHED {
            cache.pop_front();
        }
        Some(bytes)
    }

    /// Reads a page that a record on another page goes on in, as it was when that was written;
    /// `None` if nothing tells.
    pub(super) fn read_on(&self, from: Key, page: u32) -> Option<Rc<[u8]>> {
        match (self.frame_of(from), &self.wal) {
            (Some(frame), Some(wal)) if wal.is_unproven(frame) => {
                self.read_in((page, Some(Image::Frame(wal.as_of(frame, page)?))))
            }
            // It may have been used for something else since.
            _ if from.1.is_some() => None,
            _ => self.is_proven((page, None)).then(|| self.read(page))?,
        }
    }

    /// Reads a page, or another image of it, as one of a b-tree.
    pub(super) fn tree_page(&self, page: u32, image: Option<Image>) -> Option<TreePage> {
        TreePage::parse(self.read_in((page, image))?, page, self.usable)
    }

    /// Lists the other images of pages, if some that are newer may be lost: first those that newer
    /// ones have replaced, then the unproven ones.
    pub(super) fn others(&self) -> Vec<(Image, u32)> {
        let Some(wal) = self.wal.as_ref().filter(|wal| wal.has_damage()) else {
            return Vec::new();
        };
        let frame = |(frame, page)| (Image::Frame(frame), page);
        let replaced = (1..=self.in_file).filter(|page| wal.newest(*page).is_some());
        let replaced = replaced.map(|page| (Image::Database, page));
        let older = wal.older().iter().copied().map(frame);
        older.chain(replaced).chain(wal.unproven().map(frame)).collect()
    }

    /// Returns the frame of the log that an image stands in; `None` if it is in the database.
    fn frame_of(&self, (page, image): Key) -> Option<u32> {
        let wal = self.wal.as_ref()?;
        match image {
            None if page <= self.in_file => wal.newest(page),
            None => wal.newest(page).or_else(|| wal.newest_unproven(page)),
            Some(Image::Frame(frame)) => Some(frame),
            Some(Image::Database) => None,
        }
    }

    fn load(&self, key: Key) -> Option<Vec<u8>> {
        let (page, _) = key;
        // A sector that cannot be read is damage like any other.
        match self.frame_of(key) {
            Some(frame) => self.wal.as_ref()?.page_in(frame).ok(),
            None if page == 0 || page > self.in_file => None,
            None => read_page(&self.file, page, self.page_size).ok(),
        }
    }

    /// Lists the pages that are not in use; `None` if that cannot be told.
    pub(super) fn free(&self) -> Option<HashSet<u32>> {
        let header = self.header()?;
        let (mut trunk, expected) = (be32(header, 32), be32(header, 36));
        let mut free = HashSet::new();
        let mut is_current = self.is_current(1);
        while trunk != 0 {
            let bytes = self.read(trunk)?;
            let leaves = be32(&bytes, 4) as usize;
            if !free.insert(trunk) || leaves > self.usable / 4 - 2 {
                return None;
            }
            is_current &= self.is_current(trunk);
            free.extend((0..leaves).map(|leaf| be32(&bytes, 8 + 4 * leaf)));
            trunk = be32(&bytes, 0);
        }
        (is_current && free.len() == expected as usize).then_some(free)
    }
}

fn wal_path(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

fn read_page(mut file: &File, page: u32, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    file.seek(SeekFrom::Start(u64::from(page - 1) * size as u64))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Finds the size with which the pages make sense; what the header claims if none does.
///
/// A header that also tells the length of the file is believed at once. Else: with a size that is too
/// small, next to no page makes sense. A page also does as the beginning of a larger one; so the
/// header is believed unless a smaller size does about as well, and else the smallest size with about
/// the best result is taken.
fn guess_page_size(file: &File, len: u64) -> io::Result<Option<usize>> {
    let mut header = [0; DATABASE_HEADER];
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    let claimed = reader.read_exact(&mut header).is_ok().then(|| match be16(&header, 16) {
        1 => 65_536,
        size => size.into(),
    });
    // Few pages of a file with large values are pages of a tree, so that a count could mislead.
    let told = |size: &usize| u64::from(be32(&header, 28)) * *size as u64 == len;
    if let Some(size) = claimed.filter(|size| is_page_size(*size) && told(size)) {
        return Ok(Some(size));
    }
    let sizes: Vec<usize> = (9..=16).map(|bits| 1 << bits).collect();
    let scores: Vec<u64> = sizes.iter().map(|size| sound_pages(file, len, *size, *size)).collect();
    let best = scores.iter().copied().max().unwrap_or(0);
    let smallest = |than: u64| scores.iter().position(|score| than > 0 && score * 2 >= than);
    let believed = sizes.iter().position(|size| claimed == Some(*size));
    let believed =
        believed.filter(|at| scores[*at] * 8 >= best && smallest(scores[*at]) == Some(*at));
    let found = believed.or_else(|| smallest(best)).map(|at| sizes[at]);
    Ok(found.or(claimed).filter(|size| is_page_size(*size)))
}

/// Tells how many of a thousand pages make sense if they are of a size, and so much of it is used.
fn sound_pages(file: &File, len: u64, size: usize, usable: usize) -> u64 {
    let pages = len / size as u64;
    let sampled = SAMPLED.min(pages);
    let page = |sample: u64| u32::try_from(1 + pages * sample / sampled).ok();
    let is_sound = |page: &u32| {
        let parsed = read_page(file, *page, size).ok();
        let parsed = parsed.and_then(|bytes| TreePage::parse(bytes.into(), *page, usable));
        parsed.is_some_and(|page| page.is_sound())
    };
    let sound = (0..sampled).filter_map(page).filter(is_sound).count() as u64;
    1_000 * sound / sampled.max(1)
}
