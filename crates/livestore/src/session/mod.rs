//! Sessions: several stores of one client, of which one leads.
//!
//! The leader has the file, and syncs with the backend; the others follow it, each with the state in
//! memory. What a session and its leader say to each other is the replica's business; here is how they
//! find each other and how the bytes get across.

mod attend;
mod file;
mod io;
pub mod link;
mod local;
pub(crate) mod message;
mod outline;
mod serve;
mod visit;

pub(crate) use attend::{Attending, Beginning, Opening};
pub(crate) use file::LeaderFile;
pub(crate) use local::{Listener, Stream};
pub(crate) use message::Order;
pub use message::{MessageError, SessionInfo};
pub use outline::Newer;
pub(crate) use outline::Outline;
pub(crate) use serve::serve;
pub(crate) use visit::visit;
