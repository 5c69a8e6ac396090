//! `livestore log`

use std::io::{self, Write};

use livestore::{GlobalSeqNum, LoggedEvent, SeqNum};

use crate::output::{Outcome, json_line, stdout};
use crate::target::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Start after this confirmed position, such as e120
    #[arg(long, value_name = "SEQ", value_parser = parse_since, default_value = "e0")]
    since: GlobalSeqNum,
    /// Print at most this many events
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print only events of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Print one JSON object a line, with the whole payload
    #[arg(long)]
    json: bool,
}

fn parse_since(text: &str) -> Result<GlobalSeqNum, String> {
    let seq: SeqNum = text.parse().map_err(|error| format!("{error}"))?;
    if seq == SeqNum::confirmed(seq.global) {
        Ok(seq.global)
    } else {
        Err(format!("{text} is not a confirmed position; expected one like e120"))
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let store = args.target.one()?;
    let mut out = stdout();
    if !args.json {
        writeln!(out, "{:<12} {:<9} {:<24} {:<16} PAYLOAD", "SEQ", "STATE", "EVENT", "CLIENT")?;
    }
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut written = Ok(());
    store.for_each_event(args.since, |event| {
        if left == 0 {
            return false;
        }
        if !args.name.is_empty() && !args.name.iter().any(|name| *name == event.name.as_str()) {
            return true;
        }
        left -= 1;
        written = if args.json { json_line(&mut out, &event) } else { row(&mut out, &event) };
        written.is_ok()
    })?;
    written?;
    out.flush()?;
    Ok(())
}

fn row(out: &mut impl Write, event: &LoggedEvent) -> io::Result<()> {
    let state = if event.confirmed { "confirmed" } else { "pending" };
    // Payloads are canonical JSON: one line, with control characters escaped.
    let args = event.args.as_str();
    let shown: String = args.chars().take(120).collect();
    let more = if shown.len() < args.len() { "…" } else { "" };
    let (seq, name, client) = (event.seq.to_string(), &event.name, &event.client_id);
    let (name, client) = (name.as_str(), client.as_str());
    writeln!(out, "{seq:<12} {state:<9} {name:<24} {client:<16} {shown}{more}")
}
