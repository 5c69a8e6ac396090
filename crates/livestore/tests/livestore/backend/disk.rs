//! What a client has on its disk.

use std::path::{Path, PathBuf};

/// The content of a store's database and of its write-ahead log.
pub type Disk = [Option<Vec<u8>>; 2];

pub fn read_disk(path: &Path) -> Disk {
    [path.to_owned(), wal(path)].map(|file| std::fs::read(file).ok())
}

pub fn write_disk(path: &Path, disk: &Disk) {
    for (file, content) in [path.to_owned(), wal(path)].iter().zip(disk) {
        if let Some(content) = content {
            std::fs::write(file, content).unwrap();
        }
    }
}

/// Returns where the write-ahead log of a database is.
pub fn wal(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}
