//! Finds the disk of a path.
//!
//! SQLite hands nothing but a path to the process's one VFS, so a path names its disk by number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::disk::Disk;

/// The disks that live, and the last number given to one.
static DISKS: Mutex<(BTreeMap<u64, Weak<Disk>>, u64)> = Mutex::new((BTreeMap::new(), 0));

/// What every path begins with.
const ROOT: &str = "/livestore-sim-";

type Disks = MutexGuard<'static, (BTreeMap<u64, Weak<Disk>>, u64)>;

fn disks() -> Disks {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a disk known, until it is dropped; returns its number.
pub(super) fn add(disk: &Arc<Disk>) -> u64 {
    let mut disks = disks();
    let (known, last) = &mut *disks;
    known.retain(|_, disk| disk.strong_count() > 0);
    *last += 1;
    known.insert(*last, Arc::downgrade(disk));
    *last
}

/// Returns the path of a file.
pub(super) fn path(number: u64, name: &str) -> String {
    format!("{ROOT}{number}/{name}")
}

/// Returns the disk and the name that a path means.
pub(super) fn find(path: &str) -> Option<(Arc<Disk>, &str)> {
    let (number, name) = path.strip_prefix(ROOT)?.split_once('/')?;
    let disk = disks().0.get(&number.parse().ok()?)?.upgrade()?;
    Some((disk, name))
}
