//! How far a long piece of work has come, and the wish to end it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Shared between the thread that works and one that shows how far it has come; a clone is the
/// same.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    work: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    is_cancelled: AtomicBool,
}

/// What is being done at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Work {
    /// Nothing yet.
    #[default]
    Starting,
    /// SQLite checks its own structures.
    CheckingDatabase,
    /// The log, the tail and the rest are read and checked, in events.
    CheckingEvents,
    /// The state is derived anew.
    Replaying,
    /// A damaged file is read, in pages.
    ReadingPages,
    /// A file is written: in bytes for a backup, in events for what was recovered.
    Writing,
    /// What was written is checked.
    CheckingResult,
    /// A log is compared with that of a backend, in events.
    Comparing,
    /// A log is read from a backend, or written to one, in events.
    Transferring,
}

const WORKS: [Work; 9] = [
    Work::Starting,
    Work::CheckingDatabase,
    Work::CheckingEvents,
    Work::Replaying,
    Work::ReadingPages,
    Work::Writing,
    Work::CheckingResult,
    Work::Comparing,
    Work::Transferring,
];

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::CheckingDatabase => "checking the database",
            Self::CheckingEvents => "checking the events",
            Self::Replaying => "replaying the log",
            Self::ReadingPages => "reading the damaged file",
            Self::Writing => "writing",
            Self::CheckingResult => "checking the result",
            Self::Comparing => "comparing",
            Self::Transferring => "transferring",
        })
    }
}

impl Progress {
    /// Starts at nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what is being done.
    pub fn work(&self) -> Work {
        WORKS[usize::from(self.0.work.load(Ordering::Relaxed)) % WORKS.len()]
    }

    /// Returns how much of it is done.
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Returns how much there is to do; 0 if that is not known.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Asks the work to end soon, without a result.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Tells whether the work was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Relaxed)
    }

    /// Begins another piece of work; 0 if it is not known how much there is to do.
    pub fn begin(&self, work: Work, total: u64) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
        self.0.work.store(work as u8, Ordering::Relaxed);
    }

    /// Notes that more is done.
    pub fn add(&self, done: u64) {
        self.0.done.fetch_add(done, Ordering::Relaxed);
    }

    /// Notes how much is done.
    pub fn set(&self, done: u64) {
        self.0.done.store(done, Ordering::Relaxed);
    }
}
