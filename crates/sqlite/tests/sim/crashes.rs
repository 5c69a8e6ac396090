//! The machine dies, at every operation there is.

use std::collections::BTreeSet;

use livestore_sqlite::sim::{Operation, PowerCut, SimDisk};
use livestore_sqlite::{Connection, SqliteError, rusqlite};

use super::support::{
    CORRECT, NAME, Progress, Script, check, checkpoint, commit, commit_piecemeal, create, run,
    survivors,
};

/// What is promised of a run that the machine did not survive.
type Promise = fn(&Progress) -> u32;

const COMMITTED: Promise = |progress| progress.committed;
const SYNCED: Promise = |progress| progress.synced;

/// One crash of a script.
struct Crash {
    /// At which operation the machine died.
    operation: Operation,
    progress: Progress,
    /// How many transactions survived, or what is wrong.
    survivors: Result<u32, String>,
}

/// Crashes a script at every single operation, and checks what is left.
fn crashes(
    script: &Script,
    cut: Option<PowerCut>,
    seed: u64,
    promise: Promise,
) -> impl Iterator<Item = Crash> {
    (0..).map_while(move |operations| {
        let disk = SimDisk::new(seed + operations * 1_000);
        disk.kill_after(operations);
        let mut progress = Progress::default();
        let result = run(&disk, script, &mut progress);
        if !disk.is_dead() {
            result.unwrap();
            return None;
        }
        let operation = disk.last_operation().unwrap();
        if let Some(cut) = cut {
            disk.power_cut(cut);
        }
        disk.revive();
        let survivors = check(&disk, promise(&progress), progress.begun).and_then(|found| {
            // It is as good as new.
            let mut more = Progress { committed: found, ..Progress::default() };
            run(&disk, &Script { transactions: 4, ..CORRECT }, &mut more)
                .map_err(|stop| format!("cannot go on: {stop:?}"))?;
            check(&disk, found + 4, found + 4).map(|_| found)
        });
        Some(Crash { operation, progress, survivors })
    })
}

/// Crashes a script everywhere, and makes sure that it never costs what was promised.
///
/// Returns how many crashes cost transactions that were committed.
fn assert_sound(script: &Script, cut: Option<PowerCut>, seed: u64, promise: Promise) -> usize {
    let mut operations = BTreeSet::new();
    let mut losses = 0;
    for (number, crash) in crashes(script, cut, seed, promise).enumerate() {
        let Crash { operation, progress, survivors } = crash;
        let found = survivors.unwrap_or_else(|wrong| {
            panic!("seed {seed}, operation {number}, {operation}: {wrong}; {progress:?}")
        });
        losses += usize::from(found < progress.committed);
        operations.insert(operation.to_string());
    }
    let all = [
        "create the database",
        "create the journal",
        "write the journal",
        "sync the journal",
        "delete the journal",
        "write the database",
        "truncate the database",
        "sync the database",
        "create the WAL",
        "write the WAL",
        "sync the WAL",
        "truncate the WAL",
        "delete the WAL",
    ];
    assert_eq!(operations, BTreeSet::from(all.map(String::from)), "it died at each of these");
    losses
}

/// Tells whether any crash of a script breaks a promise.
fn is_broken(script: &Script, cut: Option<PowerCut>, promise: Promise) -> bool {
    let seeds = if cut == Some(PowerCut::Random) { 1..4 } else { 1..2 };
    seeds.flat_map(|seed| crashes(script, cut, seed, promise)).any(|crash| crash.survivors.is_err())
}

#[test]
fn a_kill_at_any_operation_costs_no_commit_that_returned() {
    assert_eq!(assert_sound(&CORRECT, None, 1, COMMITTED), 0);
}

#[test]
fn a_power_cut_that_keeps_everything_is_like_a_kill() {
    assert_eq!(assert_sound(&CORRECT, Some(PowerCut::KeepAll), 2, COMMITTED), 0);
}

#[test]
fn a_power_cut_at_any_operation_costs_nothing_that_was_synced() {
    let losses = assert_sound(&CORRECT, Some(PowerCut::LoseUnsynced), 3, SYNCED);
    assert!(losses > 50, "{losses}");
}

#[test]
fn a_power_cut_that_tears_and_reorders_costs_nothing_that_was_synced() {
    for seed in 1..=4 {
        let losses = assert_sound(&CORRECT, Some(PowerCut::Random), seed, SYNCED);
        assert!(losses > 20, "{losses}");
    }
}

#[test]
fn power_cuts_during_recovery_from_power_cuts_cost_nothing_either() {
    for seed in 0..120 {
        let disk = SimDisk::new(seed);
        let mut progress = Progress::default();
        for round in 0..12 {
            disk.kill_after((seed * 31 + round * 17) % 67);
            let _ = run(&disk, &CORRECT, &mut progress);
            for attempt in 0..round % 4 {
                disk.power_cut(PowerCut::Random);
                disk.revive();
                disk.kill_after((seed + round + attempt) % 13);
                let _ = disk.open(NAME).map(|connection| checkpoint(&connection, "TRUNCATE"));
            }
            disk.power_cut(PowerCut::Random);
            disk.revive();
            let found = check(&disk, progress.synced, progress.begun);
            let found = found.unwrap_or_else(|wrong| panic!("seed {seed}, {round}: {wrong}"));
            // Checking has closed the last connection, and so has moved all into the database.
            progress = Progress { begun: found, committed: found, synced: found };
        }
    }
}

#[test]
fn a_rollback_journal_survives_power_cuts_as_well() {
    let open = |disk: &SimDisk| -> rusqlite::Result<rusqlite::Connection> {
        let (path, flags) = (disk.path(NAME), rusqlite::OpenFlags::default());
        let connection =
            rusqlite::Connection::open_with_flags_and_vfs(path, flags, SimDisk::vfs())?;
        // EXTRA syncs the directory after the journal is deleted, which is what commits.
        connection.execute_batch(
            "PRAGMA synchronous=EXTRA; PRAGMA cache_size=4;
             CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, body BLOB)",
        )?;
        Ok(connection)
    };
    let run = |disk: &SimDisk, committed: &mut u32| -> rusqlite::Result<()> {
        let connection = open(disk)?;
        for n in 1..=6 {
            connection.execute_batch(&format!(
                "BEGIN; INSERT INTO log VALUES ({n}, zeroblob({n}000));
                 UPDATE log SET body = zeroblob({n}000); COMMIT"
            ))?;
            *committed = n;
        }
        Ok(())
    };
    for cut in [PowerCut::LoseUnsynced, PowerCut::Random, PowerCut::Random] {
        for operations in 0.. {
            let disk = SimDisk::new(operations);
            disk.kill_after(operations);
            let mut committed = 0;
            let result = run(&disk, &mut committed);
            if !disk.is_dead() {
                result.unwrap();
                assert!(operations > 100, "{operations}");
                break;
            }
            disk.power_cut(cut);
            disk.revive();
            let connection = open(&disk).unwrap();
            let sql = "SELECT count(*), coalesce(max(n), 0), sum(length(body)) FROM log";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let (count, max, bytes): (u32, u32, Option<u32>) =
                connection.query_row(sql, [], row).unwrap();
            assert_eq!((count, bytes.unwrap_or(0)), (max, max * max * 1_000));
            assert!((committed..=committed + 1).contains(&max), "{committed} {max}");
            let verdict: String =
                connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(verdict, "ok");
        }
    }
}

#[test]
fn a_wal_of_many_frames_is_recovered() {
    // The wal-index of so many frames needs several regions.
    let disk = SimDisk::new(7);
    let connection = disk.open(NAME).unwrap();
    connection.system().execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    create(&connection).unwrap();
    let commits = 3_000;
    for n in 1..=commits {
        commit(&connection, n).unwrap();
    }
    assert!(disk.bytes() > 4_096 * 2 * 4_096, "{}", disk.bytes());
    disk.sync_wal(NAME).unwrap();
    commit(&connection, commits + 1).unwrap();
    disk.power_cut(PowerCut::LoseUnsynced);
    drop(connection);
    assert_eq!(check(&disk, commits, commits), Ok(commits));
}

#[test]
fn the_check_finds_a_barrier_that_does_not_sync() {
    let script = Script { barrier: |_| Ok(()), ..CORRECT };
    assert!(is_broken(&script, Some(PowerCut::LoseUnsynced), SYNCED));
    assert!(is_broken(&script, Some(PowerCut::Random), SYNCED));
}

#[test]
fn the_check_finds_checkpoints_that_do_not_sync() {
    let script =
        Script { pragmas: "PRAGMA wal_autocheckpoint=12; PRAGMA synchronous=OFF", ..CORRECT };
    assert!(is_broken(&script, Some(PowerCut::Random), SYNCED));
    assert!(!is_broken(&script, None, COMMITTED), "but a kill costs nothing");
}

#[test]
fn the_check_finds_transactions_that_are_none() {
    let script = Script { commit: commit_piecemeal, ..CORRECT };
    assert!(is_broken(&script, None, COMMITTED));
}

#[test]
fn the_check_finds_commits_that_are_not_synced_if_that_was_promised() {
    assert!(!is_broken(&CORRECT, Some(PowerCut::KeepAll), COMMITTED));
    assert!(is_broken(&CORRECT, Some(PowerCut::LoseUnsynced), COMMITTED));
}

#[test]
fn full_durability_keeps_every_commit_that_returned() {
    let script =
        Script { pragmas: "PRAGMA wal_autocheckpoint=12; PRAGMA synchronous=FULL", ..CORRECT };
    for (cut, seed) in [(PowerCut::LoseUnsynced, 1), (PowerCut::Random, 2)] {
        assert_eq!(assert_sound(&script, Some(cut), seed, COMMITTED), 0);
    }
}

#[test]
fn a_checkpoint_while_a_reader_holds_a_snapshot_survives_power_cuts() {
    let scenario = |disk: &SimDisk, synced: &mut u32| -> Result<(), SqliteError> {
        let writer = disk.open(NAME)?;
        create(&writer)?;
        for n in 1..=4 {
            commit(&writer, n)?;
        }
        let reader = disk.open_read_only(NAME)?;
        let sync = |disk: &SimDisk, n, synced: &mut u32| {
            if disk.sync_wal(NAME).is_ok() {
                *synced = n;
            }
        };
        sync(disk, 4, synced);
        let held: Result<(), SqliteError> = reader.transaction_deferred(|| {
            assert!(disk.is_dead() || survivors(&reader) == Ok(4));
            for n in 5..=8 {
                commit(&writer, n)?;
                // Only what the reader does not need any more is moved into the database.
                checkpoint(&writer, "PASSIVE")?;
            }
            sync(disk, 8, synced);
            assert!(disk.is_dead() || survivors(&reader) == Ok(4));
            Ok(())
        });
        held?;
        checkpoint(&writer, "PASSIVE")?;
        commit(&writer, 9)?;
        Ok(())
    };
    for (cut, rounds) in [(PowerCut::LoseUnsynced, 1), (PowerCut::Random, 3)] {
        for round in 0..rounds {
            for operations in 0.. {
                let disk = SimDisk::new(round * 10_000 + operations);
                disk.kill_after(operations);
                let mut synced = 0;
                let result = scenario(&disk, &mut synced);
                if !disk.is_dead() {
                    result.unwrap();
                    break;
                }
                disk.power_cut(cut);
                disk.revive();
                check(&disk, synced, 9).unwrap_or_else(|wrong| panic!("{operations}: {wrong}"));
            }
        }
    }
}

/// A read transaction, which our connections have no word for.
trait ReadTransaction {
    fn transaction_deferred<R>(
        &self,
        run: impl FnOnce() -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError>;
}

impl ReadTransaction for Connection {
    fn transaction_deferred<R>(
        &self,
        run: impl FnOnce() -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        self.system().execute_batch("BEGIN")?;
        let result = run();
        let _ = self.system().execute_batch("ROLLBACK");
        result
    }
}
