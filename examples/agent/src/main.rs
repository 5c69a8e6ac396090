//! A process without a screen that shares a store with the todos app, and does what is left to it.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;
mod work;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use livestore::Tier;
use livestore::prelude::*;
use livestore_sync_ws::WsSync;
use todos::model::{Todo, schema};

use crate::work::{next, work};

/// Work on somebody's list of todos: do what todos ask for that begin with “@agent”
#[derive(Debug, Parser)]
struct Cli {
    /// Whose list it is
    name: String,
    /// Folder of the lists
    #[arg(long, value_name = "DIR", default_value = "todos-data")]
    data: PathBuf,
    /// Address of the sync server
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:7433")]
    server: String,
    /// Do what is there, and end
    #[arg(long)]
    once: bool,
}

/// How long the last commit may take to get into the file.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let adapter = FileAdapter::new(cli.data.join(&cli.name)).sync(WsSync::new(&cli.server));
    let store = Store::open(schema(), "todos", adapter)?;
    println!("{}", beginning(&store)?);
    let todos = store.query_db(Todo::select().order_by(Todo::id));
    let (changed, changes) = mpsc::channel();
    let _subscription = todos.subscribe(move |_| _ = changed.send(()));
    let mut last = None;
    loop {
        while let Some(todo) = next(&todos.get()?) {
            let (said, receipt) = work(&store, &todo)?;
            println!("{}: {said}", todo.title);
            last = receipt.or(last);
        }
        if cli.once {
            break;
        }
        changes.recv()?;
    }
    if let Some(receipt) = last {
        wait_for(&receipt)?;
    }
    store.shutdown()?;
    Ok(())
}

/// Says whom the agent shares the list with.
fn beginning(store: &Store) -> Result<String, Box<dyn Error>> {
    let leader = store.sessions()?.into_iter().find(|session| session.leads);
    Ok(match (store.sync_status()?.tier, leader) {
        (Tier::Session { .. }, Some(leader)) => {
            format!("following process {}; Ctrl-C ends", leader.process)
        }
        (Tier::Session { .. }, None) => "following; Ctrl-C ends".into(),
        _ => "alone with the list; Ctrl-C ends".into(),
    })
}

/// Waits until a commit is in the file.
fn wait_for(receipt: &CommitReceipt) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let persisted =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, receipt.persisted()).await });
    match persisted {
        Ok(persisted) => {
            persisted?;
            Ok(())
        }
        Err(_) => Err("whoever has the list open does not answer".into()),
    }
}
