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

    /// Says what a close frame means; nothing, if it only says that it was time to go.
    fn closed(code: u16, reason: &str) -> Option<Self> {
        // Done; the server goes away; the frame was empty.
        if matches!(code, 1000 | 1001 | 1005) {
            return None;
        }
        // A proxy's words, maybe, and as many as it likes.
        let words: String = reason.chars().filter(|c| !c.is_control()).take(100).collect();
        let said = if words.is_empty() { words } else { format!(": {words}") };
        Some(Self::Offline(format!("it has closed the connection (code {code}{said})")))
    }
}
