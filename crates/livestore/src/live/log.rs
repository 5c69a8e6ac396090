//! The log of the last refreshes, for developers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Refreshes that are kept.
const MAX_REFRESHES: usize = 100;
/// Queries that are kept of one refresh.
const MAX_QUERIES: usize = 50;
/// Longest name of a query, in characters; of a longer one, that is the beginning.
const MAX_NAME: usize = 200;

/// What one change of the state meant for the live queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Refresh {
    /// When it was, in milliseconds since 1970.
    pub at_ms: u64,
    /// What had changed.
    pub causes: Vec<RefreshCause>,
    /// Queries that were looked at.
    pub considered: usize,
    /// Those among them that it concerned, and that did not have news already.
    pub concerned: usize,
    /// The queries that were brought up to date, up to 50; those that were asked for later come with the
    /// latest refresh before.
    pub queries: Vec<QueryRefresh>,
    /// How many there were in all.
    pub total: usize,
}

/// A table that had changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RefreshCause {
    /// Its name.
    pub table: String,
    /// How many of its rows, if that is known.
    pub rows: Option<usize>,
}

/// A query that was brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct QueryRefresh {
    /// Its label, or else its text.
    pub query: String,
    /// How it was done.
    pub outcome: RefreshOutcome,
    /// Whether its result changed.
    pub changed: bool,
    /// How long it took; in JSON `tookNs`, in nanoseconds.
    #[serde(rename = "tookNs", with = "nanoseconds")]
    pub took: Duration,
}

/// How a query was brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefreshOutcome {
    /// It was run.
    Ran,
    /// Its result was changed row by row.
    Maintained,
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { causes, considered, concerned, queries, total, .. } = self;
        for (index, RefreshCause { table, rows }) in causes.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            match rows {
                Some(1) => write!(f, "1 row of {table}")?,
                Some(rows) => write!(f, "{rows} rows of {table}")?,
                None => write!(f, "all of {table}")?,
            }
        }
        write!(f, ": {considered} considered, {concerned} concerned")?;
        for QueryRefresh { query, outcome, changed, took } in queries {
            let outcome = match outcome {
                RefreshOutcome::Ran => "run",
                RefreshOutcome::Maintained => "maintained",
            };
            let changed = if *changed { "changed" } else { "unchanged" };
            write!(f, "\n  {took:>10.1?}  {outcome:<10}  {changed:<9}  {query}")?;
        }
        match total.saturating_sub(queries.len()) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[derive(Default)]
struct Log(VecDeque<Entry>);

/// The log, for all who add to it and read it.
#[derive(Default)]
pub(crate) struct RefreshLog(Mutex<Log>);

impl RefreshLog {
    fn lock(&self) -> MutexGuard<'_, Log> {
        // What is written to it is written at once, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a refresh.
    pub(super) fn begin(&self, refresh: Refresh) {
        self.lock().begin(refresh);
    }

    /// Notes that a query was brought up to date.
    pub(super) fn ran(
        &self,
        name: impl FnOnce() -> Arc<str>,
        outcome: RefreshOutcome,
        changed: bool,
        took: Duration,
    ) {
        self.lock().ran(name, outcome, changed, took);
    }

    /// Returns the last refreshes, at most so many, the oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Refresh> {
        self.lock().last(count)
    }
}

impl fmt::Debug for RefreshLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshLog")
    }
}

/// A refresh, whose queries share their names with others.
struct Entry {
    refresh: Refresh,
    queries: Vec<(Arc<str>, RefreshOutcome, bool, Duration)>,
}

impl Log {
    fn begin(&mut self, refresh: Refresh) {
        if self.0.len() == MAX_REFRESHES {
            self.0.pop_front();
        }
        self.0.push_back(Entry { refresh, queries: Vec::new() });
    }

    fn ran(
        &mut self,
        name: impl FnOnce() -> Arc<str>,
        outcome: RefreshOutcome,
        changed: bool,
        took: Duration,
    ) {
        // What runs before anything has changed is no refresh.
        let Some(last) = self.0.back_mut() else { return };
        last.refresh.total += 1;
        if last.queries.len() < MAX_QUERIES {
            last.queries.push((shortened(name()), outcome, changed, took));
        }
    }

    fn last(&self, count: usize) -> Vec<Refresh> {
        let refresh = |Entry { refresh, queries }: &Entry| {
            let queries = queries.iter().map(|(query, outcome, changed, took)| QueryRefresh {
                query: query.to_string(),
                outcome: *outcome,
                changed: *changed,
                took: *took,
            });
            Refresh { queries: queries.collect(), ..refresh.clone() }
        };
        self.0.iter().skip(self.0.len().saturating_sub(count)).map(refresh).collect()
    }
}

fn shortened(name: Arc<str>) -> Arc<str> {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name,
    }
}

/// Durations in nanoseconds.
mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        took: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}
