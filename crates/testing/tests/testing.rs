//! The test kit, as a test of an app uses it.

#![allow(missing_docs)]

#[path = "testing/app.rs"]
mod app;
#[path = "testing/backend.rs"]
mod backend;
#[path = "testing/scenarios.rs"]
mod scenarios;
#[path = "testing/sequences.rs"]
mod sequences;
