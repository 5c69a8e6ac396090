//! Barriers: making what was committed survive a power cut, for many commits at once.
//!
//! A push waits for one, so that no backend ever knows an event that its author can lose; a commit
//! with `Full` durability waits for one as well. The driver does the sync, off the commit path.
//!
//! A sync that failed is never followed by another: a system may have dropped what it could not
//! write and call the next sync a success. From then on nothing is pushed and nothing promised,
//! until the store is opened again.

use livestore_core::mutant::{self, Mutant};
use livestore_sqlite::{Durability, SqliteError};

use super::Replica;

/// A request to sync the file to the disk; everything committed before it is then safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is pushed until the barrier is done"]
pub struct Barrier {
    last: i64,
    epoch: u64,
}

/// What is safe, what has to be, and what is on the way.
#[derive(Debug)]
pub(super) struct Barriers {
    /// Everything up to this ordinal survives a power cut.
    durable: i64,
    /// Somebody waits for everything up to this ordinal to do so.
    wanted: i64,
    /// How often ordinals that counted as safe were given to other rows.
    epoch: u64,
    is_under_way: bool,
    has_failed: bool,
}

impl Barriers {
    pub(super) fn new() -> Self {
        let (durable, wanted) = (i64::MIN, i64::MIN);
        Self { durable, wanted, epoch: 0, is_under_way: false, has_failed: false }
    }

    /// Takes note that rows were written under ordinals that counted as safe.
    pub(super) fn forget(&mut self) {
        self.durable = i64::MIN;
        self.epoch += 1;
    }
}

impl Replica {
    /// Tells whether everything up to an ordinal survives a power cut.
    pub fn is_durable(&self, ordinal: i64) -> bool {
        self.durability == Durability::Memory
            || ordinal <= self.barriers.durable
            || mutant::is_active(Mutant::BarrierSkipped)
    }

    /// Tells whether a sync has failed, so that nothing more is made durable until the store is
    /// opened again.
    pub fn has_disk_failed(&self) -> bool {
        self.barriers.has_failed
    }

    /// Asks for everything up to an ordinal to survive a power cut soon.
    pub fn require_full(&mut self, ordinal: i64) {
        self.require_full_of_leader(ordinal);
        self.barriers.wanted = self.barriers.wanted.max(ordinal);
    }

    /// Hands out a barrier that somebody, or the next push, waits for.
    pub fn poll_barrier(&mut self) -> Option<Barrier> {
        let Barriers { durable, wanted, epoch, is_under_way, has_failed } = self.barriers;
        let is_wanted = wanted > durable
            || self.may_push() && !self.is_durable(self.tail.last)
            || self.may_republish() && !self.is_durable(self.upstream.republish_barrier());
        if self.durability == Durability::Memory || is_under_way || has_failed || !is_wanted {
            return None;
        }
        self.barriers.is_under_way = true;
        Some(Barrier { last: self.tail.last, epoch })
    }

    /// Takes note that a barrier's sync is done, or that it failed.
    pub fn barrier_done(&mut self, barrier: Barrier, is_synced: bool) {
        self.barriers.is_under_way = false;
        if !is_synced {
            self.disk_failed("syncing the write-ahead log");
        } else if !self.barriers.has_failed && barrier.epoch == self.barriers.epoch {
            self.barriers.durable = self.barriers.durable.max(barrier.last);
        }
    }

    /// Keeps the `-wal` file short, now and then.
    pub(super) fn tidy_wal(&mut self) {
        // After any other failure, such as a full disk, it grows until it can be done.
        if let Err(error) = self.connection.tidy_wal() {
            self.note_disk(&error);
        }
    }

    /// Takes note of a failure of the database, which may be one of a sync.
    pub(super) fn note_disk(&mut self, error: &SqliteError) {
        if error.is_sync_failure() {
            self.disk_failed(&error.to_string());
        }
    }

    fn disk_failed(&mut self, what: &str) {
        if std::mem::replace(&mut self.barriers.has_failed, true) {
            return;
        }
        self.upstream.disk_failed(what);
        if let Err(error) = self.connection.keep_wal() {
            tracing::error!(%error, "the write-ahead log cannot be kept as it is");
        }
    }
}
