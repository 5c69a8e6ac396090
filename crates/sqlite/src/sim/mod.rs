//! A simulated disk to run real SQLite databases on, for tests of whatever can go wrong.
//!
//! A [`SimDisk`] lives in memory. SQLite reaches it through a VFS that is registered beside its
//! own and is never the default. The disk counts what it is asked to do, and can fail, be full,
//! die at any operation and lose its power; what happens follows from its seed and from what was
//! done to it, and from nothing else. It knows nothing of what is in the files.
//!
//! # What it promises about power cuts
//!
//! - What a file holds survives once it was synced. Of what was written since, any 512-byte sector
//!   may be there or not, in whatever order; a sector is never half written, and its neighbours
//!   are never damaged (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`). Nothing more is promised to SQLite:
//!   no atomic write of any size, no order, and no safe appending.
//! - The size of a file is what it was at some moment since the sync. Where the file grew without
//!   its bytes having arrived, there are zeros, or garbage.
//! - A file's name survives once the file was synced. Creations and deletions reach the disk in
//!   the order in which they were made, as with a journaling file system, so a deletion survives
//!   once any file created after it was synced.
//! - After a sync that failed, it is a matter of luck what of the file has arrived, and a later
//!   sync that succeeds does not make up for it, as on Linux. Processes still see everything until
//!   the power goes. SQLite does not expect that: a WAL with a gap in it, replayed on a database
//!   that is newer, damages the database. Who gets an error from a sync has to stop.
//!
//! # Threads and time
//!
//! Any number of connections on any threads may use a disk. Runs are the same again if one thread
//! at a time uses it. SQLite's clock stands still, and waiting for a lock takes no time: the
//! waiting thread yields, and soon gets `SQLITE_BUSY` if no other thread gives the lock back.
//!
//! # Randomness inside of SQLite
//!
//! SQLite has one generator of random numbers for the whole process, seeded by the default VFS.
//! It picks the salts of each `-wal` file and the nonces of rollback journals, and feeds the
//! SQL functions `random()` and `randomblob()`. No result depends on a salt, nor does which
//! operations there are or what a power cut does, but two runs differ in those bytes and in the
//! checksums over them. [`seed_sqlite_randomness`] makes even these the same.

mod content;
mod directory;
mod disk;
mod handle;
mod image;
mod locks;
mod random;
mod registry;
mod vfs;
mod wal_index;

use std::fmt;
use std::io;
use std::sync::Arc;

use rusqlite::OpenFlags;

use crate::{Connection, SqliteError};
use disk::{Disk, Failure};
use handle::Handle;
pub use image::Image;
pub use vfs::seed_sqlite_randomness;

/// The disk of one simulated machine; clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    disk: Arc<Disk>,
    number: u64,
}

/// What goes wrong on a disk, from now on until something else is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many of a thousand reads, writes and syncs fail. The first part of what a failed write
    /// was to write may be there.
    pub io_error_per_mille: u16,
    /// How many bytes all files may have together.
    pub full_after_bytes: Option<u64>,
    /// How many of a thousand syncs fail, besides those above.
    pub sync_error_per_mille: u16,
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// All of it.
    KeepAll,
    /// None of it.
    LoseUnsynced,
    /// Some of it, as the disk's seed has it.
    Random,
}

/// Something that a disk did, such that a crash can fall before or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Which file it was done to.
    pub file: FileKind,
    /// What was done.
    pub kind: OperationKind,
}

/// What SQLite uses a file for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// The database itself.
    Main,
    /// Its write-ahead log.
    Wal,
    /// Its rollback journal, which it has before WAL mode is set.
    Journal,
}

/// What can be done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationKind {
    /// It was created, empty.
    Create,
    /// Bytes were written.
    Write,
    /// It was cut off or lengthened.
    Truncate,
    /// What was written was made to survive a power cut.
    Sync,
    /// It was deleted.
    Delete,
}

impl FileKind {
    fn of(name: &str) -> Self {
        if name.ends_with("-wal") {
            Self::Wal
        } else if name.ends_with("-journal") {
            Self::Journal
        } else {
            Self::Main
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match self.file {
            FileKind::Main => "the database",
            FileKind::Wal => "the WAL",
            FileKind::Journal => "the journal",
        };
        let kind = match self.kind {
            OperationKind::Create => "create",
            OperationKind::Write => "write",
            OperationKind::Truncate => "truncate",
            OperationKind::Sync => "sync",
            OperationKind::Delete => "delete",
        };
        write!(f, "{kind} {file}")
    }
}

impl SimDisk {
    /// Makes an empty disk. Whatever happens on it by chance follows from the seed.
    ///
    /// # Panics
    ///
    /// If SQLite refuses a further VFS, for lack of memory.
    pub fn new(seed: u64) -> Self {
        vfs::register();
        let disk = Arc::new(Disk::new(seed));
        let number = registry::add(&disk);
        Self { disk, number }
    }

    /// Returns the name of the VFS with which to open [`Self::path`].
    pub const fn vfs() -> &'static str {
        vfs::NAME
    }

    /// Returns the path under which SQLite finds a file of this disk, as long as the disk lives.
    ///
    /// No two disks of a process have the same paths.
    pub fn path(&self, name: &str) -> String {
        registry::path(self.number, name)
    }

    /// Opens or creates a database, set up as [`Connection::open_file`] does.
    pub fn open(&self, name: &str) -> Result<Connection, SqliteError> {
        Connection::set_up_file(self.open_raw(name, OpenFlags::default())?)
    }

    /// Opens or creates a database; a new one has pages of this many bytes.
    pub fn open_paged(&self, name: &str, page_bytes: u32) -> Result<Connection, SqliteError> {
        let raw = self.open_raw(name, OpenFlags::default())?;
        raw.pragma_update(None, "page_size", page_bytes)?;
        Connection::set_up_file(raw)
    }

    /// Opens an existing database for reading, set up as [`Connection::open_read_only`] does.
    pub fn open_read_only(&self, name: &str) -> Result<Connection, SqliteError> {
        Connection::set_up(self.open_raw(name, Connection::READ_ONLY)?)
    }

    fn open_raw(&self, name: &str, flags: OpenFlags) -> rusqlite::Result<rusqlite::Connection> {
        rusqlite::Connection::open_with_flags_and_vfs(self.path(name), flags, vfs::NAME)
    }

    /// Syncs a database's `-wal` file, and with it all that was committed before.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such file. After any other error, neither what
    /// was committed since the last sync nor what is committed later is safe, and a sync that
    /// succeeds does not change that.
    pub fn sync_wal(&self, name: &str) -> io::Result<()> {
        let wal = Handle::open(self.disk.clone(), &format!("{name}-wal"), false);
        Ok(wal.and_then(|wal| wal.sync())?)
    }

    /// Writes a database's `-wal` file once more as it is, and syncs it; what a driver does before
    /// it opens a store. Nothing has to be there.
    pub fn renew_wal(&self, name: &str) -> io::Result<()> {
        let wal = match Handle::open(self.disk.clone(), &format!("{name}-wal"), false) {
            Err(Failure::Missing) => return Ok(()),
            wal => wal?,
        };
        let mut content = vec![0; wal.size()?];
        wal.read(&mut content, 0)?;
        wal.write(&content, 0)?;
        Ok(wal.sync()?)
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().set_faults(faults);
    }

    /// Lets the machine die after so many more operations: the next one, and all that is asked of
    /// it from then on, fails and changes nothing.
    ///
    /// What was written is there when the machine is revived, as when a process is killed, unless
    /// the power is cut before.
    pub fn kill_after(&self, operations: u64) {
        self.disk.lock().kill_after(operations);
    }

    /// Tells whether an operation was the death of the machine.
    pub fn is_dead(&self) -> bool {
        self.disk.lock().is_dead()
    }

    /// Brings a dead machine back, and calls off [`Self::kill_after`].
    ///
    /// Connections that are still open from before its death are cut off, as by a power cut: they
    /// died with it.
    pub fn revive(&self) {
        self.disk.lock().revive();
    }

    /// Cuts the power. What is left is synced.
    ///
    /// Connections that are still open are cut off: whatever they ask the disk for fails. A dead
    /// machine stays dead.
    pub fn power_cut(&self, how: PowerCut) {
        self.disk.lock().power_cut(how);
    }

    /// Copies all files, as processes see them.
    pub fn image(&self) -> Image {
        self.disk.lock().image()
    }

    /// Puts the files of an image in place of all that are there, and syncs them.
    ///
    /// Connections that are still open are cut off, as by a power cut.
    pub fn restore(&self, image: &Image) {
        self.disk.lock().restore(image);
    }

    /// Returns how many operations there were, those that failed included; those of a dead machine
    /// are none.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations()
    }

    /// Returns the last operation, be it the one of which the machine died.
    pub fn last_operation(&self) -> Option<Operation> {
        self.disk.lock().last_operation()
    }

    /// Returns how many files connections have open, without those that were cut off.
    pub fn open_files(&self) -> usize {
        self.disk.lock().handles()
    }

    /// Returns how many bytes the files have together.
    pub fn bytes(&self) -> u64 {
        self.disk.lock().bytes() as u64
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure::Missing => io::ErrorKind::NotFound,
            Failure::Full => io::ErrorKind::StorageFull,
            Failure::Busy => io::ErrorKind::ResourceBusy,
            Failure::Dead | Failure::CutOff | Failure::Fault => io::ErrorKind::Other,
        };
        Self::new(kind, failure)
    }
}
