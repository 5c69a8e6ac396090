//! Sessions: several stores of one client, of which one leads.
//!
//! The leader has the file, and syncs with the backend; the others follow it, each with the state in
//! memory. What a session and its leader say to each other is the replica's business; here is how they
//! find each other and how the bytes get across.

#[cfg(not(target_family = "wasm"))]
mod attend;
mod election;
mod error;
mod file;
#[cfg(not(target_family = "wasm"))]
mod io;
mod leader_end;
pub mod link;
#[cfg(not(target_family = "wasm"))]
mod local;
pub(crate) mod message;
mod outline;
#[cfg(not(target_family = "wasm"))]
mod serve;
mod session_end;
#[cfg(not(target_family = "wasm"))]
mod visit;
mod wire;

#[cfg(not(target_family = "wasm"))]
pub(crate) use attend::{Attending, Opening};
pub use election::{Candidacy, Lock};
pub use error::LinkError;
pub(crate) use file::LeaderFile;
pub use leader_end::{Heard, LeaderEnd};
#[cfg(not(target_family = "wasm"))]
pub(crate) use local::{Listener, Stream};
#[cfg(not(target_family = "wasm"))]
pub(crate) use message::Order;
pub use message::{MessageError, Refused, RefusedReason, SessionInfo};
pub use outline::Newer;
pub(crate) use outline::Outline;
#[cfg(not(target_family = "wasm"))]
pub(crate) use serve::serve;
pub use session_end::{Answer, Beginning, PING, SILENCE, SessionEnd};
#[cfg(not(target_family = "wasm"))]
pub(crate) use visit::visit;
pub use wire::Wire;
