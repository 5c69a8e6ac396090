//! `cargo xtask bench`

use std::path::PathBuf;

use crate::Outcome;
use crate::process::{self, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these cases
    names: Vec<String>,
    /// Fewer samples: all cases in under five minutes
    #[arg(long)]
    quick: bool,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut command = cargo();
    command.args(["bench", "--quiet", "--package", "livestore-bench", "--bench", "cases", "--"]);
    command.args(&args.names);
    if args.quick {
        command.env("LIVESTORE_BENCH_QUICK", "1");
    }
    if let Some(file) = &args.json {
        // The benchmark runs in its own folder.
        command.env("LIVESTORE_BENCH_JSON", std::path::absolute(file)?);
    }
    process::run(&mut command)
}
