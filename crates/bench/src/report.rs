//! Collecting the figures, and writing them down.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One case's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What LiveStore takes.
    pub value: f64,
    /// The unit of `value` and `limit`.
    pub unit: &'static str,
    /// What plain SQLite takes; for a growth, 1.
    pub limit: f64,
    /// `value / limit`.
    pub ratio_to_limit: f64,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it ran on.
    pub machine: BTreeMap<&'static str, String>,
    /// The cases by name.
    pub cases: BTreeMap<&'static str, Case>,
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// Starts an empty report.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let machine = BTreeMap::from([
            ("os", std::env::consts::OS.to_owned()),
            ("arch", std::env::consts::ARCH.to_owned()),
            ("cores", cores.to_string()),
            ("sqlite", livestore_sqlite::rusqlite::version().to_owned()),
        ]);
        Self { machine, cases: BTreeMap::new() }
    }

    /// Adds a case.
    pub fn add(&mut self, name: &'static str, value: f64, unit: &'static str, limit: f64) {
        let ratio_to_limit = value / limit;
        self.cases.insert(name, Case { value, unit, limit, ratio_to_limit });
    }

    /// Prints the cases as a table.
    pub fn print(&self) {
        println!("\n{:<28} {:>12} {:>12} {:>8}", "case", "LiveStore", "limit", "ratio");
        for (name, case) in &self.cases {
            let Case { value, unit, limit, ratio_to_limit } = case;
            println!(
                "{name:<28} {value:>9.2} {unit:<2} {limit:>9.2} {unit:<2} {ratio_to_limit:>7.2}×"
            );
        }
    }
}

/// Returns the median, in µs.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
