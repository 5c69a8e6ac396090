//! Rust in the browser: what clippy has to say of it, and its tests, which wasm-bindgen-test's runner runs.

use std::process::Command;

use super::toolchain::{TARGET, Toolchain};
use crate::Outcome;
use crate::process::{self, answers, root, run};

/// What drives the browser that has the page.
const DRIVER: &str = "chromedriver";

/// What is compiled for browsers otherwise than elsewhere, or for nothing else.
const PACKAGES: [&str; 4] = ["livestore-rs", "livestore-sync-ws", "livestore-web", "todos-wasm"];

/// Lets clippy look at what is there only in browsers.
pub(super) fn check(toolchain: &Toolchain) -> Outcome {
    let mut cargo = cargo(toolchain)?;
    cargo
        .args(["clippy", "--locked", "--target", TARGET])
        .args(PACKAGES.into_iter().flat_map(|name| ["--package", name]))
        .args(["--", "-D", "warnings"]);
    run(&mut cargo)
}

/// Tests the example in Node, and its page in a browser, if there is one.
pub(super) fn test(toolchain: &Toolchain) -> Outcome {
    let target = process::target_dir()?;
    run(process::cargo().args(["build", "--locked", "--package", "wasm-test-runner"]))?;
    let runner = format!("debug/wasm-test-runner{}", std::env::consts::EXE_SUFFIX);
    let mut tests = vec!["engine"];
    if answers(DRIVER, "--version") {
        tests.push("page");
    } else {
        println!("Left out: the page of examples/todos-wasm, since there is no {DRIVER}");
    }
    let mut cargo = cargo(toolchain)?;
    cargo
        // Not with --quiet, which the runner does not know.
        .args(["test", "--locked", "--target", TARGET, "--package", "todos-wasm"])
        .args(tests.into_iter().flat_map(|name| ["--test", name]))
        .env(runner_variable(), target.join(runner))
        // Other drivers that are there are not asked.
        .env(DRIVER.to_uppercase(), DRIVER);
    run(&mut cargo)
}

/// Starts a cargo command that builds for tests.
fn cargo(toolchain: &Toolchain) -> Result<Command, Box<dyn std::error::Error>> {
    let builds = process::target_dir()?.join("web/build");
    toolchain.settle(&builds)?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root())
        .env("CARGO_TARGET_DIR", builds.join("rust"))
        // What runs the tests reads all of it each time.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    Ok(cargo)
}

/// What tells cargo who runs what it has built.
fn runner_variable() -> String {
    format!("CARGO_TARGET_{}_RUNNER", TARGET.replace('-', "_").to_uppercase())
}
