//! A second process that follows a store: how soon it sees what is committed, how much of it in a second,
//! and how soon it can be asked at all.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use livestore::inspect::store_file;
use livestore::prelude::*;
use livestore::{StoreId, StoreOptions, Tier};
use livestore_bench::app::{Todo, schema, todo};
use livestore_bench::report::median;

use crate::Bench;
use crate::replica::fill_file;

const FOLDER: &str = "LIVESTORE_BENCH_LEAD";
const ROWS: usize = 100_000;
/// Events of one commit of the stream.
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells whether this process is the one that leads.
pub(crate) fn is_measured_process() -> bool {
    std::env::var_os(FOLDER).is_some()
}

fn open(folder: &Path) -> Store {
    // A replay of the log for comparison would hold up what is measured.
    let options = StoreOptions::new().check_materializers(false);
    let adapter = FileAdapter::new(folder);
    Store::open_with(schema(), store_id().as_str(), adapter, options).expect("the store opens")
}

fn store_id() -> StoreId {
    StoreId::new("bench").expect("a valid id")
}

/// The process that leads: it does what it is told to, line by line.
pub(crate) fn lead() {
    let folder = std::env::var_os(FOLDER).expect("the folder is given");
    let store = open(Path::new(&folder));
    let say = |line: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
    };
    say("leads");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            // Answers each commit of the other with one.
            Some(("answer", times)) => {
                let times: u64 = times.parse().expect("a number");
                let own = store.query_db(Todo::select().count());
                let (sender, seen) = mpsc::channel();
                let _subscription = own.subscribe(move |count| _ = sender.send(*count));
                let mut next = seen.recv().expect("it is called at once") + 1;
                say("ready");
                for _ in 0..times {
                    while seen.recv_timeout(PATIENCE).expect("the other commits") < next {}
                    store.commit(todo()).expect("the commit succeeds");
                    next += 2;
                }
            }
            Some(("commit", events)) => {
                let events: usize = events.parse().expect("a number");
                for _ in 0..events / BATCH {
                    let batch: Vec<_> = (0..BATCH).map(|_| todo()).collect();
                    store.commit(batch).expect("the commit succeeds");
                }
            }
            _ => panic!("{line:?} is nothing that can be done"),
        }
    }
}

struct Leader {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Leader {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the benchmark has a path"))
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the benchmark starts");
        let input = child.stdin.take().expect("its input is piped");
        let output = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut leader = Self { child, input, output };
        leader.expect("leads");
        leader
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it listens");
    }

    fn expect(&mut self, expected: &str) {
        let line = self.output.next().expect("it answers").expect("in UTF-8");
        assert_eq!(line, expected);
    }

    fn stop(mut self) {
        drop(self.input);
        self.child.wait().expect("it ends");
    }
}

fn follow(folder: &Path) -> Store {
    let store = open(folder);
    let tier = store.sync_status().expect("it is open").tier;
    assert!(matches!(tier, Tier::Session { .. }), "{tier:?}");
    store
}

/// From a commit in one process to the call of a subscriber in another: half of there and back.
pub(crate) fn latency(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let times: u32 = if bench.quick { 200 } else { 2_000 };
    let mut leader = Leader::start(folder.path());
    let store = follow(folder.path());
    leader.tell(&format!("answer {times}"));
    leader.expect("ready");
    let all = store.query_db(Todo::select().count());
    let (sender, seen) = mpsc::channel();
    let _subscription = all.subscribe(move |count| _ = sender.send(*count));
    let mut next = seen.recv().expect("it is called at once");
    let round = |_| {
        next += 2;
        let start = Instant::now();
        store.commit(todo()).expect("the commit succeeds");
        while seen.recv_timeout(PATIENCE).expect("the other answers") < next {}
        start.elapsed() / 2
    };
    let value_ms = median((0..times).map(round).collect()) / 1e3;
    leader.stop();
    bench.report.add("cross_process_latency_p50", value_ms, "ms", 2.0);
}

/// Events that another process commits and this one has in its state, by the second: the one figure of
/// which more is better.
pub(crate) fn throughput(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = if bench.quick { 100_000 } else { 400_000 };
    let mut leader = Leader::start(folder.path());
    let store = follow(folder.path());
    let all = store.query_db(Todo::select().count());
    let (sender, seen) = mpsc::channel();
    let _subscription = all.subscribe(move |count| _ = sender.send(*count));
    let start = Instant::now();
    leader.tell(&format!("commit {events}"));
    while seen.recv_timeout(PATIENCE).expect("the other commits") < events {}
    let per_second = events as f64 / start.elapsed().as_secs_f64();
    leader.stop();
    bench.report.add("cross_process_events_per_s", per_second, "/s", 50_000.0);
}

/// From nothing to the answer of the first query, in a process that follows a store of 100,000 rows.
pub(crate) fn attach(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fill_file(&store_file(folder.path(), &store_id()), ROWS);
    let leader = Leader::start(folder.path());
    let times = (0..if bench.quick { 5 } else { 20 }).map(|_| {
        let start = Instant::now();
        let store = follow(folder.path());
        let rows = store.query(Todo::select().count()).expect("the query runs");
        let time = start.elapsed();
        assert_eq!(rows, ROWS as u64);
        time
    });
    let value_ms = median(times.collect()) / 1e3;
    leader.stop();
    bench.report.add("attach_100k_rows", value_ms, "ms", 150.0);
}
