//! Materializers: functions from an event to writes on the state.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use livestore_core::mutant::{self, Mutant};
use livestore_core::{
    CanonicalJson, ClientId, Event as StoredEvent, EventId, EventName, GroupId, JsonError, SeqNum,
    SessionId,
};
use livestore_sqlite::{
    Delete, Insert, Query, RunWrite, SqliteError, StateWrite, Table, Update, ValueError, Write,
};

use crate::Event;
use crate::event::EventKind;
use crate::upcaster::Upcaster;

/// What a materializer has besides the payload: where the event comes from, and the state as it is
/// before the event, to read and to write.
#[derive(Debug, Clone, Copy)]
pub struct MaterializerContext<'a> {
    pub(crate) event: &'a StoredEvent,
    pub(crate) position: SeqNum,
    pub(crate) group_id: GroupId,
    pub(crate) client_id: &'a ClientId,
    pub(crate) session_id: &'a SessionId,
    pub(crate) state: StateWrite<'a>,
    /// Why the event has failed already, whatever its materializer makes of that.
    pub(crate) failure: &'a RefCell<Option<SqliteError>>,
}

impl MaterializerContext<'_> {
    /// Returns the event's id.
    pub fn event_id(&self) -> EventId {
        self.event.id
    }

    /// Returns the event's name in the log; after upcasting, that of the event as it was committed.
    pub fn event_name(&self) -> &EventName {
        &self.event.name
    }

    /// Returns where the event stands in the log.
    ///
    /// A pending event is where it will be if nothing comes in between; when something does, it is
    /// materialized again with its new position. So what is made of it is the same on every client.
    /// A memory event is in no log: it has the position of the last synced event.
    pub fn position(&self) -> SeqNum {
        self.position
    }

    /// Returns the id of the group that the event was committed in.
    pub fn group_id(&self) -> GroupId {
        self.group_id
    }

    /// Returns the client that committed the event.
    pub fn client_id(&self) -> &ClientId {
        self.client_id
    }

    /// Returns the session that committed the event.
    pub fn session_id(&self) -> &SessionId {
        self.session_id
    }

    /// Reads the state as it is before this event's own writes, but for those that
    /// [`write`](Self::write) has done.
    pub fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, MaterializeError> {
        Ok(self.state.read().query(query)?)
    }

    /// Runs a write at once, before those that the materializer returns, and gives what it
    /// [returns](livestore_sqlite::Returning): nothing, or values of the rows.
    ///
    /// # Errors
    ///
    /// Those of a write that is returned. The event fails with it, also if the materializer goes on
    /// and returns something else.
    pub fn write<W: RunWrite>(&self, write: W) -> Result<W::Output, MaterializeError> {
        // A statement may have failed such that the transaction is gone.
        if let Some(error) = &*self.failure.borrow() {
            return Err(MaterializeError::failed(error.to_string()));
        }
        self.state.run(write).map_err(|error| {
            let told = MaterializeError::failed(error.to_string());
            self.failure.replace(Some(error));
            told
        })
    }
}

/// Why an event could not be materialized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaterializeError {
    /// The schema has no event of this name and kind.
    #[error("the schema has no {kind} event of this name")]
    UnknownEvent {
        /// The kind that the log says the event is of.
        kind: EventKind,
    },
    /// The payload does not fit the event's type.
    #[error(transparent)]
    Payload(#[from] JsonError),
    /// A write or query failed; constraint violations come here.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The materializer returned an error of its own.
    #[error("{0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The materializer panicked.
    #[error("the materializer panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

impl MaterializeError {
    /// Makes an error of the materializer's own.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// Takes any error for the materializer's own, unless it is one of these already.
    pub(crate) fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::Failed(other),
        }
    }

    /// Tells whether the event would fail everywhere, whatever the machine.
    pub(crate) fn is_deterministic(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.is_deterministic() || mutant::is_active(Mutant::IoErrorQuarantined)
            }
            Self::Panicked { .. } => false,
            _ => true,
        }
    }
}

impl From<ValueError> for MaterializeError {
    fn from(error: ValueError) -> Self {
        Self::Sqlite(error.into())
    }
}

/// What a materializer may return: no, one or many writes, or an error.
pub trait IntoWrites {
    /// Appends the writes in the order in which they are to run.
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError>;

    /// Collects the writes, so that the arms of a `match` have one type.
    ///
    /// # Errors
    ///
    /// A value to be written has no SQLite form, or this is an error itself.
    fn into_writes(self) -> Result<Vec<Write>, MaterializeError>
    where
        Self: Sized,
    {
        let mut writes = Vec::new();
        self.append_to(&mut writes)?;
        Ok(writes)
    }
}

impl IntoWrites for () {
    fn append_to(self, _writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        Ok(())
    }
}

impl IntoWrites for Write {
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        writes.push(self);
        Ok(())
    }
}

macro_rules! builder_into_writes {
    ($($builder:ident),*) => {$(
        impl<T: Table> IntoWrites for $builder<T> {
            fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
                writes.push(self.try_into()?);
                Ok(())
            }
        }
    )*};
}
builder_into_writes!(Insert, Update, Delete);

impl<W: IntoWrites> IntoWrites for Option<W> {
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        self.map_or(Ok(()), |write| write.append_to(writes))
    }
}

impl<W: IntoWrites> IntoWrites for Vec<W> {
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        self.into_iter().try_for_each(|write| write.append_to(writes))
    }
}

impl<W: IntoWrites, const N: usize> IntoWrites for [W; N] {
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        self.into_iter().try_for_each(|write| write.append_to(writes))
    }
}

impl<W: IntoWrites, E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoWrites for Result<W, E> {
    fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
        match self {
            Ok(write) => write.append_to(writes),
            Err(error) => Err(MaterializeError::of(error)),
        }
    }
}

macro_rules! tuple_into_writes {
    ($($write:ident),*) => {
        impl<$($write: IntoWrites),*> IntoWrites for ($($write,)*) {
            #[allow(non_snake_case, reason = "the type parameters name the elements")]
            fn append_to(self, writes: &mut Vec<Write>) -> Result<(), MaterializeError> {
                let ($($write,)*) = self;
                $($write.append_to(writes)?;)*
                Ok(())
            }
        }
    };
}
tuple_into_writes!(A, B);
tuple_into_writes!(A, B, C);
tuple_into_writes!(A, B, C, D);

type MaterializeFn = dyn Fn(&CanonicalJson, &MaterializerContext<'_>, &mut Vec<Write>) -> Result<(), MaterializeError>
    + Send
    + Sync;

/// A registered materializer, with the payload's type erased.
#[derive(Clone)]
pub(crate) struct Materializer(Arc<MaterializeFn>);

impl fmt::Debug for Materializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Materializer")
    }
}

thread_local! {
    /// True while a function of the app's runs on this thread, under the store's lock.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether the calling code runs inside a materializer or another function of the schema.
pub(crate) fn is_running() -> bool {
    RUNNING.get()
}

impl Materializer {
    /// Wraps a function of a typed payload, for the event of a name.
    pub(crate) fn typed<E: Event, W: IntoWrites>(
        name: String,
        run: Arc<impl Fn(E, &MaterializerContext<'_>) -> W + Send + Sync + 'static>,
    ) -> Self {
        Self(Arc::new(move |args, context, writes| {
            run(E::decode(&name, args)?, context).append_to(writes)
        }))
    }

    /// Wraps a function of the canonical payload.
    pub(crate) fn untyped<W: IntoWrites>(
        run: impl Fn(&CanonicalJson, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |args, context, writes| run(args, context).append_to(writes)))
    }

    /// Puts an upcaster in front of the materializers of the events that it leads to.
    pub(crate) fn upcast(
        name: String,
        upcaster: Upcaster,
        targets: HashMap<String, Materializer>,
    ) -> Self {
        Self(Arc::new(move |args, context, writes| {
            let (to, args) = (upcaster.run)(&name, args).map_err(|error| {
                MaterializeError::Failed(format!("upcasting it failed: {error}").into())
            })?;
            // A type can only name what it defines, and the schema has all of that.
            let target = targets.get(&to).ok_or_else(|| {
                MaterializeError::failed(format!("it was upcast to {to}, which is not defined"))
            })?;
            (target.0)(&args, context, writes)
        }))
    }

    /// Runs the user's function on the stored payload; a panic becomes an error.
    pub(crate) fn run(
        &self,
        context: &MaterializerContext<'_>,
    ) -> Result<Vec<Write>, MaterializeError> {
        let mut writes = Vec::new();
        let outcome = catching(|| (self.0)(&context.event.args, context, &mut writes));
        // What it made of a failed write, a panic included, follows from that.
        if let Some(error) = context.failure.take() {
            return Err(error.into());
        }
        match outcome {
            Ok(result) => result.map(|()| writes),
            Err(message) => Err(MaterializeError::Panicked { message }),
        }
    }
}

/// Runs a function of the app's under the store's lock; a panic becomes its message.
pub(crate) fn catching<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    let before = RUNNING.replace(true);
    // Such a function sees only shared references, what is behind them is whole at any moment, and
    // what it had begun to collect is dropped when it panics.
    let outcome = catch_unwind(AssertUnwindSafe(run));
    RUNNING.set(before);
    outcome.map_err(|panic| message_of(&*panic))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".into())
}
