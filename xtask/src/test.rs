//! `cargo xtask test` and `cargo xtask soak`.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::process::{self, cargo, show};
use crate::{Outcome, install};

/// How often the crash test kills a process in the suite, and in a soak.
const KILLS: u32 = 20;
const SOAK_KILLS: u32 = 200;
/// Rounds of processes that share a store, in the suite and in a soak.
const ROUNDS: u32 = 20;
const SOAK_ROUNDS: u32 = 200;
/// Runs of stores on a backend without ids while the network fails, in a soak; the suite makes three.
const SOAK_STORMS: &str = "100";
/// Cases of each property test in a soak; the suite takes proptest's 256.
const SOAK_CASES: u32 = 2_000;
/// Cases of the truth of live queries in a soak, and subscriptions that begin and end; the suite takes
/// 1,000 and 20,000.
const SOAK_LIVE_CASES: &str = "100000";
const SOAK_LIVE_CYCLES: &str = "1000000";
/// Seeds of the simulator in the suite, and in a soak.
const SEEDS: u32 = 300;
const SOAK_SEEDS: u32 = 20_000;
/// Mutated inputs of each fuzz target in a soak.
const FUZZ_RUNS: &str = "200000";
/// Random images of a power cut for each moment in a soak.
const CRASH_IMAGES: &str = "50";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install nothing; print what to install instead
    #[arg(long)]
    no_install: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SoakArgs {
    /// How often the crash test kills a committing process
    #[arg(long, default_value_t = SOAK_KILLS)]
    kills: u32,
    /// Rounds of processes that share a store and are killed and frozen
    #[arg(long, default_value_t = SOAK_ROUNDS)]
    rounds: u32,
    /// Cases of each property test
    #[arg(long, default_value_t = SOAK_CASES)]
    cases: u32,
    /// Seeds of the simulator
    #[arg(long, default_value_t = SOAK_SEEDS)]
    seeds: u32,
}

/// Runs parts one after the other and remembers how long each took.
#[derive(Default)]
struct Parts(Vec<(&'static str, Duration)>);

impl Parts {
    fn run(&mut self, name: &'static str, command: &mut Command) -> Outcome {
        println!("\n== {name}: {}", show(command));
        let start = Instant::now();
        process::run(command)?;
        self.0.push((name, start.elapsed()));
        Ok(())
    }

    fn print(&self) {
        println!("\nPart                 Seconds");
        for (name, time) in &self.0 {
            println!("{name:<20} {:>7.1}", time.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        println!("{:<20} {:>7.1}", "total", total.as_secs_f64());
    }
}

fn demo_check() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--"]);
    command.args(["demo", "--check", "--profile", "dev"]);
    command
}

/// The simulator's features must not be in what the other parts test.
const WITHOUT_SIM: [&str; 3] = ["--workspace", "--exclude", "livestore-sim"];

/// The simulator, built with optimization: it is worth its time by the number of its steps.
fn simulator(args: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--package", "livestore-sim", "--"]);
    command.args(args);
    command
}

fn interop() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--", "interop"]);
    command
}

fn web() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "xtask", "--", "web", "--test"]);
    command
}

fn documentation() -> Command {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

pub(crate) fn run(args: &Args) -> Outcome {
    install::install_missing(&Machine::this(!args.no_install))?;
    process::keep_build_cache();
    let mut parts = Parts::default();
    let warnings = ["--", "-D", "warnings"];
    parts.run("format", cargo().args(["fmt", "--all", "--check"]))?;
    parts.run(
        "clippy",
        cargo().args(["clippy", "--workspace", "--all-targets", "--locked"]).args(warnings),
    )?;
    let no_run = ["test", "--all-targets", "--locked", "--no-run"];
    parts.run("build tests", cargo().args(no_run).args(WITHOUT_SIM))?;
    parts.run(
        "tests",
        cargo()
            .args(["test", "--lib", "--bins", "--tests", "--locked"])
            .args(WITHOUT_SIM)
            .env("LIVESTORE_KILLS", KILLS.to_string())
            .env("LIVESTORE_ROUNDS", ROUNDS.to_string()),
    )?;
    parts.run("doctests", cargo().args(["test", "--doc", "--locked"]).args(WITHOUT_SIM))?;
    parts.run("documentation", &mut documentation())?;
    parts.run("demo", &mut demo_check())?;
    parts.run("interop", &mut interop())?;
    parts.run("web", &mut web())?;
    let sim_tests = ["test", "--release", "--locked", "--package", "livestore-sim"];
    parts.run("simulator's tests", cargo().args(sim_tests))?;
    parts.run("simulator", &mut simulator(&["--threads", "2", "--seeds", &SEEDS.to_string()]))?;
    parts.run("mutants", &mut simulator(&["--mutants", "--threads", "2"]))?;
    parts.print();
    Ok(())
}

pub(crate) fn soak(args: &SoakArgs) -> Outcome {
    let mut parts = Parts::default();
    parts.run(
        "simulator",
        &mut simulator(&["--threads", "2", "--json", "--seeds", &args.seeds.to_string()]),
    )?;
    parts.run("mutants", &mut simulator(&["--mutants", "--threads", "2"]))?;
    let crash = ["test", "--release", "--package", "livestore-rs", "--test", "livestore"];
    let kills = args.kills.to_string();
    parts.run(
        "kills",
        cargo().args(crash).args(["--", "crash", "--nocapture"]).env("LIVESTORE_KILLS", &kills),
    )?;
    let rounds = args.rounds.to_string();
    parts.run(
        "shared stores",
        cargo()
            .args(crash)
            .args(["--", "processes", "--nocapture"])
            .env("LIVESTORE_ROUNDS", &rounds),
    )?;
    parts.run(
        "live queries",
        cargo().args(crash).args(["--", "live_truth"]).env("PROPTEST_CASES", SOAK_LIVE_CASES),
    )?;
    let memory = ["test", "--release", "--package", "livestore-rs", "--test", "live_memory"];
    parts.run(
        "their memory",
        cargo().args(memory).args(["--", "--nocapture"]).env("LIVESTORE_CYCLES", SOAK_LIVE_CYCLES),
    )?;
    let both_ends = ["test", "--release", "--package", "livestore-cli", "--test", "cli"];
    parts.run(
        "kills, both ends",
        cargo().args(both_ends).args(["--", "kills", "--nocapture"]).env("LIVESTORE_KILLS", &kills),
    )?;
    let storms = ["test", "--release", "--package", "livestore-sync-cf", "--test", "sync_cf"];
    parts.run(
        "storms",
        cargo().args(storms).args(["--", "whatever"]).env("LIVESTORE_STORMS", SOAK_STORMS),
    )?;
    parts.run(
        "properties",
        cargo()
            .args(["test", "--release", "--lib", "--tests", "--exclude", "xtask"])
            .args(WITHOUT_SIM)
            .env("PROPTEST_CASES", args.cases.to_string())
            .env("LIVESTORE_TAIL", "20000")
            .env("LIVESTORE_FUZZ_RUNS", FUZZ_RUNS)
            .env("LIVESTORE_CRASH_IMAGES", CRASH_IMAGES),
    )?;
    parts.print();
    Ok(())
}

/// Checks what `deny.toml` says.
pub(crate) fn deny() -> Outcome {
    if !process::answers("cargo-deny", "--version") {
        println!("Missing: cargo-deny. Installing it: cargo install cargo-deny --locked");
        process::run(cargo().args(["install", "cargo-deny", "--locked"]))?;
    }
    // Advisories need the advisory database from the network; the rest does not.
    process::run(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
