//! `cargo xtask bench --web`: the npm packages in Chromium, beside LiveStore 0.4.0 in the same page.
//!
//! `tests/bench-web` knows what is measured and how much faster we have to be.

use std::error::Error;
use std::process::Stdio;

use serde::Deserialize;

use super::Args;
use crate::Outcome;
use crate::npm;
use crate::process::{answers, root, show};
use crate::web::make_packages;

#[derive(Debug, Deserialize)]
struct Report {
    machine: Machine,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    browser: String,
    cores: usize,
    /// How many processes wanted to run, on average of the last minute.
    load: f64,
}

/// One case's figures; times are in µs.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    value: f64,
    livestore: f64,
    /// How many times as fast as LiveStore we are.
    ratio: f64,
    demanded: f64,
}

impl Case {
    fn is_met(&self) -> bool {
        self.ratio >= self.demanded
    }
}

pub(super) fn run_all(args: &Args) -> Outcome {
    // Before minutes of building.
    let browser = browser()?;
    make_packages()?;
    npm::install(&root().join("tests/interop"))?;
    let output = measure(args, &browser)?;
    if let Some(file) = &args.json {
        std::fs::write(file, &output)?;
    }
    let report: Report = serde_json::from_slice(&output)?;
    print(&report);
    let missed: Vec<_> =
        report.cases.iter().filter(|case| !case.is_met()).map(|case| &*case.name).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(format!("not as much faster than LiveStore as demanded: {}", missed.join(", ")).into())
}

/// Returns where the browser is.
fn browser() -> Result<String, Box<dyn Error>> {
    let path = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    if answers(&path, "--version") {
        return Ok(path);
    }
    let advice = "install it, on Debian with `apt-get install chromium`, or let CHROMIUM name it";
    Err(format!("there is no Chromium at {path}: {advice}").into())
}

/// Runs all in the browser, and returns the figures as JSON.
fn measure(args: &Args, browser: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut node = npm::tool("node")?;
    node.arg("tests/bench-web/run.mjs").env("CHROMIUM", browser);
    if args.quick {
        node.arg("--quick");
    }
    node.args(&args.names).stderr(Stdio::inherit());
    let output = node.output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{}: {}", show(&node), output.status).into())
}

fn print(Report { machine: Machine { browser, cores, load }, cases }: &Report) {
    println!("\nChromium {browser}, {cores} cores, load {load:.1}; times in µs");
    println!("{:<24} {:>12} {:>12} {:>9} {:>9}", "case", "ours", "LiveStore", "ratio", "demanded");
    for case in cases {
        let Case { name, value, livestore, ratio, demanded } = case;
        let verdict = if case.is_met() { "ok" } else { "MISSED" };
        println!(
            "{name:<24} {value:>12.1} {livestore:>12.1} {ratio:>8.1}× {demanded:>8.0}× {verdict}"
        );
    }
}
