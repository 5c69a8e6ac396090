//! What becomes of a pending event when other clients' events come in before it.

use std::fmt;
use std::sync::Arc;

use livestore_core::{CanonicalJson, EventId, GroupId};
use livestore_sqlite::{Connection, Query};

use crate::command::CommandFailure;
use crate::group::NewEvent;
use crate::reader::{QueryFailed, Reader, Unread};
use crate::{CommitError, Event, Schema};

/// What to do with a pending event whose state has changed under it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnRebase<E> {
    /// Leave it as it is, which is also what happens to events that nothing is said about.
    Keep,
    /// Put another event in its place, which keeps its id.
    Rewrite(E),
    /// Give it up: its whole group becomes a dead letter, with this reason.
    Drop {
        /// Why, for people.
        reason: String,
    },
}

/// What the function that decides has besides the event: the state before its group.
#[derive(Debug)]
pub struct RebaseContext<'a> {
    reader: Reader<'a>,
    group_id: GroupId,
    event_id: EventId,
}

impl RebaseContext<'_> {
    /// Reads the state as it is now, before the event's group; of the tables, the `synced` ones, and
    /// by SQL that gives the same everywhere.
    ///
    /// # Errors
    ///
    /// The query failed, or took too long; the group becomes a dead letter then, also if the function
    /// goes on.
    pub fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, QueryFailed> {
        self.reader.query(query)
    }

    /// Returns the event's id.
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// Returns the id of the group that the event was committed in.
    pub fn group_id(&self) -> GroupId {
        self.group_id
    }
}

/// What was decided, or why nothing was.
type Decided = Result<Result<OnRebase<NewEvent>, CommitError>, QueryFailed>;

type DecideFn = dyn Fn(&CanonicalJson, &RebaseContext<'_>) -> Decided + Send + Sync;

/// A registered function, with the event's type erased.
#[derive(Clone)]
pub(crate) struct Decide(Arc<DecideFn>);

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decide")
    }
}

impl Decide {
    /// Wraps a function of a typed event, for the event of a name.
    pub(crate) fn typed<E: Event>(
        name: String,
        decide: Arc<
            impl Fn(E, &RebaseContext<'_>) -> Result<OnRebase<E>, QueryFailed> + Send + Sync + 'static,
        >,
    ) -> Self {
        Self(Arc::new(move |args, context| {
            // One that does not fit is as good as before; its materializer says what is wrong.
            let Ok(event) = E::decode(&name, args) else { return Ok(Ok(OnRebase::Keep)) };
            Ok(match decide(event, context)? {
                OnRebase::Keep => Ok(OnRebase::Keep),
                OnRebase::Drop { reason } => Ok(OnRebase::Drop { reason }),
                OnRebase::Rewrite(event) => NewEvent::of(event).map(OnRebase::Rewrite),
            })
        }))
    }

    /// Wraps a function of the canonical payload.
    pub(crate) fn untyped(
        decide: impl Fn(&CanonicalJson, &RebaseContext<'_>) -> Result<OnRebase<NewEvent>, QueryFailed>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(move |args, context| decide(args, context).map(Ok)))
    }
}

impl Schema {
    /// Decides about a pending event on the state as it is.
    pub(crate) fn decide(
        &self,
        decide: &Decide,
        args: &CanonicalJson,
        connection: &Connection,
        (group_id, event_id): (GroupId, EventId),
    ) -> Result<OnRebase<NewEvent>, Unread> {
        let context = RebaseContext { reader: Reader::new(connection), group_id, event_id };
        let outcome = context.reader.run(self.commands().budget, || (decide.0)(args, &context))?;
        let failed = |failure| Err(Unread::Failed(failure));
        match outcome {
            Ok(Ok(OnRebase::Rewrite(event))) => match self.check_made([&event]) {
                Ok(()) => Ok(OnRebase::Rewrite(event)),
                Err(failure) => failed(failure),
            },
            Ok(Ok(other)) => Ok(other),
            Ok(Err(error)) => failed(CommandFailure::Events { message: error.to_string() }),
            Err(error) => failed(CommandFailure::Query { message: error.to_string() }),
        }
    }
}
