//! The core of LiveStore for TypeScript in browsers and Node, as WebAssembly.
//!
//! What is exported here is the engine that the npm packages stand on, not their interface: texts of
//! JSON and plain values go in and out, and everything that has to do with types, schemas of payloads
//! and frameworks is TypeScript's. There is one thread, so what JavaScript gave is kept in wrappers that
//! no other thread could use.

#![forbid(unsafe_code)]
#![cfg(target_family = "wasm")]

mod error;
mod events;
mod health;
mod host;
mod live;
mod materialize;
mod options;
mod panic;
mod query;
mod rows;
mod schema;
mod store;
mod sync;

pub use live::LiveHandle;
pub use panic::{is_stopped, stop};
pub use store::{ReceiptHandle, StoreHandle, SubscriptionHandle};
