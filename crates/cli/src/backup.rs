//! `livestore backup`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use livestore::inspect::{Backup, BackupError, VerifyReport};
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted, watch};
use crate::target::Target;
use crate::verify::problems_of;

/// Copy a store into a new file, also while an app uses it.
///
/// The backup holds the log, the pending events and the state as of one moment, and is checked
/// before it gets its name. An existing file is never overwritten.
///
/// A backup is for restoring. It is the same client as the store: never open it beside the
/// original. To restore it, close the app, move the old file and its -wal and -shm files away, and
/// put the backup in its place under the old name. When the app syncs, confirmed events come again
/// from the backend; pending and client-only events that were committed after the backup, and never
/// reached the backend, are gone.
///
/// Exit code: 0 if the backup is made and sound, 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    file: String,
    bytes: u64,
    is_sound: bool,
    report: &'a VerifyReport,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let mut store = args.target.one()?;
    let store_id = store.store_id().clone();
    let progress = ended_by_ctrl_c();
    let made = watch(&progress, store_id.as_str(), || store.backup(&args.file, &progress));
    let Backup { file, bytes, report, .. } = match made {
        Ok(made) => made,
        Err(BackupError::Cancelled) => return Ok(interrupted("there is no backup")),
        Err(error) => return Err(error.into()),
    };
    let (mut out, is_sound) = (stdout(), report.is_sound());
    if args.json {
        json_line(
            &mut out,
            &Full { file: file.display().to_string(), bytes, is_sound, report: &report },
        )?;
    } else {
        writeln!(out, "Backup of {store_id} in {} ({bytes} bytes)", file.display())?;
        if !is_sound {
            writeln!(out, "It has the problems that the store has:")?;
            problems_of(&mut out, &report)?;
        }
    }
    out.flush()?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
