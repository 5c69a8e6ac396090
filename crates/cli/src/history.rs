//! `livestore history`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use livestore::HistoryAnswer;
use livestore::inspect::{Comparison, Inspector, Noted, answer_divergence};
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout};
use crate::target::Target;
use crate::transfer::place::{provider, read_token};

/// Compare a store's log with that of a server, and say what to do if they differ
///
/// A server that was restored from an old backup, or made anew, has another history than the stores
/// that have synced with it. An app then stops syncing, unless it was told what to do, and keeps
/// everything. This command says what both logs have in common and what each answer would mean, and
/// with --answer notes the answer: the app that has the store open does it when it meets the server, or
/// else the one that is started next.
///
/// Exit codes: 0 if both have the same history, or the answer was noted; 3 if they differ and no
/// answer was given.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Address of the sync server, such as wss://example.com; cf+wss:// or cf+https:// for LiveStore's own
    #[arg(long, value_name = "URL")]
    server: String,
    /// File with the token to show the server, if it asks for one
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// What the app is to do about the difference
    #[arg(long, value_name = "ANSWER")]
    answer: Option<Answer>,
    /// Longest time to wait for the server, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Answer {
    /// Stop syncing, which takes back another answer
    Stop,
    /// Push own groups that the server does not have again, and archive those of others
    RebasePending,
    /// Push the whole log to a server that has nothing
    Republish,
    /// Follow the server, archive what it does not have, and make what is pending dead letters
    Discard,
}

impl Answer {
    fn meaning(self) -> HistoryAnswer {
        match self {
            Self::Stop => HistoryAnswer::Stop,
            Self::RebasePending => HistoryAnswer::RebasePending,
            Self::Republish => HistoryAnswer::Republish,
            Self::Discard => HistoryAnswer::Discard,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    store: &'a str,
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// What was noted, and where.
    answer: Option<HistoryAnswer>,
    noted: Option<Noted>,
}

/// The exit code if the histories differ and nothing was done about it.
const DIFFERENT: u8 = 3;

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let file = args.target.file()?;
    let inspector = args.target.open(&file)?;
    let store = inspector.store_id().to_string();
    let comparison = compare(args, &inspector)?;
    drop(inspector);
    let mut noted = None;
    if let (Some(answer), Some(divergence)) = (args.answer, &comparison.divergence) {
        noted = Some(answer_divergence(&file, answer.meaning(), divergence)?);
    }
    let mut out = stdout();
    if args.json {
        let answer = noted.and(args.answer).map(Answer::meaning);
        json_line(&mut out, &Printed { store: &store, comparison: &comparison, answer, noted })?;
    } else {
        text(&mut out, &store, &comparison)?;
        match (noted, args.answer) {
            (Some(at), Some(answer)) => writeln!(out, "\nNoted: {}", what_follows(answer, at))?,
            (None, Some(_)) => writeln!(out, "\nThere is nothing to answer.")?,
            _ => {}
        }
    }
    out.flush()?;
    Ok(if comparison.divergence.is_some() && noted.is_none() {
        ExitCode::from(DIFFERENT)
    } else {
        ExitCode::SUCCESS
    })
}

fn compare(args: &Args, inspector: &Inspector) -> Outcome<Comparison> {
    let token = read_token(args.token.as_deref())?;
    let provider = provider(&args.server, token.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let patience = Duration::from_secs(args.timeout);
    let compared = runtime.block_on(inspector.compare(provider, patience));
    runtime.shutdown_background();
    Ok(compared?)
}

fn text(out: &mut impl Write, store: &str, comparison: &Comparison) -> Outcome {
    let Comparison { backend_id, backend_head, known_backend, head, common, divergence, .. } =
        comparison;
    writeln!(out, "{store}")?;
    writeln!(out, "  log             up to {head}")?;
    writeln!(out, "  server          {backend_id}, up to {backend_head}")?;
    match known_backend {
        Some(known) if known != backend_id => writeln!(out, "  synced with     {known}")?,
        Some(_) => {}
        None => writeln!(out, "  synced with     no server yet")?,
    }
    writeln!(out, "  in common       up to {common}")?;
    let Some(divergence) = divergence else {
        return Ok(writeln!(out, "\nBoth have the same history.")?);
    };
    writeln!(out, "\nThe server has another history. What the app can do:")?;
    let (own, others) = (divergence.own_groups, divergence.others_events);
    let pending = divergence.pending_groups;
    writeln!(
        out,
        "  --answer rebase-pending   push {own} of its confirmed groups again; {others} events of \
         others leave the state and are archived"
    )?;
    if divergence.allows_republishing() {
        writeln!(
            out,
            "  --answer republish        push the whole log, as the server has nothing else"
        )?;
    }
    writeln!(
        out,
        "  --answer discard          archive {own} of its confirmed groups and {others} events of \
         others; {pending} pending groups become dead letters"
    )?;
    Ok(())
}

fn what_follows(answer: Answer, noted: Noted) -> &'static str {
    match (answer, noted) {
        (Answer::Stop, _) => "no answer; the app does what it was told before.",
        (_, Noted::InFile) => {
            "the app does this when it is started next, if the server is still as it is now."
        }
        (_, Noted::ByApp) => {
            "the app that has the store open does this when it meets the server as it is now."
        }
    }
}
