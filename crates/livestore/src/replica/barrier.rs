//! Barriers: making what was committed survive a power cut, for many commits at once.
//!
//! A push waits for one, so that no backend ever knows an event that its author can lose; a commit
//! with `Full` durability waits for one as well. The driver does the sync, off the commit path.

use livestore_core::mutant::{self, Mutant};
use livestore_sqlite::{Durability, SqliteError};

use super::Replica;

/// The pause after a sync that failed, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// A request to sync the file to the disk; everything committed before it is then safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nothing is pushed until the barrier is done"]
pub struct Barrier {
    last: i64,
    checkpoint: bool,
}

impl Barrier {
    /// Tells whether [`Replica::checkpoint`] has to be called instead of a sync of the `-wal` file.
    ///
    /// After a sync that failed, a system may have dropped what it could not write and call the
    /// next sync a success. A checkpoint writes it all once more, into the database itself.
    pub fn needs_checkpoint(&self) -> bool {
        self.checkpoint
    }
}

/// What is safe, what has to be, and what is on the way.
#[derive(Debug)]
pub(super) struct Barriers {
    /// Everything up to this ordinal survives a power cut.
    durable: i64,
    /// Somebody waits for everything up to this ordinal to do so.
    wanted: i64,
    is_under_way: bool,
    needs_checkpoint: bool,
    retry_at_ms: u64,
}

impl Barriers {
    pub(super) fn new() -> Self {
        Self {
            durable: i64::MIN,
            wanted: i64::MIN,
            is_under_way: false,
            needs_checkpoint: false,
            retry_at_ms: 0,
        }
    }

    /// Takes note that rows were written under ordinals that counted as safe.
    pub(super) fn forget(&mut self) {
        self.durable = i64::MIN;
    }
}

impl Replica {
    /// Tells whether everything up to an ordinal survives a power cut.
    pub fn is_durable(&self, ordinal: i64) -> bool {
        self.durability == Durability::Memory
            || ordinal <= self.barriers.durable
            || mutant::is_active(Mutant::BarrierSkipped)
    }

    /// Asks for everything up to an ordinal to survive a power cut soon.
    pub fn require_full(&mut self, ordinal: i64) {
        self.barriers.wanted = self.barriers.wanted.max(ordinal);
    }

    /// Tells whether somebody, or the next push, waits for a barrier that is not under way.
    fn needs_barrier(&self) -> bool {
        let Barriers { durable, wanted, is_under_way, .. } = self.barriers;
        let is_wanted = wanted > durable || self.may_push() && !self.is_durable(self.tail.last);
        self.durability != Durability::Memory && !is_under_way && is_wanted
    }

    /// Returns when a barrier that failed is tried again.
    pub(super) fn barrier_timeout(&self) -> Option<u64> {
        let retry_at_ms = self.barriers.retry_at_ms;
        (retry_at_ms > 0 && self.needs_barrier()).then_some(retry_at_ms)
    }

    /// Hands out a barrier that somebody, or the next push, waits for.
    pub fn poll_barrier(&mut self, now_ms: u64) -> Option<Barrier> {
        // A clock that was set back must not keep us waiting.
        let pause_ms = self.barriers.retry_at_ms.saturating_sub(now_ms);
        if !self.needs_barrier() || (1..=RETRY_MS).contains(&pause_ms) {
            return None;
        }
        self.barriers.is_under_way = true;
        Some(Barrier { last: self.tail.last, checkpoint: self.barriers.needs_checkpoint })
    }

    /// Takes note that a barrier's sync is done, or that it failed and has to be tried again.
    pub fn barrier_done(&mut self, barrier: Barrier, is_synced: bool, now_ms: u64) {
        let barriers = &mut self.barriers;
        barriers.is_under_way = false;
        barriers.needs_checkpoint = !is_synced;
        if is_synced {
            barriers.retry_at_ms = 0;
            barriers.durable = barriers.durable.max(barrier.last);
        } else {
            barriers.retry_at_ms = now_ms + RETRY_MS;
            self.upstream.note_error("syncing the store to the disk failed");
        }
    }

    /// Keeps the `-wal` file short, now and then.
    ///
    /// SQLite's own way of doing that hides a sync that failed, after which a barrier could no
    /// longer trust the next one.
    pub(super) fn after_commit(&mut self) {
        if self.connection.tidy_wal().is_err() {
            self.barriers.needs_checkpoint = true;
        }
    }

    /// Moves everything from the `-wal` file into the database and syncs both.
    pub fn checkpoint(&self) -> Result<(), SqliteError> {
        self.connection.checkpoint()
    }
}
