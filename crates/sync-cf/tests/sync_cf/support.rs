//! A schema, stores, a server, and a network between them that can be cut.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{ConnectionState, SchemaBuilder, StoreOptions, SyncProvider, SyncStatus};
use livestore_server::{RunningServer, Server, ServerConfig};
use livestore_sync_cf::CfSync;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.NoteWritten")]
pub(crate) struct NoteWritten {
    id: String,
    text: String,
}

/// One is like another: only where it stands tells them apart.
#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.Ticked")]
pub(crate) struct Ticked;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes")]
pub(crate) struct Note {
    #[column(primary_key)]
    id: String,
    text: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "ticks")]
pub(crate) struct Ticks {
    #[column(primary_key)]
    id: i64,
    count: i64,
}

pub(crate) fn schema() -> Schema {
    builder().build().unwrap()
}

pub(crate) fn builder() -> SchemaBuilder {
    Schema::builder()
        .table::<Note>()
        .table::<Ticks>()
        .event(|e: NoteWritten, _| Note::insert(Note { id: e.id, text: e.text }))
        .event(|_: Ticked, cx: &livestore::MaterializerContext<'_>| {
            let count = cx.query(&Ticks::select())?.iter().next().map_or(0, |row| row.count);
            let row = Ticks { id: 1, count: count + 1 };
            Ok::<_, MaterializeError>(Ticks::insert(row).or_replace())
        })
}

impl NoteWritten {
    pub(crate) fn of(id: &str, text: String) -> Self {
        Self { id: id.into(), text }
    }
}

pub(crate) fn note(id: impl Into<String>) -> NoteWritten {
    NoteWritten { id: id.into(), text: "é \u{1F600} \"\\".into() }
}

pub(crate) fn notes(store: &Store) -> u64 {
    store.query(Note::select().count()).unwrap()
}

pub(crate) fn ticks(store: &Store) -> i64 {
    store.query(Ticks::select()).unwrap().iter().next().map_or(0, |row| row.count)
}

pub(crate) fn ws(addr: SocketAddr) -> CfSync {
    CfSync::new(format!("ws://{addr}"))
}

pub(crate) fn http(addr: SocketAddr) -> CfSync {
    CfSync::new(format!("http://{addr}/some/path")).with_poll_interval(Duration::from_millis(50))
}

/// A store in memory.
pub(crate) fn open(provider: impl SyncProvider) -> Store {
    Store::open(schema(), "notes", MemoryAdapter::new().sync(provider)).unwrap()
}

/// A store in a file.
pub(crate) fn open_in(folder: &Path, provider: impl SyncProvider, options: StoreOptions) -> Store {
    let adapter = FileAdapter::new(folder).sync(provider);
    Store::open_with(schema(), "notes", adapter, options).unwrap()
}

pub(crate) async fn start(folder: &Path) -> RunningServer {
    start_at(folder, SocketAddr::from(([127, 0, 0, 1], 0))).await
}

pub(crate) async fn start_at(folder: &Path, addr: SocketAddr) -> RunningServer {
    let mut config = ServerConfig::new(folder);
    config.listen = addr;
    Server::start(config).await.unwrap()
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(4 * PATIENCE, test).await.expect("the test hangs") });
    runtime.shutdown_background();
}

/// Waits until a store's status is such, trying to connect without the usual pauses.
#[track_caller]
pub(crate) fn until(
    store: &Store,
    is_so: impl Fn(&SyncStatus) -> bool,
) -> impl Future<Output = SyncStatus> {
    let (store, caller) = (store.clone(), std::panic::Location::caller());
    async move {
        let start = Instant::now();
        loop {
            let status = store.sync_status().unwrap();
            if is_so(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "never so at {caller}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
            if status.connection == ConnectionState::Offline {
                store.retry_now().unwrap();
            }
        }
    }
}

/// Waits until stores have a log of so many events, and checks that they have the same state.
pub(crate) async fn in_step(stores: &[&Store], events: u64) {
    for store in stores {
        until(store, |status| status.is_synced() && status.confirmed_head.0 == events).await;
        assert_eq!(store.state_hash().unwrap(), stores[0].state_hash().unwrap());
        assert_eq!(store.replay_hash().unwrap(), stores[0].state_hash().unwrap());
        assert_eq!(store.dead_letters().unwrap(), []);
        assert_eq!(store.sync_status().unwrap().quarantined, 0);
    }
}

/// A way to a server that can be cut, and that can be slow.
pub(crate) struct Network {
    pub(crate) addr: SocketAddr,
    cuts: watch::Sender<u64>,
    answers: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Network {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        let (answers, answer) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (cut, answer) = (cut.clone(), answer.clone());
                tokio::spawn(carry(client, server, cut, answer));
            }
        });
        Self { addr, cuts, answers, task }
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Sets whether what the server says gets through; what clients say always does.
    pub(crate) fn answers(&self, through: bool) {
        self.answers.send_replace(through);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut cut: watch::Receiver<u64>,
    mut answer: watch::Receiver<bool>,
) {
    cut.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if answer.wait_for(|through| *through).await.is_err()
                || to_client.write_all(&buffer[..read]).await.is_err()
            {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cut.changed() => {}
    }
}

/// Numbers that look random, the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
