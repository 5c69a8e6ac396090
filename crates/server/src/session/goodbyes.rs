//! The last words of a server, but for those that only one rule has.

use livestore_core::protocol::{Goodbye, GoodbyeReason};

/// Ends a conversation in which the client broke a rule of the protocol.
pub fn protocol_error(message: impl ToString) -> Goodbye {
    Goodbye { reason: GoodbyeReason::ProtocolError, message: message.to_string() }
}

/// Ends a conversation because the same client has begun a newer one.
pub fn superseded() -> Goodbye {
    let message = "this client has connected again; if this goes on, two running stores have the \
                   same client id, as a store and a copy of its files have";
    Goodbye { reason: GoodbyeReason::Superseded, message: message.into() }
}

/// Ends a conversation because the server goes down.
pub fn shutting_down() -> Goodbye {
    let message = "the server is shutting down; connect again in a moment";
    Goodbye { reason: GoodbyeReason::ShuttingDown, message: message.into() }
}

/// Ends a conversation because a rule of the operator has failed; a push stays without an answer.
pub fn rule_failed() -> Goodbye {
    let message = "a rule of the server failed, so nothing was decided; connect again in a moment, \
                   and ask its operator to look at its log output if this goes on";
    Goodbye { reason: GoodbyeReason::Internal, message: message.into() }
}

/// Ends a conversation because the storage has failed; a push without an answer stays without.
pub fn storage_failed() -> Goodbye {
    let message = "the server failed to read or write its log; connect again in a moment, \
                   and ask its operator to look at its log output if this goes on";
    Goodbye { reason: GoodbyeReason::Internal, message: message.into() }
}
