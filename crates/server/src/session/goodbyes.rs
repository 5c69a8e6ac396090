//! The last words of a server, but for those that only one rule has.

use livestore_core::protocol::{Goodbye, GoodbyeReason};

use crate::auth::AuthError;

/// Ends a conversation in which the client broke a rule of the protocol.
pub fn protocol_error(message: impl ToString) -> Goodbye {
    Goodbye { reason: GoodbyeReason::ProtocolError, message: message.to_string() }
}

/// Ends a conversation whose client may not use the store.
pub fn not_let_in(error: AuthError) -> Goodbye {
    let (reason, message) = match error {
        AuthError::Unauthenticated { message } => (GoodbyeReason::Unauthenticated, message),
        AuthError::Expired => return auth_expired(),
        AuthError::Forbidden { message } => (GoodbyeReason::Forbidden, message),
        // What has failed is the operator's business.
        AuthError::Unavailable { .. } => {
            let message = "authentication is not possible now; connect again in a moment";
            (GoodbyeReason::Internal, message.into())
        }
    };
    Goodbye { reason, message }
}

/// Ends a conversation whose client has to show another token.
pub fn auth_expired() -> Goodbye {
    let message = "the token has expired; connect again with another one";
    Goodbye { reason: GoodbyeReason::AuthExpired, message: message.into() }
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
