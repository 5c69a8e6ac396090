//! How calls get to a backend and answers back: over a WebSocket, or with a request for each.

mod http;
mod ws;

use livestore::SyncError;
use livestore_cf_protocol::{
    Cause, Cursor, Exit, PullResponse, Push, RpcError, SyncQuery, Thrown, UnknownError,
};
use serde_json::Value;
use tokio::time::timeout;

pub(crate) use http::HttpWire;
pub(crate) use ws::WsWire;

use crate::{ANSWER_TIMEOUT, CfSync};

/// Why a conversation ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The store has ended it.
    Closed,
    /// The backend does not let us in, for now or for good.
    NotLetIn(String),
    /// The backend has another log than the one that we have followed.
    Diverged(String),
    /// Anything else.
    Sync(SyncError),
}

impl From<SyncError> for Stop {
    fn from(error: SyncError) -> Self {
        Self::Sync(error)
    }
}

impl From<livestore::sync_provider::LinkClosed> for Stop {
    fn from(_: livestore::sync_provider::LinkClosed) -> Self {
        Self::Closed
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// The log ends elsewhere.
    Ahead { head: u64 },
    /// The log is that of another backend, which calls itself so.
    OtherBackend { name: String },
    /// Something went wrong, and nobody knows how far it came.
    Failed { reason: String },
}

/// What a backend says.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A piece of the log that a pull asked for.
    Pulled(PullResponse),
    /// The pull is over.
    PullEnded(Outcome),
    /// The push is over.
    Pushed(Outcome),
}

/// The way to a backend. One pull and one push may be under way at a time.
pub(crate) enum Wire {
    Ws(Box<WsWire>),
    Http(Box<HttpWire>),
}

impl Wire {
    pub(crate) async fn connect(sync: &CfSync, query: SyncQuery) -> Result<Self, Stop> {
        Ok(match query.transport {
            livestore_cf_protocol::Transport::Ws => {
                Self::Ws(Box::new(WsWire::connect(sync, query).await?))
            }
            livestore_cf_protocol::Transport::Http => {
                Self::Http(Box::new(HttpWire::new(sync, query)?))
            }
        })
    }

    /// Asks for the log behind a cursor; the pull before, if there is one, is given up.
    pub(crate) async fn pull(&mut self, cursor: Option<Cursor>, live: bool) -> Result<(), Stop> {
        match self {
            Self::Ws(wire) => wire.pull(cursor, live).await,
            Self::Http(wire) => {
                wire.pull(cursor, live);
                Ok(())
            }
        }
    }

    /// Gives up the pull that is under way, if there is one.
    pub(crate) async fn stop_pull(&mut self) -> Result<(), Stop> {
        match self {
            Self::Ws(wire) => wire.stop_pull().await,
            Self::Http(wire) => {
                wire.stop_pull();
                Ok(())
            }
        }
    }

    /// Asks to append events.
    pub(crate) async fn push(&mut self, push: Push) -> Result<(), Stop> {
        match self {
            Self::Ws(wire) => wire.push(push).await,
            Self::Http(wire) => {
                wire.push(push);
                Ok(())
            }
        }
    }

    /// Waits for what the backend has to say. What was heard before counts as dealt with.
    pub(crate) async fn next(&mut self) -> Result<Heard, Stop> {
        match self {
            Self::Ws(wire) => wire.next().await,
            Self::Http(wire) => wire.next().await,
        }
    }

    /// Waits for what the backend owes an answer to, and not for ever.
    pub(crate) async fn answer(&mut self, sync: &CfSync) -> Result<Heard, Stop> {
        match timeout(ANSWER_TIMEOUT, self.next()).await {
            Ok(heard) => heard,
            Err(_) => Err(sync.offline(format!("no answer within {ANSWER_TIMEOUT:?}")).into()),
        }
    }

    /// Takes note that everything up to a position is here, so it need not be pulled.
    pub(crate) fn has_until(&mut self, seq: u64) {
        if let Self::Http(wire) = self {
            wire.has_until(seq);
        }
    }

    /// Takes note that there is something to pull, which somebody waits for.
    pub(crate) fn hurry(&mut self) {
        if let Self::Http(wire) = self {
            wire.hurry();
        }
    }

    /// Ends the conversation.
    pub(crate) async fn close(self) {
        if let Self::Ws(wire) = self {
            wire.close().await;
        }
    }
}

/// Returns what came of a call that ended so.
fn outcome_of(exit: Exit) -> Outcome {
    let cause = match exit {
        Exit::Success { .. } => return Outcome::Done,
        Exit::Failure { cause } => cause,
    };
    match cause {
        Cause::Fail(RpcError::ServerAhead(ahead)) => {
            Outcome::Ahead { head: ahead.minimum_expected_num }
        }
        Cause::Fail(RpcError::BackendIdMismatch(mismatch)) => {
            Outcome::OtherBackend { name: mismatch.expected }
        }
        Cause::Fail(RpcError::Unknown(UnknownError { cause, note, .. })) => {
            let said = match cause {
                Thrown::Error(error) => format!("{}: {}", error.name, error.message),
                Thrown::Other(value) => text_of(&value),
            };
            let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
            Outcome::Failed { reason: cut(&format!("{said}{note}")) }
        }
        Cause::Interrupt => Outcome::Failed { reason: "it interrupted the call".into() },
        Cause::Other(value) => Outcome::Failed { reason: cut(&text_of(&value)) },
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

/// Longest message of a backend that is shown, in characters.
const SHOWN: usize = 300;

/// Cuts what a backend says to what can be shown.
pub(crate) fn cut(text: &str) -> String {
    let text = text.trim();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if shown.is_empty() { "it did not say why".into() } else { shown }
}
