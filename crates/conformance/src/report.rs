//! What a check has found.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What every case found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The cases, in order.
    pub cases: Vec<CaseReport>,
}

/// What one case found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    /// What has to hold.
    pub name: &'static str,
    /// Whether it does.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// Whether something holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    /// It does.
    Passed,
    /// It could not be tried.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// It does not.
    Failed {
        /// What was seen instead.
        reason: String,
    },
}

/// What a case returns.
pub(crate) type Case = Result<(), Unmet>;

/// Why a case did not pass.
#[derive(Debug)]
pub(crate) enum Unmet {
    Skipped(String),
    Failed(String),
}

/// Says that something does not hold.
pub(crate) fn failed<T>(reason: impl Into<String>) -> Result<T, Unmet> {
    Err(Unmet::Failed(reason.into()))
}

/// Says that something cannot be tried.
pub(crate) fn skipped<T>(reason: impl Into<String>) -> Result<T, Unmet> {
    Err(Unmet::Skipped(reason.into()))
}

/// Checks that two things are the same.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, found: &T, expected: &T) -> Case {
    if found == expected {
        return Ok(());
    }
    failed(format!("{what}: found {}, expected {}", cut(found), cut(expected)))
}

/// Longest value that is shown, in characters.
const SHOWN: usize = 400;

pub(crate) fn cut(value: &impl fmt::Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Report {
    /// Tells whether nothing failed.
    pub fn is_ok(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. })) == 0
    }

    /// Counts the cases whose outcome is such.
    pub fn count(&self, is_such: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| is_such(&case.outcome)).count()
    }

    /// Adds what others have found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.cases.extend(other.cases);
        self
    }

    pub(crate) fn add(&mut self, name: &'static str, begin: Instant, case: Case) -> &CaseReport {
        let outcome = match case {
            Ok(()) => Outcome::Passed,
            Err(Unmet::Skipped(reason)) => Outcome::Skipped { reason },
            Err(Unmet::Failed(reason)) => Outcome::Failed { reason },
        };
        let took: Duration = begin.elapsed();
        let at = self.cases.len();
        self.cases.push(CaseReport { name, outcome, ms: took.as_millis() as u64 });
        &self.cases[at]
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, outcome, ms } = self;
        match outcome {
            Outcome::Passed => write!(f, "ok       {ms:>6} ms  {name}"),
            Outcome::Skipped { reason } => write!(f, "skipped  {ms:>6} ms  {name}: {reason}"),
            Outcome::Failed { reason } => write!(f, "FAILED   {ms:>6} ms  {name}: {reason}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))?;
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed { .. }));
        let skipped = self.cases.len() - passed - failed;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
