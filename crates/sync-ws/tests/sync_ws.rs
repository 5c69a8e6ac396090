//! Stores that sync over real sockets: with the real server, and with things that are none.

#![allow(missing_docs)]

use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use livestore::prelude::*;
use livestore::sync_provider::{
    BoxFuture, Link, SyncError, SyncProvider, TokenError, TokenRequest,
};
use livestore::{ConnectionState, GlobalSeqNum, StopReason, SyncStatus};
use livestore_server::{
    Attempt, AuthError, Authenticating, Authenticator, Principal, RunningServer, Server,
    ServerConfig,
};
use livestore_sync_ws::WsSync;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const PATIENCE: Duration = Duration::from_secs(20);
/// What closing a store may take.
const QUICK: Duration = Duration::from_secs(3);

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.NoteWritten")]
struct NoteWritten {
    id: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes")]
struct Note {
    #[column(primary_key)]
    id: String,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Note>()
        .event(|e: NoteWritten, _| Note::insert(Note { id: e.id }))
        .build()
        .unwrap()
}

fn note(id: impl Into<String>) -> NoteWritten {
    NoteWritten { id: id.into() }
}

fn count(store: &Store) -> u64 {
    store.query(Note::select().count()).unwrap()
}

/// A store in memory.
fn open(provider: impl SyncProvider) -> Store {
    Store::open(schema(), "notes", MemoryAdapter::new().sync(provider)).unwrap()
}

/// A store in memory that syncs with whatever listens there.
fn store_at(addr: SocketAddr) -> Store {
    open(WsSync::new(format!("ws://{addr}")))
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An address on which nobody listens.
fn free_addr() -> SocketAddr {
    StdListener::bind(any_port()).unwrap().local_addr().unwrap()
}

async fn start(dir: &Path, addr: SocketAddr) -> RunningServer {
    let mut config = ServerConfig::new(dir);
    config.listen = addr;
    Server::start(config).await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(3 * PATIENCE, test).await.expect("the test hangs") });
    runtime.shutdown_background();
}

/// Waits until a store's status is such, trying to connect without the usual pauses.
#[track_caller]
fn until(store: &Store, is_so: impl Fn(&SyncStatus) -> bool) -> impl Future<Output = SyncStatus> {
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
            // What has stopped would go on, too.
            if status.connection == ConnectionState::Offline {
                store.retry_now().unwrap();
            }
        }
    }
}

/// Waits until stores have all of so many notes and nothing is pending.
async fn in_step(stores: &[&Store], notes: u64) {
    for store in stores {
        until(store, |status| status.is_synced() && status.confirmed_head.0 == notes).await;
        assert_eq!(count(store), notes);
        assert_eq!(store.state_hash().unwrap(), stores[0].state_hash().unwrap());
        assert_eq!(store.replay_hash().unwrap(), stores[0].state_hash().unwrap());
        assert_eq!(store.dead_letters().unwrap(), []);
    }
}

/// Waits for the confirmation, and returns the first and the last position.
async fn confirmed(receipt: &CommitReceipt) -> (u64, u64) {
    let positions = timeout(PATIENCE, receipt.confirmed()).await.expect("it is not confirmed");
    let positions = positions.unwrap();
    (positions.first.0, positions.last.0)
}

/// Notes how many rows a live query has, whenever that changes.
fn watch(store: &Store) -> (Arc<Mutex<Vec<u64>>>, Subscription) {
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let live = store.query_db(Note::select().count());
    (seen, live.subscribe(move |count| notes.lock().unwrap().push(*count)))
}

/// Measures how long it takes to close a store, away from the runtime's threads.
async fn time_to_close(store: Store) -> Duration {
    let closing = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        store.shutdown().unwrap();
        drop(store);
        start.elapsed()
    });
    closing.await.unwrap()
}

// With the real server

#[test]
fn two_stores_follow_each_other_live() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let (a, b) = (store_at(server.local_addr()), store_at(server.local_addr()));
        let (seen, _subscription) = watch(&b);
        assert_eq!(confirmed(&a.commit(note("from a")).unwrap()).await, (1, 1));
        in_step(&[&a, &b], 1).await;
        let receipt = b.commit([note("from b"), note("from b too")]).unwrap();
        assert_eq!(confirmed(&receipt).await, (2, 3));
        in_step(&[&a, &b], 3).await;
        assert_eq!(*seen.lock().unwrap(), [0, 1, 3]);
        server.shutdown().await;
    });
}

#[test]
fn stores_that_commit_at_the_same_time_agree() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let stores: Vec<_> = (0..3).map(|_| store_at(server.local_addr())).collect();
        let mut committing = Vec::new();
        for (who, store) in stores.iter().enumerate() {
            let store = store.clone();
            committing.push(tokio::task::spawn_blocking(move || {
                let commit = |index| store.commit(note(format!("{who} {index}"))).unwrap();
                (0..59).for_each(|index| drop(commit(index)));
                commit(59)
            }));
        }
        for last in committing {
            confirmed(&last.await.unwrap()).await;
        }
        in_step(&stores.iter().collect::<Vec<_>>(), 180).await;
        server.shutdown().await;
    });
}

#[test]
fn groups_larger_than_a_page_arrive_whole() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let (a, b) = (store_at(server.local_addr()), store_at(server.local_addr()));
        let (seen, _subscription) = watch(&b);
        let group = |number| (0..300).map(move |index| note(format!("{number} {index}")));
        let receipts = [0, 1, 2].map(|number| a.commit(group(number).collect::<Vec<_>>()).unwrap());
        for (receipt, first) in receipts.iter().zip([1, 301, 601]) {
            assert_eq!(confirmed(receipt).await, (first, first + 299));
        }
        in_step(&[&a, &b], 900).await;
        // And to a store that comes later and has to catch up.
        let c = store_at(server.local_addr());
        in_step(&[&a, &c], 900).await;
        let seen = seen.lock().unwrap().clone();
        assert!(seen.iter().all(|count| count % 300 == 0), "half a group was seen: {seen:?}");
        server.shutdown().await;
    });
}

#[test]
fn what_was_committed_before_the_server_started_is_synced_then() {
    run(async {
        let (dir, addr) = (tempfile::tempdir().unwrap(), free_addr());
        let (a, b) = (store_at(addr), store_at(addr));
        let receipts = ["a1", "a2"].map(|id| a.commit(note(id)).unwrap());
        b.commit(note("b")).unwrap();
        let status = until(&a, |status| status.last_error.is_some()).await;
        let error = status.last_error.unwrap();
        assert!(error.starts_with(&format!("ws://{addr}/sync cannot be reached: ")), "{error}");
        assert_eq!(status.pending_events, 2);
        assert_eq!(count(&a), 2, "the store works offline");

        let server = start(dir.path(), addr).await;
        in_step(&[&a, &b], 3).await;
        for receipt in receipts {
            confirmed(&receipt).await;
        }
        server.shutdown().await;
    });
}

#[test]
fn a_server_that_restarts_on_its_data_is_synced_with_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let addr = server.local_addr();
        let (a, b) = (store_at(addr), store_at(addr));
        a.commit(note("before")).unwrap();
        in_step(&[&a, &b], 1).await;
        server.shutdown().await;
        until(&a, |status| status.connection != ConnectionState::Connected).await;
        a.commit(note("meanwhile a")).unwrap();
        b.commit(note("meanwhile b")).unwrap();
        let server = start(dir.path(), addr).await;
        in_step(&[&a, &b], 3).await;
        server.shutdown().await;
    });
}

#[test]
fn a_server_that_comes_back_with_other_data_stops_the_sync_and_nothing_is_lost() {
    run(async {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = start(dir.path(), any_port()).await;
        let addr = server.local_addr();
        let store = store_at(addr);
        store.commit(note("confirmed")).unwrap();
        in_step(&[&store], 1).await;
        server.shutdown().await;
        let server = start(other.path(), addr).await;
        let is_stopped = |status: &SyncStatus| {
            matches!(status.connection, ConnectionState::Stopped(_)) && status.last_error.is_some()
        };
        let error = until(&store, is_stopped).await.last_error.unwrap();
        assert!(error.contains("has another history"), "{error}");
        store.commit(note("still works")).unwrap();
        assert_eq!(count(&store), 2);
        server.shutdown().await;
    });
}

#[test]
fn a_store_on_a_file_goes_on_where_it_was() {
    run(async {
        let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = start(dir.path(), any_port()).await;
        let open = || {
            let url = format!("ws://{}/sync", server.local_addr());
            let adapter = FileAdapter::new(folder.path()).sync(WsSync::new(url));
            Store::open(schema(), "notes", adapter).unwrap()
        };
        let store = open();
        confirmed(&store.commit(note("one")).unwrap()).await;
        store.commit(note("two")).unwrap();
        assert!(time_to_close(store).await < QUICK);
        let store = open();
        in_step(&[&store], 2).await;
        assert!(time_to_close(store).await < QUICK);
        server.shutdown().await;
    });
}

// With things that are no server

/// Takes connections and answers each by the closure.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket));
        }
    });
    (addr, accepting)
}

/// A server of something else, which says this to whatever it hears.
async fn say(mut socket: TcpStream, what: &'static [u8]) {
    let _ = socket.read(&mut [0; 1024]).await;
    let _ = socket.write_all(what).await;
}

/// A WebSocket server that says this to whatever it hears.
async fn say_frame(socket: TcpStream, frame: Message) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else { return };
    let _ = socket.next().await;
    let _ = socket.send(frame).await;
    while let Some(Ok(_)) = socket.next().await {}
}

/// Checks that a store gets along with an impostor, says what is wrong with it, and recovers when
/// a real server takes its place.
async fn survives<F: Future<Output = ()> + Send + 'static>(
    message: &str,
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) {
    let dir = tempfile::tempdir().unwrap();
    let (addr, impostor) = listen(answer).await;
    let store = store_at(addr);
    let receipt = store.commit(note("one")).unwrap();
    let tells = |status: &SyncStatus| {
        status.last_error.as_ref().is_some_and(|error| error.contains(message))
    };
    let status = until(&store, tells).await;
    assert_eq!((status.confirmed_head.0, status.pending_events), (0, 1));
    store.commit(note("two")).unwrap();
    assert_eq!(count(&store), 2);

    impostor.abort();
    let _ = impostor.await;
    let server = start(dir.path(), addr).await;
    in_step(&[&store], 2).await;
    assert_eq!(confirmed(&receipt).await, (1, 1));
    server.shutdown().await;
}

#[test]
fn a_server_of_something_else_is_survived() {
    run(async {
        let unreachable = "cannot be reached";
        survives(unreachable, |socket| say(socket, b"220 mail.example.com ready\r\n")).await;
        survives(unreachable, |socket| async move { drop(socket) }).await;
        let page = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        survives("200 OK", move |socket| say(socket, page)).await;
        let busy = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        survives("503", move |socket| say(socket, busy)).await;
    });
}

#[test]
fn a_websocket_server_that_talks_nonsense_is_survived() {
    run(async {
        let foreign = "does not speak our protocol";
        for text in ["nonsense", "", r#"{"welcome":{"version":1}}"#, r#"{"page":null}"#] {
            survives(foreign, move |socket| say_frame(socket, Message::text(text))).await;
        }
        survives(foreign, |socket| say_frame(socket, Message::binary(vec![0, 159, 146]))).await;
        // A message of the protocol, at the wrong time.
        let early = r#"{"serverAhead":{"request":1,"missing":null}}"#;
        let broke = "the backend broke the protocol";
        survives(broke, move |socket| say_frame(socket, Message::text(early))).await;
        let closed = "the backend closed the connection";
        survives(closed, |socket| say_frame(socket, Message::Close(None))).await;
        for (code, reason, said) in [
            (CloseCode::Away, "a restart", "the backend closed the connection"),
            (CloseCode::Policy, "", "it has closed the connection (code 1008)"),
            (CloseCode::Again, "later", "it has closed the connection (code 1013: later)"),
        ] {
            let frame = CloseFrame { code, reason: reason.into() };
            let frame = Message::Close(Some(frame));
            survives(said, move |socket| say_frame(socket, frame.clone())).await;
        }
    });
}

#[test]
fn an_address_that_cannot_be_used_is_told() {
    run(async {
        for (url, message) in [
            ("https://example.com/sync", "has to start with wss:// or ws://"),
            ("not an address", "is not a usable address"),
            ("", "is not a usable address"),
            ("ws://", "is not a usable address"),
            ("ws://host name/sync", "is not a usable address"),
            ("ws://user:secret@/sync?token=secret", "is not a usable address"),
        ] {
            let store = open(WsSync::new(url));
            store.commit(note("works")).unwrap();
            let status = until(&store, |status| status.last_error.is_some()).await;
            let error = status.last_error.unwrap();
            assert!(error.contains(message), "{url:?}: {error}");
            assert!(!error.contains("secret"), "{url:?}: {error}");
            assert_eq!(count(&store), 1);
        }
    });
}

#[test]
fn a_backend_is_described_without_secrets() {
    for (url, description) in [
        ("ws://127.0.0.1:4480", "ws://127.0.0.1:4480/sync"),
        ("ws://127.0.0.1:4480/", "ws://127.0.0.1:4480/"),
        ("ws://host/some/path", "ws://host/some/path"),
        ("ws://user:password@host:80/sync", "ws://host:80/sync"),
        ("ws://user:p@ssword@host/sync", "ws://host/sync"),
        ("ws://host/sync?token=secret", "ws://host/sync"),
        ("ws://host/sync#secret", "ws://host/sync"),
        ("ws://user:password@host?token=secret", "ws://host/sync"),
        ("ws://host?token=a/b", "ws://host/sync"),
        ("ws://user:pass/word@host/sync", "ws://…"),
        ("ws://user:pass?word@host/sync", "ws://…"),
        ("wss://user:pass#word@host", "wss://…"),
        ("wss:/user:password@host", "…"),
        ("user:password@host", "…"),
        ("user:password://host", "…"),
    ] {
        assert_eq!(WsSync::new(url).describe(), description, "{url}");
    }
    let shown = format!("{:?}", WsSync::new("ws://user:password@host/?token=secret"));
    assert!(!shown.contains("password") && !shown.contains("secret"), "{shown}");
}

#[test]
fn an_address_with_a_query_and_no_path_reaches_the_server() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let store = open(WsSync::new(format!("ws://{}?token=a/b", server.local_addr())));
        assert_eq!(confirmed(&store.commit(note("a")).unwrap()).await, (1, 1));
        server.shutdown().await;
    });
}

// Closing

#[test]
fn closing_is_quick_whatever_the_connection_does() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let connected = store_at(server.local_addr());
        in_step(&[&connected], 0).await;
        assert!(time_to_close(connected).await < QUICK, "while connected");
        server.shutdown().await;

        // Takes connections and never says a word.
        let silent = |socket| async move {
            tokio::time::sleep(PATIENCE).await;
            drop::<TcpStream>(socket);
        };
        let (addr, _black_hole) = listen(silent).await;
        let connecting = store_at(addr);
        until(&connecting, |status| status.connection == ConnectionState::Connecting).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(time_to_close(connecting).await < QUICK, "while connecting");

        let waiting = store_at(free_addr());
        until(&waiting, |status| status.last_error.is_some()).await;
        assert!(time_to_close(waiting).await < QUICK, "while waiting to try again");
    });
}

/// Blocks a thread while it connects, as looking up a name can.
struct SlowLookup {
    keeps_link: bool,
}

impl SyncProvider for SlowLookup {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        let kept = self.keeps_link.then_some(link);
        Box::pin(async move {
            let _kept = kept;
            let looked_up = tokio::task::spawn_blocking(|| std::thread::sleep(2 * QUICK));
            let _ = looked_up.await;
            Ok(())
        })
    }

    fn describe(&self) -> String {
        "somewhere".into()
    }
}

#[test]
fn closing_does_not_wait_for_a_slow_name_lookup() {
    run(async {
        for keeps_link in [true, false] {
            let store = open(SlowLookup { keeps_link });
            until(&store, |status| status.connection == ConnectionState::Connecting).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(time_to_close(store).await < QUICK, "keeps its link: {keeps_link}");
        }
    });
}

#[test]
fn a_store_may_be_dropped_by_its_own_subscriber() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), any_port()).await;
        let writer = store_at(server.local_addr());
        // The change comes from upstream, so the subscriber runs on the store's own sync thread.
        let store = store_at(server.local_addr());
        let live = store.query_db(Note::select().count());
        let slot = Arc::new(Mutex::new(Some(store)));
        let (own, (tell, heard)) = (Arc::clone(&slot), std::sync::mpsc::channel());
        let _subscription = live.subscribe(move |count| {
            if *count > 0 {
                drop(own.lock().unwrap().take());
                tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
            }
        });
        writer.commit(note("a")).unwrap();
        let waiting = tokio::task::spawn_blocking(move || heard.recv_timeout(PATIENCE));
        let thread = waiting.await.unwrap().expect("dropping the store hangs");
        assert_eq!(thread.as_deref(), Some("livestore-sync"));
        assert!(slot.lock().unwrap().is_none());
        until(&writer, |status| status.confirmed_head == GlobalSeqNum(1)).await;
        server.shutdown().await;
    });
}

/// How many groups are pending, unless `LIVESTORE_TAIL` says so.
const TAIL: u64 = 4_000;

/// Each rebase of a long tail takes longer than others need for their next commit. If a client had
/// to win that race, it would never get anything to the server.
#[test]
fn a_long_tail_drains_while_others_commit_a_hundred_events_a_second() {
    let tail = std::env::var("LIVESTORE_TAIL").ok().and_then(|tail| tail.parse().ok());
    let tail: u64 = tail.unwrap_or(TAIL);
    run(async move {
        let folder = tempfile::tempdir().unwrap();
        let addr = free_addr();
        let late = store_at(addr);
        for number in 0..tail {
            drop(late.commit(note(format!("late-{number}"))).unwrap());
        }
        let server = start(folder.path(), addr).await;
        let busy = store_at(addr);
        until(&busy, SyncStatus::is_synced).await;
        let (start, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let commits = {
            let (busy, is_over) = (busy.clone(), Arc::clone(&is_over));
            // A thread of its own, so that nothing slows it down.
            std::thread::spawn(move || {
                let mut others = 0;
                while !is_over.load(Ordering::Relaxed) {
                    drop(busy.commit(note(format!("busy-{others}"))).unwrap());
                    others += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                others
            })
        };
        late.retry_now().unwrap();
        while late.sync_status().unwrap().pending_groups > 0 {
            assert!(start.elapsed() < 2 * PATIENCE, "it waits: {:?}", late.sync_status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        is_over.store(true, Ordering::Relaxed);
        let others: u64 = commits.join().unwrap();
        println!("{tail} groups beside {others} others: {:?}", start.elapsed());
        assert!(others > 10, "there was no race");
        in_step(&[&late, &busy], tail + others).await;
        server.shutdown().await;
    });
}

// With tokens

/// Lets in whoever shows a token that counts now, each for so long.
struct Doorman {
    valid: Mutex<String>,
    lasts: Duration,
}

impl Doorman {
    fn new(valid: &str, lasts: Duration) -> Arc<Self> {
        Arc::new(Self { valid: Mutex::new(valid.into()), lasts })
    }
}

/// What a server has of a doorman.
struct Door(Arc<Doorman>);

impl Authenticator for Door {
    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> Authenticating<'a> {
        let valid = self.0.valid.lock().unwrap().clone();
        let shown = attempt.token.map(|token| token.secret().to_owned());
        let answer = if shown == Some(valid) {
            Ok(Principal::new("ann").valid_for(self.0.lasts))
        } else {
            Err(AuthError::Unauthenticated { message: "nobody knows this token".into() })
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn start_guarded(dir: &Path, doorman: &Arc<Doorman>) -> RunningServer {
    let mut config = ServerConfig::new(dir);
    config.listen = any_port();
    config.authenticator = Some(Arc::new(Door(Arc::clone(doorman))));
    Server::start(config).await.unwrap()
}

const LONG: Duration = Duration::from_secs(3600);

fn is_shut_out(status: &SyncStatus) -> bool {
    matches!(status.connection, ConnectionState::Stopped(StopReason::NotAuthorized { .. }))
}

#[test]
fn a_store_that_is_not_let_in_stops_and_goes_on_once_it_has_another_token() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let doorman = Doorman::new("the right one", LONG);
        let server = start_guarded(dir.path(), &doorman).await;
        let requests: Arc<Mutex<Vec<TokenRequest>>> = Arc::default();
        let asked = Arc::clone(&requests);
        let sync = WsSync::new(format!("ws://{}", server.local_addr())).with_tokens(
            move |request: TokenRequest| {
                asked.lock().unwrap().push(request);
                let times = asked.lock().unwrap().len();
                let token = if times <= 2 { "a secret that is wrong" } else { "the right one" };
                std::future::ready(Ok(token.into()))
            },
        );
        let store = open(sync);
        let receipt = store.commit(note("offline")).unwrap();
        let status = timeout(PATIENCE, async {
            loop {
                let status = store.sync_status().unwrap();
                if is_shut_out(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let status = status.await.expect("it stops");
        let error = status.last_error.unwrap();
        assert_eq!(error, "the backend does not let us in: nobody knows this token");
        assert_eq!(status.pending_events, 1);
        // Nothing is tried again in silence.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let twice = [TokenRequest::Connect, TokenRequest::Renew];
        assert_eq!(*requests.lock().unwrap(), twice);
        assert!(is_shut_out(&store.sync_status().unwrap()));

        store.retry_now().unwrap();
        confirmed(&receipt).await;
        assert_eq!(requests.lock().unwrap()[2..], [TokenRequest::Renew]);
        server.shutdown().await;
    });
}

#[test]
fn a_token_that_the_server_does_not_know_is_asked_for_once_more_before_the_store_stops() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start_guarded(dir.path(), &Doorman::new("the new one", LONG)).await;
        let requests: Arc<Mutex<Vec<TokenRequest>>> = Arc::default();
        let asked = Arc::clone(&requests);
        let sync = WsSync::new(format!("ws://{}", server.local_addr())).with_tokens(
            move |request: TokenRequest| {
                asked.lock().unwrap().push(request);
                let token = match request {
                    TokenRequest::Renew => "the new one",
                    _ => "the one that the app has kept",
                };
                std::future::ready(Ok(token.into()))
            },
        );
        let store = open(sync);
        confirmed(&store.commit(note("offline")).unwrap()).await;
        let twice = [TokenRequest::Connect, TokenRequest::Renew];
        assert_eq!(*requests.lock().unwrap(), twice);
        server.shutdown().await;
    });
}

#[test]
fn a_store_that_has_no_tokens_to_show_stops_at_once() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start_guarded(dir.path(), &Doorman::new("ann's", LONG)).await;
        let store = store_at(server.local_addr());
        until(&store, is_shut_out).await;
        server.shutdown().await;
    });
}

#[test]
fn a_token_that_expires_is_renewed_while_the_store_is_open_and_nothing_is_lost() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let doorman = Doorman::new("token 0", Duration::from_millis(1_200));
        let server = start_guarded(dir.path(), &doorman).await;
        let renewals = Arc::new(AtomicUsize::new(0));
        let (door, renewed) = (Arc::clone(&doorman), Arc::clone(&renewals));
        let sync = WsSync::new(format!("ws://{}", server.local_addr())).with_tokens(
            move |request: TokenRequest| {
                if request == TokenRequest::Renew {
                    let number = renewed.fetch_add(1, Ordering::SeqCst) + 1;
                    *door.valid.lock().unwrap() = format!("token {number}");
                }
                std::future::ready(Ok(door.valid.lock().unwrap().clone()))
            },
        );
        let store = open(sync);
        let start = Instant::now();
        let mut receipts = Vec::new();
        while renewals.load(Ordering::SeqCst) < 2 {
            assert!(start.elapsed() < PATIENCE, "{:?}", store.sync_status());
            receipts.push(store.commit(note(format!("{}", receipts.len()))).unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for receipt in &receipts {
            confirmed(receipt).await;
        }
        assert_eq!(count(&store), receipts.len() as u64);
        // The last renewal may still be under way.
        until(&store, SyncStatus::is_synced).await;
        server.shutdown().await;
    });
}

#[test]
fn without_a_user_who_is_signed_in_syncing_stops_until_there_is_one() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start_guarded(dir.path(), &Doorman::new("ann's", LONG)).await;
        let user: Arc<Mutex<Option<String>>> = Arc::default();
        let asked = Arc::clone(&user);
        let sync = WsSync::new(format!("ws://{}", server.local_addr())).with_tokens(move |_| {
            let token = asked.lock().unwrap().clone();
            std::future::ready(
                token.ok_or(TokenError::SignedOut { reason: "please sign in".into() }),
            )
        });
        let store = open(sync);
        let receipt = store.commit(note("offline")).unwrap();
        let start = Instant::now();
        while !is_shut_out(&store.sync_status().unwrap()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", store.sync_status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = store.sync_status().unwrap().last_error.unwrap();
        assert_eq!(error, "the backend does not let us in: please sign in");
        *user.lock().unwrap() = Some("ann's".into());
        store.retry_now().unwrap();
        confirmed(&receipt).await;
        server.shutdown().await;
    });
}

#[test]
fn a_token_that_cannot_be_had_now_is_asked_for_again_and_the_reason_shown() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = start_guarded(dir.path(), &Doorman::new("ann's", LONG)).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let times = Arc::clone(&asked);
        let sync = WsSync::new(format!("ws://{}", server.local_addr())).with_tokens(move |_| {
            let answer = match times.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(TokenError::Unavailable { reason: "the issuer is down".into() }),
                _ => Ok("ann's".into()),
            };
            std::future::ready(answer)
        });
        let shown = format!("{sync:?}");
        assert!(!shown.contains("ann"), "{shown}");
        let store = open(sync);
        let seen = timeout(PATIENCE, async {
            loop {
                let status = store.sync_status().unwrap();
                if let Some(error) = status.last_error {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let seen = seen.await.expect("the reason is shown");
        assert!(
            seen.contains("wants a token, and there is no token now: the issuer is down"),
            "{seen}"
        );
        until(&store, SyncStatus::is_synced).await;
        server.shutdown().await;
    });
}
