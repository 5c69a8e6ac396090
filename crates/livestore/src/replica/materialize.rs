//! Deriving the state from one event, or from one pending group.

use std::cell::RefCell;

use livestore_core::{ClientId, Event, EventName, GlobalSeqNum, Group, GroupId, SeqNum, SessionId};
use livestore_sqlite::{Changes, Connection, SqliteError};

use super::exceptions::{self, DeadLetterReason, Skipped};
use super::pending::PendingGroup;
use super::step::Next;
use super::{PoisonAnswer, Replica, ReplicaError};
use crate::Schema;
use crate::event::EventKind;
use crate::materializer::{MaterializeError, MaterializerContext};
use crate::unknown::UnknownEvents;
use crate::warning::{Warning, Warnings};

/// An event with its place and its author.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authored<'a> {
    pub(super) event: &'a Event,
    pub(super) position: SeqNum,
    pub(super) group_id: GroupId,
    pub(super) client_id: &'a ClientId,
    pub(super) session_id: &'a SessionId,
}

impl<'a> Authored<'a> {
    /// Walks over the events of a group of a kind that stands behind a place.
    pub(super) fn of(
        group: &'a Group,
        kind: EventKind,
        after: SeqNum,
    ) -> impl Iterator<Item = Self> + Clone {
        let (group_id, client_id, session_id) = (group.id(), group.client_id(), group.session_id());
        group.events().iter().zip(1..).map(move |(event, nth)| {
            let position = behind(after, kind, nth);
            Self { event, position, group_id, client_id, session_id }
        })
    }
}

/// Returns where the nth event of a kind behind a place stands.
///
/// The generation, which differs between clients, is no part of it.
pub(super) fn behind(after: SeqNum, kind: EventKind, nth: u64) -> SeqNum {
    let SeqNum { global, client, .. } = after;
    match kind {
        EventKind::Synced => SeqNum::confirmed(global.plus(nth)),
        EventKind::ClientOnly => SeqNum { global, client: client + nth as u32, generation: 0 },
        EventKind::Memory => SeqNum::confirmed(global),
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
    warnings: &Warnings,
) -> Result<(), MaterializeError> {
    let Authored { event, position, group_id, client_id, session_id } = authored;
    if event.is_missing() {
        return Ok(());
    }
    let registered =
        schema.registered(&event.name, kind).ok_or(MaterializeError::UnknownEvent { kind })?;
    if registered.is_deprecated
        && let Some(def) = &registered.def
    {
        warnings.check_deprecation(&event.name, def, &event.args);
    }
    let (state, failure) = (connection.write(kind.scope()), &RefCell::default());
    let context =
        MaterializerContext { event, position, group_id, client_id, session_id, state, failure };
    for statement in registered.materializer.run(&context)? {
        state.execute(&statement)?;
    }
    Ok(connection.check_foreign_keys()?)
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
    warnings: &Warnings,
) -> Result<Result<(), Skipped>, ReplicaError> {
    let run = || materialize(connection, schema, kind, authored, warnings);
    verdict(authored.event, connection.savepoint(run))
}

/// A position and, for a client-only event, the place behind it.
pub(super) type Place = (GlobalSeqNum, u32);

/// Which events of the log that cannot be applied stop the replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stops {
    poison: bool,
    unknown: bool,
}

impl Stops {
    /// None, as a state that is derived anew must always come to its end.
    pub(super) const WHILE_REBUILDING: Self = Self { poison: false, unknown: false };

    /// Those that the app wants to stop for.
    pub(super) fn new(on_poison: PoisonAnswer, unknown: &UnknownEvents) -> Self {
        let (poison, unknown) =
            (on_poison == PoisonAnswer::Stop, matches!(unknown, UnknownEvents::Fail));
        Self { poison, unknown }
    }
}

/// What ends a savepoint early.
enum End {
    /// An event failed: which one of its group, and why.
    Failed(usize, Skipped),
    Replica(ReplicaError),
}

impl From<SqliteError> for End {
    fn from(error: SqliteError) -> Self {
        Self::Replica(error.into())
    }
}

impl Replica {
    /// Applies events of the log, and notes those that have to be skipped.
    pub(super) fn apply_all<'e>(
        &self,
        events: impl Iterator<Item = (Place, Authored<'e>)> + Clone,
        stops: Stops,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let mut changed = Changes::default();
        let all_applied = self.together(|| {
            for (place, authored) in events.clone() {
                self.materialize_whole([authored], EventKind::of(place.1 > 0))?;
                // Nobody undoes a confirmed event.
                changed.extend(self.connection.discard_changes());
            }
            Ok(())
        })?;
        if all_applied {
            next.changed.extend(changed);
            return Ok(());
        }
        for (place, authored) in events {
            self.apply(place, authored, stops, next)?;
        }
        Ok(())
    }

    /// Applies pending groups again, as far as they are to be applied, and does something else with
    /// each; nothing has happened if one of them fails, which is told.
    pub(super) fn try_together<'g>(
        &self,
        groups: impl Iterator<Item = (&'g PendingGroup, bool)>,
        mut after: SeqNum,
        mut done: impl FnMut(&PendingGroup) -> Result<(), ReplicaError>,
    ) -> Result<bool, ReplicaError> {
        self.together(|| {
            for (own, is_applied) in groups {
                if is_applied {
                    let kind = EventKind::of(own.client_only);
                    self.materialize_whole(Authored::of(&own.group, kind, after), kind)?;
                    after = own.end(after);
                }
                done(own).map_err(End::Replica)?;
            }
            Ok(())
        })
    }

    /// Runs at one savepoint what hardly ever fails; tells whether all of it, or nothing, was done.
    ///
    /// A savepoint for each event costs about as much as the event.
    fn together(&self, run: impl FnOnce() -> Result<(), End>) -> Result<bool, ReplicaError> {
        match self.connection.savepoint(run) {
            Ok(()) => Ok(true),
            Err(End::Failed(..)) => Ok(false),
            Err(End::Replica(error)) => Err(error),
        }
    }

    /// Applies events of one group up to the first that fails.
    fn materialize_whole<'e>(
        &self,
        events: impl IntoIterator<Item = Authored<'e>>,
        kind: EventKind,
    ) -> Result<(), End> {
        for (index, authored) in events.into_iter().enumerate() {
            let outcome =
                materialize(&self.connection, &self.schema, kind, authored, &self.warnings);
            let verdict = verdict(authored.event, outcome).map_err(End::Replica)?;
            verdict.map_err(|skipped| End::Failed(index, skipped))?;
        }
        Ok(())
    }

    /// Applies one event of the log, or notes that it was skipped.
    fn apply(
        &self,
        place: Place,
        authored: Authored<'_>,
        stops: Stops,
        next: &mut Next,
    ) -> Result<(), ReplicaError> {
        let kind = EventKind::of(place.1 > 0);
        let applied = try_apply(&self.connection, &self.schema, kind, authored, &self.warnings)?;
        // Nobody undoes a confirmed event. Keeping what it changed until a whole page is applied
        // would also make the limit of changes depend on where pages end.
        next.changed.extend(self.connection.discard_changes());
        let Err(skipped) = applied else { return Ok(()) };
        let Authored { event, position, .. } = authored;
        if skipped.unknown {
            if stops.unknown {
                let (name, id) = (event.name.clone(), event.id);
                return Err(ReplicaError::UnknownEvent { name, id, seq: place.0 });
            }
            self.meet_unknown(place, &event.name, position, next);
        } else if stops.poison {
            return Err(ReplicaError::PoisonEvent {
                name: event.name.clone(),
                id: event.id,
                seq: position.global,
                message: skipped.reason,
            });
        }
        exceptions::quarantine(&self.connection, place, event, &skipped)?;
        next.counts.quarantined += 1;
        Ok(())
    }

    /// Tells of an event of the log that the schema does not know, as the schema says.
    fn meet_unknown(&self, place: Place, name: &EventName, seq: SeqNum, next: &mut Next) {
        match self.schema.unknown_events() {
            UnknownEvents::Ignore => {}
            UnknownEvents::Callback(_) => {
                next.unknown = Some(next.unknown.map_or(place, |first| first.min(place)));
            }
            UnknownEvents::Warn | UnknownEvents::Fail => {
                self.warnings.tell(Warning::UnknownEvent { name: name.clone(), seq });
            }
        }
    }

    /// Applies a pending group again behind a place, whole or not at all.
    pub(super) fn try_pending(
        &self,
        own: &PendingGroup,
        after: SeqNum,
    ) -> Result<Result<(), DeadLetterReason>, ReplicaError> {
        let kind = EventKind::of(own.client_only);
        let whole = || self.materialize_whole(Authored::of(&own.group, kind, after), kind);
        match self.connection.savepoint(whole) {
            Ok(()) => Ok(Ok(())),
            Err(End::Failed(event_index, Skipped { reason: message, .. })) => {
                Ok(Err(DeadLetterReason::MaterializeFailed { event_index, message }))
            }
            Err(End::Replica(error)) => Err(error),
        }
    }
}
