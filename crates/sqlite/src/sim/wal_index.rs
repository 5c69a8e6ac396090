//! The memory and the locks that the connections to one database share in WAL mode.
//!
//! It lives as long as one of them is open, so neither a killed process nor a power cut leaves
//! anything of it behind.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::locks::Busy;

/// How many locks there are (`SQLITE_SHM_NLOCK`).
const LOCKS: usize = 8;

/// How large a region of the memory is.
pub(super) const REGION_BYTES: usize = 32 * 1024;

/// Memory that SQLite reads and writes as it likes, from every thread.
type Region = [Page];

/// A piece of a region that is small enough for the stack.
type Page = [AtomicU64; 512];

/// The wal-index of one database.
#[derive(Debug, Default)]
pub(super) struct WalIndex(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// A region is never moved.
    regions: Vec<Arc<Region>>,
    locks: [Lock; LOCKS],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Lock {
    #[default]
    Free,
    Shared(u32),
    Exclusive,
}

/// How a range of locks is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Beside others.
    Shared,
    /// Alone.
    Exclusive,
}

impl WalIndex {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's part in a wal-index; dropping it gives back its locks.
#[derive(Debug)]
pub(super) struct Attached {
    index: Arc<WalIndex>,
    holds: [Option<Hold>; LOCKS],
}

impl Attached {
    pub(super) fn new(index: Arc<WalIndex>) -> Self {
        Self { index, holds: [None; LOCKS] }
    }

    /// Returns where a region begins; it stays there as long as this lives.
    ///
    /// If it does not exist, it is created, filled with zeros, or there is none.
    pub(super) fn region(&self, number: usize, create: bool) -> Option<*mut c_void> {
        let mut shared = self.index.shared();
        let regions = &mut shared.regions;
        while create && regions.len() <= number {
            let pages = 0..REGION_BYTES / size_of::<Page>();
            regions.push(pages.map(|_| [const { AtomicU64::new(0) }; _]).collect());
        }
        regions.get(number).map(|region| region.as_ptr().cast_mut().cast())
    }

    /// Takes a range of locks, all or none.
    pub(super) fn lock(&mut self, range: Range<usize>, hold: Hold) -> Result<(), Busy> {
        let mut shared = self.index.shared();
        let locks = &mut shared.locks[range.clone()];
        let holds = &mut self.holds[range];
        let mut both = locks.iter().zip(holds.iter());
        let is_free = |(lock, held): (&Lock, &Option<Hold>)| match lock {
            Lock::Free => true,
            Lock::Shared(_) => hold == Hold::Shared,
            Lock::Exclusive => held.is_some() && *held == Some(hold),
        };
        if !both.all(is_free) {
            return Err(Busy);
        }
        for (lock, held) in locks.iter_mut().zip(holds) {
            if *held == Some(hold) {
                continue;
            }
            *held = Some(hold);
            *lock = match (hold, *lock) {
                (Hold::Exclusive, _) => Lock::Exclusive,
                (Hold::Shared, Lock::Shared(others)) => Lock::Shared(others + 1),
                (Hold::Shared, _) => Lock::Shared(1),
            };
        }
        Ok(())
    }

    /// Gives back a range of locks, as far as they are held.
    pub(super) fn unlock(&mut self, range: Range<usize>) {
        let mut shared = self.index.shared();
        for (lock, held) in shared.locks[range.clone()].iter_mut().zip(&mut self.holds[range]) {
            *lock = match (held.take(), *lock) {
                (None, lock) => lock,
                (Some(Hold::Shared), Lock::Shared(others)) if others > 1 => {
                    Lock::Shared(others - 1)
                }
                (Some(_), _) => Lock::Free,
            };
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.unlock(0..LOCKS);
    }
}
