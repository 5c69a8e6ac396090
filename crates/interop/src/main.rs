//! Tests against LiveStore's own client: stores of both kinds in processes of their own, on our server.

#![forbid(unsafe_code)]

mod cases;
mod peer;
mod process;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::cases::{CASES, World};
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

fn run(args: Run) -> bool {
    let Run { livestore, scripts, node, only } = args;
    let places = Places { livestore, scripts, node };
    let is_chosen = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let (mut cases, mut passed, mut stalls) = (0, 0, 0);
    for case in CASES.iter().filter(|case| is_chosen(case.name)) {
        let begin = Instant::now();
        let outcome = World::new(&places, case.whose).and_then(|mut world| {
            let outcome = (case.run)(&mut world);
            stalls += world.stalls;
            outcome
        });
        let seconds = begin.elapsed().as_secs_f64();
        cases += 1;
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok      {seconds:>6.1} s  {}", case.name);
            }
            Err(error) => println!("FAILED  {seconds:>6.1} s  {}: {error}", case.name),
        }
    }
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
