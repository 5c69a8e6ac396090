//! The write-ahead log, frame by frame.
//!
//! SQLite's checksums run from frame to frame, and it stops at the first that does not fit. Each
//! frame also holds the sum that it ends with, so a frame can be checked by what the one before it
//! says. So the frames behind a damaged one are of use, as long as a whole transaction ends there.

use std::collections::{HashMap, HashSet};
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
    /// The newest good frame of each page.
    newest: HashMap<u32, u32>,
    /// Good frames that are not the newest of their page, each with its page.
    older: Vec<(u32, u32)>,
    /// Pages of which a newer frame is damaged.
    outdated: HashSet<u32>,
    /// A damaged frame does not tell its page, so whatever is older may be out of date.
    doubt_before: Option<u32>,
    /// The database's size after the last transaction, in pages.
    pages: Option<u32>,
    pub(super) damage: Vec<Damage>,
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
            outdated: HashSet::new(),
            doubt_before: None,
            pages: None,
            damage: Vec::new(),
        };
        if header.sum.is_none() {
            wal.damage.push(Damage::WalHeader);
        }
        let committed = frames.iter().rposition(|frame| frame.is_good && frame.commit > 0);
        let committed = committed.map_or(0, |last| last + 1);
        wal.pages = committed.checked_sub(1).map(|last| frames[last].commit);
        for (index, frame) in frames[..committed].iter().enumerate() {
            let index = index as u32;
            if frame.is_good {
                let before = wal.newest.insert(frame.page, index);
                wal.older.extend(before.map(|before| (before, frame.page)));
                wal.outdated.remove(&frame.page);
                continue;
            }
            let page = frame.is_of_this_log.then_some(frame.page);
            wal.damage.push(Damage::WalFrame { frame: index, page });
            match page {
                Some(page) => _ = wal.outdated.insert(page),
                None => wal.doubt_before = Some(index),
            }
        }
        // What a power cut leaves looks the same as damage to the last transactions.
        let rest = frames[committed..].iter().filter(|frame| frame.is_of_this_log).count();
        if rest > 0 {
            wal.damage.push(Damage::WalEnd { frames: rest as u32 });
        }
        wal
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(super) fn pages(&self) -> Option<u32> {
        self.pages
    }

    /// Returns the newest good frame of a page.
    pub(super) fn newest(&self, page: u32) -> Option<u32> {
        self.newest.get(&page).copied()
    }

    /// Tells whether a page's newest frame is damaged, or may be.
    pub(super) fn has_damage(&self) -> bool {
        !self.outdated.is_empty() || self.doubt_before.is_some()
    }

    /// Returns the good frames that are not the newest of their page, each with its page.
    pub(super) fn older(&self) -> &[(u32, u32)] {
        &self.older
    }

    /// Tells whether that frame, or without one the page in the database, is the page's last state.
    pub(super) fn is_current(&self, page: u32) -> bool {
        let is_older = |doubt| self.newest(page).is_none_or(|frame| frame < doubt);
        !self.outdated.contains(&page) && !self.doubt_before.is_some_and(is_older)
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
