//! What must hold, at each step and at rest.
//!
//! The checks compare the real thing with the [model](crate::model). They know nothing of faults,
//! and nothing of the bugs that the simulator can bring back on purpose.

mod client;
mod full;
mod reopened;
mod revised;
mod server;
mod stored;
mod tab;

use std::fmt;

use livestore::SqliteError;

pub(crate) use client::{Observed, observe, push, republished};
pub(crate) use full::{accounted, newest_group, state, verify};
pub(crate) use reopened::{Attempt, Came, Doing, reopened};
pub(crate) use server::{Append, appended, goodbye, outcome, page, refused, welcome};
pub(crate) use tab::{
    at_rest as tab_at_rest, letters as tab_letters, newest as tab_newest, observe as observe_tab,
    state as tab_state, unresponsive,
};

/// Something that must not be, and is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it; a minimised trace fails with the same one.
    pub check: &'static str,
    /// At which client, if it is about one.
    pub client: Option<usize>,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.check)?;
        if let Some(client) = self.client {
            write!(f, ", client {client}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Violation {}

/// Takes what was read; a store that cannot be read is a violation.
fn readable<T>(at: usize, read: Result<T, SqliteError>) -> Result<T, Violation> {
    read.or_else(|error| violation("readable", Some(at), error))
}

/// Makes a violation; for `return`.
pub(crate) fn violation<T>(
    check: &'static str,
    client: Option<usize>,
    message: impl ToString,
) -> Result<T, Violation> {
    Err(Violation { check, client, message: message.to_string() })
}
