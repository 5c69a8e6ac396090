//! Deriving the state from one event, or from one pending group.

use livestore_core::{ClientId, Event, GlobalSeqNum, Group, SessionId};
use livestore_sqlite::{Connection, SqliteError};

use super::exceptions::{self, DeadLetterReason, Skipped};
use super::step::Next;
use super::{PoisonAnswer, Replica, ReplicaError};
use crate::Schema;
use crate::event::EventKind;
use crate::materializer::{MaterializeError, MaterializerContext};

/// An event with its author.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authored<'a> {
    pub(super) event: &'a Event,
    pub(super) client_id: &'a ClientId,
    pub(super) session_id: &'a SessionId,
}

impl<'a> Authored<'a> {
    /// Walks over the events of a group.
    pub(super) fn of(group: &'a Group) -> impl Iterator<Item = Self> {
        let (client_id, session_id) = (group.client_id(), group.session_id());
        group.events().iter().map(move |event| Self { event, client_id, session_id })
    }
}

/// Materializes one event on any connection whose state tables are those of the schema.
///
/// The payload is decoded from the stored bytes, also for a commit of this very process, so that
/// every client's materializer gets exactly the same.
pub(super) fn materialize(
    connection: &Connection,
    schema: &Schema,
    kind: EventKind,
    authored: Authored<'_>,
) -> Result<(), MaterializeError> {
    let Authored { event, client_id, session_id } = authored;
    let materializer =
        schema.materializer(&event.name, kind).ok_or(MaterializeError::UnknownEvent { kind })?;
    let write = connection.write(kind.scope());
    let context = MaterializerContext { event, client_id, session_id, state: write.read() };
    for statement in materializer.run(&context)? {
        write.execute(&statement)?;
    }
    Ok(())
}

/// Separates failures of the event from failures of the machine, which stop the step.
pub(super) fn verdict(
    event: &Event,
    outcome: Result<(), MaterializeError>,
) -> Result<Result<(), Skipped>, ReplicaError> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_deterministic() => {
            let unknown = matches!(error, MaterializeError::UnknownEvent { .. });
            Ok(Err(Skipped { unknown, reason: error.to_string() }))
        }
        Err(MaterializeError::Sqlite(error)) => Err(error.into()),
        Err(error) => Err(ReplicaError::Materializer {
            name: event.name.clone(),
            id: event.id,
            message: error.to_string(),
            panicked: matches!(error, MaterializeError::Panicked { .. }),
        }),
    }
}

/// Applies one event of the log, or tells why it has to be skipped.
pub(super) fn try_apply(
    connection: &Connection,
    schema: &Schema,
    kind: EventKind,
    authored: Authored<'_>,
) -> Result<Result<(), Skipped>, ReplicaError> {
    let run = || materialize(connection, schema, kind, authored);
    verdict(authored.event, connection.savepoint(run))
}

impl Replica {
    /// Applies one event of the log, or notes that it was skipped.
    ///
    /// `place` is its position and, if it is client-only, its place behind that.
    pub(super) fn apply(
        &self,
        place: (GlobalSeqNum, u32),
        authored: Authored<'_>,
        on_poison: PoisonAnswer,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let kind = EventKind::of(place.1 > 0);
        let applied = try_apply(&self.connection, &self.schema, kind, authored)?;
        // Nobody undoes a confirmed event. Keeping what it changed until a whole page is applied
        // would also make the limit of changes depend on where pages end.
        next.changed.extend(&self.connection.discard_changes());
        let Err(skipped) = applied else { return Ok(()) };
        if on_poison == PoisonAnswer::Stop {
            return Err(ReplicaError::PoisonEvent {
                name: authored.event.name.clone(),
                id: authored.event.id,
                seq: place.0,
                message: skipped.reason,
            });
        }
        exceptions::quarantine(&self.connection, place, authored.event, &skipped)?;
        next.counts.quarantined += 1;
        Ok(())
    }

    /// Applies a pending group again, whole or not at all.
    pub(super) fn try_pending(
        &self,
        group: &Group,
        client_only: bool,
    ) -> Result<Result<(), DeadLetterReason>, ReplicaError> {
        /// What ends the savepoint early.
        enum End {
            Failed(DeadLetterReason),
            Replica(ReplicaError),
        }
        impl From<SqliteError> for End {
            fn from(error: SqliteError) -> Self {
                Self::Replica(error.into())
            }
        }
        let kind = EventKind::of(client_only);
        let outcome = self.connection.savepoint(|| {
            for (event_index, authored) in Authored::of(group).enumerate() {
                let outcome = materialize(&self.connection, &self.schema, kind, authored);
                match verdict(authored.event, outcome).map_err(End::Replica)? {
                    Ok(()) => {}
                    Err(Skipped { reason: message, .. }) => {
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
            Err(End::Replica(error)) => Err(error),
        }
    }
}
