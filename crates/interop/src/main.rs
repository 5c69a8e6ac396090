//! Tests against LiveStore's own client: stores of both kinds in processes of their own, on our server.

#![forbid(unsafe_code)]

mod cases;
mod peer;
mod process;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::cases::{CASES, Case, World};
use crate::process::Places;

#[derive(Debug, Parser)]
#[command(name = "livestore-interop", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Try everything, and say what came of it
    Run(Run),
    /// Be a store of ours that does what it is told
    Peer {
        /// What it is started with, as JSON
        options: String,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The binary of the command line
    #[arg(long, value_name = "FILE")]
    livestore: PathBuf,
    /// The folder of the scripts
    #[arg(long, value_name = "DIR")]
    scripts: PathBuf,
    /// A JavaScript runtime of version 22 or newer
    #[arg(long, value_name = "FILE")]
    node: PathBuf,
    /// Only cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many cases are tried at a time; most of them wait most of the time
    #[arg(long, value_name = "NUMBER", default_value_t = NonZeroUsize::MIN)]
    jobs: NonZeroUsize,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Run(args) => Ok(run(args)),
        Task::Peer { options } => peer::run(&options).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of the cases.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    cases: u64,
    passed: u64,
    stalls: u64,
}

fn run(args: Run) -> bool {
    let Run { livestore, scripts, node, only, jobs } = args;
    let places = Places { livestore, scripts, node };
    let is_chosen = |case: &&Case| only.as_ref().is_none_or(|only| case.name.contains(only));
    let cases = Mutex::new(CASES.iter().filter(is_chosen));
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut tally = Tally::default();
        while let Some(case) = next() {
            try_one(case, &places, &mut tally);
        }
        tally
    };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(work)).collect();
        // A case that panics has not come to its end, and what it has found is on stderr.
        workers.into_iter().map(|worker| worker.join().expect("a case panicked")).collect()
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let (cases, passed, stalls) = (sum(|of| of.cases), sum(|of| of.passed), sum(|of| of.stalls));
    if stalls > 0 {
        println!("LiveStore clients that stood still and were started again: {stalls}");
    }
    let failed = cases - passed;
    let summary = serde_json::json!({
        "cases": cases, "passed": passed, "failed": failed, "stalls": stalls,
    });
    println!("{summary}");
    failed == 0
}

/// Tries a case in a world of its own.
fn try_one(case: &Case, places: &Places, tally: &mut Tally) {
    let begin = Instant::now();
    let outcome = World::new(places, case.whose).and_then(|mut world| {
        let outcome = (case.run)(&mut world);
        tally.stalls += world.stalls;
        outcome
    });
    let seconds = begin.elapsed().as_secs_f64();
    tally.cases += 1;
    match outcome {
        Ok(()) => {
            tally.passed += 1;
            println!("ok      {seconds:>6.1} s  {}", case.name);
        }
        Err(error) => println!("FAILED  {seconds:>6.1} s  {}: {error}", case.name),
    }
}
