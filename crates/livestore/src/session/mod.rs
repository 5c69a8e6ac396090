//! Sessions: several stores of one client, of which one leads.
//!
//! The leader has the file, and syncs with the backend; the others follow it, each with the state in
//! memory. What a session and its leader say to each other is the replica's business; here is how they
//! find each other and how the bytes get across.

mod attend;
mod election;
mod file;
mod io;
mod leader_end;
pub mod link;
mod local;
pub(crate) mod message;
mod outline;
mod serve;
mod session_end;
mod visit;
mod wire;

pub(crate) use attend::{Attending, Opening};
pub use election::{Candidacy, Lock};
pub(crate) use file::LeaderFile;
pub use io::LinkError;
pub use leader_end::{Heard, LeaderEnd};
pub(crate) use local::{Listener, Stream};
pub(crate) use message::Order;
pub use message::{MessageError, Refused, RefusedReason, SessionInfo};
pub use outline::Newer;
pub(crate) use outline::Outline;
pub(crate) use serve::serve;
pub use session_end::{Answer, Beginning, PING, SILENCE, SessionEnd};
pub(crate) use visit::visit;
pub use wire::Wire;
