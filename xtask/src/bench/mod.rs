//! `cargo xtask bench`

mod web;

use std::path::PathBuf;

use crate::Outcome;
use crate::process::{self, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these cases
    names: Vec<String>,
    /// Fewer samples: all cases in under five minutes, those of --web in about one
    #[arg(long)]
    quick: bool,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the npm packages in Chromium, each case beside LiveStore 0.4.0
    #[arg(long)]
    web: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.web {
        return web::run_all(args);
    }
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
