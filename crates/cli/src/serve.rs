//! `livestore serve`

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use livestore_server::{Server, ServerConfig, TokenList};
use tracing_subscriber::EnvFilter;

use crate::output::{Outcome, json_line};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the server's database; made if it is missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    listen: SocketAddr,
    /// Most clients at a time
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    max_connections: u32,
    /// File with the tokens that clients have to show: a line for each, with the token, the id of
    /// whom it was given to, and the stores that they may use (all, if none is named). Without it,
    /// whoever reaches the server may read and write all of its stores
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Print the start message as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Started {
    url: String,
    #[serde(rename = "backendId")]
    backend_id: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let mut config = ServerConfig::new(&args.data);
    config.listen = args.listen;
    config.max_connections = args.max_connections;
    if let Some(path) = &args.tokens {
        let shown = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let list = TokenList::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
        config.authenticator = Some(Arc::new(list));
    }
    tokio::runtime::Runtime::new()?.block_on(serve(config, args.json))
}

async fn serve(config: ServerConfig, json: bool) -> Outcome {
    let data = config.data_dir.display().to_string();
    // Asked for first, so that a signal during the start is not missed.
    let mut stop = stop_signals()?;
    let server = Server::start(config).await?;
    let started = Started {
        url: format!("ws://{}/sync", server.local_addr()),
        backend_id: server.backend_id().to_string(),
    };
    let mut out = io::stdout().lock();
    if json {
        json_line(&mut out, &started)?;
    } else {
        writeln!(out, "LiveStore server on {}", started.url)?;
        writeln!(out, "  data     {data}")?;
        writeln!(out, "  backend  {}", started.backend_id)?;
        writeln!(out, "Press Ctrl-C to stop.")?;
    }
    out.flush()?;
    drop(out);
    stop.recv().await;
    server.shutdown().await;
    if !json {
        eprintln!("Stopped.");
    }
    Ok(())
}

/// The signals that end a server in good order.
struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn stop_signals() -> io::Result<StopSignals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(StopSignals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

#[cfg(unix)]
impl StopSignals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
fn stop_signals() -> io::Result<StopSignals> {
    Ok(StopSignals {})
}

#[cfg(not(unix))]
impl StopSignals {
    async fn recv(&mut self) {
        // If the signal cannot be listened for, the process ends by it without our help.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
