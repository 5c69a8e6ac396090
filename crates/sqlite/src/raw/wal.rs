//! The write-ahead log, frame by frame.
//!
//! SQLite's checksums run from frame to frame, and it stops at the first that does not fit. What is
//! before is *proven*: it is the database as of its last whole transaction. A frame behind can still
//! be checked by the sum that the one before it ends with, so its page is as it was once written;
//! but whether it was written before or after what is proven, nothing tells: in a hole that a power
//! cut has made, new transactions may have been written since, in front of lost ones. So *unproven*
//! frames replace nothing. They are further images of their pages, as long as a whole transaction
//! ends behind them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{Damage, be32};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number, but for the last bit, which tells the order of bytes in checksums.
const MAGIC: u32 = 0x377f_0682;

/// The frames of transactions that were committed.
#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    page_size: usize,
    /// The newest proven frame of each page.
    newest: HashMap<u32, u32>,
    /// Proven frames that are not the newest of their page, each with its page.
    older: Vec<(u32, u32)>,
    unproven: BTreeMap<u32, Unproven>,
    /// The unproven frames of each page, in order.
    unproven_of: HashMap<u32, Vec<u32>>,
    /// Pages of which there is a frame behind the proven ones, good or damaged.
    outdated: HashSet<u32>,
    /// A damaged frame does not tell its page, so any page may be out of date.
    is_in_doubt: bool,
    /// The database's size after the last proven transaction, in pages.
    pages: Option<u32>,
    /// The greatest size after an unproven one.
    unproven_pages: Option<u32>,
    pub(super) damage: Vec<Damage>,
}

/// A good frame behind a damaged one.
#[derive(Debug, Clone, Copy)]
struct Unproven {
    page: u32,
    /// The first of the frames up to this one that follow on each other.
    run: u32,
    /// The last frame of its transaction, or of those that follow on each other.
    last: u32,
}

/// What a frame says of itself, and whether that is so.
#[derive(Debug, Clone, Copy)]
struct Frame {
    page: u32,
    /// Not 0 in the last frame of a transaction.
    commit: u32,
    is_of_this_log: bool,
    is_good: bool,
}

/// What the log's header says.
#[derive(Debug, Clone, Copy)]
struct Header {
    big_endian: bool,
    page_size: Option<usize>,
    salts: [u8; 8],
    sum: Option<(u32, u32)>,
}

impl Wal {
    /// Reads the log; `None` if it is empty. `page_size` is used if its header is damaged.
    pub(super) fn read(file: File, page_size: Option<usize>) -> io::Result<Option<Self>> {
        let len = file.metadata()?.len();
        let mut bytes = [0; HEADER + FRAME_HEADER];
        let head = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        (&file).read_exact(&mut bytes[..head])?;
        if head < bytes.len() {
            return Ok(None);
        }
        let header = Header::read(&bytes);
        let Some(page_size) = header.page_size.or(page_size) else { return Ok(None) };
        let mut frames = read_frames(&file, header, page_size)?;
        if header.sum.is_none() && !frames.iter().any(|frame| frame.is_good) {
            let other = Header { big_endian: !header.big_endian, ..header };
            frames = read_frames(&file, other, page_size)?;
        }
        Ok(Some(Self::sort_out(file, header, page_size, &frames)))
    }

    fn sort_out(file: File, header: Header, page_size: usize, frames: &[Frame]) -> Self {
        let mut wal = Self {
            file,
            page_size,
            newest: HashMap::new(),
            older: Vec::new(),
            unproven: BTreeMap::new(),
            unproven_of: HashMap::new(),
            outdated: HashSet::new(),
            is_in_doubt: false,
            pages: None,
            unproven_pages: None,
            damage: Vec::new(),
        };
        if header.sum.is_none() {
            wal.damage.push(Damage::WalHeader);
        }
        let ends_here = |frame: &Frame| frame.is_good && frame.commit > 0;
        let committed = frames.iter().rposition(ends_here).map_or(0, |last| last + 1);
        let unbroken = frames.iter().position(|frame| !frame.is_good).unwrap_or(frames.len());
        let proven = frames[..unbroken].iter().rposition(ends_here).map_or(0, |last| last + 1);
        wal.pages = proven.checked_sub(1).map(|last| frames[last].commit);
        for (index, frame) in frames[..proven].iter().enumerate() {
            let before = wal.newest.insert(frame.page, index as u32);
            wal.older.extend(before.map(|before| (before, frame.page)));
        }
        wal.sort_out_unproven(&frames[..committed], proven);
        // What a power cut leaves looks the same as damage to the last transactions.
        let rest = frames[committed..].iter().filter(|frame| frame.is_of_this_log).count();
        if rest > 0 {
            wal.damage.push(Damage::WalEnd { frames: rest as u32 });
        }
        wal
    }

    fn sort_out_unproven(&mut self, frames: &[Frame], proven: usize) {
        let mut run = None;
        for (index, frame) in frames.iter().enumerate().skip(proven) {
            let (index, is_told) = (index as u32, frame.is_of_this_log);
            if is_told {
                self.outdated.insert(frame.page);
            }
            if !frame.is_good {
                run = None;
                self.is_in_doubt |= !is_told;
                let page = is_told.then_some(frame.page);
                self.damage.push(Damage::WalFrame { frame: index, page });
                continue;
            }
            let run = *run.get_or_insert(index);
            self.unproven.insert(index, Unproven { page: frame.page, run, last: index });
            self.unproven_of.entry(frame.page).or_default().push(index);
            if frame.commit > 0 {
                self.unproven_pages = self.unproven_pages.max(Some(frame.commit));
            }
        }
        let mut behind: Option<(u32, u32)> = None;
        for (index, unproven) in self.unproven.iter_mut().rev() {
            let is_end = frames[*index as usize].commit > 0;
            let follows = behind.filter(|(run, _)| *run == unproven.run && !is_end);
            unproven.last = follows.map_or(*index, |(_, last)| last);
            behind = Some((unproven.run, unproven.last));
        }
        if !self.unproven.is_empty() {
            self.damage.push(Damage::WalUnproven { frames: self.unproven.len() as u32 });
        }
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    /// Returns the database's size in pages, if a proven transaction tells it.
    pub(super) fn pages(&self) -> Option<u32> {
        self.pages
    }

    /// Returns the greatest size that any transaction tells.
    pub(super) fn most_pages(&self) -> Option<u32> {
        self.pages.max(self.unproven_pages)
    }

    /// Returns the newest proven frame of a page.
    pub(super) fn newest(&self, page: u32) -> Option<u32> {
        self.newest.get(&page).copied()
    }

    /// Returns the last unproven frame of a page.
    pub(super) fn newest_unproven(&self, page: u32) -> Option<u32> {
        self.unproven_of.get(&page)?.last().copied()
    }

    /// Tells whether a frame stands behind a damaged one.
    pub(super) fn is_unproven(&self, frame: u32) -> bool {
        self.unproven.contains_key(&frame)
    }

    /// Returns the frame with a page as it was when an unproven frame's transaction was over, if
    /// the frames in between tell: else it may be of another time.
    pub(super) fn as_of(&self, frame: u32, page: u32) -> Option<u32> {
        let Unproven { run, last, .. } = self.unproven.get(&frame)?;
        let frames = self.unproven_of.get(&page)?;
        let found = frames[..frames.partition_point(|frame| frame <= last)].last()?;
        (found >= run).then_some(*found)
    }

    /// Tells whether there may be something newer than what is proven.
    pub(super) fn has_damage(&self) -> bool {
        !self.outdated.is_empty() || self.is_in_doubt
    }

    /// Returns the proven frames that are not the newest of their page, each with its page.
    pub(super) fn older(&self) -> &[(u32, u32)] {
        &self.older
    }

    /// Walks over the unproven frames, the last first, each with its page.
    pub(super) fn unproven(&self) -> impl Iterator<Item = (u32, u32)> {
        self.unproven.iter().rev().map(|(frame, unproven)| (*frame, unproven.page))
    }

    /// Tells whether the newest proven image is the page's last state.
    pub(super) fn is_current(&self, page: u32) -> bool {
        !self.is_in_doubt && !self.outdated.contains(&page)
    }

    /// Reads the page in a frame.
    pub(super) fn page_in(&self, frame: u32) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.page_size];
        let frame_size = (FRAME_HEADER + self.page_size) as u64;
        let at = (HEADER + FRAME_HEADER) as u64 + u64::from(frame) * frame_size;
        (&self.file).seek(SeekFrom::Start(at))?;
        (&self.file).read_exact(&mut page)?;
        Ok(page)
    }
}

impl Header {
    /// Reads the header; if it is damaged, the first frame tells whose frames count.
    fn read(bytes: &[u8; HEADER + FRAME_HEADER]) -> Self {
        let salts = |at: usize| bytes[at..at + 8].try_into().unwrap_or_default();
        for big_endian in [false, true] {
            let stored = (be32(bytes, 24), be32(bytes, 28));
            let sum = checksum((0, 0), &bytes[..24], big_endian);
            let page_size = be32(bytes, 8) as usize;
            if be32(bytes, 0) == MAGIC | u32::from(big_endian)
                && sum == stored
                && super::is_page_size(page_size)
            {
                let (page_size, sum) = (Some(page_size), Some(sum));
                return Self { big_endian, page_size, salts: salts(16), sum };
            }
        }
        Self { big_endian: false, page_size: None, salts: salts(HEADER + 8), sum: None }
    }
}

fn read_frames(file: &File, header: Header, page_size: usize) -> io::Result<Vec<Frame>> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    reader.seek(SeekFrom::Start(HEADER as u64))?;
    let mut bytes = vec![0; FRAME_HEADER + page_size];
    let mut frames = Vec::new();
    let mut before = header.sum;
    loop {
        match reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(frames),
            Err(error) => return Err(error),
        }
        let stored = (be32(&bytes, 16), be32(&bytes, 20));
        let is_of_this_log = bytes[8..16] == header.salts;
        let is_good = is_of_this_log
            && before.is_some_and(|before| {
                let sum = checksum(before, &bytes[..8], header.big_endian);
                checksum(sum, &bytes[FRAME_HEADER..], header.big_endian) == stored
            });
        let (page, commit) = (be32(&bytes, 0), be32(&bytes, 4));
        frames.push(Frame { page, commit, is_of_this_log, is_good });
        before = Some(stored);
    }
}

/// SQLite's checksum: two sums over pairs of 32-bit words.
fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let (first, second) = (be32(pair, 0), be32(pair, 4));
        let [first, second] =
            if big_endian { [first, second] } else { [first.swap_bytes(), second.swap_bytes()] };
        a = a.wrapping_add(first).wrapping_add(b);
        b = b.wrapping_add(second).wrapping_add(a);
    }
    (a, b)
}
