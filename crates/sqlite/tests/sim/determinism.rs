//! The same seed and the same doings give the same disk.

use std::process::Command;

use livestore_sqlite::sim::{Faults, Image, PowerCut, SimDisk, seed_sqlite_randomness};

use super::support::{CORRECT, NAME, Progress, Script, check, run};

/// Set in the process in which no other test runs beside.
const ALONE: &str = "LIVESTORE_SIM_ALONE";

/// What a run shows of itself.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    steps: Vec<String>,
    /// With all that a disk held on the way.
    images: Vec<Image>,
}

/// Lets a machine fail, die and lose its power, again and again.
fn live(seed: u64) -> Trace {
    let disk = SimDisk::new(seed);
    let mut trace = Trace { steps: Vec::new(), images: Vec::new() };
    let mut progress = Progress::default();
    for round in 0..8 {
        disk.set_faults(Faults {
            io_error_per_mille: if round % 3 == 1 { 10 } else { 0 },
            full_after_bytes: (round % 3 == 2).then(|| disk.bytes() + 60_000),
            sync_error_per_mille: 0,
        });
        disk.kill_after(40 + seed % 7 * 31 + round * 13);
        let result = run(&disk, &Script { transactions: 12, ..CORRECT }, &mut progress);
        disk.set_faults(Faults::default());
        trace.images.push(disk.image());
        disk.power_cut(PowerCut::Random);
        disk.revive();
        trace.images.push(disk.image());
        let found = check(&disk, 0, progress.begun);
        let (stop, operation) = (result.map_err(|stop| format!("{stop:?}")), disk.last_operation());
        trace.steps.push(format!("{stop:?} {operation:?} {} {found:?}", disk.operations()));
        let found = found.unwrap();
        progress = Progress { begun: found, committed: found, synced: found };
    }
    // A path has the number of its disk in it.
    let path = disk.path(NAME);
    trace.steps.iter_mut().for_each(|step| *step = step.replace(&path, NAME));
    trace
}

#[test]
fn a_run_is_the_same_again_but_for_salts() {
    let sizes = |image: &Image| -> Vec<(String, usize)> {
        image.files().map(|(name, content)| (name.to_owned(), content.len())).collect()
    };
    for seed in 0..10 {
        let [first, second] = [live(seed), live(seed)];
        assert_eq!(first.steps, second.steps);
        assert!(first.images.iter().map(sizes).eq(second.images.iter().map(sizes)));
    }
    assert_ne!(live(1).steps, live(2).steps, "the seed matters");
}

#[test]
fn a_run_is_the_same_again_to_the_byte_if_sqlite_is_seeded() {
    if std::env::var_os(ALONE).is_some() {
        for seed in 0..5 {
            let [first, second] = [(); 2].map(|()| {
                seed_sqlite_randomness(7);
                live(seed)
            });
            assert!(first == second, "seed {seed}");
            seed_sqlite_randomness(8);
            assert_ne!(first.images, live(seed).images, "salts are in the images");
        }
        return;
    }
    // SQLite's random numbers are those of the process, so it has to be one with a single thread.
    let name = "sim::determinism::a_run_is_the_same_again_to_the_byte_if_sqlite_is_seeded";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}
