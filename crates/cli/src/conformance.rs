//! `livestore conformance`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use livestore::StoreId;
use livestore::inspect::Progress;
use livestore_conformance::{Backend, CaseReport, Outcome as Found, Report, Server};
use serde::Serialize;

use crate::output::{Outcome, json_line, stdout};
use crate::transfer::backend::Backend as Transfer;
use crate::transfer::place::{provider, read_token};

/// Check whether a backend does what stores rely on
///
/// Many small cases are tried: order, atomicity, repeats, lost answers, news, other histories, odd payloads
/// and more. Each works on stores with new names that begin with `conformance-`, which stay behind: use it
/// on a server that is there for trying.
///
/// What can only be seen when the backend is restarted is left out here; the crate livestore-conformance
/// can do that, too.
///
/// Exit code: 0 if nothing failed, 1 if something did.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the backend: ws:// or wss:// for our protocol, cf+ws://, cf+wss://, cf+http:// or
    /// cf+https:// for LiveStore's
    #[arg(value_name = "URL")]
    url: String,
    /// File with the token to show the backend, if it asks for one
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Longest time to wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    cases: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    report: &'a [CaseReport],
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let token = read_token(args.token.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let patience = Duration::from_secs(args.timeout.max(1));
    // Once, to tell what is wrong with the address.
    let first = provider(&args.url, token.as_deref())?;
    let store_id = StoreId::new(format!("conformance-{}", livestore::new_id()))?;
    runtime.block_on(async {
        Transfer::connect(first, &store_id, patience, &Progress::new()).await?.close().await;
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let (url, shown) = (args.url.clone(), token.clone());
    let backend = Backend::shared(move || {
        provider(&url, shown.as_deref()).expect("the address was usable just now")
    });
    let backend = backend.patience(patience);
    let tell = |case: &CaseReport| {
        if !args.json {
            // Whoever does not read it does not want it.
            let _ = writeln!(std::io::stdout(), "{case}");
        }
    };
    let report = runtime.block_on(async {
        let report = backend.check_and(tell).await;
        if !args.url.starts_with("ws") {
            return report;
        }
        let mut server = Server::new(with_path(&args.url));
        if let Some(token) = &token {
            server = server.token(token);
        }
        report.and(server.check_and(tell).await)
    });
    runtime.shutdown_background();
    finish(args, &report)
}

/// Adds the path that our server listens on, if there is none.
fn with_path(url: &str) -> String {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    if host.contains('/') { url.to_owned() } else { format!("{url}/sync") }
}

fn finish(args: &Args, report: &Report) -> Outcome<ExitCode> {
    let cases = report.cases.len();
    let passed = report.count(|found| *found == Found::Passed);
    let failed = report.count(|found| matches!(found, Found::Failed { .. }));
    let skipped = cases - passed - failed;
    let mut out = stdout();
    if args.json {
        let report = &report.cases;
        json_line(&mut out, &Printed { cases, passed, failed, skipped, report })?;
    } else {
        writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
    }
    out.flush()?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
