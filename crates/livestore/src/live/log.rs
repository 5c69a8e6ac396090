//! The log of the last refreshes, for developers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Refreshes that are kept.
const MAX_REFRESHES: usize = 100;
/// Queries that are kept of one refresh.
const MAX_QUERIES: usize = 50;

/// What one change of the state meant for the live queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefreshCause {
    /// Its name.
    pub table: String,
    /// How many of its rows, if that is known.
    pub rows: Option<usize>,
}

/// A query that was brought up to date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryRefresh {
    /// Its label, or else its text.
    pub query: String,
    /// How it was done.
    pub outcome: RefreshOutcome,
    /// Whether its result changed.
    pub changed: bool,
    /// How long it took.
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
pub(super) struct Log(VecDeque<Entry>);

/// A refresh, whose queries share their names with others.
struct Entry {
    refresh: Refresh,
    queries: Vec<(Arc<str>, RefreshOutcome, bool, Duration)>,
}

impl Log {
    pub(super) fn begin(
        &mut self,
        at_ms: u64,
        causes: Vec<(String, Option<usize>)>,
        considered: usize,
        concerned: usize,
    ) {
        if self.0.len() == MAX_REFRESHES {
            self.0.pop_front();
        }
        let cause = |(table, rows)| RefreshCause { table, rows };
        let causes = causes.into_iter().map(cause).collect();
        let (queries, total) = (Vec::new(), 0);
        let refresh = Refresh { at_ms, causes, considered, concerned, queries, total };
        self.0.push_back(Entry { refresh, queries: Vec::new() });
    }

    pub(super) fn ran(
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
            last.queries.push((name(), outcome, changed, took));
        }
    }

    pub(super) fn refreshes(&self) -> Vec<Refresh> {
        let refresh = |Entry { refresh, queries }: &Entry| {
            let queries = queries.iter().map(|(query, outcome, changed, took)| QueryRefresh {
                query: query.to_string(),
                outcome: *outcome,
                changed: *changed,
                took: *took,
            });
            Refresh { queries: queries.collect(), ..refresh.clone() }
        };
        self.0.iter().map(refresh).collect()
    }
}
