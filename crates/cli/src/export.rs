//! `livestore export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use livestore::StoreId;
use livestore::inspect::{Draft, Inspector, Progress, Work};
use livestore_core::{ClientId, ConfirmedGroup, Event, GlobalSeqNum, Group, GroupId, SessionId};
use serde::Serialize;

use crate::output::{Outcome, count, iso, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted, watch};
use crate::target::one_store;
use crate::transfer::backend::{Backend, Interrupted, check};
use crate::transfer::file::LogWriter;
use crate::transfer::place::{Place, PlaceArgs};

/// Write all events of a store or a backend to a file
///
/// The file has LiveStore's own format, one JSON object, and can be imported by LiveStore's tools as well
/// as by `livestore import`. Events have their ids and their commits in it, which LiveStore's tools pay no
/// attention to.
///
/// Of an app's store, pending events are exported behind the confirmed ones; client-only events are not,
/// since they belong to one client. Nothing is held in memory, however long the log is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: PlaceArgs,
    /// The file to write; standard output if there is none, or it is `-`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave out events that no backend has confirmed
    #[arg(long)]
    confirmed_only: bool,
    /// Print what was done as one JSON object, if the events go to a file
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a> {
    store: &'a str,
    events: u64,
    file: String,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let place = args.from.place()?;
    let progress = ended_by_ctrl_c();
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let exported = watch(&progress, "export", || match file {
        Some(file) => to_file(args, &place, file, &progress),
        None => export(args, &place, stdout(), &progress),
    });
    let (store, events) = match exported {
        Ok(exported) => exported,
        Err(error) if error.is::<Interrupted>() => {
            let consequence = match file {
                Some(_) => "there is no file",
                None => "what was written is not whole",
            };
            return Ok(interrupted(consequence));
        }
        Err(error) => return Err(error),
    };
    if let Some(file) = file {
        let (mut out, file) = (stdout(), file.display().to_string());
        if args.json {
            json_line(&mut out, &Done { store: store.as_str(), events, file })?;
        } else {
            writeln!(out, "{} of {store} in {file}", count(events, "event"))?;
        }
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file such that it is there whole or not at all.
fn to_file(
    args: &Args,
    place: &Place,
    path: &Path,
    progress: &Progress,
) -> Outcome<(StoreId, u64)> {
    let draft = Draft::begin(path)?;
    let file = File::create_new(draft.path())
        .map_err(|error| format!("{}: {error}", draft.path().display()))?;
    let exported = export(args, place, BufWriter::new(&file), progress)?;
    draft.place()?;
    Ok(exported)
}

fn export(
    args: &Args,
    place: &Place,
    out: impl Write,
    progress: &Progress,
) -> Outcome<(StoreId, u64)> {
    match place {
        Place::Local(path) => {
            let store = one_store(path, args.from.store())?;
            let events = local(args, &store, out, progress)?;
            Ok((store.store_id().clone(), events))
        }
        Place::Backend(provider) => {
            let store_id = args.from.store().ok_or("name the store with --store")?;
            let runtime = tokio::runtime::Runtime::new()?;
            let exported = runtime.block_on(async {
                let patience = args.from.patience();
                let mut backend =
                    Backend::connect(provider.clone(), store_id, patience, progress).await?;
                let mut log = LogWriter::begin(out, store_id, &iso(crate::output::now_ms()))?;
                progress.begin(Work::Transferring, backend.head().0);
                loop {
                    check(progress)?;
                    let groups = backend.read().await?;
                    if groups.is_empty() {
                        break;
                    }
                    groups.iter().try_for_each(|group| log.group(group))?;
                    progress.set(backend.position().0);
                }
                backend.close().await;
                log.end()
            });
            runtime.shutdown_background();
            Ok((store_id.clone(), exported?))
        }
    }
}

/// A group of which not all events have been read.
struct Open {
    id: GroupId,
    client_id: ClientId,
    session_id: SessionId,
    events: Vec<Event>,
}

fn local(args: &Args, store: &Inspector, out: impl Write, progress: &Progress) -> Outcome<u64> {
    let status = store.status()?;
    progress.begin(Work::Transferring, status.local_head.global.0);
    let mut log = LogWriter::begin(out, store.store_id(), &iso(crate::output::now_ms()))?;
    let mut next = GlobalSeqNum(1);
    let mut open: Option<Open> = None;
    let mut write = |open: Option<Open>| -> Outcome {
        let Some(Open { id, client_id, session_id, events }) = open else { return Ok(()) };
        let confirmed =
            ConfirmedGroup { first: next, group: Group::new(id, client_id, session_id, events)? };
        next = confirmed.last().next();
        progress.set(confirmed.last().0);
        log.group(&confirmed)
    };
    let mut failure: Option<Box<dyn std::error::Error>> = None;
    store.for_each_event(GlobalSeqNum::ROOT, |logged| {
        if let Err(error) = check(progress) {
            failure = Some(error.into());
            return false;
        }
        // Client-only events stand between the others.
        if logged.seq.client > 0 || args.confirmed_only && !logged.confirmed {
            return true;
        }
        let event = Event { id: logged.id, name: logged.name, args: logged.args };
        match &mut open {
            Some(open) if open.id == logged.group_id => open.events.push(event),
            _ => {
                let (client_id, session_id) = (logged.client_id, logged.session_id);
                let new = Open { id: logged.group_id, client_id, session_id, events: vec![event] };
                if let Err(error) = write(open.replace(new)) {
                    failure = Some(error);
                    return false;
                }
            }
        }
        true
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    write(open.take())?;
    log.end()
}
