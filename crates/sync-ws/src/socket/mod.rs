//! A WebSocket for the frames of a conversation, of whatever the program runs on.
//!
//! It knows texts and no messages. Whoever has one may stop waiting for a frame at any time, and
//! dropping it lets go of the connection.

#[cfg(any(target_family = "wasm", test))]
mod inbox;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

use std::time::Duration;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Socket, boxed, timeout};
#[cfg(target_family = "wasm")]
pub(crate) use web::{Socket, boxed, timeout};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no connection, or none any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The address cannot be used.
    Address(String),
    /// The other side cannot be reached, or the connection broke.
    Offline(String),
}

impl Broken {
    fn offline(reason: impl std::fmt::Display) -> Self {
        Self::Offline(reason.to_string())
    }
}
