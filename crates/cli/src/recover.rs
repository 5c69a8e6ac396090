//! `livestore recover`

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use livestore::ClientId;
use livestore::inspect::{
    Author, DamagedPlace, LostGroup, LostStretch, RecoverError, RecoverOptions, RecoverReport,
    recover,
};
use serde::Serialize;

use crate::output::{Outcome, count, file_name, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted, watch};
use crate::target::Target;

/// Lines of one kind that are shown in text form; JSON has them all.
const SHOWN: usize = 20;

/// Save what a damaged store still holds into a new file.
///
/// Nothing but the new file is written. It gets the confirmed log up to the first event that is
/// missing (the rest comes again from the backend with the next sync), the pending events, dead
/// letters, client-only events and the archive, in whole groups. The state is derived anew when
/// the app opens the file. What is lost is named.
///
/// Close the app first; or recover a copy of the file, taken together with the -wal file beside it.
/// Afterwards move the damaged file and its -wal and -shm files away, and put the new one in its
/// place.
///
/// Exit code: 0 if a new file was written, also if something is lost; 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Folder for the new file, or the file itself if the name ends with .livestore
    #[arg(long, value_name = "NEW")]
    to: PathBuf,
    /// Who commits, if the file does not tell any more
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// The backend is lost: keep own confirmed events behind a gap of the log, as pending ones
    #[arg(long)]
    backend_gone: bool,
    /// Print one JSON object, with all that is lost
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    is_complete: bool,
    #[serde(flatten)]
    report: &'a RecoverReport,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let file = args.target.file()?;
    let options = RecoverOptions {
        store_id: args.target.store().cloned(),
        client_id: args.client.clone(),
        backend_is_gone: args.backend_gone,
    };
    let (progress, what) = (ended_by_ctrl_c(), file_name(&file));
    let report = match watch(&progress, &what, || recover(&file, &args.to, &options, &progress)) {
        Ok(report) => report,
        Err(RecoverError::Cancelled) => return Ok(interrupted("nothing was written")),
        Err(error) => return Err(error.into()),
    };
    let mut out = stdout();
    if args.json {
        json_line(&mut out, &Full { is_complete: report.is_complete(), report: &report })?;
    } else {
        text(&mut out, &report, args.backend_gone)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn text(out: &mut impl Write, report: &RecoverReport, is_backend_gone: bool) -> io::Result<()> {
    let by = |by: Author| match by {
        Author::File => "",
        Author::Given => " (as you said)",
        Author::New => " (new, since nothing tells the old one)",
        _ => " (the file does not say so; worked out from the rest)",
    };
    let kept = &report.kept;
    writeln!(
        out,
        "Store {}{} is in {}",
        report.store_id,
        by(report.store_id_by),
        report.to.display()
    )?;
    writeln!(out, "  client          {}{}", report.client_id, by(report.client_id_by))?;
    let backend = report.backend_id.map_or("not known".into(), |id| id.to_string());
    writeln!(out, "  backend         {backend}")?;
    let (events, groups) =
        (count(kept.confirmed_events, "event"), count(kept.confirmed_groups, "group"));
    writeln!(out, "  confirmed       {events} in {groups}, up to {}", report.head)?;
    let (events, groups) =
        (count(kept.pending_events, "event"), count(kept.pending_groups, "group"));
    writeln!(out, "  pending         {events} in {groups}")?;
    writeln!(out, "  client-only     {}", count(kept.client_only_events, "event"))?;
    writeln!(out, "  dead letters    {}", kept.dead_letters)?;
    writeln!(out, "  archived        {}", kept.archived)?;
    if kept.pending_again > 0 {
        let groups = count(kept.pending_again, "confirmed group");
        writeln!(out, "{groups} of this client behind the gap are pending again.")?;
    }
    lines(out, "Damaged", report.damage.iter().map(damaged))?;
    if let Some(missing) = report.confirmed_missing {
        missing_text(out, missing, report.backend_id.is_some() && !is_backend_gone)?;
    }
    let rows = report.lost_rows.iter().cloned();
    lines(out, "Lost", report.lost.iter().map(lost).chain(rows))?;
    let uncertain = report.uncertain.iter();
    lines(
        out,
        "Kept, but perhaps settled already",
        uncertain.map(|uncertain| format!("{} {}", uncertain.what, uncertain.id)),
    )?;
    if report.is_complete() {
        writeln!(out, "Nothing is lost.")?;
    }
    Ok(())
}

fn missing_text(out: &mut impl Write, missing: LostStretch, has_backend: bool) -> io::Result<()> {
    let LostStretch { first, last, readable, .. } = missing;
    let range = match last {
        Some(last) if last == first => first.to_string(),
        Some(last) => format!("{first} to {last}"),
        None => format!("{first} and perhaps more"),
    };
    if has_backend {
        writeln!(out, "Left to the backend: {range}, which come again with the next sync")?;
    } else {
        writeln!(out, "Lost from the log, since no backend has them: {range}")?;
    }
    if readable > 0 {
        let events = count(readable, "event");
        writeln!(out, "  {events} of them can be read, but not proven to follow on the rest")?;
    }
    Ok(())
}

fn damaged(place: &DamagedPlace) -> String {
    let table = place.table.map_or(String::new(), |table| format!(" ({table})"));
    format!("{}{table}: {}", place.place, place.what)
}

fn lost(lost: &LostGroup) -> String {
    let kind = if lost.client_only { "client-only group" } else { "pending group" };
    let events = lost.events.map_or("some".into(), |events| events.to_string());
    let names: Vec<_> = lost.found.iter().map(|event| event.name.as_str()).collect();
    let found = match names.len() {
        0 => "none can be read".into(),
        found => format!("{found} can be read ({})", names.join(", ")),
    };
    format!("{kind} {} at {}: of {events} events, {found}", lost.id, lost.place)
}

fn lines(out: &mut impl Write, title: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for line in lines.iter().take(SHOWN) {
        writeln!(out, "  ✗ {line}")?;
    }
    if lines.len() > SHOWN {
        writeln!(out, "  … and {} more; --json lists them all", lines.len() - SHOWN)?;
    }
    Ok(())
}
