//! The machine around the database: it dies, loses its power and gets its backup back.

use livestore_sqlite::sim::{FileKind, OperationKind, PowerCut, SimDisk};

use super::support::{NAME, check, commit, commit_piecemeal, create, survivors};

/// A disk with so many transactions, none of them synced, and the connection that made them.
fn disk_with(commits: u32) -> (SimDisk, livestore_sqlite::Connection) {
    let disk = SimDisk::new(1);
    let connection = disk.open(NAME).unwrap();
    create(&connection).unwrap();
    for n in 1..=commits {
        commit(&connection, n).unwrap();
    }
    (disk, connection)
}

#[test]
fn the_next_operation_is_the_death_of_the_machine() {
    let (disk, connection) = disk_with(3);
    let (image, operations) = (disk.image(), disk.operations());
    disk.kill_after(0);
    assert!(!disk.is_dead(), "not before it does something");
    assert_eq!(survivors(&connection), Ok(3), "reading is no operation");
    let error = commit(&connection, 4).unwrap_err();
    assert!(!error.is_deterministic(), "{error}");
    assert!(disk.is_dead());
    let operation = disk.last_operation().unwrap();
    assert_eq!((operation.file, operation.kind), (FileKind::Wal, OperationKind::Write));
    assert_eq!(operation.to_string(), "write the WAL");
    // Nothing works any more, and nothing changes.
    assert!(survivors(&connection).is_err());
    assert!(disk.open(NAME).is_err());
    assert!(disk.sync_wal(NAME).unwrap_err().to_string().contains("dead"));
    drop(connection);
    assert_eq!(disk.open_files(), 0);
    assert_eq!((disk.image(), disk.operations()), (image, operations));
    assert_eq!(disk.last_operation(), Some(operation));
    disk.revive();
    assert!(!disk.is_dead());
    assert_eq!(check(&disk, 3, 3), Ok(3));
}

#[test]
fn so_many_operations_are_done_before_the_machine_dies() {
    let (disk, connection) = disk_with(1);
    let before = disk.operations();
    disk.kill_after(5);
    let committed = (2..100).take_while(|n| commit(&connection, *n).is_ok()).count();
    assert!(disk.is_dead());
    assert_eq!(disk.operations(), before + 5);
    drop(connection);
    disk.revive();
    assert_eq!(check(&disk, 1, 2), Ok(1 + committed as u32));
}

#[test]
fn revival_calls_a_death_off() {
    let (disk, connection) = disk_with(1);
    disk.kill_after(0);
    disk.revive();
    commit(&connection, 2).unwrap();
    assert!(!disk.is_dead());
}

#[test]
fn a_connection_dies_with_its_machine() {
    let (disk, old) = disk_with(3);
    let begun = old.transaction(|| {
        commit_piecemeal(&old, 4)?;
        disk.kill_after(0);
        assert!(disk.sync_wal(NAME).is_err());
        disk.revive();
        assert_eq!(disk.open_files(), 0);
        // The old one was about to commit, and had the lock for it.
        let new = disk.open(NAME)?;
        assert_eq!(survivors(&new), Ok(3));
        commit(&new, 4)?;
        commit(&new, 5)
    });
    assert!(!begun.unwrap_err().is_deterministic());
    assert!(survivors(&old).is_err());
    drop(old);
    assert_eq!(check(&disk, 5, 5), Ok(5));
    // What was not synced then still is not.
    let (disk, old) = disk_with(3);
    disk.sync_wal(NAME).unwrap();
    commit(&old, 4).unwrap();
    disk.kill_after(0);
    assert!(commit(&old, 5).is_err());
    disk.revive();
    disk.power_cut(PowerCut::LoseUnsynced);
    assert_eq!(check(&disk, 3, 3), Ok(3));
}

#[test]
fn an_operation_is_what_a_crash_can_fall_between() {
    let (disk, connection) = disk_with(1);
    let count = |run: &dyn Fn()| {
        let before = disk.operations();
        run();
        disk.operations() - before
    };
    assert_eq!(count(&|| assert_eq!(survivors(&connection), Ok(1))), 0);
    assert_eq!(count(&|| disk.sync_wal(NAME).unwrap()), 1);
    let operation = disk.last_operation().unwrap();
    assert_eq!((operation.file, operation.kind), (FileKind::Wal, OperationKind::Sync));
    assert!(count(&|| commit(&connection, 2).unwrap()) > 0);
}

#[test]
fn only_an_existing_wal_can_be_synced() {
    let disk = SimDisk::new(1);
    assert_eq!(disk.sync_wal(NAME).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let connection = disk.open(NAME).unwrap();
    create(&connection).unwrap();
    disk.sync_wal(NAME).unwrap();
}

#[test]
fn connections_do_not_outlive_the_power() {
    for cut in [PowerCut::KeepAll, PowerCut::LoseUnsynced, PowerCut::Random] {
        let (disk, old) = disk_with(3);
        disk.sync_wal(NAME).unwrap();
        old.system().execute_batch("BEGIN IMMEDIATE; UPDATE head SET n = 0").unwrap();
        disk.power_cut(cut);
        assert_eq!(disk.open_files(), 0);
        let new = disk.open(NAME).unwrap();
        assert_eq!(survivors(&new), Ok(3));
        // The old one holds the write lock of a machine that does not exist any more.
        commit(&new, 4).unwrap();
        let image = disk.image();
        let error = old.system().execute_batch("COMMIT").unwrap_err();
        assert!(!error.is_deterministic(), "{error}");
        assert!(commit(&old, 4).is_err());
        assert!(survivors(&old).is_err());
        drop(old);
        assert_eq!(disk.image(), image);
        commit(&new, 5).unwrap();
        assert_eq!(survivors(&new), Ok(5));
    }
}

#[test]
fn what_a_power_cut_leaves_is_synced() {
    let (disk, connection) = disk_with(3);
    drop(connection);
    disk.power_cut(PowerCut::Random);
    let left = disk.image();
    for cut in [PowerCut::Random, PowerCut::LoseUnsynced, PowerCut::KeepAll] {
        disk.power_cut(cut);
        assert_eq!(disk.image(), left);
    }
}

#[test]
fn an_image_brings_a_disk_back() {
    let (disk, connection) = disk_with(3);
    let empty = SimDisk::new(1).image();
    let image = disk.image();
    commit(&connection, 4).unwrap();
    let later = disk.image();
    assert_ne!(image, later);
    let sizes = later.files().map(|(_, content)| content.len() as u64);
    assert_eq!(disk.bytes(), sizes.sum::<u64>());

    disk.restore(&image);
    assert_eq!(disk.image(), image);
    assert!(commit(&connection, 5).is_err(), "it is cut off");
    drop(connection);
    assert_eq!(check(&disk, 3, 3), Ok(3));
    disk.restore(&later);
    disk.power_cut(PowerCut::LoseUnsynced);
    assert_eq!(check(&disk, 4, 4), Ok(4));
    disk.restore(&empty);
    assert_eq!((disk.bytes(), disk.image()), (0, empty));
    assert_eq!(check(&disk, 0, 0), Ok(0));

    let other = SimDisk::new(2);
    other.restore(&image);
    assert_eq!(check(&other, 3, 3), Ok(3));
}
