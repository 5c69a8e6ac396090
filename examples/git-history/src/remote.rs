//! A client that is told what to do, line by line, on its standard input.
//!
//! Requests and answers are JSON, one a line. `cargo xtask demo` drives two such processes.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use livestore::prelude::*;
use livestore::{ConnectionState, GroupId, Unavailable};
use serde::{Deserialize, Serialize};

use crate::import::import;
use crate::model::{File, NoteWritten, OwnerSet};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
enum Request {
    /// Import a repository; answers with progress, then with the totals.
    Import { repository: PathBuf },
    /// Tell the status now.
    Status,
    /// Commit an owner and a note for each of the most changed files.
    Quarrel { owner: String, files: u32 },
    /// Commit notes until killed; answers with each group id once its commit has returned.
    CommitForever,
    /// Count how many of these groups are in the log.
    CountPresent { groups: Vec<String> },
    /// Hash the state, and a replay of the log.
    Hashes,
    /// List the most changed files.
    Top { files: u32 },
    /// End.
    Quit,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
enum Answer {
    Ready,
    #[serde(rename_all = "camelCase")]
    Progress {
        commits: usize,
        of: usize,
        events: usize,
    },
    #[serde(rename_all = "camelCase")]
    Imported {
        commits: usize,
        events: usize,
    },
    #[serde(rename_all = "camelCase")]
    Status {
        confirmed: u64,
        pending: u64,
        rebases: u64,
        dead_letters: u64,
        quarantined: u64,
        connected: bool,
        synced: bool,
        last_error: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    Committed {
        groups: usize,
    },
    #[serde(rename_all = "camelCase")]
    Receipt {
        group: GroupId,
    },
    #[serde(rename_all = "camelCase")]
    Present {
        count: usize,
    },
    #[serde(rename_all = "camelCase")]
    Hashes {
        state: String,
        replay: String,
    },
    #[serde(rename_all = "camelCase")]
    Top {
        files: Vec<(String, i64)>,
    },
}

fn answer(answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    // One write for a whole line, so that a kill never leaves half of one.
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Serves requests until there are no more, or `Quit`.
pub(crate) fn run(store: &Store) -> Result<(), Box<dyn Error>> {
    answer(&Answer::Ready)?;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Request::Import { repository } => {
                let mut last = std::time::Instant::now();
                let total = import(store, &repository, |progress| {
                    // Twenty a second are enough for a progress bar.
                    if last.elapsed() > Duration::from_millis(50) {
                        last = std::time::Instant::now();
                        let (commits, of, events) =
                            (progress.commits, progress.of, progress.events);
                        let _ = answer(&Answer::Progress { commits, of, events });
                    }
                })?;
                answer(&Answer::Imported { commits: total.commits, events: total.events })?;
            }
            Request::Status => answer(&status(store)?)?,
            Request::Quarrel { owner, files } => {
                let mut groups = 0;
                for (path, _) in top(store, files)? {
                    let text = format!("{owner} looks after this");
                    let note = NoteWritten { id: new_id(), path: path.clone(), text };
                    store.commit((OwnerSet { path, owner: owner.clone() }, note))?;
                    groups += 1;
                }
                answer(&Answer::Committed { groups })?;
            }
            Request::CommitForever => commit_forever(store)?,
            Request::CountPresent { groups } => {
                let wanted = groups.iter().map(|group| GroupId::from_str(group));
                let mut wanted = wanted.collect::<Result<std::collections::HashSet<_>, _>>()?;
                let asked = wanted.len();
                for event in store.events() {
                    wanted.remove(&event?.group_id);
                }
                answer(&Answer::Present { count: asked - wanted.len() })?;
            }
            Request::Hashes => {
                let state = store.state_hash()?.to_string();
                let replay = store.replay_hash()?.to_string();
                answer(&Answer::Hashes { state, replay })?;
            }
            Request::Top { files } => answer(&Answer::Top { files: top(store, files)? })?,
            Request::Quit => break,
        }
    }
    store.shutdown()?;
    Ok(())
}

fn commit_forever(store: &Store) -> Result<(), Box<dyn Error>> {
    for number in 0_u64.. {
        let text = format!("note {number}");
        let path = format!("killed/{}", number % 10);
        let note = |id| NoteWritten { id, path: path.clone(), text: text.clone() };
        let receipt = store.commit([note(new_id()), note(new_id())])?;
        answer(&Answer::Receipt { group: receipt.group_id() })?;
    }
    Ok(())
}

fn status(store: &Store) -> Result<Answer, Unavailable> {
    let status = store.sync_status()?;
    Ok(Answer::Status {
        confirmed: status.confirmed_head.0,
        pending: status.pending_events,
        rebases: status.rebases,
        dead_letters: status.dead_letters,
        quarantined: status.quarantined,
        connected: status.connection == ConnectionState::Connected,
        synced: status.is_synced(),
        last_error: status.last_error.clone(),
    })
}

/// The most changed files, by a query on the state.
pub(crate) fn top(store: &Store, files: u32) -> Result<Vec<(String, i64)>, Box<dyn Error>> {
    let query = File::select().order_by(File::changes.desc()).order_by(File::path).limit(files);
    let rows = store.query(query)?;
    Ok(rows.iter().map(|file| (file.path.clone(), file.changes)).collect())
}
