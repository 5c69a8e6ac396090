//! `livestore import`

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Write, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use livestore::inspect::{Imported, Progress, Work, store_file};
use livestore::{StoreId, SyncProvider};
use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::{ClientId, ConfirmedGroup, Event, Group, SessionId};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::output::{Outcome, count, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted, watch};
use crate::transfer::backend::{Backend, Interrupted, check};
use crate::transfer::file::{Header, read_log};
use crate::transfer::place::{Place, PlaceArgs};

/// Groups that are read ahead.
const READ_AHEAD: usize = 64;

/// Bytes of the file that are read at a time.
const BUFFER: usize = 1 << 16;

/// Bring the events of an exported file into a backend, or into a new store
///
/// The file may come from `livestore export` or from LiveStore's own tools. A backend has to be empty, or
/// have the beginning of the same log already, as after an import that was cut short: then the rest is
/// added, so an import can be repeated. Anything else is refused, and nothing is changed.
///
/// In a folder, a new .livestore file is made, from which an app derives its state when it opens it. It
/// has no backend yet: connected to one that has the same log it goes on with that, and to an empty one it
/// publishes the log if its app says so (see `livestore history`).
///
/// Nothing is held in memory, however long the log is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to read; standard input if it is `-`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    to: PlaceArgs,
    /// Read everything and compare it with what the backend has, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    store: String,
    /// Events of the file.
    events: u64,
    /// Those that were there before.
    already_there: u64,
    /// Those that were added, or would be.
    added: u64,
    /// Commits that were too large for the backend, and were cut.
    cut: u64,
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let place = args.to.place()?;
    let progress = ended_by_ctrl_c();
    let imported = watch(&progress, "import", || import(args, &place, &progress));
    let report = match imported {
        Ok(report) => report,
        Err(error) if error.is::<Interrupted>() => {
            let consequence = match place {
                Place::Backend(_) if !args.dry_run => {
                    "what is there so far stays; the same import goes on with it"
                }
                _ => "nothing was changed",
            };
            return Ok(interrupted(consequence));
        }
        Err(error) => return Err(error),
    };
    let mut out = stdout();
    if args.json {
        json_line(&mut out, &report)?;
    } else {
        text(&mut out, &report)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn text(out: &mut impl Write, report: &Report) -> Outcome {
    let Report { store, events, already_there, added, cut, dry_run } = report;
    let (was, would) =
        if *dry_run { ("would be", " (dry run: nothing was changed)") } else { ("were", "") };
    write!(out, "{} of {store}: {added} {was} added", count(*events, "event"))?;
    if *already_there > 0 {
        write!(out, ", {already_there} are there already")?;
    }
    writeln!(out, "{would}")?;
    if *cut > 0 {
        let what = count(*cut, "commit");
        writeln!(out, "{what} {was} cut into several, since the backend takes no more at once")?;
    }
    Ok(())
}

fn import(args: &Args, place: &Place, progress: &Progress) -> Outcome<Report> {
    let mut report = Report { dry_run: args.dry_run, ..Report::default() };
    match place {
        Place::Local(path) => local(args, path, progress, &mut report)?,
        Place::Backend(provider) => {
            let runtime = tokio::runtime::Runtime::new()?;
            let imported = runtime.block_on(remote(args, provider, progress, &mut report));
            runtime.shutdown_background();
            imported?;
        }
    }
    Ok(report)
}

/// Opens what is to be read.
fn open(path: &Path) -> Outcome<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        if stdin().is_terminal() {
            return Err("there is nothing on standard input; name a file".into());
        }
        return Ok(Box::new(stdin()));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(file))
}

/// Returns the store that is meant: the one that was named, or that of the file.
fn store_of(args: &Args, header: &Header) -> Outcome<StoreId> {
    if let Some(store) = args.to.store() {
        return Ok(store.clone());
    }
    let unnamed = "the file does not say before its events which store it is; name it with --store";
    let named = header.store_id.as_ref().ok_or(unnamed)?;
    Ok(StoreId::new(named)
        .map_err(|error| format!("{error}; give it another name with --store"))?)
}

fn local(args: &Args, path: &Path, progress: &Progress, report: &mut Report) -> Outcome {
    let input = open(&args.file)?;
    let mut new: Option<Imported<'_>> = None;
    progress.begin(Work::Writing, 0);
    let input = BufReader::with_capacity(BUFFER, input);
    let header = read_log(input, |header, group| {
        check(progress)?;
        report.events += group.event_count();
        if args.dry_run {
            return Ok(());
        }
        let new = match new.take() {
            Some(before) => new.insert(before),
            None => new.insert(begin(path, &store_of(args, header)?, progress)?),
        };
        Ok(new.append(group)?)
    })?;
    let store = store_of(args, &header)?;
    let file = file_of(path, &store);
    if args.dry_run && file.exists() {
        return Err(format!("{} exists already", file.display()).into());
    }
    report.store = store.to_string();
    report.added = report.events;
    if !args.dry_run {
        let new = new.map_or_else(|| begin(path, &store, progress), Ok)?;
        new.finish()?;
    }
    Ok(())
}

/// Returns the file of a store that is imported into a place.
fn file_of(path: &Path, store: &StoreId) -> PathBuf {
    let is_file = path.extension().is_some_and(|extension| extension == "livestore");
    if is_file { path.to_owned() } else { store_file(path, store) }
}

fn begin<'a>(path: &Path, store: &StoreId, progress: &'a Progress) -> Outcome<Imported<'a>> {
    let file = file_of(path, store);
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let shown = folder.display();
        std::fs::create_dir_all(folder).map_err(|error| format!("{shown}: {error}"))?;
    }
    Ok(Imported::create(&file, store.clone(), progress)?)
}

/// What a thread that reads the file hands over.
type Piece = Result<Group, String>;

/// Reads the file on a thread of its own; the store's id comes when it is known.
fn read_ahead(args: &Args) -> Outcome<(mpsc::Receiver<Piece>, mpsc::Receiver<Header>)> {
    let input = open(&args.file)?;
    let (groups, read) = mpsc::channel(READ_AHEAD);
    let (headers, header) = mpsc::channel(2);
    let run = move || {
        let input = BufReader::with_capacity(BUFFER, input);
        let mut is_told = false;
        let done = read_log(input, |header, group| {
            if !std::mem::replace(&mut is_told, true) {
                let first = Header { store_id: header.store_id.clone(), ..Header::default() };
                headers.blocking_send(first).map_err(|_| Interrupted)?;
            }
            Ok(groups.blocking_send(Ok(group)).map_err(|_| Interrupted)?)
        });
        match done {
            Ok(header) => _ = headers.blocking_send(header),
            Err(error) => _ = groups.blocking_send(Err(error.to_string())),
        }
    };
    std::thread::Builder::new().name("import".into()).spawn(run)?;
    Ok((read, header))
}

/// The file's groups, as they are read.
struct Source {
    groups: mpsc::Receiver<Piece>,
    /// What is left of a group of which the backend has the beginning.
    rest: Option<Group>,
}

impl Source {
    async fn next(&mut self) -> Outcome<Option<Group>> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        Ok(self.groups.recv().await.transpose()?)
    }
}

async fn remote(
    args: &Args,
    provider: &Arc<dyn SyncProvider>,
    progress: &Progress,
    report: &mut Report,
) -> Outcome {
    let (groups, mut headers) = read_ahead(args)?;
    let mut source = Source { groups, rest: None };
    let Some(header) = headers.recv().await else {
        // What is wrong with the file is told in place of its first group.
        source.next().await?;
        return Err("the file could not be read".into());
    };
    let store = store_of(args, &header)?;
    report.store = store.to_string();
    let mut backend =
        Backend::connect(provider.clone(), &store, args.to.patience(), progress).await?;
    progress.begin(Work::Comparing, backend.head().0);
    loop {
        check(progress)?;
        let groups = backend.read().await?;
        if groups.is_empty() {
            break;
        }
        for group in &groups {
            compare(group, &mut source, report).await?;
        }
        progress.set(backend.position().0);
    }
    progress.begin(Work::Transferring, 0);
    let (mut batch, mut bytes, mut events) = (Vec::new(), 0, 0);
    while let Some(group) = source.next().await? {
        check(progress)?;
        report.events += group.event_count();
        report.added += group.event_count();
        let pieces = backend.fit(group)?;
        report.cut += u64::from(pieces.len() > 1);
        for piece in pieces {
            let (more_events, more_bytes) = (piece.events().len(), piece.size_bytes());
            let is_full = events + more_events > PAGE_EVENTS || bytes + more_bytes > PAGE_BYTES;
            if is_full || !batch.is_empty() && !backend.has_room(&batch, &piece) {
                flush(args, &mut backend, &mut batch).await?;
                (bytes, events) = (0, 0);
            }
            (bytes, events) = (bytes + more_bytes, events + more_events);
            batch.push(piece);
        }
        progress.set(report.added);
    }
    flush(args, &mut backend, &mut batch).await?;
    backend.close().await;
    Ok(())
}

async fn flush(args: &Args, backend: &mut Backend, batch: &mut Vec<Group>) -> Outcome {
    let groups = std::mem::take(batch);
    if groups.is_empty() || args.dry_run {
        return Ok(());
    }
    backend.append(groups).await
}

/// Checks that what a backend has is what comes next in the file.
async fn compare(found: &ConfirmedGroup, source: &mut Source, report: &mut Report) -> Outcome {
    let mut seq = found.first.0;
    let author = (found.group.client_id(), found.group.session_id());
    let mut left = found.group.events();
    while let Some(first) = left.first() {
        if first.is_missing() {
            (left, seq) = (&left[1..], seq + 1);
            continue;
        }
        let Some(group) = source.next().await? else {
            return Err(format!("the backend has more than the file, from {seq} on").into());
        };
        let own = (group.client_id().clone(), group.session_id().clone());
        let mut events = group.events().iter();
        while let (Some(other), [first, rest @ ..]) = (events.clone().next(), left) {
            if (&own.0, &own.1) != author || !is_same(first, other) {
                return Err(format!(
                    "the backend has something else than the file, at {seq}: {} and not {}",
                    first.name, other.name,
                )
                .into());
            }
            events.next();
            (left, seq) = (rest, seq + 1);
            report.events += 1;
            report.already_there += 1;
        }
        source.rest = rest_of(&group, events.as_slice(), own)?;
    }
    Ok(())
}

fn is_same(one: &Event, other: &Event) -> bool {
    one.name == other.name && one.args == other.args
}

/// Makes a group of what is left of one.
fn rest_of(
    group: &Group,
    events: &[Event],
    (client_id, session_id): (ClientId, SessionId),
) -> Outcome<Option<Group>> {
    if events.is_empty() {
        return Ok(None);
    }
    let id = if events.len() == group.events().len() {
        group.id()
    } else {
        // A backend that keeps ids has another part under this one.
        group.id().derived_id(events.len() as u64).parse()?
    };
    Ok(Some(Group::new(id, client_id, session_id, events.to_vec())?))
}
