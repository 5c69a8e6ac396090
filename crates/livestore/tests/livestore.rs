//! The specification of the store and the replica, as tests.

#![allow(missing_docs, unreachable_pub)]

#[path = "livestore/app.rs"]
mod app;
#[path = "livestore/backend.rs"]
mod backend;
#[path = "livestore/bad_input.rs"]
mod bad_input;
#[path = "livestore/commit.rs"]
mod commit;
#[path = "livestore/crash.rs"]
mod crash;
#[path = "livestore/files.rs"]
mod files;
#[path = "livestore/health.rs"]
mod health;
#[path = "livestore/live_queries.rs"]
mod live_queries;
#[path = "livestore/sync.rs"]
mod sync;
