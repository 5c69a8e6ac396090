//! The list of todos in a window.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use livestore::prelude::*;
use livestore_sync_ws::WsSync;
use todos::model::schema;
use todos_egui::App;

/// Share a list of todos, in a window; the same list as that of the example `todos`
#[derive(Debug, Parser)]
struct Cli {
    /// Who you are; each name has a list of its own on the disk, and all are synced
    name: String,
    /// Folder of the lists
    #[arg(long, value_name = "DIR", default_value = "todos-data")]
    data: PathBuf,
    /// Address of the sync server
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:7433")]
    server: String,
}

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
    let shown = store.clone();
    let options = eframe::NativeOptions::default();
    let title = format!("Todos of {}", cli.name);
    eframe::run_native(
        &title,
        options,
        Box::new(move |context| Ok(Box::new(App::new(shown, &context.egui_ctx)))),
    )?;
    Ok(store.shutdown()?)
}
