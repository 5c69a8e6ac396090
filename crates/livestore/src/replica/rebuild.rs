//! Deriving the state anew from the log.
//!
//! A rebuild resumes: its first transaction empties the state and says so, and each batch says how
//! far it came, so that at every moment the state is a replay of the log up to the state head.

use std::collections::HashSet;

use livestore_core::mutant::{self, Mutant};
use livestore_core::{GlobalSeqNum, SeqNum};
use livestore_sqlite::{Connection, SqliteError, StateHash};

use super::exceptions::{self, Counts};
use super::format::{Meta, Rebuild};
use super::materialize::{Authored, Stops, materialize, try_apply, verdict};
use super::merge::{InDoubt, LOG_ROWS, Redo, Taken};
use super::pending;
use super::step::Next;
use super::{RebuildProgress, Replica, ReplicaError, log};
use crate::Schema;
use crate::event::EventKind;
use crate::warning::Warnings;

/// Events that one transaction of a rebuild brings into the state.
const BATCH: usize = 2 * LOG_ROWS;

impl Replica {
    /// Tells whether the state has to be derived anew: it was derived by other definitions, or
    /// skipped events that have become known since.
    pub(super) fn needs_rebuild(&self) -> Result<bool, ReplicaError> {
        if self.meta.state_version != self.schema.state_version().as_bytes() {
            return Ok(true);
        }
        if self.counts.quarantined == 0 {
            return Ok(false);
        }
        Ok(knows_more(&self.connection, &self.schema)?)
    }

    /// Empties the state; from then on the file says that a rebuild is under way.
    pub(super) fn start_rebuild(&mut self) -> Result<(), ReplicaError> {
        self.step(|replica, next| {
            replica.connection.recreate_state(replica.schema.tables())?;
            next.meta.state_version = replica.schema.state_version().as_bytes().into();
            replica.empty_state(next)
        })
    }

    /// Notes that nothing of the log is in the state.
    fn empty_state(&self, next: &mut Next) -> Result<(), ReplicaError> {
        exceptions::clear_quarantine(&self.connection)?;
        next.counts = Counts { quarantined: 0, ..next.counts };
        next.meta.state_head = GlobalSeqNum::ROOT;
        next.meta.rebuild = Some(Rebuild { client: 0, ordinal: None });
        Ok(())
    }

    /// Carries a rebuild to its end, if there is one; from then on changes are captured.
    pub(super) fn finish_rebuild(
        &mut self,
        progress: &mut dyn FnMut(RebuildProgress),
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        if mutant::is_active(Mutant::RebuildTakenAsComplete) {
            self.meta.rebuild = None;
        }
        // Nobody undoes what is in the log, so most of it needs no capturing.
        let in_log = |replica: &Self| replica.meta.rebuild.is_some_and(|at| at.ordinal.is_none());
        match self.rebuild_while(in_log, progress, now_ms) {
            Ok(()) | Err(ReplicaError::Sqlite(SqliteError::NotCaptured)) => {}
            Err(error) => return Err(error),
        }
        self.connection.capture_changes()?;
        self.rebuild_while(|replica| replica.meta.rebuild.is_some(), progress, now_ms)
    }

    fn rebuild_while(
        &mut self,
        goes_on: impl Fn(&Self) -> bool,
        progress: &mut dyn FnMut(RebuildProgress),
        now_ms: u64,
    ) -> Result<(), ReplicaError> {
        let mut tail_end = None;
        while goes_on(self) {
            let (done, total) = (self.meta.state_head.0, self.meta.head.seq.0);
            progress(RebuildProgress::Derived { done, total });
            let in_doubt = self.doubts();
            let redo = Redo { in_doubt: &in_doubt, revises: false, now_ms };
            self.step(|replica, next| {
                replica.rebuild_batch(redo, &mut tail_end, next)?;
                // It may bring in what was pulled and not merged yet.
                replica.forget_letters(next)
            })?;
        }
        Ok(())
    }

    /// Brings the next events into the state: the log first, then the pending tail.
    ///
    /// `tail_end` is the place of the last pending event that was done, once that is known.
    fn rebuild_batch(
        &self,
        redo: Redo<'_>,
        tail_end: &mut Option<SeqNum>,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let Some(rebuild) = next.meta.rebuild else { return Ok(()) };
        let Some(ordinal) = rebuild.ordinal else {
            let after = (next.meta.state_head, rebuild.client);
            let (up_to, own) = (next.meta.head.seq, next.meta.client_id.clone());
            let rows = log::rows(&self.connection, after, up_to, BATCH, &own)?;
            let events = rows.iter().map(|row| (row.place(), row.authored()));
            self.apply_all(events, Stops::WHILE_REBUILDING, next)?;
            (next.meta.state_head, next.meta.rebuild) = match rows.last() {
                Some(last) => {
                    let rebuild = Rebuild { client: last.client, ordinal: None };
                    (GlobalSeqNum(last.at), Some(rebuild))
                }
                None => (up_to, Some(Rebuild { client: 0, ordinal: Some(i64::MIN) })),
            };
            return Ok(());
        };
        let chunk = self.pending_chunk(ordinal.saturating_add(1), next)?;
        let mut taken = Taken::new();
        for id in chunk.iter().map(|own| own.group.id()) {
            if let Some(positions) = log::positions(&self.connection, id)? {
                taken.insert(id, positions);
            }
        }
        let after = match *tail_end {
            Some(end) => end,
            None => log::pending_seq(&self.connection, &next.meta, ordinal)?,
        };
        *tail_end = Some(self.redo_chunk(&chunk, after, &taken, redo, next)?);
        // Doing the tail for the first time is no rebase.
        next.rebased = false;
        next.meta.rebuild =
            chunk.last().map(|own| Rebuild { client: 0, ordinal: Some(own.last()) });
        Ok(())
    }

    /// Derives the whole state anew inside one step, for a log that is not the one it was.
    pub(super) fn rederive(&self, redo: Redo<'_>, next: &mut Next) -> Result<(), ReplicaError> {
        next.changed.extend(self.connection.clear_state()?);
        self.empty_state(next)?;
        let mut tail_end = None;
        while next.meta.rebuild.is_some() {
            self.rebuild_batch(redo, &mut tail_end, next)?;
        }
        next.rebased = true;
        Ok(())
    }

    /// Returns which pending groups the backend may have without our knowing, while offline.
    ///
    /// Whether this opening has a backend makes no difference: an earlier one had.
    pub(super) fn doubts(&self) -> InDoubt {
        if self.meta.backend_id.is_some() { InDoubt::All } else { InDoubt::These(HashSet::new()) }
    }

    /// Tells whether a replay of the log leads to another state; a log of more than so many events
    /// is not replayed.
    pub(crate) fn differs_from_replay(&self, max_events: u64) -> Result<bool, ReplicaError> {
        let events = self.meta.state_head.0 + self.tail.events + self.tail.client_only_events;
        if events > max_events {
            return Ok(false);
        }
        let replayed = replay(&self.connection, &self.schema, &self.meta, &mut |_| ())?;
        Ok(replayed.stored_state_hash()? != self.connection.stored_state_hash()?)
    }

    /// Derives the state from the log in a fresh database and returns its hash.
    ///
    /// If it differs from [`Replica::state_hash`], a materializer is not a function of its
    /// arguments, or the file was changed from outside.
    pub fn replay_hash(&self) -> Result<StateHash, ReplicaError> {
        replay_hash(&self.connection, &self.schema, &self.meta, &mut |_| ())
    }
}

/// Tells whether events were skipped as unknown that the schema knows.
pub(crate) fn knows_more(connection: &Connection, schema: &Schema) -> Result<bool, SqliteError> {
    let unknown = exceptions::unknown_names(connection)?;
    Ok(unknown.iter().any(|(name, kind)| schema.registered(name, *kind).is_some()))
}

/// Derives the state of a store from its log in a fresh database and returns its hash; tells now
/// and then how many more events are done.
pub(crate) fn replay_hash(
    store: &Connection,
    schema: &Schema,
    meta: &Meta,
    done: &mut dyn FnMut(u64),
) -> Result<StateHash, ReplicaError> {
    Ok(replay(store, schema, meta, done)?.state_hash()?)
}

/// Derives the state of a store from its log in a fresh database.
fn replay(
    store: &Connection,
    schema: &Schema,
    meta: &Meta,
    done: &mut dyn FnMut(u64),
) -> Result<Connection, ReplicaError> {
    let mut told = 0;
    let mut tell = |more| {
        told += more;
        done(more);
    };
    match replay_into(fresh(schema)?, store, schema, meta, &mut tell) {
        Err(ReplicaError::Sqlite(SqliteError::NotCaptured)) => {}
        replayed => return replayed,
    }
    let captured = fresh(schema)?;
    captured.capture_changes()?;
    replay_into(captured, store, schema, meta, &mut |more: u64| {
        let again = more.min(told);
        told -= again;
        done(more - again);
    })
}

/// Returns a database whose state is empty, and not captured.
fn fresh(schema: &Schema) -> Result<Connection, SqliteError> {
    let mut fresh = Connection::open_memory()?;
    fresh.recreate_state(schema.tables())?;
    fresh.open_state(schema.tables().to_vec())?;
    Ok(fresh)
}

fn replay_into(
    fresh: Connection,
    store: &Connection,
    schema: &Schema,
    meta: &Meta,
    done: &mut dyn FnMut(u64),
) -> Result<Connection, ReplicaError> {
    let replay = Replay { store, schema, meta, fresh: &fresh, warnings: Warnings::default() };
    fresh.transaction(|| {
        replay.log(done)?;
        replay.tail(done)
    })?;
    Ok(fresh)
}

/// A store and the fresh database that its events are applied to.
struct Replay<'a> {
    store: &'a Connection,
    schema: &'a Schema,
    meta: &'a Meta,
    fresh: &'a Connection,
    /// The store itself has warned already.
    warnings: Warnings,
}

impl Replay<'_> {
    fn log(&self, done: &mut dyn FnMut(u64)) -> Result<(), ReplicaError> {
        let (up_to, own) = (self.meta.state_head, &self.meta.client_id);
        let mut after = (GlobalSeqNum::ROOT, 0);
        loop {
            let rows = log::rows(self.store, after, up_to, LOG_ROWS, own)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.place();
            for row in &rows {
                // What is skipped here was skipped there.
                let (kind, authored) = (row.kind(), row.authored());
                drop(try_apply(self.fresh, self.schema, kind, authored, &self.warnings)?);
                // Nobody undoes a replay.
                self.fresh.discard_changes();
            }
            done(rows.len() as u64);
        }
    }

    fn tail(&self, done: &mut dyn FnMut(u64)) -> Result<(), ReplicaError> {
        let own = &self.meta.client_id;
        let mut from = i64::MIN;
        let mut after = log::pending_seq(self.store, self.meta, from)?;
        loop {
            let chunk = pending::groups(self.store, from, own, |groups| groups.len() >= LOG_ROWS)?;
            let Some(last) = chunk.last() else { return Ok(()) };
            from = last.last() + 1;
            // A group whose effects are not in the state waits for its confirmation.
            for own in &chunk {
                let kind = EventKind::of(own.client_only);
                let before = after;
                after = own.end(before);
                if own.undo.is_none() {
                    continue;
                }
                for authored in Authored::of(&own.group, kind, before) {
                    let outcome =
                        materialize(self.fresh, self.schema, kind, authored, &self.warnings);
                    // It applied here before, so a failure now is a difference to be seen.
                    drop(verdict(authored.event, outcome)?);
                    self.fresh.discard_changes();
                }
            }
            done(chunk.iter().map(|own| own.group.event_count()).sum());
        }
    }
}
