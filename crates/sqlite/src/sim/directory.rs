//! Which files there are: as processes see it, and as a power cut may leave it.
//!
//! As on a journaling file system, creations and deletions reach the disk in the order in which
//! they were made. A sync of a file brings its own creation there, and with it all before.

use std::collections::BTreeMap;

use super::PowerCut;
use super::random::Random;

/// Names one file of a disk, and no other file ever after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

type Entries = BTreeMap<Box<str>, FileId>;

/// The names of a disk's files.
#[derive(Debug, Default)]
pub(super) struct Directory {
    live: Entries,
    synced: Entries,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    name: Box<str>,
    file: FileId,
    kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeKind {
    Created,
    Deleted,
}

impl Change {
    fn apply(self, entries: &mut Entries) {
        match self.kind {
            ChangeKind::Created => entries.insert(self.name, self.file),
            ChangeKind::Deleted => entries.remove(&self.name),
        };
    }
}

impl Directory {
    /// A directory that survived: all of it is on the disk.
    pub(super) fn synced(entries: Entries) -> Self {
        Self { live: entries.clone(), synced: entries, unsynced: Vec::new() }
    }

    pub(super) fn find(&self, name: &str) -> Option<FileId> {
        self.live.get(name).copied()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, FileId)> {
        self.live.iter().map(|(name, file)| (&**name, *file))
    }

    pub(super) fn create(&mut self, name: &str, file: FileId) {
        self.live.insert(name.into(), file);
        self.unsynced.push(Change { name: name.into(), file, kind: ChangeKind::Created });
    }

    pub(super) fn delete(&mut self, name: &str) {
        if let Some((name, file)) = self.live.remove_entry(name) {
            self.unsynced.push(Change { name, file, kind: ChangeKind::Deleted });
        }
    }

    /// Makes the creation of a file, and all that was done before it, survive a power cut.
    ///
    /// Returns whether that was not yet so.
    pub(super) fn sync_file(&mut self, file: FileId) -> bool {
        let created = |change: &Change| change.file == file && change.kind == ChangeKind::Created;
        let changes = self.unsynced.iter().rposition(created).map_or(0, |index| index + 1);
        Self::settle(&mut self.synced, self.unsynced.drain(..changes));
        changes > 0
    }

    /// Makes all of it survive a power cut.
    pub(super) fn sync(&mut self) {
        Self::settle(&mut self.synced, self.unsynced.drain(..));
    }

    fn settle(synced: &mut Entries, changes: impl Iterator<Item = Change>) {
        changes.for_each(|change| change.apply(synced));
    }

    /// Tells whether a process or a power cut can bring a file to light.
    pub(super) fn mentions(&self, file: FileId) -> bool {
        self.live.values().chain(self.synced.values()).any(|known| *known == file)
            || self.unsynced.iter().any(|change| change.file == file)
    }

    /// Gives all files other ids.
    pub(super) fn renumber(&mut self, new: impl Fn(FileId) -> FileId) {
        let changed = self.unsynced.iter_mut().map(|change| &mut change.file);
        let entries = self.live.values_mut().chain(self.synced.values_mut());
        for file in entries.chain(changed) {
            *file = new(*file);
        }
    }

    /// Returns what a power cut leaves.
    pub(super) fn left_by(mut self, cut: PowerCut, random: &mut Random) -> Entries {
        match cut {
            PowerCut::LoseUnsynced => self.synced,
            PowerCut::KeepAll => self.live,
            PowerCut::Random => {
                let arrived = random.prefix(self.unsynced.len());
                Self::settle(&mut self.synced, self.unsynced.drain(..arrived));
                self.synced
            }
        }
    }
}
