//! Looking after a store's file: checking, saving and copying it.

#[path = "health/backup.rs"]
mod backup;
#[path = "health/judge.rs"]
mod judge;
#[path = "health/recover.rs"]
mod recover;
#[path = "health/recover_situations.rs"]
mod recover_situations;
#[path = "health/sample.rs"]
pub mod sample;
#[path = "health/verify.rs"]
mod verify;
