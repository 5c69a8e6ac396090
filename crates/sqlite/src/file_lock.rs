//! The lock that keeps a second process away from a file.

use std::fs::{File, TryLockError};
use std::io;

/// A file that is locked for this process, until it is dropped.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Locks a file; none if another process, or another lock in this one, has it.
    pub fn take(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file alone would not do: a process that is being started at this moment has
        // a copy of the handle until it becomes another program, and with it the lock.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_lock_does_not_wait_for_copies_of_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        let file = open();
        let copy = file.try_clone().unwrap();
        let lock = FileLock::take(file).unwrap().unwrap();
        assert!(FileLock::take(open()).unwrap().is_none());
        drop(lock);
        assert!(FileLock::take(open()).unwrap().is_some());
        drop(copy);
    }
}
