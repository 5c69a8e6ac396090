//! A list of todos in the terminal, shared live, also offline, with undo and visible conflicts.

#![forbid(unsafe_code)]

mod app;
mod switch;
#[cfg(test)]
mod tests;
mod ui;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clap::Parser;
use livestore::prelude::*;
use livestore_sync_ws::WsSync;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use todos::model::{Todo, schema};
use tokio::sync::watch;

use crate::app::App;
use crate::switch::Switched;

/// Share a list of todos; start it twice, with two names, and see both follow each other
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

/// What the app looks up for.
enum Input {
    Key(KeyEvent),
    /// Something on the screen may be out of date.
    Changed,
    /// There are no keys any more.
    Closed(std::io::Error),
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
    let (online, is_on) = watch::channel(true);
    let sync = Switched::new(WsSync::new(&cli.server), is_on);
    let adapter = FileAdapter::new(cli.data.join(&cli.name)).sync(sync);
    let store = Store::open(schema(), "todos", adapter)?;
    let (inputs, waiting) = mpsc::channel();
    let _subscriptions = subscribe(&store, &inputs);
    let mut app = App::new(store.clone(), online, &cli.name);
    let mut terminal = ratatui::try_init()?;
    thread::spawn(move || read_keys(&inputs));
    let shown = show(&mut terminal, &mut app, &waiting);
    ratatui::restore();
    store.shutdown()?;
    shown
}

/// Draws, and looks up whenever there is something new.
fn show(
    terminal: &mut ratatui::DefaultTerminal,
    app: &mut App,
    waiting: &mpsc::Receiver<Input>,
) -> Result<(), Box<dyn Error>> {
    while !app.ends {
        terminal.draw(|frame| ui::draw(frame, app))?;
        let mut input = waiting.recv()?;
        loop {
            match input {
                Input::Key(key) => app.key(key),
                Input::Changed => {}
                Input::Closed(error) => return Err(error.into()),
            }
            // Whatever has come meanwhile is drawn together.
            match waiting.try_recv() {
                Ok(next) => input = next,
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// Tells of every change of what is on the screen.
fn subscribe(store: &Store, inputs: &mpsc::Sender<Input>) -> [Subscription; 3] {
    // The app may have ended; then nobody minds.
    let changed = || {
        let inputs = inputs.clone();
        move || drop(inputs.send(Input::Changed))
    };
    let (todos, status, letters) = (changed(), changed(), changed());
    [
        store.query_db(Todo::select()).subscribe(move |_| todos()),
        store.live_sync_status().subscribe(move |_| status()),
        store.live_dead_letters().subscribe(move |_| letters()),
    ]
}

fn read_keys(inputs: &mpsc::Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => Input::Key(key),
            Ok(Event::Resize(..)) => Input::Changed,
            Ok(_) => continue,
            Err(error) => Input::Closed(error),
        };
        let is_over = matches!(input, Input::Closed(_));
        if inputs.send(input).is_err() || is_over {
            return;
        }
    }
}
