//! Deriving the state: one event, one confirmed group, one pending group, or everything anew.

use livestore_core::{ClientId, ConfirmedGroup, Event, GlobalSeqNum, Group, SessionId};
use livestore_sqlite::{Connection, SqliteError, StateHash};

use super::eventlog::{self, PendingGroup};
use super::exceptions::{self, DeadLetter, DeadLetterReason};
use super::{Fate, Replica, ReplicaError};
use crate::Schema;
use crate::materializer::{MaterializeError, MaterializerContext};

/// Rows of the log that a replay reads at a time.
const REPLAY_ROWS: usize = 500;

/// Materializes one event on any connection whose state tables are those of the schema.
///
/// The payload is decoded from the stored bytes, also for a commit of this very process, so that
/// every client's materializer gets exactly the same.
pub(crate) fn materialize(
    connection: &Connection,
    schema: &Schema,
    event: &Event,
    client_id: &ClientId,
    session_id: &SessionId,
) -> Result<(), MaterializeError> {
    let materializer = schema.materializer(&event.name).ok_or(MaterializeError::UnknownEvent)?;
    let state = connection.write().read();
    let context = MaterializerContext { event, client_id, session_id, state };
    for write in materializer.run(&context)? {
        connection.write().execute(&write)?;
    }
    Ok(())
}

/// Separates failures of the event from failures of the machine, which stop the step.
fn verdict(
    event: &Event,
    outcome: Result<(), MaterializeError>,
) -> Result<Result<(), String>, ReplicaError> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_deterministic() => Ok(Err(error.to_string())),
        Err(MaterializeError::Sqlite(error)) => Err(error.into()),
        Err(error) => Err(ReplicaError::Materializer {
            name: event.name.clone(),
            id: event.id,
            message: error.to_string(),
            panicked: matches!(error, MaterializeError::Panicked { .. }),
        }),
    }
}

/// Applies one confirmed event; tells why it was skipped, if it was.
fn apply_confirmed(
    connection: &Connection,
    schema: &Schema,
    event: &Event,
    client_id: &ClientId,
    session_id: &SessionId,
) -> Result<Result<(), String>, ReplicaError> {
    let run = || materialize(connection, schema, event, client_id, session_id);
    verdict(event, connection.savepoint(run))
}

impl Replica {
    pub(super) fn materialize(
        &self,
        event: &Event,
        client_id: &ClientId,
        session_id: &SessionId,
    ) -> Result<(), MaterializeError> {
        materialize(&self.connection, &self.schema, event, client_id, session_id)
    }

    /// Applies a confirmed group event by event; returns how many had to be skipped.
    pub(super) fn apply_confirmed(&self, confirmed: &ConfirmedGroup) -> Result<u64, ReplicaError> {
        let group = &confirmed.group;
        let mut skipped = 0;
        for (index, event) in group.events().iter().enumerate() {
            let (client_id, session_id) = (group.client_id(), group.session_id());
            let seq = confirmed.first.plus(index as u64);
            let applied =
                apply_confirmed(&self.connection, &self.schema, event, client_id, session_id)?;
            if let Err(reason) = applied {
                exceptions::quarantine(&self.connection, seq, &reason)?;
                skipped += 1;
            }
        }
        Ok(skipped)
    }

    /// Applies a pending group again, whole or not at all.
    pub(super) fn apply_pending(
        &self,
        group: &Group,
    ) -> Result<Result<(), DeadLetterReason>, ReplicaError> {
        /// What ends the savepoint early.
        enum End {
            Sqlite(SqliteError),
            Replica(ReplicaError),
            Failed(DeadLetterReason),
        }
        impl From<SqliteError> for End {
            fn from(error: SqliteError) -> Self {
                Self::Sqlite(error)
            }
        }
        let outcome = self.connection.savepoint(|| {
            for (event_index, event) in group.events().iter().enumerate() {
                let outcome = self.materialize(event, group.client_id(), group.session_id());
                match verdict(event, outcome).map_err(End::Replica)? {
                    Ok(()) => {}
                    Err(message) => {
                        let reason = DeadLetterReason::MaterializeFailed { event_index, message };
                        return Err(End::Failed(reason));
                    }
                }
            }
            Ok(())
        });
        match outcome {
            Ok(()) => Ok(Ok(())),
            Err(End::Failed(reason)) => Ok(Err(reason)),
            Err(End::Sqlite(error)) => Err(error.into()),
            Err(End::Replica(error)) => Err(error),
        }
    }

    /// Takes a group out of the pending tail and keeps it as a dead letter.
    pub(super) fn bury(
        &self,
        pending: &PendingGroup,
        reason: DeadLetterReason,
        now_ms: u64,
    ) -> Result<Fate, SqliteError> {
        let letter = DeadLetter { group: pending.group.clone(), reason, rejected_at_ms: now_ms };
        exceptions::bury(&self.connection, &letter)?;
        eventlog::remove_pending(&self.connection, pending.first, pending.last())?;
        Ok(Fate::Rejected { reason: letter.reason })
    }

    /// Derives the state anew from the whole log; runs inside the transaction that emptied it.
    pub(super) fn rebuild(&mut self, now_ms: u64) -> Result<(), ReplicaError> {
        exceptions::clear_quarantine(&self.connection)?;
        replay_confirmed(&self.connection, &self.connection, &self.schema, |seq, reason| {
            exceptions::quarantine(&self.connection, seq, reason)
        })?;
        self.connection.discard_changes();
        let client_id = self.meta.client_id.clone();
        let tail = eventlog::pending_groups(&self.connection, 0, &client_id, |_| false)?;
        for pending in &tail {
            match self.apply_pending(&pending.group)? {
                Ok(()) => {
                    let undo = self.connection.take_changes().encode();
                    eventlog::set_undo(&self.connection, pending.first, Some(&undo))?;
                }
                // The backend may have it; that is settled when we are connected again.
                Err(_) if self.has_upstream() && self.meta.backend_id.is_some() => {
                    eventlog::set_undo(&self.connection, pending.first, None)?;
                }
                Err(reason) => {
                    self.bury(pending, reason, now_ms)?;
                }
            }
        }
        self.meta.state_version = self.schema.state_version().as_bytes().into();
        self.meta.save(&self.connection)?;
        self.tail = eventlog::tail(&self.connection)?;
        (self.dead_letters, self.quarantined) = exceptions::counts(&self.connection)?;
        Ok(())
    }

    /// Derives the state from the log in a fresh database and returns its hash.
    ///
    /// If it differs from [`Replica::state_hash`], a materializer is not a function of its
    /// arguments, or the file was changed from outside.
    pub fn replay_hash(&self) -> Result<StateHash, ReplicaError> {
        let mut fresh = Connection::open_memory()?;
        fresh.recreate_state(self.schema.tables())?;
        fresh.watch_state(self.schema.tables().to_vec())?;
        fresh.transaction(|| {
            replay_confirmed(&self.connection, &fresh, &self.schema, |_, _| Ok(()))?;
            let client_id = &self.meta.client_id;
            for pending in eventlog::pending_groups(&self.connection, 0, client_id, |_| false)? {
                let group = pending.group;
                // A group whose effects are not in the state waits for its confirmation.
                if pending.undo.is_none() {
                    continue;
                }
                for event in group.events() {
                    let (client_id, session_id) = (group.client_id(), group.session_id());
                    let outcome = materialize(&fresh, &self.schema, event, client_id, session_id);
                    // It applied here before, so a failure now is a difference to be seen.
                    drop(verdict(event, outcome)?);
                }
            }
            fresh.discard_changes();
            Ok::<_, ReplicaError>(())
        })?;
        Ok(fresh.state_hash()?)
    }
}

/// Replays the confirmed log of one connection into the state of another.
fn replay_confirmed(
    from: &Connection,
    into: &Connection,
    schema: &Schema,
    mut skipped: impl FnMut(GlobalSeqNum, &str) -> Result<(), SqliteError>,
) -> Result<(), ReplicaError> {
    let mut after = GlobalSeqNum::ROOT;
    loop {
        let rows = eventlog::confirmed_rows(from, after, REPLAY_ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = GlobalSeqNum(last.at);
        for row in &rows {
            let applied =
                apply_confirmed(into, schema, &row.event, &row.client_id, &row.session_id)?;
            if let Err(reason) = applied {
                skipped(GlobalSeqNum(row.at), &reason)?;
            }
        }
        // Nobody undoes a replay.
        into.discard_changes();
    }
}
