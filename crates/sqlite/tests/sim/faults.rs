//! The disk fails or is full: commits fail with an error that says so, and nothing is lost.

use livestore_sqlite::rusqlite::ErrorCode;
use livestore_sqlite::sim::{Faults, PowerCut, SimDisk};
use livestore_sqlite::{Connection, SqliteError};

use super::support::{NAME, check, checkpoint, commit, create, survivors};

fn code(error: &SqliteError) -> ErrorCode {
    match error {
        SqliteError::Sqlite { source, .. } => source.sqlite_error_code().unwrap(),
        other => panic!("{other}"),
    }
}

/// A disk with ten transactions.
fn disk(seed: u64) -> (SimDisk, Connection) {
    let disk = SimDisk::new(seed);
    let connection = disk.open(NAME).unwrap();
    connection.system().execute_batch("PRAGMA wal_autocheckpoint=20").unwrap();
    create(&connection).unwrap();
    for n in 1..=10 {
        commit(&connection, n).unwrap();
    }
    (disk, connection)
}

#[test]
fn a_full_disk_costs_no_commit_and_is_usable_once_there_is_room() {
    for room in (0..60_000).step_by(1_777) {
        let (disk, connection) = disk(room);
        // Cut down to what is in the database, so that both files have to grow.
        checkpoint(&connection, "TRUNCATE").unwrap();
        let limit = disk.bytes() + room;
        disk.set_faults(Faults { full_after_bytes: Some(limit), ..Faults::default() });
        let mut committed = 10;
        let error = loop {
            match commit(&connection, committed + 1) {
                Ok(()) => committed += 1,
                Err(error) => break error,
            }
            assert!(committed < 500, "it is full at some time");
        };
        assert_eq!(code(&error), ErrorCode::DiskFull);
        assert!(!error.is_deterministic(), "{error}");
        assert!(disk.bytes() <= limit, "{} {limit}", disk.bytes());
        assert_eq!(survivors(&connection), Ok(committed));
        assert_eq!(code(&commit(&connection, committed + 1).unwrap_err()), ErrorCode::DiskFull);

        disk.set_faults(Faults::default());
        commit(&connection, committed + 1).unwrap();
        drop(connection);
        assert_eq!(check(&disk, committed + 1, committed + 1), Ok(committed + 1));
    }
}

#[test]
fn a_full_disk_can_be_opened_and_read() {
    let (disk, connection) = disk(1);
    drop(connection);
    disk.set_faults(Faults { full_after_bytes: Some(disk.bytes()), ..Faults::default() });
    let connection = disk.open(NAME).unwrap();
    assert_eq!(survivors(&connection), Ok(10));
    assert_eq!(code(&commit(&connection, 11).unwrap_err()), ErrorCode::DiskFull);
    // A new database finds no room at all.
    let error = disk.open("other.db").unwrap_err();
    assert_eq!(code(&error), ErrorCode::DiskFull);
}

#[test]
fn io_errors_cost_no_commit_that_returned_and_pass() {
    let mut failures = 0;
    for seed in 0..200 {
        let (disk, connection) = disk(seed);
        disk.set_faults(Faults { io_error_per_mille: 50, ..Faults::default() });
        let mut committed = 10;
        for _ in 0..20 {
            match commit(&connection, committed + 1) {
                Ok(()) => committed += 1,
                Err(error) => {
                    failures += 1;
                    assert_eq!(code(&error), ErrorCode::SystemIoFailure, "{error}");
                    assert!(!error.is_deterministic(), "{error}");
                }
            }
        }
        disk.set_faults(Faults::default());
        assert_eq!(survivors(&connection), Ok(committed), "seed {seed}");
        commit(&connection, committed + 1).unwrap();
        drop(connection);
        assert_eq!(check(&disk, committed + 1, committed + 1), Ok(committed + 1), "seed {seed}");
    }
    assert!(failures > 500, "{failures}");
}

#[test]
fn io_errors_while_opening_are_errors_and_pass() {
    let (mut opened, mut failed) = (0, 0);
    for seed in 0..200 {
        let (disk, connection) = disk(seed);
        // So that there is a WAL to recover.
        disk.power_cut(PowerCut::KeepAll);
        drop(connection);
        disk.set_faults(Faults { io_error_per_mille: 100, ..Faults::default() });
        match disk.open(NAME) {
            Ok(_) => opened += 1,
            Err(error) => {
                failed += 1;
                assert_eq!(code(&error), ErrorCode::SystemIoFailure, "{error}");
            }
        }
        disk.set_faults(Faults::default());
        assert_eq!(disk.open_files(), 0);
        assert_eq!(check(&disk, 10, 10), Ok(10));
    }
    assert!(opened > 20 && failed > 20, "{opened} {failed}");
}

#[test]
fn a_barrier_reports_that_it_failed() {
    let (disk, connection) = disk(1);
    disk.set_faults(Faults { sync_error_per_mille: 1_000, ..Faults::default() });
    let error = disk.sync_wal(NAME).unwrap_err();
    assert!(error.to_string().contains("input/output error"), "{error}");
    assert_eq!(survivors(&connection), Ok(10), "processes see everything all the same");
    commit(&connection, 11).unwrap();
    disk.set_faults(Faults::default());
    disk.sync_wal(NAME).unwrap();
    assert_eq!(survivors(&connection), Ok(11));
}

#[test]
fn a_sync_does_not_make_up_for_one_that_failed() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..40 {
        let (disk, connection) = disk(seed);
        checkpoint(&connection, "TRUNCATE").unwrap();
        commit(&connection, 11).unwrap();
        disk.sync_wal(NAME).unwrap();
        commit(&connection, 12).unwrap();
        disk.set_faults(Faults { sync_error_per_mille: 1_000, ..Faults::default() });
        disk.sync_wal(NAME).unwrap_err();
        disk.set_faults(Faults::default());
        commit(&connection, 13).unwrap();
        disk.sync_wal(NAME).unwrap();
        disk.power_cut(PowerCut::KeepAll);
        drop(connection);
        match check(&disk, 11, 13).unwrap() {
            13 => kept += 1,
            _ => lost += 1,
        }
    }
    assert!(lost > 5 && kept > 0, "{lost} {kept}");
}

#[test]
fn who_carries_on_after_a_failed_sync_may_find_a_damaged_database() {
    let mut damaged = 0;
    for seed in 0..40 {
        let (disk, connection) = disk(seed);
        connection.system().execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
        checkpoint(&connection, "TRUNCATE").unwrap();
        let commits = |range: std::ops::RangeInclusive<u32>| {
            range.for_each(|n| commit(&connection, n).unwrap());
        };
        commits(11..=14);
        disk.set_faults(Faults { sync_error_per_mille: 1_000, ..Faults::default() });
        disk.sync_wal(NAME).unwrap_err();
        disk.set_faults(Faults::default());
        commits(15..=18);
        disk.sync_wal(NAME).unwrap();
        // From here on the database is newer than what is left of the WAL, which recovery then
        // puts on top of it.
        checkpoint(&connection, "PASSIVE").unwrap();
        disk.power_cut(PowerCut::LoseUnsynced);
        drop(connection);
        damaged += usize::from(check(&disk, 0, 18).is_err());
    }
    assert!(damaged > 0, "of 40 databases");
}

#[test]
fn without_faults_nothing_fails() {
    let (disk, connection) = disk(1);
    disk.set_faults(Faults {
        io_error_per_mille: 0,
        full_after_bytes: Some(u64::MAX),
        sync_error_per_mille: 0,
    });
    for n in 11..=100 {
        commit(&connection, n).unwrap();
        disk.sync_wal(NAME).unwrap();
    }
    assert_eq!(survivors(&connection), Ok(100));
}
