//! The simulator's command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use livestore_core::mutant::{self, Mutant};
use livestore_sim::{Counts, Sometimes, Trace, minimise, run_seed};

/// Also SQLite's, by the crate's feature `override`: a simulation allocates more than it thinks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds from which on every situation has to have come up.
const SEEDS_FOR_ALL_POINTS: u64 = 2_000;
/// Seeds within which a bug has to be found.
const SEEDS_FOR_A_MUTANT: u64 = 2_000;
/// How long a failing run is cut down.
const MINIMISE_FOR: Duration = Duration::from_secs(20);

/// Runs real replicas and the real server log on a simulated network, disk and clock.
#[derive(Debug, Parser)]
#[command(name = "livestore-sim", max_term_width = 100)]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, or bugs, to try at a time
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
    /// Also tell how often each situation came up that has to
    #[arg(long)]
    points: bool,
    /// Bring known bugs back, one at a time, and see whether they are found
    #[arg(long)]
    mutants: bool,
    /// Tell what happens in a recorded run, instead of running seeds
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_good = match &args.trace {
        Some(path) => tell(path),
        None if args.mutants => try_mutants(&args),
        None => run_seeds(&args),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(path: &std::path::Path) -> bool {
    let trace = match Trace::read(path) {
        Ok(trace) => trace,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            return false;
        }
    };
    let (run, story) = trace.tell();
    for line in &story {
        println!("{line}");
    }
    match run.violation {
        Some(violation) => println!("violation: {violation}"),
        None => println!("no violation"),
    }
    true
}

/// What all runs together came to.
#[derive(Default)]
struct Total {
    counts: Counts,
    sometimes: Sometimes,
    violations: u64,
}

fn run_seeds(args: &Args) -> bool {
    let begin = Instant::now();
    let (next, has_failed) = (AtomicU64::new(args.seed), AtomicBool::new(false));
    let total = Mutex::new(Total::default());
    let end = args.seed + args.seeds;
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || has_failed.load(Ordering::Relaxed) {
                        break;
                    }
                    let (trace, run) = run_seed(seed);
                    let mut total = total.lock().expect("no run panics while it counts");
                    total.counts.add(run.counts);
                    total.sometimes.merge(&run.sometimes);
                    if let Some(violation) = run.violation {
                        total.violations += 1;
                        has_failed.store(true, Ordering::Relaxed);
                        drop(total);
                        report(seed, &trace, &violation.to_string());
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no run panics while it counts");
    let seconds = begin.elapsed().as_secs_f64();
    let Counts { steps, events, rebases, kills, restores, takeovers } = total.counts;
    let mut is_good = total.violations == 0;
    if is_good && args.seeds >= SEEDS_FOR_ALL_POINTS {
        for point in total.sometimes.missing() {
            is_good = false;
            println!("never came up: {point}");
        }
    }
    if args.points {
        for (point, count) in total.sometimes.iter() {
            println!("{count:>9}  {point}");
        }
    }
    println!(
        "{} seeds, {steps} steps, {events} events, {rebases} rebases, {kills} kills, {restores} \
         restores, {takeovers} take-overs, {} violations, {seconds:.1} s, {:.0} steps/s",
        args.seeds,
        total.violations,
        steps as f64 / seconds
    );
    if args.json {
        let json = serde_json::json!({
            "seeds": args.seeds, "steps": steps, "events": events, "rebases": rebases,
            "kills": kills, "restores": restores, "takeovers": takeovers, "violations": total.violations,
            "seconds": (seconds * 10.0).round() / 10.0,
        });
        println!("{json}");
    }
    is_good
}

fn report(seed: u64, trace: &Trace, violation: &str) {
    println!("seed {seed}: {violation}");
    println!("cutting the trace down, for up to {} s …", MINIMISE_FOR.as_secs());
    let small = minimise(trace, MINIMISE_FOR);
    let path = PathBuf::from(format!("failing-{seed}.json"));
    match small.write(&path) {
        Ok(()) => println!(
            "{} of {} steps are left: livestore-sim --trace {}",
            small.steps.len(),
            trace.steps.len(),
            path.display()
        ),
        Err(error) => println!("the trace could not be written: {error}"),
    }
    println!("the whole run: livestore-sim --seed {seed} --seeds 1");
}

fn try_mutants(args: &Args) -> bool {
    let next = AtomicUsize::new(0);
    let all_found = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                while let Some(bug) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !try_mutant(*bug, args.seed) {
                        all_found.store(false, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    all_found.into_inner()
}

/// Tells whether a bug is found, and prints by what.
fn try_mutant(bug: Mutant, first: u64) -> bool {
    let begin = Instant::now();
    mutant::activate(Some(bug));
    let found = (first..first + SEEDS_FOR_A_MUTANT).find_map(|seed| Some((seed, failure(seed)?)));
    mutant::activate(None);
    let seconds = begin.elapsed().as_secs_f64();
    let Some((seed, check)) = found else {
        println!("{bug:?}: survives {SEEDS_FOR_A_MUTANT} seeds, {seconds:.1} s");
        return false;
    };
    let seeds = seed - first + 1;
    // What is wrong anyway would be found in the name of every bug.
    if let Some(check) = failure(seed) {
        println!("{bug:?}: seed {seed} fails without it as well, by {check}");
        return false;
    }
    println!("{bug:?}: found after {seeds} seeds by {check}, {seconds:.1} s");
    true
}

/// Runs a seed, and returns the check that failed.
fn failure(seed: u64) -> Option<&'static str> {
    run_seed(seed).1.violation.map(|found| found.check)
}
