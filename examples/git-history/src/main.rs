//! The history of a git repository as events, followed live by other clients.

#![forbid(unsafe_code)]

mod import;
mod model;
mod remote;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use livestore::prelude::*;
use livestore_sync_ws::WsSync;

use crate::model::{Commit, File};

/// The log that all clients of this example share.
const STORE_ID: &str = "git-history";

/// Share the history of a git repository as a log of events.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn a repository into events and wait until the server has them
    Import {
        /// The repository
        #[arg(default_value = ".")]
        repository: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Print what arrives, until Ctrl-C
    Follow {
        #[command(flatten)]
        place: Place,
    },
    /// Take requests on standard input; for `cargo xtask demo`
    #[command(hide = true)]
    Remote {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of this client's data
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address of the sync server
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:7433")]
    server: String,
}

impl Place {
    fn open(&self) -> Result<Store, Box<dyn Error>> {
        let adapter = FileAdapter::new(&self.data).sync(WsSync::new(&self.server));
        Ok(Store::open(model::schema()?, STORE_ID, adapter)?)
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Import { repository, place } => {
            let store = place.open()?;
            let total = import::import(&store, repository, |_| {})?;
            println!("{} commits, {} events", total.commits, total.events);
            wait_until_synced(&store)?;
            for (path, changes) in remote::top(&store, 10)? {
                println!("{changes:>6}  {path}");
            }
            Ok(())
        }
        Command::Follow { place } => {
            let store = place.open()?;
            let commits = query_db(Commit::select().count());
            let files = query_db(File::select().filter(File::deleted.eq(false)).count());
            let both = store.live(computed(move |cx| Ok((cx.get(&commits)?, cx.get(&files)?))));
            let mut last = None;
            loop {
                let now = both.get();
                if last.as_ref() != Some(&now) {
                    if let Ok((commits, files)) = &now {
                        println!("{commits} commits, {files} files");
                    }
                    last = Some(now);
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
        Command::Remote { place } => remote::run(&place.open()?),
    }
}

fn wait_until_synced(store: &Store) -> Result<(), Box<dyn Error>> {
    let mut told = None;
    while !store.sync_status()?.is_synced() {
        let error = store.sync_status()?.last_error;
        if error.is_some() && error != told {
            eprintln!("waiting: {}", error.as_deref().unwrap_or_default());
            told = error;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok(())
}
