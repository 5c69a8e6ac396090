//! What one file holds: as processes see it, and as a power cut may leave it.
//!
//! Writes and truncations reach what processes see at once. They are also kept, in order, until a
//! sync, because only that says what a power cut leaves. What may be left of them follows disks
//! below a journaling file system:
//!
//! - A [`SECTOR`] is written whole or not at all, and nothing disturbs its neighbours. On disk is
//!   what the file had there at some moment since the sync, each sector at a moment of its own: so
//!   writes are lost, torn and overtaken by later ones.
//! - Sizes, being metadata, are those of one moment. A sector that belongs to the file by then but
//!   was not written holds zeros, or whatever was there before.

use super::PowerCut;
use super::random::Random;

/// How many bytes the disk writes at once.
pub(super) const SECTOR: usize = 512;

/// How large a file can be, so that a damaged size in a database does not take all memory.
const MAX_LEN: usize = 1 << 30;

/// Memory for unsynced writes that a file keeps once they are synced.
const KEPT_CAPACITY: usize = 1 << 23;

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// As every process sees it.
    live: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    /// What happened since, in order.
    unsynced: Vec<Change>,
    /// The bytes of the unsynced writes, one write after the other.
    written: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Write { offset: usize, len: usize },
    Truncate { len: usize },
}

impl Content {
    /// A file that survived: all of it is on the disk.
    pub(super) fn synced(content: Vec<u8>) -> Self {
        Self { live: content.clone(), synced: content, ..Self::default() }
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    /// Tells whether a file can hold this range.
    pub(super) fn fits(offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= MAX_LEN)
    }

    /// Fills the buffer, with zeros past the end; tells whether the file reached that far.
    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> bool {
        let there = self.live.get(offset..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        let (read, past) = buffer.split_at_mut(len);
        read.copy_from_slice(&there[..len]);
        past.fill(0);
        past.is_empty()
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        overwrite(&mut self.live, bytes, offset);
        self.unsynced.push(Change::Write { offset, len: bytes.len() });
        self.written.extend_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len != self.live.len() {
            self.live.resize(len, 0);
            self.unsynced.push(Change::Truncate { len });
        }
    }

    /// Makes everything survive a power cut, but for what an earlier sync failed to write.
    pub(super) fn sync(&mut self) {
        let mut synced = std::mem::take(&mut self.synced);
        self.changes().for_each(|change| change.apply(&mut synced));
        self.settle(synced);
    }

    /// Syncs as a failing disk does: what of it arrived is a matter of luck, and the rest counts
    /// as written, so that no later sync tries again.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        let synced = self.left_by_chance(random);
        self.settle(synced);
    }

    fn settle(&mut self, synced: Vec<u8>) {
        self.synced = synced;
        self.unsynced.clear();
        self.written.clear();
        self.written.shrink_to(KEPT_CAPACITY);
    }

    /// Returns what a power cut leaves.
    pub(super) fn left_by(&self, cut: PowerCut, random: &mut Random) -> Vec<u8> {
        match cut {
            PowerCut::LoseUnsynced => self.synced.clone(),
            PowerCut::KeepAll => {
                let mut content = self.synced.clone();
                self.changes().for_each(|change| change.apply(&mut content));
                content
            }
            PowerCut::Random => self.left_by_chance(random),
        }
    }

    fn left_by_chance(&self, random: &mut Random) -> Vec<u8> {
        let mut cached = self.synced.clone();
        let mut disk = self.synced.clone();
        // The size is that of the moment after so many changes.
        let sized = random.prefix(self.unsynced.len());
        // A sector past this was given back later on; what is written to it then goes elsewhere.
        let mut owned = usize::MAX;
        let luck = Luck::new(random);
        for (index, change) in self.changes().enumerate() {
            change.apply(&mut cached);
            match change {
                Applied::Write { bytes, offset } => {
                    let end = offset + bytes.len();
                    if index < sized && end > disk.len() {
                        luck.grow(&mut disk, offset, end, random);
                    }
                    let fate = luck.fate(random);
                    let limit = disk.len().min(owned).min(cached.len());
                    for start in (offset / SECTOR * SECTOR..end.min(limit)).step_by(SECTOR) {
                        if fate.arrives(random) {
                            let sector = start..(start + SECTOR).min(limit);
                            disk[sector.clone()].copy_from_slice(&cached[sector]);
                        }
                    }
                }
                Applied::Truncate { len } if index < sized => disk.resize(len, 0),
                Applied::Truncate { len } => owned = owned.min(len),
            }
        }
        disk
    }

    fn changes(&self) -> impl Iterator<Item = Applied<'_>> {
        let mut written = &self.written[..];
        self.unsynced.iter().map(move |change| match *change {
            Change::Write { offset, len } => {
                let (bytes, rest) = written.split_at(len);
                written = rest;
                Applied::Write { bytes, offset }
            }
            Change::Truncate { len } => Applied::Truncate { len },
        })
    }
}

/// A change with what it wrote.
#[derive(Clone, Copy)]
enum Applied<'a> {
    Write { bytes: &'a [u8], offset: usize },
    Truncate { len: usize },
}

impl Applied<'_> {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Write { bytes, offset } => overwrite(content, bytes, offset),
            Self::Truncate { len } => content.resize(len, 0),
        }
    }
}

fn overwrite(content: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    if content.len() < offset {
        content.resize(offset, 0);
    }
    let (inside, past) = bytes.split_at(bytes.len().min(content.len() - offset));
    content[offset..offset + inside.len()].copy_from_slice(inside);
    content.extend_from_slice(past);
}

/// How lucky a file is in one power cut.
///
/// With one probability for all, hardly ever would many writes in a row all arrive, or all be
/// lost but one.
struct Luck {
    /// Of sixteen writes, so many arrive whole; of the others, every second is torn.
    sixteenths: usize,
    /// What new sectors hold that were not written: anything, or zeros.
    garbage: bool,
}

impl Luck {
    fn new(random: &mut Random) -> Self {
        Self { sixteenths: [1, 8, 15][random.below(3)], garbage: random.below(4) == 0 }
    }

    fn fate(&self, random: &mut Random) -> Fate {
        match random.below(16) < self.sixteenths {
            true => Fate::Kept,
            false if random.below(2) == 0 => Fate::Torn,
            false => Fate::Lost,
        }
    }

    /// Lengthens a file for a write whose bytes have not arrived.
    fn grow(&self, content: &mut Vec<u8>, offset: usize, end: usize, random: &mut Random) {
        // What a write left out before it is a hole, and reads as zeros.
        content.resize(content.len().max(offset), 0);
        if self.garbage {
            while content.len() < end {
                let len = (end - content.len()).min(8);
                content.extend_from_slice(&random.next().to_le_bytes()[..len]);
            }
        } else {
            content.resize(end, 0);
        }
    }
}

/// What becomes of an unsynced write.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

impl Fate {
    fn arrives(self, random: &mut Random) -> bool {
        match self {
            Self::Kept => true,
            Self::Lost => false,
            Self::Torn => random.below(2) == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write { offset: usize, len: usize },
        Truncate(usize),
        Sync,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let write = (0..5_000_usize, 1..3_000_usize);
        let step = prop_oneof![
            8 => write.prop_map(|(offset, len)| Step::Write { offset, len }),
            2 => (0..6_000_usize).prop_map(Step::Truncate),
            1 => Just(Step::Sync),
        ];
        prop::collection::vec(step, 1..12)
    }

    /// Does the steps, each write with a byte of its own; returns what processes saw since the
    /// last sync.
    fn carry_out(steps: &[Step]) -> (Content, Vec<Vec<u8>>) {
        let mut content = Content::default();
        let mut seen = vec![Vec::new()];
        for (number, step) in (1..).zip(steps) {
            match *step {
                Step::Write { offset, len } => content.write(&vec![number; len], offset),
                Step::Truncate(len) => content.truncate(len),
                Step::Sync => {
                    content.sync();
                    seen.clear();
                }
            }
            seen.push(content.live().to_vec());
        }
        (content, seen)
    }

    fn sector(content: &[u8], start: usize) -> &[u8] {
        &content[start..start + SECTOR]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn reading_gives_what_was_written_last(
            steps in steps(), offset in 0..9_000_usize, len in 0..2_000_usize,
        ) {
            let (content, _) = carry_out(&steps);
            let mut buffer = vec![0xff; len];
            let whole = content.read(&mut buffer, offset);
            let live = content.live();
            prop_assert_eq!(whole, len == 0 || offset + len <= live.len());
            for (index, byte) in buffer.iter().enumerate() {
                prop_assert_eq!(*byte, live.get(offset + index).copied().unwrap_or(0));
            }
        }

        #[test]
        fn a_power_cut_keeps_all_or_what_was_synced_if_told_so(steps in steps()) {
            let (content, seen) = carry_out(&steps);
            let random = &mut Random::new(1);
            prop_assert_eq!(&content.left_by(PowerCut::KeepAll, random), content.live());
            prop_assert_eq!(&content.left_by(PowerCut::LoseUnsynced, random), &seen[0]);
        }

        #[test]
        fn a_power_cut_leaves_each_sector_as_it_was_at_some_moment(
            steps in steps(), seed: u64,
        ) {
            let (content, seen) = carry_out(&steps);
            let left = content.left_by(PowerCut::Random, &mut Random::new(seed));
            prop_assert!(seen.iter().any(|seen| seen.len() == left.len()), "a size of some moment");
            // A sector that was not in the file all the time may hold anything else.
            let always = seen.iter().map(Vec::len).min().unwrap_or(0) / SECTOR * SECTOR;
            for start in (0..always).step_by(SECTOR) {
                let found = sector(&left, start);
                prop_assert!(seen.iter().any(|seen| sector(seen, start) == found), "at {start}");
            }
        }

        #[test]
        fn equal_seeds_leave_the_same(steps in steps(), seed: u64) {
            let (content, _) = carry_out(&steps);
            let [first, second] =
                [(); 2].map(|()| content.left_by(PowerCut::Random, &mut Random::new(seed)));
            prop_assert_eq!(first, second);
        }

        #[test]
        fn a_failed_sync_leaves_nothing_to_a_later_one(steps in steps(), seed: u64) {
            let (mut content, _) = carry_out(&steps);
            let live = content.live().to_vec();
            let random = &mut Random::new(seed);
            content.fail_to_sync(random);
            let left = content.left_by(PowerCut::KeepAll, random);
            content.sync();
            prop_assert_eq!(content.left_by(PowerCut::LoseUnsynced, random), left);
            prop_assert_eq!(content.live(), live);
        }
    }
}
