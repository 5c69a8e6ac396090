//! Tasks and timers, of whatever carries the store.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
// Some of it is for the engine of the npm packages as well.
#[cfg(target_family = "wasm")]
pub use web::*;
