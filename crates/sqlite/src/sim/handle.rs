//! An open file, as SQLite uses it.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use super::directory::FileId;
use super::disk::{Disk, Failure};
use super::locks::{Busy, Level};
use super::wal_index::{Attached, Hold};

/// An open file; dropping it closes it and gives back its locks.
#[derive(Debug)]
pub(super) struct Handle {
    disk: Arc<Disk>,
    file: FileId,
    level: Level,
    wal_index: Option<Attached>,
    /// What SQLite may turn on and off for a file.
    pub(super) flags: Flags,
}

/// What SQLite may turn on and off for an open file.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) powersafe_overwrite: bool,
    pub(super) persist_wal: bool,
}

impl From<Busy> for Failure {
    fn from(Busy: Busy) -> Self {
        Self::Busy
    }
}

impl Handle {
    /// Opens a file of a disk.
    pub(super) fn open(disk: Arc<Disk>, name: &str, create: bool) -> Result<Self, Failure> {
        let file = disk.lock().open(name, create)?;
        let flags = Flags { powersafe_overwrite: true, persist_wal: false };
        Ok(Self { disk, file, level: Level::None, wal_index: None, flags })
    }

    /// Opens a temporary file.
    ///
    /// SQLite does not say for which database it is, so it has a disk of its own: nothing fails
    /// there, and nothing is counted.
    pub(super) fn open_temporary() -> Result<Self, Failure> {
        Self::open(Arc::new(Disk::new(0)), "temporary", true)
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> Result<bool, Failure> {
        self.disk.lock().read(self.file, buffer, offset)
    }

    pub(super) fn write(&self, bytes: &[u8], offset: usize) -> Result<(), Failure> {
        self.disk.lock().write(self.file, bytes, offset)
    }

    pub(super) fn truncate(&self, len: usize) -> Result<(), Failure> {
        self.disk.lock().truncate(self.file, len)
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.disk.lock().sync(self.file)
    }

    pub(super) fn size(&self) -> Result<usize, Failure> {
        self.disk.lock().size(self.file)
    }

    pub(super) fn has_lost_its_name(&self) -> Result<bool, Failure> {
        self.disk.lock().has_lost_its_name(self.file)
    }

    pub(super) fn lock(&mut self, level: Level) -> Result<(), Failure> {
        Ok(self.disk.lock().file(self.file)?.locks.raise(&mut self.level, level)?)
    }

    pub(super) fn unlock(&mut self, level: Level) {
        if let Some(file) = self.disk.lock().dead_or_alive(self.file) {
            file.locks.lower(&mut self.level, level);
        }
    }

    pub(super) fn is_reserved(&self) -> Result<bool, Failure> {
        Ok(self.disk.lock().file(self.file)?.locks.is_reserved())
    }

    /// Returns where a region of the wal-index begins; see [`Attached::region`].
    ///
    /// It stays there until [`Self::leave_wal_index`], or until this is dropped.
    pub(super) fn wal_index_region(
        &mut self,
        number: usize,
        create: bool,
    ) -> Result<Option<*mut c_void>, Failure> {
        let mut state = self.disk.lock();
        let file = state.file(self.file)?;
        let attached = self.wal_index.get_or_insert_with(|| {
            let index = file.wal_index.upgrade().unwrap_or_default();
            file.wal_index = Arc::downgrade(&index);
            Attached::new(index)
        });
        Ok(attached.region(number, create))
    }

    pub(super) fn wal_index_lock(
        &mut self,
        range: Range<usize>,
        hold: Hold,
    ) -> Result<(), Failure> {
        self.disk.lock().file(self.file)?;
        Ok(self.wal_index.as_mut().ok_or(Failure::Missing)?.lock(range, hold)?)
    }

    pub(super) fn wal_index_unlock(&mut self, range: Range<usize>) {
        if let Some(attached) = &mut self.wal_index {
            attached.unlock(range);
        }
    }

    pub(super) fn leave_wal_index(&mut self) {
        self.wal_index = None;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.unlock(Level::None);
        self.disk.lock().close(self.file);
    }
}
