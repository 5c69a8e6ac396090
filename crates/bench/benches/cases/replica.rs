//! Following upstream, opening with a long tail, and what a long tail costs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use livestore::protocol::{Page, ServerMessage, Welcome};
use livestore::replica::{Capabilities, ReplicaConfig, UpstreamAction};
use livestore::{
    BackendId, ClientId, Command as _, ConnectionState, Durability, HistoryAnswer, NewEvent,
    PoisonAnswer, Replica, Schema, SessionId, StoreId,
};
use livestore_bench::app::{CopyTodo, schema, todo};
use livestore_bench::plain::{Plain, PlainEvent};
use livestore_bench::report::median;
use livestore_core::{
    CanonicalJson, ConfirmedGroup, Event, EventName, Group, IdGenerator, LogPosition,
};
use livestore_sqlite::Connection;

use crate::Bench;

/// Events of one page, as the server cuts them.
const PAGE: usize = 256;
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

fn replica(connection: Connection, durability: Durability) -> Replica {
    replica_with(schema(), connection, durability)
}

/// Opens a replica with a schema.
pub(crate) fn replica_with(
    schema: Schema,
    connection: Connection,
    durability: Durability,
) -> Replica {
    let config = ReplicaConfig {
        schema,
        store_id: StoreId::new("bench").expect("a valid id"),
        client_id: ClientId::new("client").expect("a valid id"),
        session_id: SessionId::new("session").expect("a valid id"),
        durability,
        upstream: Some(Capabilities::OURS),
        on_poison: PoisonAnswer::Quarantine,
        on_history_diverged: HistoryAnswer::Stop,
        seed: [7; 32],
    };
    Replica::open(connection, config, "bench", NOW_MS, &mut |_| ()).expect("the replica opens")
}

/// Makes a file with this many confirmed events and the rows that they lead to.
pub(crate) fn fill_file(path: &Path, events: usize) {
    let connection = Connection::open_file(path).expect("the database opens");
    let mut replica = replica(connection, Durability::Normal);
    let (welcome, pages) = foreign_pages(events);
    pull(&mut replica, welcome, pages);
    assert_eq!(replica.status().confirmed_head.0, events as u64);
}

fn memory_replica() -> Replica {
    replica(Connection::open_memory().expect("a memory database opens"), Durability::Memory)
}

fn commit(replica: &mut Replica, groups: usize, events: usize) {
    for _ in 0..groups {
        let group = (0..events).map(|_| NewEvent::new("v1.TodoCreated", &todo()));
        let group = group.collect::<Result<_, _>>().expect("the events are valid");
        replica.commit(group, NOW_MS).expect("the commit succeeds");
    }
}

/// Pages of somebody else's groups, one event each.
fn foreign_pages(events: usize) -> (ServerMessage, Vec<ServerMessage>) {
    let mut ids = IdGenerator::new([9; 32]);
    let client_id = ClientId::new("elsewhere").expect("a valid id");
    let session_id = SessionId::new("session").expect("a valid id");
    let name = EventName::new("v1.TodoCreated").expect("a valid name");
    let (mut end, mut groups, mut pages) = (LogPosition::ROOT, Vec::new(), Vec::new());
    let head = livestore::GlobalSeqNum(events as u64);
    for index in 0..events {
        let args = CanonicalJson::encode(&todo()).expect("the payload is valid");
        let event = Event { id: ids.event_id(NOW_MS), name: name.clone(), args };
        let (client, session) = (client_id.clone(), session_id.clone());
        let group = Group::new(ids.group_id(NOW_MS), client, session, vec![event]);
        let group = group.expect("the group is valid");
        let first = end.seq.next();
        end = LogPosition { seq: first, hash: end.hash.extend(group.content_hash()) };
        groups.push(ConfirmedGroup { first, group });
        if groups.len() == PAGE || index + 1 == events {
            let groups = std::mem::take(&mut groups);
            pages.push(ServerMessage::Page(Page { groups, end, head }));
        }
    }
    let backend_id = BackendId::from_bytes([1; 16]);
    let welcome = Welcome { version: 1, backend_id, head, accepted: Vec::new() };
    (ServerMessage::Welcome(welcome), pages)
}

/// Connects and takes everything in; returns how long the pages took.
fn pull(replica: &mut Replica, welcome: ServerMessage, pages: Vec<ServerMessage>) -> Duration {
    let connect = replica.poll_upstream(NOW_MS).expect("polling works");
    assert_eq!(connect, Some(UpstreamAction::Connect));
    replica.upstream_connected().expect("it says hello");
    replica.poll_upstream(NOW_MS).expect("polling works");
    replica.receive_upstream(welcome, NOW_MS).expect("it is welcome");
    let start = Instant::now();
    for page in pages {
        replica.receive_upstream(page, NOW_MS).expect("the page is taken");
    }
    let time = start.elapsed();
    assert_eq!(replica.status().connection, ConnectionState::Connected);
    time
}

pub(crate) fn rebase_1000_over_1000(bench: &mut Bench) {
    let times = (0..if bench.quick { 10 } else { 50 }).map(|_| {
        let mut replica = memory_replica();
        commit(&mut replica, 1_000, 1);
        let (welcome, pages) = foreign_pages(1_000);
        let time = pull(&mut replica, welcome, pages);
        let status = replica.status();
        assert_eq!(
            (status.rebases, status.pending_groups, status.confirmed_head.0),
            (1, 1_000, 1_000)
        );
        time
    });
    let value_ms = median(times.collect()) / 1e3;
    bench.report.add("rebase_1000_over_1000", value_ms, "ms", 20.0);
}

pub(crate) fn rebase_commands_1000(bench: &mut Bench) {
    let times = (0..if bench.quick { 10 } else { 50 }).map(|_| {
        let mut replica = memory_replica();
        let first = todo();
        let copy = CanonicalJson::encode(&CopyTodo { id: first.id.clone() }).expect("it is valid");
        let first = NewEvent::of(first).expect("the event is valid");
        replica.commit(vec![first], NOW_MS).expect("the commit succeeds");
        for _ in 0..1_000 {
            let name = CopyTodo::NAME.to_owned();
            replica.execute(name, copy.clone(), NOW_MS).expect("the command is possible");
        }
        let (welcome, pages) = foreign_pages(1_000);
        let time = pull(&mut replica, welcome, pages);
        let status = replica.status();
        assert_eq!(
            (status.rebases, status.pending_groups, status.confirmed_head.0),
            (1, 1_001, 1_000)
        );
        time
    });
    let value_ms = median(times.collect()) / 1e3;
    bench.report.add("rebase_commands_1000", value_ms, "ms", 50.0);
}

pub(crate) fn open_20k_pending(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let open = || {
        let connection = Connection::open_file(&path).expect("the database opens");
        replica(connection, Durability::Normal)
    };
    commit(&mut open(), 20_000, 1);
    let times = (0..if bench.quick { 10 } else { 50 }).map(|_| {
        let start = Instant::now();
        let replica = open();
        let time = start.elapsed();
        assert_eq!(replica.status().pending_groups, 20_000);
        time
    });
    let value_ms = median(times.collect()) / 1e3;
    bench.report.add("open_20k_pending", value_ms, "ms", 100.0);
}

/// Beside plain SQLite that writes the same rows of log and state, a transaction for each page.
pub(crate) fn apply_upstream_10k(bench: &mut Bench) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 5 } else { 20 } {
        let (welcome, pages) = foreign_pages(10_000);
        ours.push(pull(&mut memory_replica(), welcome, pages));

        let mut plain = Plain::memory().expect("a memory database opens");
        let events: Vec<_> = (0..10_000).map(|_| PlainEvent::new()).collect();
        let start = Instant::now();
        for page in events.chunks(PAGE) {
            plain.apply(page).expect("the rows are written");
        }
        theirs.push(start.elapsed());
    }
    let (value_ms, limit_ms) = (median(ours) / 1e3, median(theirs) / 1e3);
    bench.report.add("apply_upstream_10k", value_ms, "ms", limit_ms);
}

/// What a process has in memory at most that commits a million events offline, opens its store
/// again, and rebases the tail; beside one that does so with a thousand.
pub(crate) fn memory_of_1m_pending(bench: &mut Bench) {
    let [many, few] = [1_000_000, 1_000].map(peak_mb_with);
    bench.report.add("rss_1m_pending", many, "MB", few);
}

const MEASURED: &str = "LIVESTORE_BENCH_PENDING";
const FOLDER: &str = "LIVESTORE_BENCH_FOLDER";
const GROUP: usize = 10;

/// Tells whether this process is the one whose memory is measured.
pub(crate) fn is_measured_process() -> bool {
    std::env::var_os(MEASURED).is_some()
}

fn peak_mb_with(events: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = Command::new(std::env::current_exe().expect("the benchmark has a path"));
    peak_mb_of(process.env(MEASURED, events.to_string()).env(FOLDER, folder.path()))
}

/// Runs a measured process; returns the most memory that it had, in MB.
pub(crate) fn peak_mb_of(process: &mut Command) -> f64 {
    let output = process.output().expect("the benchmark starts itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let peak = text.lines().find_map(|line| line.strip_prefix("peak_kb="));
    let peak: f64 = peak.and_then(|kb| kb.parse().ok()).expect("it tells its memory");
    peak / 1e3
}

/// The process whose memory is measured.
pub(crate) fn commit_a_million() {
    let events: usize = std::env::var(MEASURED).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let folder = std::env::var_os(FOLDER).expect("the folder is given");
    let path = Path::new(&folder).join("store.db");
    let open = || {
        let connection = Connection::open_file(&path).expect("the database opens");
        replica(connection, Durability::Normal)
    };
    commit(&mut open(), events / GROUP, GROUP);
    let mut reopened = open();
    let (welcome, pages) = foreign_pages(100);
    pull(&mut reopened, welcome, pages);
    assert_eq!(reopened.status().pending_events, events as u64);
    println!("peak_kb={}", peak_kb());
}

/// Returns the most memory that this process ever had, in kB; 0 where the system does not tell.
pub(crate) fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
