//! The spine's cases. Run with `cargo xtask bench`.

#![allow(missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use livestore::prelude::*;
use livestore_bench::app::{Todo, schema, todo};
use livestore_bench::plain::{Plain, PlainEvent};
use livestore_bench::report::{Report, median};

/// Calls of one side between two calls of the other.
const TURN: u64 = 8;
const ROWS: usize = 10_000;

type Case = fn(&mut Bench);

const CASES: &[(&str, Case)] = &[
    ("commit_one_memory", commit_one_memory),
    ("commit_one_file_normal", commit_one_file_normal),
    ("commit_batch_1000", commit_batch_1000),
    ("commit_loop_10k_growth", commit_loop_10k_growth),
    ("query_point", query_point),
    ("query_list_10k", query_list_10k),
];

struct Bench {
    criterion: Criterion,
    quick: bool,
    report: Report,
}

fn main() {
    let names: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let unknown = names.iter().find(|name| !CASES.iter().any(|(case, _)| case == name));
    if let Some(name) = unknown {
        let known: Vec<_> = CASES.iter().map(|(case, _)| *case).collect();
        eprintln!("there is no case {name}; there are {}", known.join(", "));
        std::process::exit(2);
    }
    let quick = std::env::var_os("LIVESTORE_BENCH_QUICK").is_some();
    let seconds =
        |quick_seconds, full| Duration::from_secs(if quick { quick_seconds } else { full });
    let criterion = Criterion::default()
        .without_plots()
        .warm_up_time(seconds(1, 3))
        .measurement_time(seconds(3, 10))
        .sample_size(if quick { 20 } else { 100 });
    let mut bench = Bench { criterion, quick, report: Report::new() };
    for (name, case) in CASES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            case(&mut bench);
        }
    }
    bench.report.print();
    if let Some(path) = std::env::var_os("LIVESTORE_BENCH_JSON") {
        let json = serde_json::to_string_pretty(&bench.report).expect("figures have a JSON form");
        if let Err(error) = std::fs::write(Path::new(&path), json + "\n") {
            eprintln!("{}: {error}", Path::new(&path).display());
            std::process::exit(1);
        }
    }
}

impl Bench {
    /// Measures both sides with criterion, while the other side runs in turns with it.
    ///
    /// So both meet the same machine, with databases of the same size and caches as cold. The
    /// inputs are made before the clock runs.
    fn compare(
        &mut self,
        name: &'static str,
        unit: &'static str,
        mut ours: Side<'_, impl Sized>,
        mut plain: Side<'_, impl Sized>,
    ) {
        let mut group = self.criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function("livestore", |bencher| {
            bencher.iter_custom(|calls| in_turns(calls, &mut ours, &mut plain));
        });
        group.bench_function("limit", |bencher| {
            bencher.iter_custom(|calls| in_turns(calls, &mut plain, &mut ours));
        });
        group.finish();
        let per_ns = match unit {
            "us" => 1e-3,
            "ms" => 1e-6,
            _ => 1.0,
        };
        let figure = |side| estimate_ns(name, side) * per_ns;
        self.report.add(name, figure("livestore"), unit, figure("limit"));
    }
}

/// One side of a comparison: how to make an input, and what to do with it.
struct Side<'a, I> {
    input: Box<dyn FnMut() -> I + 'a>,
    call: Box<dyn FnMut(I) + 'a>,
}

impl<'a, I> Side<'a, I> {
    fn new(input: impl FnMut() -> I + 'a, call: impl FnMut(I) + 'a) -> Self {
        Self { input: Box::new(input), call: Box::new(call) }
    }

    fn run(&mut self, calls: u64) -> Duration {
        let inputs: Vec<I> = (0..calls).map(|_| (self.input)()).collect();
        let start = Instant::now();
        for input in inputs {
            (self.call)(input);
        }
        start.elapsed()
    }
}

/// Times calls of the first side, with as many untimed calls of the second in between.
fn in_turns<A, B>(calls: u64, timed: &mut Side<'_, A>, other: &mut Side<'_, B>) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = calls;
    while left > 0 {
        let turn = left.min(TURN);
        total += timed.run(turn);
        other.run(turn);
        left -= turn;
    }
    total
}

/// Reads the median that criterion has just written.
fn estimate_ns(name: &str, side: &str) -> f64 {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("../../target".into());
    let home = std::env::var_os("CRITERION_HOME")
        .map_or_else(|| Path::new(&target).join("criterion"), Into::into);
    let path = home.join(name).join(side).join("new/estimates.json");
    let text = std::fs::read_to_string(&path).expect("criterion has written its estimates");
    let estimates: serde_json::Value = serde_json::from_str(&text).expect("estimates are JSON");
    estimates["median"]["point_estimate"].as_f64().expect("estimates hold a median")
}

fn memory_store() -> Store {
    Store::open(schema(), "bench", MemoryAdapter::new()).expect("a memory store opens")
}

fn commit_one_memory(bench: &mut Bench) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    bench.compare(
        "commit_one_memory",
        "us",
        Side::new(todo, |event| drop(store.commit(event).expect("the commit succeeds"))),
        Side::new(PlainEvent::new, |event| plain.commit(&[event]).expect("the commit succeeds")),
    );
}

fn commit_one_file_normal(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open(schema(), "bench", adapter).expect("a file store opens");
    let mut plain = Plain::file(&folder.path().join("plain.db")).expect("a database opens");
    bench.compare(
        "commit_one_file_normal",
        "us",
        Side::new(todo, |event| drop(store.commit(event).expect("the commit succeeds"))),
        Side::new(PlainEvent::new, |event| plain.commit(&[event]).expect("the commit succeeds")),
    );
}

fn commit_batch_1000(bench: &mut Bench) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    bench.compare(
        "commit_batch_1000",
        "ms",
        Side::new(
            || (0..1_000).map(|_| todo()).collect::<Vec<_>>(),
            |events| drop(store.commit(events).expect("the commit succeeds")),
        ),
        Side::new(
            || (0..1_000).map(|_| PlainEvent::new()).collect::<Vec<_>>(),
            |events| plain.commit(&events).expect("the commit succeeds"),
        ),
    );
}

/// The last tenth of a loop of commits, beside its first: a commit must not get slower by what is
/// pending already.
fn commit_loop_10k_growth(bench: &mut Bench) {
    let loops = if bench.quick { 10 } else { 40 };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..loops {
        let store = memory_store();
        for commit in 0..ROWS {
            let event = todo();
            let start = Instant::now();
            drop(store.commit(event).expect("the commit succeeds"));
            let time = start.elapsed();
            match commit * 10 / ROWS {
                0 => first.push(time),
                9 => last.push(time),
                _ => {}
            }
        }
    }
    bench.report.add("commit_loop_10k_growth", median(last), "us", median(first));
}

fn filled() -> (Store, Plain, Vec<String>) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    let mut ids = Vec::with_capacity(ROWS);
    for _ in 0..ROWS / 100 {
        let events: Vec<_> = (0..100).map(|_| todo()).collect();
        ids.extend(events.iter().map(|event| event.id.clone()));
        store.commit(events).expect("the commit succeeds");
        let events: Vec<_> = (0..100).map(|_| PlainEvent::new()).collect();
        plain.commit(&events).expect("the commit succeeds");
    }
    (store, plain, ids)
}

fn query_point(bench: &mut Bench) {
    let (store, plain, ids) = filled();
    let rows = plain.list().expect("the query runs");
    // Jump about, so that not every read finds its page where the last one left it.
    let (mut ours, mut theirs) = (0, 0);
    let step = |at: &mut usize| {
        *at = (*at + 7_919) % ROWS;
        *at
    };
    bench.compare(
        "query_point",
        "us",
        Side::new(
            || ids[step(&mut ours)].as_str(),
            |id| {
                let row = store.query(Todo::select().filter(Todo::id.eq(id)).first());
                assert!(row.expect("the query runs").is_some());
            },
        ),
        Side::new(
            || rows[step(&mut theirs)].0.as_str(),
            |id| drop(std::hint::black_box(plain.point(id).expect("the query runs"))),
        ),
    );
}

fn query_list_10k(bench: &mut Bench) {
    let (store, plain, _) = filled();
    bench.compare(
        "query_list_10k",
        "ms",
        Side::new(
            || (),
            |()| {
                let rows = store.query(Todo::select().order_by(Todo::id)).expect("the query runs");
                assert_eq!(rows.len(), ROWS);
            },
        ),
        Side::new(|| (), |()| assert_eq!(plain.list().expect("the query runs").len(), ROWS)),
    );
}
