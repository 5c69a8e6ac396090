//! Every developer task: `cargo xtask <demo|test|interop|soak|bench|web|compile-time>`.

#![forbid(unsafe_code)]

mod bench;
mod compile_time;
mod demo;
mod install;
mod interop;
mod machine;
mod npm;
mod process;
mod test;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What every task returns.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Developer tasks of LiveStore for Rust.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the whole system at work: a server, two clients, offline edits, a crash
    Demo(demo::Args),
    /// Install what is missing and run everything that CI runs
    Test(test::Args),
    /// Try LiveStore's own client with our server (installs its packages if they are missing)
    Interop(interop::Args),
    /// Run the long tests with their full counts
    Soak(test::SoakArgs),
    /// Measure, each case beside what plain SQLite does
    Bench(bench::Args),
    /// Build what browsers and Node load, and weigh it (makes a compiler for it, if there is none)
    Web(web::Args),
    /// Measure how long an app of 30 tables and 100 events takes to build after a change
    CompileTime(compile_time::Args),
    /// Check licences and sources of all dependencies (installs cargo-deny if it is missing)
    Deny,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Interop(args) => interop::run_all(&args),
        Task::Soak(args) => test::soak(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Web(args) => web::run_all(&args),
        Task::CompileTime(args) => compile_time::run(&args),
        Task::Deny => test::deny(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
