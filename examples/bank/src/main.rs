//! Money that several clients move while they are offline, and that is never lost or spent twice.

#![forbid(unsafe_code)]

mod bank;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use livestore::prelude::*;
use livestore_server::{RunningServer, Server, ServerConfig};
use livestore_sync_ws::WsSync;
use serde::Serialize;

use crate::bank::{Account, AccountOpened, BankError, Sweep, Transfer, schema};

/// The people who have an account, each with so much money at first.
const PEOPLE: [&str; 4] = ["ann", "bob", "cleo", "dan"];
const MONEY: i64 = 100;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Let clients move money while they are offline, and look at what is left of it
#[derive(Debug, Parser)]
struct Cli {
    /// How many clients there are
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    clients: u8,
    /// What each of them tries while it is offline
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    commands: u16,
    /// Which random commands those are
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// What became of everything.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    clients: usize,
    /// Commands that were possible when they were executed.
    executed: usize,
    /// Commands that were refused at once.
    refused: usize,
    confirmed: usize,
    /// Confirmed with another amount than at first.
    rewritten: usize,
    /// No longer possible after the clients had met again.
    rejected: usize,
    balances: BTreeMap<String, i64>,
    sum: i64,
    lowest: i64,
    converged: bool,
}

impl Summary {
    fn is_right(&self) -> bool {
        self.converged
            && self.sum == MONEY * PEOPLE.len() as i64
            && self.lowest >= 0
            && self.executed == self.confirmed + self.rewritten + self.rejected
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run(&cli)) {
        Ok(summary) if summary.is_right() => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("error: the books do not balance");
            ExitCode::FAILURE
        }
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn run(cli: &Cli) -> Result<Summary, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let say = |text: &str| {
        if !cli.json {
            println!("{text}");
        }
    };
    let server = start(folder.path(), SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let addr = server.local_addr();
    let open = |number: u8| {
        let adapter = FileAdapter::new(folder.path().join(format!("client-{number}")));
        Store::open(schema(), "bank", adapter.sync(WsSync::new(format!("ws://{addr}"))))
    };
    let stores = (1..=cli.clients).map(open).collect::<Result<Vec<_>, _>>()?;
    let opened = PEOPLE.map(|id| AccountOpened { id: id.into(), balance: MONEY });
    stores[0].commit(opened)?;
    in_step(&stores).await?;
    say(&format!("{} accounts with {MONEY} each, {} clients.", PEOPLE.len(), stores.len()));

    server.shutdown().await;
    say("The server goes away. Each client goes on by itself:");
    let mut summary = Summary { clients: stores.len(), ..Summary::default() };
    let mut random = fastrand::Rng::with_seed(cli.seed);
    let mut receipts = Vec::new();
    for (number, store) in (1..).zip(&stores) {
        let before = receipts.len();
        for _ in 0..cli.commands {
            match execute(store, &mut random) {
                Ok(receipt) => receipts.push((number, receipt)),
                Err(ExecuteError::Refused(_)) => summary.refused += 1,
                Err(error) => return Err(error.into()),
            }
        }
        say(&format!(
            "  client {number}: {} of {} commands were possible; {}",
            receipts.len() - before,
            cli.commands,
            shown(&balances(store)?)
        ));
    }
    summary.executed = receipts.len();

    let server = start(folder.path(), addr).await?;
    say("The server is back, and the clients meet:");
    in_step(&stores).await?;
    for (number, receipt) in &receipts {
        match receipt.fate().await? {
            Fate::Confirmed { .. } => summary.confirmed += 1,
            Fate::Rewritten { .. } => summary.rewritten += 1,
            Fate::Rejected { reason } => {
                summary.rejected += 1;
                if summary.rejected <= 5 {
                    say(&format!("  client {number}: {}", explained(&reason)));
                }
            }
            other => return Err(format!("unknown fate {other:?}").into()),
        }
    }
    if summary.rejected > 5 {
        say(&format!("  and {} more", summary.rejected - 5));
    }
    summary.balances = balances(&stores[0])?;
    summary.sum = summary.balances.values().sum();
    summary.lowest = summary.balances.values().copied().min().unwrap_or(0);
    let hashes = stores.iter().map(Store::state_hash).collect::<Result<Vec<_>, _>>()?;
    summary.converged = hashes.windows(2).all(|pair| pair[0] == pair[1]);
    say(&format!(
        "Of {} commands, {} are confirmed, {} with another amount, and {} were no longer possible.",
        summary.executed,
        summary.confirmed + summary.rewritten,
        summary.rewritten,
        summary.rejected
    ));
    say(&format!("{}; together {}.", shown(&summary.balances), summary.sum));
    if cli.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    for store in &stores {
        store.shutdown()?;
    }
    server.shutdown().await;
    Ok(summary)
}

async fn start(folder: &Path, addr: SocketAddr) -> Result<RunningServer, Box<dyn Error>> {
    let mut config = ServerConfig::new(folder.join("server"));
    config.listen = addr;
    Ok(Server::start(config).await?)
}

/// Executes a random command.
fn execute(
    store: &Store,
    random: &mut fastrand::Rng,
) -> Result<CommitReceipt, ExecuteError<BankError>> {
    let from = random.usize(..PEOPLE.len());
    let to = (from + random.usize(1..PEOPLE.len())) % PEOPLE.len();
    let (from, to) = (PEOPLE[from].to_owned(), PEOPLE[to].to_owned());
    if random.u8(..4) == 0 {
        store.execute(Sweep { from, to })
    } else {
        store.execute(Transfer { from, to, amount: random.i64(1..=80) })
    }
}

/// Waits until all stores have everything that there is.
async fn in_step(stores: &[Store]) -> Result<(), Box<dyn Error>> {
    let all_synced = async {
        loop {
            let mut heads = Vec::new();
            for store in stores {
                store.retry_now()?;
                let status = store.sync_status()?;
                heads.push(status.is_synced().then_some(status.confirmed_head));
            }
            if heads.iter().all(|head| head.is_some() && *head == heads[0]) {
                return Ok::<_, livestore::Unavailable>(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, all_synced).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(format!("the clients are not in step after {PATIENCE:?}").into()),
    }
}

fn balances(store: &Store) -> Result<BTreeMap<String, i64>, livestore::QueryError> {
    let rows = store.query(Account::select())?;
    Ok(rows.iter().map(|row| (row.id.clone(), row.balance)).collect())
}

fn shown(balances: &BTreeMap<String, i64>) -> String {
    let shown: Vec<_> = balances.iter().map(|(id, balance)| format!("{id} {balance}")).collect();
    shown.join(", ")
}

/// Says why a command was rejected; the handler's own error is still what it was.
fn explained(reason: &DeadLetterReason) -> String {
    match reason {
        DeadLetterReason::CommandFailed { failure } => match failure.refusal::<BankError>() {
            Some(BankError::Overdrawn { account, balance, amount }) => {
                format!("others were faster: {account} had {balance} left, not {amount}")
            }
            Some(error) => error.to_string(),
            None => failure.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_whatever_the_clients_do() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for seed in 1..4 {
            let cli = Cli { clients: 3, commands: 15, seed, json: true };
            let summary = runtime.block_on(run(&cli)).unwrap();
            assert!(summary.is_right(), "{summary:?}");
            assert!(summary.rejected > 0, "{summary:?}");
        }
    }
}
