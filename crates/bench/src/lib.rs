//! What the benchmarks share: the app under test, and the limit it is measured against.
//!
//! The limit of a case is the same work without LiveStore: the same rows, with the same
//! time-ordered keys, written or read by plain rusqlite with cached statements in transactions of
//! the same shape. Both sides are measured in one run, in turns.

pub mod app;
pub mod plain;
pub mod report;
