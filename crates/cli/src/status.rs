//! `livestore status`

use std::io::{self, Write};

use livestore::DeadLetter;
use livestore::inspect::FileStatus;
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout};
use crate::target::Target;

/// Dead letters that are shown in text form; JSON has them all.
const SHOWN_LETTERS: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object a line for each store, with its dead letters
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    #[serde(flatten)]
    status: &'a FileStatus,
    dead_letter_list: &'a [DeadLetter],
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = stdout();
    for (index, store) in args.target.all()?.iter().enumerate() {
        let (status, letters) = (store.status()?, store.dead_letters()?);
        if args.json {
            json_line(&mut out, &Full { status: &status, dead_letter_list: &letters })?;
        } else {
            if index > 0 {
                writeln!(out)?;
            }
            text(&mut out, &status, &letters)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn text(out: &mut impl Write, status: &FileStatus, letters: &[DeadLetter]) -> io::Result<()> {
    let backend = status.backend_id.map_or("none so far".into(), |id| id.to_string());
    writeln!(out, "Store {}", status.store_id)?;
    writeln!(out, "  client          {}", status.client_id)?;
    writeln!(out, "  backend         {backend}")?;
    writeln!(out, "  confirmed head  {}", status.confirmed_head)?;
    writeln!(out, "  local head      {}", status.local_head)?;
    let (events, groups) = (status.pending_events, status.pending_groups);
    writeln!(out, "  pending         {events} events in {groups} groups")?;
    writeln!(out, "  rebases         {}", status.rebases)?;
    writeln!(out, "  quarantined     {}", status.quarantined)?;
    writeln!(out, "  dead letters    {}", status.dead_letters)?;
    writeln!(out, "  file size       {} bytes", status.file_bytes)?;
    for letter in letters.iter().take(SHOWN_LETTERS) {
        let names: Vec<_> = letter.group.events().iter().map(|event| event.name.as_str()).collect();
        writeln!(out, "  ✗ {} ({}): {}", letter.group.id(), names.join(", "), letter.reason)?;
    }
    if letters.len() > SHOWN_LETTERS {
        writeln!(out, "  … and {} more; --json lists them all", letters.len() - SHOWN_LETTERS)?;
    }
    Ok(())
}
