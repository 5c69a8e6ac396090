//! `livestore verify`

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use livestore::inspect::{Counted, VerifyError, VerifyReport, verify_file};
use serde::Serialize;

use crate::output::{Outcome, count, file_name, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted, watch};
use crate::target::Target;

/// There are problems.
const UNSOUND: u8 = 1;
/// Whether there are problems could not be found out.
const UNCHECKED: u8 = 2;

/// Check stores for damage, also while an app uses them.
///
/// Everything is checked that can be told without the app: the file as a SQLite database,
/// LiveStore's own tables, that the log has no gap and leads to its hashes, that payloads are
/// canonical JSON, that pending groups are whole, and that dead letters, quarantine and archive can
/// be read. Nothing is changed.
///
/// The state is not replayed, since that takes the app's materializers. In the app, call
/// `Inspector::verify_state`, or compare `Store::state_hash` with `Store::replay_hash`.
///
/// Exit code: 0 if all is well, 1 if there are problems, 2 if a store could not be checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object a line for each store
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    is_sound: bool,
    /// The state's content follows from the app's code, which is not here.
    state_replayed: bool,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let files = match args.target.files() {
        Ok(files) => files,
        Err(error) => return Ok(unchecked(&error)),
    };
    let (mut worst, mut out) = (0, stdout());
    let progress = ended_by_ctrl_c();
    for (index, file) in files.iter().enumerate() {
        let what = file_name(file);
        let code = match watch(&progress, &what, || verify_file(file, &progress)) {
            Ok(report) => {
                if let Some(found) = &report.store_id {
                    args.target.check_store(file, found)?;
                }
                if args.json {
                    let is_sound = report.is_sound();
                    json_line(
                        &mut out,
                        &Full { is_sound, state_replayed: false, report: &report },
                    )?;
                } else {
                    if index > 0 {
                        writeln!(out)?;
                    }
                    text(&mut out, &report, files.len() > 1)?;
                }
                if report.is_sound() { 0 } else { UNSOUND }
            }
            Err(VerifyError::Cancelled) => {
                out.flush()?;
                return Ok(interrupted("the check is not complete"));
            }
            Err(error) => {
                out.flush()?;
                unchecked(&error);
                UNCHECKED
            }
        };
        worst = match (worst, code) {
            (UNSOUND, _) | (_, UNSOUND) => UNSOUND,
            (worst, code) => worst.max(code),
        };
    }
    out.flush()?;
    Ok(ExitCode::from(worst))
}

fn unchecked(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(UNCHECKED)
}

fn text(out: &mut impl Write, report: &VerifyReport, is_one_of_many: bool) -> io::Result<()> {
    let problems = report.problems.len() as u64 + report.unlisted_problems;
    let verdict = if problems == 0 { "sound".into() } else { count(problems, "problem") };
    match &report.store_id {
        // Two files can hold the same store: a backup is one.
        Some(store) if is_one_of_many => {
            writeln!(out, "Store {store} in {}: {verdict}", report.file.display())?;
        }
        Some(store) => writeln!(out, "Store {store}: {verdict}")?,
        None => writeln!(out, "{}: {verdict}", report.file.display())?,
    }
    if report.store_id.is_some() {
        counted(out, &report.counted)?;
        writeln!(
            out,
            "  state           not replayed: that takes the app's materializers; in the app, call"
        )?;
        writeln!(
            out,
            "                  Inspector::verify_state, or compare state_hash with replay_hash"
        )?;
    }
    problems_of(out, report)
}

pub(crate) fn counted(out: &mut impl Write, counted: &Counted) -> io::Result<()> {
    let Counted { confirmed_events, confirmed_groups, pending_events, pending_groups, .. } =
        counted;
    let groups = |groups: &u64| count(*groups, "group");
    let events = |events: &u64| count(*events, "event");
    let range = match (counted.first, counted.last) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    let (confirmed, pending) = (events(confirmed_events), events(pending_events));
    writeln!(out, "  confirmed       {confirmed} in {}{range}", groups(confirmed_groups))?;
    writeln!(out, "  pending         {pending} in {}", groups(pending_groups))?;
    writeln!(out, "  client-only     {}", events(&counted.client_only_events))?;
    writeln!(out, "  dead letters    {}", counted.dead_letters)?;
    writeln!(out, "  quarantined     {}", counted.quarantined)?;
    writeln!(out, "  archived        {}", counted.archived)
}

/// Writes what is wrong, and once for each kind what to do about it.
pub(crate) fn problems_of(out: &mut impl Write, report: &VerifyReport) -> io::Result<()> {
    let mut problems = report.problems.iter().peekable();
    while let Some(problem) = problems.next() {
        writeln!(out, "  ✗ {}, {}: {}", problem.check, problem.place, problem.what)?;
        if problems.peek().is_none_or(|next| next.check != problem.check) {
            writeln!(out, "    → {}", problem.remedy)?;
        }
    }
    if report.unlisted_problems > 0 {
        writeln!(out, "  … and {} more", report.unlisted_problems)?;
    }
    if !report.problems.is_empty() {
        let file = shell_word(&report.file);
        writeln!(out, "To repair: livestore recover {file} --to NEW_FOLDER, with the app closed")?;
    }
    Ok(())
}

/// Writes a path such that it can be pasted into a shell.
pub(crate) fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
