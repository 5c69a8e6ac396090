//! A small synchronous reactive graph: signals, computed values and effects with equality cutoff.
//!
//! The graph keeps derived values fresh and runs effects when what they read has changed. It
//! knows nothing of storage, SQL or async runtimes; a store tells it what changed, and when.
//!
//! - A [`Signal`] holds a value that is set from outside.
//! - A [`Source`] holds no value: it stands for outside data that can only be said to have changed.
//! - A [`Computed`] derives a value. It is lazy, and cached until something it read changes.
//! - An [`Effect`] runs at once, and again after each change in value of something it read.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use livestore_reactive::Graph;
//!
//! let graph = Graph::new();
//! let price = graph.signal(10);
//! let amount = graph.signal(2);
//! let total = graph.computed({
//!     let (price, amount) = (price.clone(), amount.clone());
//!     move |cx| cx.get(&price) * cx.get(&amount)
//! });
//!
//! let seen = Arc::new(Mutex::new(Vec::new()));
//! let effect = graph.effect({
//!     let (total, seen) = (total.clone(), seen.clone());
//!     move |cx| seen.lock().unwrap().push(cx.get(&total))
//! });
//!
//! price.set(20);
//! graph.batch(|| {
//!     price.set(5);
//!     amount.set(8); // 5 * 8 is 40 as before, so the effect does not run
//! });
//! drop(effect); // stops it
//! price.set(1);
//!
//! assert_eq!(*seen.lock().unwrap(), [20, 40]);
//! assert_eq!(total.get(), 8);
//! ```
//!
//! # Semantics
//!
//! Writing marks what is downstream as possibly stale; reading pulls it fresh, in dependency
//! order, so nothing sees a new input next to a value derived from the old one. Dependencies are
//! the reads made through the [`Context`] during the last run, and are found anew in each run.
//! Reading through a handle instead (`signal.get()`) makes no dependency.
//!
//! A write outside a batch returns after the affected effects ran, in creation order. Effects may
//! write: the refresh goes on until nothing is left to run, or until [`MAX_ROUNDS`] (see
//! [`Graph::on_unsettled`]). A computed must not write, and must not read itself: both panic.
//!
//! # Threads
//!
//! No lock is held while a closure, or the `Clone`, `PartialEq` or `Drop` of a value, runs; no call
//! waits for a closure on another thread. From that follows:
//!
//! - An effect never runs twice at a time. A write that finds another thread refreshing, or a
//!   batch open on another thread, leaves its effects to that thread.
//! - Two threads that read the same stale computed at once may both run it.
//! - A run during which another thread writes can see some inputs before and others after that
//!   write. An effect is then run again; a computed is run again before its value is handed out,
//!   up to a few times, and a value that never got a quiet moment is handed out but not cached.
//!
//! # Panics in closures
//!
//! The graph stays usable. A computed's panic goes to whoever reads it and is not cached. An
//! effect's panic resumes on the refreshing thread after the other effects ran; the effect runs
//! again when something it had read changes. While values are brought up to date, a comparison that
//! panics counts as a difference.
//!
//! # Depth
//!
//! Marking, re-checking and dropping chains of any length use no stack. Only closures that read
//! computed values never run before, or known to be outdated at that moment, nest; [`MAX_DEPTH`]
//! levels of that panic rather than overflow the stack.
#![forbid(unsafe_code)]

mod computed;
mod context;
mod effect;
mod graph;
mod handle;
mod node;
mod pull;
mod refresh;
mod running;
mod signal;
mod source;
mod state;

pub use computed::{Computed, WeakComputed};
pub use context::{Context, Read};
pub use effect::Effect;
pub use graph::Graph;
pub use node::Value;
pub use refresh::{MAX_ROUNDS, Unsettled};
pub use running::{MAX_DEPTH, is_computing};
pub use signal::Signal;
pub use source::Source;
