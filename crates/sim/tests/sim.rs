//! The simulator itself: it repeats itself, and what it writes down can be run again.

use std::fs;
use std::path::Path;

use livestore_sim::{Trace, run_seed};

#[test]
fn the_same_seed_is_the_same_run_to_the_last_message() {
    for seed in 0..12 {
        let (trace, run) = run_seed(seed);
        let (again, repeated) = run_seed(seed);
        assert_eq!(trace, again, "seed {seed}");
        assert_eq!(run.fingerprint, repeated.fingerprint, "seed {seed}");
        assert_eq!(run.counts, repeated.counts, "seed {seed}");
        assert_eq!(run.violation, None, "seed {seed}");
    }
}

#[test]
fn a_recorded_run_does_the_same_again_without_the_generator() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 20..26 {
        let (trace, run) = run_seed(seed);
        let path = folder.path().join("trace.json");
        trace.write(&path).unwrap();
        let read = Trace::read(&path).unwrap();
        assert_eq!(read, trace, "seed {seed}");
        assert_eq!(read.run().fingerprint, run.fingerprint, "seed {seed}");
    }
}

#[test]
fn two_seeds_are_two_runs() {
    assert_ne!(run_seed(1).1.fingerprint, run_seed(2).1.fingerprint);
}

/// What was wrong once stays right: each recorded run failed a check before its bug was fixed.
#[test]
fn no_recorded_bug_has_come_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let mut traces = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let trace = Trace::read(&path).unwrap();
        assert!(trace.fails.is_some() && trace.about.is_some(), "{}", path.display());
        assert_eq!(trace.run().violation, None, "{}", path.display());
        traces += 1;
    }
    assert!(traces > 0);
}
