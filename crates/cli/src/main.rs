//! The `livestore` command.
//!
//! Exit codes: 0 if it did what was asked, 1 if it could not, 2 if the command line was wrong, 130
//! if it was interrupted. `verify` has codes of its own.

#![forbid(unsafe_code)]

mod backup;
mod conformance;
mod export;
mod history;
mod import;
mod log;
mod output;
mod progress;
mod recover;
mod serve;
mod state;
mod status;
mod table;
mod target;
mod transfer;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Outcome;

/// Run a LiveStore sync server, and look after stores.
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
    /// Print where stores stand: heads, pending events, dead letters, quarantine
    Status(status::Args),
    State(state::Args),
    Verify(verify::Args),
    Recover(recover::Args),
    Backup(backup::Args),
    History(history::Args),
    Export(export::Args),
    Import(import::Args),
    Conformance(conformance::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args)?,
        Command::Log(args) => log::run(&args)?,
        Command::Status(args) => return status::run(&args),
        Command::State(args) => return state::run(&args),
        Command::Verify(args) => return verify::run(&args),
        Command::Recover(args) => return recover::run(&args),
        Command::Backup(args) => return backup::run(&args),
        Command::History(args) => return history::run(&args),
        Command::Export(args) => return export::run(&args),
        Command::Import(args) => return import::run(&args),
        Command::Conformance(args) => return conformance::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}
