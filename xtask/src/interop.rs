//! `cargo xtask interop`: LiveStore's own clients and backend against ours.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::npm;
use crate::process::{cargo, root, run, target_dir};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print nothing but the cases, and the line of JSON that comes last in any case
    #[arg(long)]
    json: bool,
    /// Only cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Where LiveStore's own packages are installed.
fn scripts() -> PathBuf {
    root().join("tests/interop")
}

pub(crate) fn run_all(args: &Args) -> Outcome {
    // LiveStore's own packages, and a JavaScript runtime that is new enough.
    npm::install(&scripts())?;
    run(cargo()
        .args(["build", "--quiet", "--locked"])
        .args(["-p", "livestore-cli"])
        .args(["-p", "livestore-interop"]))?;
    let built = target_dir()?.join("debug");
    let mut interop = Command::new(built.join("livestore-interop"));
    interop.arg("run").arg("--livestore").arg(built.join("livestore"));
    interop.arg("--scripts").arg(scripts());
    interop.arg("--node").arg(scripts().join("node_modules/.bin/node"));
    // Most cases wait for timers most of the time.
    let jobs = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    interop.arg("--jobs").arg(jobs.to_string());
    if let Some(only) = &args.only {
        interop.arg("--only").arg(only);
    }
    if !args.json {
        println!("LiveStore 0.4.0, its clients and its backend, against ours:");
    }
    run(&mut interop)
}
