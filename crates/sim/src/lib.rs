//! A deterministic simulator: real replicas and the real server log in a world made of one number.
//!
//! Clients are [`livestore::Replica`]s, the server is [`livestore_server::SqliteStorage`] with the
//! rules of its conversations, and SQLite runs on disks that tear, lose and fail. Network, disks
//! and clocks are simulated, in one thread, from one seed: the same seed is the same run, message
//! for message. After each step a small reference model says what must hold.
//!
//! ```text
//!  plan ──▶ schedule ──steps──▶ world ──▶ checks ◀── model
//!              ▲                  │
//!              └─────effects──────┘         a recorded trace can take the schedule's place
//! ```
//!
//! It is never published, and knows nothing of what the bugs are that it looks for.

#![forbid(unsafe_code)]

mod action;
mod checks;
mod minimise;
mod model;
mod plan;
mod rng;
mod schedule;
mod sometimes;
mod trace;
mod workload;
mod world;

pub use action::{Action, DiskTrouble, Loss, Place, Step, TabAction, Way};
pub use checks::Violation;
pub use minimise::minimise;
pub use model::app::Version;
pub use plan::Sizes;
pub use sometimes::{Point, Sometimes};
pub use trace::{Run, Trace, run_seed};
pub use workload::*;
pub use world::Counts;
