//! `livestore status`

use std::io::{self, Write};

use livestore::inspect::FileStatus;
use livestore::{DeadLetter, Quarantined};
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout, utc};
use crate::target::Target;

/// Dead letters and quarantined events that are shown in text form; JSON has them all.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object a line for each store, with its dead letters and quarantined events
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    #[serde(flatten)]
    status: &'a FileStatus,
    dead_letter_list: &'a [DeadLetter],
    quarantined_list: &'a [Quarantined],
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = stdout();
    for (index, store) in args.target.all()?.iter().enumerate() {
        let (status, letters) = (store.status()?, store.dead_letters()?);
        let quarantined = store.quarantined()?;
        if args.json {
            let full = Full {
                status: &status,
                dead_letter_list: &letters,
                quarantined_list: &quarantined,
            };
            json_line(&mut out, &full)?;
        } else {
            if index > 0 {
                writeln!(out)?;
            }
            text(&mut out, &status, &letters, &quarantined)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn text(
    out: &mut impl Write,
    status: &FileStatus,
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
    })
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
