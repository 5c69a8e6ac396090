//! Builds what browsers and Node load, weighs it and tries it.

pub(crate) mod demo;
mod engine;
mod order;
pub(crate) mod packages;
mod rust;
mod size;
pub(crate) mod toolchain;

use std::process::Command;

use engine::Build;
use toolchain::First;

use crate::Outcome;
use crate::process::{self, root, run};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the sizes as JSON
    #[arg(long)]
    json: bool,
    /// Run the tests, in Node and in Chromium, and build no more than they need
    #[arg(long, conflicts_with = "json")]
    test: bool,
}

/// The tests of the engine itself.
const TESTS: [&str; 3] = ["engine", "panic", "sync"];

pub(crate) fn run_all(args: &Args) -> Outcome {
    if args.test {
        return test();
    }
    if args.json {
        process::print_json();
    }
    packages::make(&toolchain::ready(First::Rustup)?, &[Build::Default, Build::Fts5])?;
    run(&mut engine_tests(Build::Fts5, &["fts5"])?)?;
    size::report(args.json)
}

/// Builds the packages with the default build of the engine, as they are needed here.
pub(crate) fn make_packages() -> Outcome {
    packages::make(&toolchain::ready(First::Rustup)?, &[Build::Default])
}

fn test() -> Outcome {
    let toolchain = toolchain::ready(First::Debian)?;
    packages::make(&toolchain, &[Build::Default])?;
    run(engine_tests(Build::Default, &TESTS)?.env("LIVESTORE_CLI", packages::server()?))?;
    rust::check(&toolchain)?;
    rust::test(&toolchain)?;
    packages::test()?;
    size::check()
}

/// Tests of the engine itself, in Node.
fn engine_tests(build: Build, names: &[&str]) -> Result<Command, Box<dyn std::error::Error>> {
    let mut node = Command::new("node");
    node.current_dir(root())
        // In Node 20, the WebSocket has to be asked for.
        .args(["--experimental-websocket", "--test"])
        .args(names.iter().map(|name| format!("crates/web/tests/{name}.test.mjs")))
        .env("LIVESTORE_ENGINE", process::target_dir()?.join("web").join(build.name()));
    Ok(node)
}
