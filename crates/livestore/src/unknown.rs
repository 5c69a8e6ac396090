//! What to do with events of the log that the schema does not know.

use std::fmt;
use std::sync::Arc;

use crate::LoggedEvent;

/// What to do with an event of the log that the schema does not know.
///
/// Whatever it is, the event stays in the log, and its materializer runs once a schema knows it.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum UnknownEvents {
    /// Go on without it, and warn once for each name.
    #[default]
    Warn,
    /// Go on without it.
    Ignore,
    /// Stop pulling before it; the app goes on offline.
    ///
    /// What is in the log already is skipped, as a store has to open.
    Fail,
    /// Go on without it, and call a function with each of them, in order, when it is in the log;
    /// once more when the state has been derived anew.
    ///
    /// How far the calls have come is not stored: those that were still to come when the store was
    /// shut down, or its process ended, come only if the state is derived anew.
    /// [`Store::quarantined`](crate::Store::quarantined) lists all events that were skipped.
    ///
    /// It is called on the thread that has met the events, which goes on afterwards: the sync's; the
    /// one that opens the store, if that derives the state anew, with no store to use yet; or the one
    /// that goes back to another history. A commit never calls it. It may use the store. Its panics
    /// are logged.
    Callback(Arc<dyn Fn(&LoggedEvent) + Send + Sync>),
}

impl UnknownEvents {
    /// Calls a function with each of them.
    pub fn callback(call: impl Fn(&LoggedEvent) + Send + Sync + 'static) -> Self {
        Self::Callback(Arc::new(call))
    }
}

impl fmt::Debug for UnknownEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
            Self::Fail => "Fail",
            Self::Callback(_) => "Callback",
        })
    }
}
