//! The `livestore` command.
//!
//! Exit codes: 0 if it did what was asked, 1 if it could not, 2 if the command line was wrong.

#![forbid(unsafe_code)]

mod log;
mod output;
mod serve;
mod status;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run a LiveStore sync server, and look into stores.
#[derive(Debug, Parser)]
#[command(name = "livestore", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sync server
    Serve(serve::Args),
    /// Print the events of a store, oldest first: confirmed ones, then pending ones
    Log(log::Args),
    /// Print where stores stand: heads, pending events, dead letters
    Status(status::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Status(args) => status::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
