//! `livestore status`

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use livestore::inspect::{FileStatus, Inspector};
use livestore::{
    ConnectionState, DeadLetter, OpenError, Quarantined, QueryError, Refresh, SessionInfo,
};
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout, utc};
use crate::target::Target;
use crate::verify::shell_word;

/// How long whoever has a store open is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Dead letters and quarantined events that are shown in text form; JSON has them all.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object a line for each store, with its dead letters and quarantined events
    #[arg(long)]
    json: bool,
    /// Print what the last changes meant for the app's live queries as well: which were looked at, which
    /// were run, and how long it took
    #[arg(long)]
    queries: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    #[serde(flatten)]
    status: &'a FileStatus,
    app: &'a App,
    dead_letter_list: &'a [DeadLetter],
    quarantined_list: &'a [Quarantined],
}

/// What a store's file holds of interest, and who has it open.
struct Found {
    status: FileStatus,
    app: App,
    letters: Vec<DeadLetter>,
    quarantined: Vec<Quarantined>,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let (mut out, mut is_first, mut code) = (stdout(), true, ExitCode::SUCCESS);
    for file in args.target.files()? {
        // One damaged store says nothing about the others.
        let Found { status, app, letters, quarantined } =
            match read(&args.target, &file, args.queries) {
                Ok(found) => found,
                Err(error) => {
                    out.flush()?;
                    eprintln!("error: {error}");
                    eprintln!("  → livestore verify {} tells what is wrong", shell_word(&file));
                    code = ExitCode::FAILURE;
                    continue;
                }
            };
        if args.json {
            let full = Full {
                status: &status,
                app: &app,
                dead_letter_list: &letters,
                quarantined_list: &quarantined,
            };
            json_line(&mut out, &full)?;
        } else {
            if !std::mem::take(&mut is_first) {
                writeln!(out)?;
            }
            text(&mut out, &status, &app, &letters, &quarantined)?;
        }
    }
    out.flush()?;
    Ok(code)
}

fn read(target: &Target, file: &Path, queries: bool) -> Outcome<Found> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let store = target.open(file).map_err(|error| match &error {
        OpenError::Sqlite(error) => in_file(error),
        // All others name the file.
        error => error.to_string(),
    })?;
    let read = || -> Result<Found, QueryError> {
        let (status, letters) = (store.status()?, store.dead_letters()?);
        let app = App::of(&store, queries);
        Ok(Found { status, app, letters, quarantined: store.quarantined()? })
    };
    Ok(read().map_err(|error| in_file(&error))?)
}

/// Who has a store open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum App {
    /// Nobody, or somebody who lets nobody follow.
    None,
    /// It is open, and whoever has it does not answer.
    Silent { message: String },
    /// These sessions.
    Open {
        connection: ConnectionState,
        sessions: Vec<SessionInfo>,
        /// What the last changes meant for live queries, if that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        refreshes: Option<Vec<Refresh>>,
    },
}

impl App {
    fn of(store: &Inspector, queries: bool) -> Self {
        let leader =
            if queries { store.leader_with_queries(PATIENCE) } else { store.leader(PATIENCE) };
        match leader {
            Ok(Some(leader)) => Self::Open {
                connection: leader.status.connection,
                sessions: leader.sessions,
                refreshes: queries.then_some(leader.refreshes),
            },
            Ok(None) => Self::None,
            Err(error) => Self::Silent { message: error.to_string() },
        }
    }

    fn text(&self) -> String {
        match self {
            Self::None => "not open, or for one process alone".into(),
            Self::Silent { message } => message.clone(),
            Self::Open { connection, sessions, .. } => {
                let session = |session: &SessionInfo| {
                    let part = if session.leads { "leads" } else { "follows" };
                    format!("process {} {part}", session.process)
                };
                let sessions: Vec<_> = sessions.iter().map(session).collect();
                format!("{}; {}", sessions.join(", "), connection_text(connection))
            }
        }
    }
}

fn connection_text(connection: &ConnectionState) -> String {
    match connection {
        ConnectionState::NoBackend => "without a backend".into(),
        ConnectionState::Offline => "not connected".into(),
        ConnectionState::Connecting => "connecting".into(),
        ConnectionState::Connected => "connected".into(),
        ConnectionState::Stopped(reason) => format!("stopped: {reason}"),
        _ => "in a state that this command does not know".into(),
    }
}

fn text(
    out: &mut impl Write,
    status: &FileStatus,
    app: &App,
    letters: &[DeadLetter],
    quarantined: &[Quarantined],
) -> io::Result<()> {
    let backend = status.backend_id.map_or("none so far".into(), |id| id.to_string());
    let state = if status.is_rebuilding {
        "not all derived; the app goes on with that when it opens the store"
    } else {
        "derived"
    };
    writeln!(out, "Store {}", status.store_id)?;
    writeln!(out, "  client          {}", status.client_id)?;
    writeln!(out, "  open            {}", app.text())?;
    writeln!(out, "  backend         {backend}")?;
    writeln!(out, "  last synced     {}", status.last_synced_ms.map_or("never".into(), utc))?;
    writeln!(out, "  confirmed head  {}", status.confirmed_head)?;
    writeln!(out, "  pulled head     {}", status.pulled_head)?;
    writeln!(out, "  local head      {}", status.local_head)?;
    let (events, groups) = (status.pending_events, status.pending_groups);
    writeln!(out, "  pending         {events} events in {groups} groups")?;
    writeln!(out, "  in doubt        {} groups", status.groups_in_doubt)?;
    writeln!(out, "  state           {state}")?;
    writeln!(out, "  rebases         {}", status.rebases)?;
    writeln!(out, "  dead letters    {}", status.dead_letters)?;
    writeln!(out, "  quarantined     {}", status.quarantined)?;
    writeln!(out, "  archived        {}", status.archived)?;
    writeln!(out, "  file size       {} bytes", status.file_bytes)?;
    list(out, "Dead letters", letters, |letter| {
        let names: Vec<_> = letter.group.events().iter().map(|event| event.name.as_str()).collect();
        let at = utc(letter.rejected_at_ms);
        format!("{} ({}), {at}: {}", letter.group.id(), names.join(", "), letter.reason)
    })?;
    list(out, "Quarantined", quarantined, |event| {
        format!("{} {}: {}", event.seq, event.name, event.reason)
    })?;
    match app {
        App::Open { refreshes: Some(refreshes), .. } => queries(out, refreshes),
        _ => Ok(()),
    }
}

fn queries(out: &mut impl Write, refreshes: &[Refresh]) -> io::Result<()> {
    if refreshes.is_empty() {
        return writeln!(out, "Live queries: no change has concerned any so far");
    }
    writeln!(out, "Live queries, by the last changes:")?;
    for refresh in refreshes {
        let text = refresh.to_string().replace('\n', "\n  ");
        writeln!(out, "  {} {text}", utc(refresh.at_ms))?;
    }
    Ok(())
}

fn list<T>(
    out: &mut impl Write,
    title: &str,
    items: &[T],
    line: impl Fn(&T) -> String,
) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for item in items.iter().take(SHOWN) {
        writeln!(out, "  ✗ {}", line(item))?;
    }
    if items.len() > SHOWN {
        writeln!(out, "  … and {} more; --json lists them all", items.len() - SHOWN)?;
    }
    Ok(())
}
