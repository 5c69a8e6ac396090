//! Reading the state for the app's functions that decide about events: command handlers, and what to
//! do with an event on a rebase.

use std::cell::RefCell;
use std::panic::resume_unwind;

use livestore_sqlite::{Connection, Query, Scope, SqliteError, StateRead};

use crate::command::CommandFailure;
use crate::materializer;

/// A query of an app's function that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryFailed {
    message: String,
}

/// Reads `synced` tables, within a budget.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    connection: &'a Connection,
    state: StateRead<'a>,
    /// Why the function has failed already, whatever it makes of that.
    failure: RefCell<Option<SqliteError>>,
}

/// Ends a function that goes on with queries although the last one has failed.
struct Stopped;

/// Why a function has no result.
#[derive(Debug)]
pub(crate) enum Unread {
    Failed(CommandFailure),
    /// The database failed in a way that says nothing about the function.
    Machine(SqliteError),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        let state = connection.write(Scope::Synced).read();
        Self { connection, state, failure: RefCell::default() }
    }

    pub(crate) fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, QueryFailed> {
        if self.failure.borrow().is_some() || self.connection.is_out_of_steps() {
            // Else a function that does not look at errors could go on for ever. Where unwinding would
            // end the process, that is the lesser evil: its outcome is judged when it returns.
            if cfg!(panic = "unwind") {
                resume_unwind(Box::new(Stopped));
            }
            let message = "an earlier query has failed, or the budget is used up".into();
            return Err(QueryFailed { message });
        }
        self.state.query(query).map_err(|error| {
            let message = error.to_string();
            self.failure.replace(Some(error));
            QueryFailed { message }
        })
    }

    /// Runs the function, whose queries may take so many steps of SQLite's machine together.
    pub(crate) fn run<R>(&self, steps: u64, function: impl FnOnce() -> R) -> Result<R, Unread> {
        let run = || materializer::catching(function);
        let (outcome, is_over) = self.connection.within_steps(steps, run);
        if is_over {
            return Err(Unread::Failed(CommandFailure::OverBudget { steps }));
        }
        // What it made of a failed query, a panic included, follows from that.
        if let Some(error) = self.failure.take() {
            return Err(if error.is_deterministic() {
                Unread::Failed(CommandFailure::Query { message: error.to_string() })
            } else {
                Unread::Machine(error)
            });
        }
        outcome.map_err(|message| Unread::Failed(CommandFailure::Panicked { message }))
    }
}
