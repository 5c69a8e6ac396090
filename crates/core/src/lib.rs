//! The pure heart of LiveStore: what an event is, where it stands in the log, and how two
//! histories of one log become one again.
//!
//! This crate promises to be a function of its inputs. It knows nothing of SQLite, sockets,
//! threads or clocks; time and randomness come in as arguments. Everything that a client and a
//! server have to agree on to the byte lives here: ids ([`EventId`], [`GroupId`]), positions
//! ([`SeqNum`], [`Cursor`]), payloads ([`CanonicalJson`]), hashes ([`LogHash`]), the
//! [`merge`](merge::merge) and the [messages](protocol) of the wire.

#![forbid(unsafe_code)]

pub mod canonical;
mod cursor;
mod event;
mod id;
pub mod limits;
mod log_hash;
pub mod merge;
#[doc(hidden)]
pub mod mutant;
mod name;
pub mod protocol;
mod seq_num;

pub use canonical::{CanonicalJson, JsonError};
pub use cursor::{Cursor, LogPosition};
pub use event::{
    ConfirmedGroup, Event, EventName, EventNameError, Group, GroupError, MISSING_EVENT,
};
pub use id::{BackendId, EventId, GroupId, IdError, IdGenerator};
pub use log_hash::{ContentHash, HashError, LogHash};
pub use name::{ClientId, NameError, SessionId, StoreId};
pub use seq_num::{GlobalSeqNum, ParseSeqNumError, PositionError, SeqNum};
