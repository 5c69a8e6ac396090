//! All cases. Run them with `cargo xtask bench`.

#![allow(missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use livestore_bench::report::Report;

mod commits;
mod graph;
mod live;
mod queries;
mod replica;
mod sessions;
mod state;

/// Calls of one side between two calls of the other.
const TURN: u64 = 8;

type Case = fn(&mut Bench);

const CASES: &[(&str, Case)] = &[
    ("commit_one_memory", commits::one_in_memory),
    ("commit_one_file_normal", commits::one_in_a_file),
    ("commit_batch_1000", commits::batch_of_1000),
    ("commit_loop_10k_growth", commits::growth_over_10k),
    ("query_point", queries::point),
    ("query_list_10k", queries::list_of_10k),
    ("rebase_1000_over_1000", replica::rebase_1000_over_1000),
    ("rebase_commands_1000", replica::rebase_commands_1000),
    ("open_20k_pending", replica::open_20k_pending),
    ("apply_upstream_10k", replica::apply_upstream_10k),
    ("rss_1m_pending", replica::memory_of_1m_pending),
    ("rebuild_100k", state::rebuild_100k),
    ("open_100k_events", state::open_100k_events),
    ("rss_100k_todos", state::memory_of_100k_todos),
    ("file_bytes_per_event", state::file_bytes_per_event),
    ("graph_deep", graph::graph_deep),
    ("graph_broad", graph::graph_broad),
    ("graph_diamond", graph::graph_diamond),
    ("graph_triangle", graph::graph_triangle),
    ("graph_repeated", graph::graph_repeated),
    ("graph_avoidable", graph::graph_avoidable),
    ("live_point_1000", live::point_1000),
    ("live_point_100000", live::point_100000),
    ("live_range_1000", live::range_1000),
    ("live_sorted_100k_update", live::sorted_100k_update),
    ("live_subscribers_1000", live::subscribers_1000),
    ("live_grouped_100k", live::grouped_100k),
    ("live_grouped_text_100k", live::grouped_text_100k),
    ("live_joined_50", live::joined_50),
    ("live_joined_10k", live::joined_10k),
    ("cross_process_latency_p50", sessions::latency),
    ("cross_process_events_per_s", sessions::throughput),
    ("attach_100k_rows", sessions::attach),
];

struct Bench {
    criterion: Criterion,
    quick: bool,
    report: Report,
}

fn main() {
    if replica::is_measured_process() {
        return replica::commit_a_million();
    }
    if sessions::is_measured_process() {
        return sessions::lead();
    }
    if state::is_measured_process() {
        return state::read_a_page();
    }
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
