//! The messages between a LiveStore client and a `@livestore/sync-cf` backend, of LiveStore 0.4.0.
//!
//! One JSON object is one message: a text frame of a WebSocket, or, over HTTP, the body of a request and
//! an element of the array that answers it. The envelope is that of Effect's RPC. What is read may have
//! more members than are known here, and ids that are numbers or texts; what is written has the members
//! and their order as LiveStore writes them.

mod cause;
mod event;
mod identity;
mod message;
mod url;

pub use cause::{Cause, RpcError};
pub use event::{CfEvent, EventError, Metadata, Stamped, events_of};
pub use identity::backend_id_of;
pub use message::{
    BackendIdMismatch, Call, ClientMessage, Cursor, Exit, MessageError, PageInfo, Ping, Pull,
    PullResponse, Push, Request, RequestId, ServerAhead, ServerMessage, Thrown, ThrownError,
    UnknownError,
};
pub use url::{QueryError, SyncQuery, Transport};

/// Most events of one chunk, and of one push.
pub const MAX_EVENTS: usize = 100;

/// Most bytes of one chunk, and of one push, as JSON.
pub const MAX_BYTES: usize = 900_000;

/// Longest message that is read, in bytes: a chunk or push of [`MAX_BYTES`] and its envelope.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// What answers a [`ClientMessage::Ping`], to the letter.
pub const PONG: &str = r#"{"_tag":"Pong"}"#;
