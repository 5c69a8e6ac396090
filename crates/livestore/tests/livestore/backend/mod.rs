//! A backend in memory, and a network in which nothing moves unless a test says so.
//!
//! [`Backend`] is `docs/protocol.md`'s server, word by word: one log, four rules for a push, pages.
//! [`Net`] holds it together with any number of replicas. Time stands still, messages wait in
//! queues, and every step checks that each replica's confirmed log is a prefix of the backend's,
//! and that no push leaves before the barrier that makes it durable. [`Served`] gives the same
//! backend to a real store, with its driver, its thread and its live queries.
//!
//! In one thing it is worse than a server may be: a push of a connection that is gone is taken however
//! late it comes, also after the client's next hello. Clients have to cope with that as well.

mod disk;
mod foreign;
mod line;
mod log;
mod net;
mod served;

pub use disk::{Disk, wal, write_disk};
pub use foreign::{Fact, fact, foreign_group};
pub use log::Backend;
pub use net::{Move, Net, OnTheWire, confirmed_log, wire};
pub use served::Served;
