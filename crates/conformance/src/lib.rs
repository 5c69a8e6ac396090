//! Checks whether a sync backend does what LiveStore relies on.
//!
//! Three things can be checked, each by itself:
//!
//! - a **backend** through its provider, with [`Backend`]: what stores see of it;
//! - a **server of our protocol**, frame by frame, with [`Server`]: what `docs/protocol.md` asks for beyond
//!   that;
//! - a **storage** of our server, with [`check_storage`].
//!
//! ```no_run
//! # async fn check() {
//! use livestore_conformance::Backend;
//! use livestore_sync_ws::WsSync;
//!
//! let report = Backend::new(|| WsSync::new("ws://127.0.0.1:7433")).check().await;
//! assert!(report.is_ok(), "{report}");
//! # }
//! ```
//!
//! Each case works on stores of its own, under names that nobody else has, which stay behind.

#![forbid(unsafe_code)]

mod backend;
mod events;
mod report;
mod server;
mod storage;

pub use backend::Backend;
pub use report::{CaseReport, Outcome, Report};
pub use server::Server;
pub use storage::check_storage;

/// The guide to custom backends, as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/custom-backend.md")]
struct Guide;
