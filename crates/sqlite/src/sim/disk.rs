//! The disk of one simulated machine: its files, its faults, its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::content::{Content, SECTOR};
use super::directory::{Directory, FileId};
use super::image::Image;
use super::locks::FileLocks;
use super::random::Random;
use super::wal_index::WalIndex;
use super::{Faults, FileKind, Operation, OperationKind, PowerCut};

/// Why the disk did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the simulated machine is dead; close its connections, then call revive")]
    Dead,
    #[error("this file was open when the power was cut or the disk restored; open it again")]
    CutOff,
    #[error("input/output error of the simulated disk")]
    Fault,
    #[error("the simulated disk is full")]
    Full,
    #[error("there is no such file on the simulated disk")]
    Missing,
    #[error("another connection holds a lock")]
    Busy,
}

/// A disk that handles and [`super::SimDisk`]s share.
#[derive(Debug)]
pub(super) struct Disk {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    directory: Directory,
    files: BTreeMap<FileId, File>,
    last_file: FileId,
    faults: Faults,
    fault_random: Random,
    /// A stream of its own, so that a power cut does not depend on how often files were read.
    cut_random: Random,
    operations: u64,
    last_operation: Option<Operation>,
    /// How many operations it does before it dies.
    left_to_live: Option<u64>,
    dead: bool,
}

/// A file, with or without a name.
#[derive(Debug)]
pub(super) struct File {
    kind: FileKind,
    content: Content,
    pub(super) locks: FileLocks,
    /// Lives in the handles that use it.
    pub(super) wal_index: Weak<WalIndex>,
    handles: usize,
}

impl File {
    fn new(name: &str, content: Content) -> Self {
        let (locks, wal_index) = (FileLocks::default(), Weak::new());
        Self { kind: FileKind::of(name), content, locks, wal_index, handles: 0 }
    }

    /// The same file if nobody had it open.
    fn closed(self) -> Self {
        Self { locks: FileLocks::default(), wal_index: Weak::new(), handles: 0, ..self }
    }
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let state = State {
            directory: Directory::default(),
            files: BTreeMap::new(),
            last_file: FileId(0),
            faults: Faults::default(),
            fault_random: Random::new(random.next()),
            cut_random: Random::new(random.next()),
            operations: 0,
            last_operation: None,
            left_to_live: None,
            dead: false,
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What its owner does with the disk.
impl State {
    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(super) fn kill_after(&mut self, operations: u64) {
        self.left_to_live = Some(operations);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn revive(&mut self) {
        self.left_to_live = None;
        if std::mem::take(&mut self.dead) {
            self.cut_off();
        }
    }

    /// Closes all files on behalf of those who have them open.
    ///
    /// The files get new ids, so handles find nothing under the old ones any more.
    fn cut_off(&mut self) {
        let last = self.last_file.0;
        let new = |id: FileId| FileId(id.0 + last);
        let files = std::mem::take(&mut self.files).into_iter();
        let named = files.filter(|(id, _)| self.directory.mentions(*id));
        self.files = named.map(|(id, file)| (new(id), file.closed())).collect();
        self.directory.renumber(new);
        self.last_file = new(self.last_file);
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn last_operation(&self) -> Option<Operation> {
        self.last_operation
    }

    pub(super) fn handles(&self) -> usize {
        self.files.values().map(|file| file.handles).sum()
    }

    /// How many bytes the files have together.
    pub(super) fn bytes(&self) -> usize {
        self.directory.files().map(|(_, file)| self.files[&file].content.live().len()).sum()
    }

    pub(super) fn power_cut(&mut self, how: PowerCut) {
        let directory = std::mem::take(&mut self.directory);
        let Self { files, cut_random: random, .. } = self;
        let entries = directory.left_by(how, random);
        let left = |(name, id)| (name, files[&id].content.left_by(how, random));
        let left = entries.into_iter().map(left).collect();
        self.replace(left);
    }

    pub(super) fn image(&self) -> Image {
        let files = self.directory.files();
        Image::new(files.map(|(name, id)| (name, self.files[&id].content.live())))
    }

    pub(super) fn restore(&mut self, image: &Image) {
        self.replace(
            image.files().map(|(name, content)| (name.into(), content.to_vec())).collect(),
        );
    }

    /// Puts these files, all of them synced, in place of those that there were.
    ///
    /// They get new ids, so handles to the old ones find nothing any more.
    fn replace(&mut self, files: Vec<(Box<str>, Vec<u8>)>) {
        self.files.clear();
        let mut entries = BTreeMap::new();
        for (name, content) in files {
            let file = File::new(&name, Content::synced(content));
            entries.insert(name, self.add(file));
        }
        self.directory = Directory::synced(entries);
    }

    fn add(&mut self, file: File) -> FileId {
        self.last_file.0 += 1;
        self.files.insert(self.last_file, file);
        self.last_file
    }
}

/// What open files do with the disk. A file that is not there any more was cut off.
impl State {
    /// Lets an operation happen, unless the machine dies of it.
    fn count(&mut self, file: FileKind, kind: OperationKind) -> Result<(), Failure> {
        self.alive()?;
        self.last_operation = Some(Operation { file, kind });
        match &mut self.left_to_live {
            Some(0) => {
                self.dead = true;
                return Err(Failure::Dead);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok(())
    }

    fn alive(&self) -> Result<(), Failure> {
        if self.dead { Err(Failure::Dead) } else { Ok(()) }
    }

    /// Lets an operation on an open file happen, unless the machine dies of it.
    fn operate(&mut self, id: FileId, kind: OperationKind) -> Result<(), Failure> {
        let file = self.files.get(&id).ok_or(Failure::CutOff)?.kind;
        self.count(file, kind)
    }

    /// Returns an open file for something that is no operation on the disk.
    pub(super) fn file(&mut self, id: FileId) -> Result<&mut File, Failure> {
        self.alive()?;
        self.files.get_mut(&id).ok_or(Failure::CutOff)
    }

    /// Returns an open file even of a dead machine, to give locks back.
    pub(super) fn dead_or_alive(&mut self, id: FileId) -> Option<&mut File> {
        self.files.get_mut(&id)
    }

    /// Opens a file, which is created if it does not exist, or refused.
    pub(super) fn open(&mut self, name: &str, create: bool) -> Result<FileId, Failure> {
        self.alive()?;
        let id = match self.directory.find(name) {
            Some(id) => id,
            None if create => {
                self.count(FileKind::of(name), OperationKind::Create)?;
                let id = self.add(File::new(name, Content::default()));
                self.directory.create(name, id);
                id
            }
            None => return Err(Failure::Missing),
        };
        self.file(id)?.handles += 1;
        Ok(id)
    }

    /// Closes a file; one without a name is gone then.
    pub(super) fn close(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.handles -= 1;
            if file.handles == 0 && !self.directory.mentions(id) {
                self.files.remove(&id);
            }
        }
    }

    /// Fills the buffer, with zeros past the end; tells whether the file reached that far.
    pub(super) fn read(
        &mut self,
        id: FileId,
        buffer: &mut [u8],
        offset: usize,
    ) -> Result<bool, Failure> {
        self.alive()?;
        let file = self.files.get(&id).ok_or(Failure::CutOff)?;
        if self.fault_random.per_mille(self.faults.io_error_per_mille) {
            return Err(Failure::Fault);
        }
        Ok(file.content.read(buffer, offset))
    }

    /// Writes bytes; if that fails, the first of them may be written.
    pub(super) fn write(&mut self, id: FileId, bytes: &[u8], offset: usize) -> Result<(), Failure> {
        self.operate(id, OperationKind::Write)?;
        let room = self.room(id, bytes.len(), offset);
        let (written, result) = if self.fault_random.per_mille(self.faults.io_error_per_mille) {
            let sectors = self.fault_random.below(room.div_ceil(SECTOR).max(1));
            (sectors * SECTOR, Err(Failure::Fault))
        } else {
            (room, if room < bytes.len() { Err(Failure::Full) } else { Ok(()) })
        };
        if written > 0 {
            self.file(id)?.content.write(&bytes[..written], offset);
        }
        result
    }

    /// Returns for how many bytes of a write there is room.
    fn room(&self, id: FileId, len: usize, offset: usize) -> usize {
        if !Content::fits(offset, len) {
            return 0;
        }
        let Some(limit) = self.faults.full_after_bytes else { return len };
        let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(self.bytes());
        let size = self.files.get(&id).map_or(0, |file| file.content.live().len());
        len.min(size.saturating_add(free).saturating_sub(offset))
    }

    pub(super) fn truncate(&mut self, id: FileId, len: usize) -> Result<(), Failure> {
        self.operate(id, OperationKind::Truncate)?;
        let grows = len.saturating_sub(self.size(id)?);
        if self.room(id, grows, len - grows) < grows {
            return Err(Failure::Full);
        }
        self.file(id)?.content.truncate(len);
        Ok(())
    }

    pub(super) fn size(&mut self, id: FileId) -> Result<usize, Failure> {
        Ok(self.file(id)?.content.live().len())
    }

    pub(super) fn sync(&mut self, id: FileId) -> Result<(), Failure> {
        self.operate(id, OperationKind::Sync)?;
        let Self { files, faults, fault_random: random, .. } = self;
        let file = files.get_mut(&id).ok_or(Failure::CutOff)?;
        if random.per_mille(faults.io_error_per_mille)
            || random.per_mille(faults.sync_error_per_mille)
        {
            file.content.fail_to_sync(random);
            return Err(Failure::Fault);
        }
        file.content.sync();
        if self.directory.sync_file(id) {
            self.forget_deleted();
        }
        Ok(())
    }

    /// Deletes a file; those who have it open still do.
    pub(super) fn delete(&mut self, name: &str, sync: bool) -> Result<(), Failure> {
        self.alive()?;
        let id = self.directory.find(name).ok_or(Failure::Missing)?;
        self.operate(id, OperationKind::Delete)?;
        self.directory.delete(name);
        if sync {
            self.directory.sync();
            self.forget_deleted();
        }
        Ok(())
    }

    /// Returns how large the file of a name is, if there is one.
    pub(super) fn size_of(&self, name: &str) -> Result<Option<usize>, Failure> {
        self.alive()?;
        Ok(self.directory.find(name).map(|id| self.files[&id].content.live().len()))
    }

    /// Tells whether a file was deleted since it was opened.
    pub(super) fn has_lost_its_name(&self, id: FileId) -> Result<bool, Failure> {
        self.alive()?;
        Ok(!self.directory.files().any(|(_, file)| file == id))
    }

    fn forget_deleted(&mut self) {
        let directory = &self.directory;
        self.files.retain(|id, file| file.handles > 0 || directory.mentions(*id));
    }
}
