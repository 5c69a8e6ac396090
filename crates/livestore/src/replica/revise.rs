//! Making pending groups anew when the state under them has changed: commands run again, and events
//! of which the app says so are rewritten or dropped.
//!
//! Nothing is made anew, and nothing given up for that, while the backend may have the group already:
//! the first result of a command might have been accepted, and would then take effect beside the
//! second, or in spite of a refusal. Until that is known, the group is applied as it was, and the
//! replica notes that its turn is still to come.

use livestore_core::{CanonicalJson, Event, EventName, Group};

use super::exceptions::DeadLetterReason;
use super::pending::PendingGroup;
use super::{Replica, ReplicaError};
use crate::command::{Run, Unmade};
use crate::reader::Unread;
use crate::warning::Warning;
use crate::{CommandFailure, OnRebase, StoredCommand};

/// What becomes of a pending group on the state as it is now.
#[derive(Debug)]
pub(super) enum Revision {
    /// It stays as it is.
    Keep,
    /// Another group takes its place, under the same id.
    Rewrite(Group),
    /// It leaves the tail.
    GiveUp(DeadLetterReason),
}

impl Replica {
    /// Tells whether a pending group may become another one when the state under it changes.
    pub(super) fn is_revisable(&self, own: &PendingGroup) -> bool {
        let says_so = |event: &Event| self.schema.on_rebase(&event.name).is_some();
        !own.client_only && (own.origin.command.is_some() || own.group.events().iter().any(says_so))
    }

    /// Decides what becomes of a pending group, on the state before it.
    ///
    /// # Errors
    ///
    /// The database failed in a way that says nothing about the group.
    pub(super) fn revise(&self, own: &PendingGroup) -> Result<Revision, ReplicaError> {
        match &own.origin.command {
            Some(command) => self.run_again(own, command),
            None => self.rewrite_events(own),
        }
    }

    fn run_again(
        &self,
        own: &PendingGroup,
        command: &StoredCommand,
    ) -> Result<Revision, ReplicaError> {
        let gone = |reason: String| {
            let name = command.name.clone();
            self.warnings.tell(Warning::CommandGone { name, reason });
            Ok(Revision::Keep)
        };
        let Some(handler) = self.schema.commands().handlers.get(&command.name) else {
            return gone("the schema does not have it".into());
        };
        let run = Run { group_id: own.group.id(), time_ms: command.time_ms, is_again: true };
        match self.schema.run_command(handler, &command.args, &self.connection, run) {
            Ok(events) => {
                let events = events.into_iter().map(|event| (event.name, event.args));
                Ok(revision(own, events))
            }
            Err(Unmade::Refused(_, failure) | Unmade::Failed(failure)) => {
                Ok(Revision::GiveUp(DeadLetterReason::CommandFailed { failure }))
            }
            Err(Unmade::Payload(error)) => gone(format!("it has another form now: {error}")),
            Err(Unmade::Machine(error)) => Err(error.into()),
        }
    }

    fn rewrite_events(&self, own: &PendingGroup) -> Result<Revision, ReplicaError> {
        let mut events = Vec::with_capacity(own.group.events().len());
        for (event_index, event) in own.group.events().iter().enumerate() {
            let as_it_is = || (event.name.clone(), event.args.clone());
            let Some(decide) = self.schema.on_rebase(&event.name) else {
                events.push(as_it_is());
                continue;
            };
            let ids = (own.group.id(), event.id);
            match self.schema.decide(decide, &event.args, &self.connection, ids) {
                Ok(OnRebase::Keep) => events.push(as_it_is()),
                Ok(OnRebase::Rewrite(event)) => events.push((event.name, event.args)),
                Ok(OnRebase::Drop { reason }) => {
                    let reason = DeadLetterReason::DroppedOnRebase { event_index, reason };
                    return Ok(Revision::GiveUp(reason));
                }
                Err(Unread::Failed(failure)) => {
                    let reason = DeadLetterReason::OnRebaseFailed { event_index, failure };
                    return Ok(Revision::GiveUp(reason));
                }
                Err(Unread::Machine(error)) => return Err(error.into()),
            }
        }
        Ok(revision(own, events.into_iter()))
    }
}

/// Makes the group of other events; an event keeps the id of the one that it takes the place of.
fn revision(
    own: &PendingGroup,
    events: impl Iterator<Item = (EventName, CanonicalJson)>,
) -> Revision {
    let (before, id) = (own.group.events(), own.group.id());
    let with_id = |(index, (name, args)): (usize, _)| {
        let id = before.get(index).map_or_else(|| id.derived_event_id(index), |event| event.id);
        Event { id, name, args }
    };
    let events = events.enumerate().map(with_id).collect();
    let (client_id, session_id) = (own.group.client_id(), own.group.session_id());
    match Group::new(id, client_id.clone(), session_id.clone(), events) {
        Ok(group) if group == own.group => Revision::Keep,
        Ok(group) => Revision::Rewrite(group),
        Err(error) => {
            let failure = CommandFailure::Events { message: error.to_string() };
            Revision::GiveUp(DeadLetterReason::CommandFailed { failure })
        }
    }
}
