//! Commands: intentions that become events by looking at the state, and do so again whenever the
//! state under them has changed.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use livestore_core::limits::MAX_ARGS_BYTES;
use livestore_core::{CanonicalJson, EventName, GroupId, JsonError};
use livestore_sqlite::{Connection, DateTime, Query, SqliteError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::group::{IntoGroup, NewEvent};
use crate::reader::{QueryFailed, Reader, Unread};
use crate::{CommitError, Schema};

/// Steps of SQLite's machine that the queries of one run of a command may take, unless the schema
/// says otherwise: a good part of a second.
pub(crate) const DEFAULT_BUDGET: u64 = 20_000_000;

/// A type whose values are commands; implemented by `#[derive(Command)]`.
///
/// An event says what happened and holds for good. A command says what somebody wants: its handler,
/// which the schema has, looks at the state and says which events that makes, or why it cannot be.
/// As long as those events are pending and other clients' events come in before them, the handler
/// runs again, on the state that there is then.
pub trait Command: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The command's name, by convention an imperative such as `Withdraw`.
    const NAME: &'static str;

    /// Why the handler may refuse.
    type Error: CommandError;
}

/// What a handler may refuse a command with: an error with a text and a JSON form.
///
/// It is stored if the command is refused only after a rebase, for the app to read later. Every type
/// that can be one is one.
pub trait CommandError:
    fmt::Display + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<E: fmt::Display + Serialize + DeserializeOwned + Send + Sync + 'static> CommandError for E {}

/// What ends a handler early: its own error, or a query that failed.
///
/// The `?` operator makes either one.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerError<E> {
    /// The command cannot be, for a reason that the handler knows.
    Refused(E),
    /// A query failed; the command fails with it, whatever the handler makes of it.
    Query(QueryFailed),
}

impl<E: CommandError> From<E> for HandlerError<E> {
    fn from(error: E) -> Self {
        Self::Refused(error)
    }
}

impl<E> From<QueryFailed> for HandlerError<E> {
    fn from(error: QueryFailed) -> Self {
        Self::Query(error)
    }
}

/// What a handler has besides the command: the state, and what must be the same in every run.
#[derive(Debug)]
pub struct CommandContext<'a> {
    reader: Reader<'a>,
    run: Run,
    ids: Cell<u64>,
}

/// One of the runs of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The group that the command makes.
    pub(crate) group_id: GroupId,
    /// When it was executed, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// True if it ran before.
    pub(crate) is_again: bool,
}

impl CommandContext<'_> {
    /// Reads the state as it is now; of the tables, the `synced` ones, and by SQL that gives the same
    /// everywhere.
    ///
    /// # Errors
    ///
    /// The query failed, or all queries of this run have taken too long together. The command fails
    /// with that, also if the handler goes on.
    pub fn query<Q: Query>(&self, query: &Q) -> Result<Q::Output, QueryFailed> {
        self.reader.query(query)
    }

    /// Makes an id, for the primary key of a thing that the command creates.
    ///
    /// The first call makes the same id in every run, and so does the second, and so on; so a thing
    /// keeps its id when the command runs again.
    pub fn id(&self) -> String {
        let number = self.ids.replace(self.ids.get() + 1);
        self.run.group_id.derived_id(number)
    }

    /// Returns when the command was executed, by the local clock; the same in every run.
    pub fn time(&self) -> DateTime {
        let ms = i64::try_from(self.run.time_ms).unwrap_or(i64::MAX);
        DateTime::from_millis(ms).unwrap_or(DateTime::MAX)
    }

    /// Returns the id of the group that the command makes.
    pub fn group_id(&self) -> GroupId {
        self.run.group_id
    }

    /// Tells whether the command ran before, and runs again since the state has changed under it.
    pub fn is_rerun(&self) -> bool {
        self.run.is_again
    }
}

/// Why a command made no events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum CommandFailure {
    /// Its handler refused it.
    #[error("{message}")]
    Refused {
        /// The handler's error.
        error: serde_json::Value,
        /// The error's text.
        message: String,
    },
    /// Its handler returned no event.
    #[error("the command made no event; a handler returns events, or says why it does not")]
    NoEvents,
    /// Its handler returned an event that stays here.
    #[error("the command made event {name}, which is {event_kind}; a command makes synced events")]
    NotSynced {
        /// The event.
        name: EventName,
        /// What kind it is of.
        event_kind: EventKind,
    },
    /// Its handler returned an event that the schema does not have.
    #[error("the command made event {name}, which the schema does not have")]
    UnknownEvent {
        /// The event.
        name: EventName,
    },
    /// Its handler returned events that cannot be stored.
    #[error("the command made events that cannot be stored: {message}")]
    Events {
        /// Why not.
        message: String,
    },
    /// A query of its handler failed.
    #[error("a query of the command's handler failed: {message}")]
    Query {
        /// SQLite's error.
        message: String,
    },
    /// The queries of its handler took too long.
    #[error(
        "the queries of the command's handler took more than {steps} steps of SQLite's machine; \
         read less, by an index, or raise the schema's `command_budget`"
    )]
    OverBudget {
        /// The budget.
        steps: u64,
    },
    /// Its handler panicked.
    #[error("the command's handler panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

impl CommandFailure {
    /// Returns the error that the handler refused the command with, if it did and the error is of
    /// this type.
    pub fn refusal<E: CommandError>(&self) -> Option<E> {
        match self {
            Self::Refused { error, .. } => E::deserialize(error).ok(),
            _ => None,
        }
    }
}

/// A command as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredCommand {
    /// Its name.
    pub name: String,
    /// Its JSON form.
    pub args: CanonicalJson,
    /// When it was executed, in milliseconds since 1970, by the local clock.
    pub time_ms: u64,
}

/// Why a run made no events, with the handler's own error as it was.
#[derive(Debug)]
pub(crate) enum Unmade {
    /// The handler's own error, and what is stored of it.
    Refused(Box<dyn Any + Send>, CommandFailure),
    Failed(CommandFailure),
    /// The command's JSON form does not fit its type any more.
    Payload(JsonError),
    /// The database failed in a way that says nothing about the command.
    Machine(SqliteError),
}

type HandleFn =
    dyn Fn(&CanonicalJson, &CommandContext<'_>) -> Result<Vec<NewEvent>, Unmade> + Send + Sync;

/// A registered handler, with the command's type erased.
#[derive(Clone)]
pub(crate) struct Handler(Arc<HandleFn>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

impl Handler {
    /// Wraps a handler of a typed command.
    pub(crate) fn typed<C: Command, R: IntoGroup<Kind>, Kind>(
        handle: impl Fn(C, &CommandContext<'_>) -> Result<R, HandlerError<C::Error>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(move |args, context| {
            let command = args.decode().map_err(Unmade::Payload)?;
            events_of(handle(command, context))
        }))
    }

    /// Wraps a handler of the canonical JSON.
    pub(crate) fn untyped<R: IntoGroup<Kind>, Kind>(
        handle: impl Fn(
            &CanonicalJson,
            &CommandContext<'_>,
        ) -> Result<R, HandlerError<serde_json::Value>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(move |args, context| events_of(handle(args, context))))
    }
}

fn events_of<R: IntoGroup<Kind>, Kind, E: CommandError>(
    handled: Result<R, HandlerError<E>>,
) -> Result<Vec<NewEvent>, Unmade> {
    let events = match handled {
        Ok(events) => events.into_events(),
        Err(HandlerError::Refused(error)) => {
            let message = error.to_string();
            let json = serde_json::to_value(&error);
            let json = json.unwrap_or_else(|_| serde_json::Value::String(message.clone()));
            let failure = CommandFailure::Refused { error: json, message };
            return Err(Unmade::Refused(Box::new(error), failure));
        }
        // The context knows better what it was.
        Err(HandlerError::Query(error)) => {
            let message = error.to_string();
            return Err(Unmade::Failed(CommandFailure::Query { message }));
        }
    };
    events.map_err(|error| {
        let message = error.to_string();
        Unmade::Failed(CommandFailure::Events { message })
    })
}

/// The commands of a schema.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) handlers: HashMap<String, Handler>,
    pub(crate) budget: u64,
}

impl Schema {
    /// Runs a command's handler on the state as it is: the events that it makes.
    pub(crate) fn run_command(
        &self,
        handler: &Handler,
        args: &CanonicalJson,
        connection: &Connection,
        run: Run,
    ) -> Result<Vec<NewEvent>, Unmade> {
        let context = CommandContext { reader: Reader::new(connection), run, ids: Cell::new(0) };
        let outcome = context.reader.run(self.commands().budget, || (handler.0)(args, &context));
        let events = match outcome {
            Ok(handled) => handled?,
            Err(Unread::Failed(failure)) => return Err(Unmade::Failed(failure)),
            Err(Unread::Machine(error)) => return Err(Unmade::Machine(error)),
        };
        if events.is_empty() {
            return Err(Unmade::Failed(CommandFailure::NoEvents));
        }
        self.check_made(&events).map_err(Unmade::Failed)?;
        Ok(events)
    }

    /// Checks events that an app's function has made: the schema has them, and they are synced.
    pub(crate) fn check_made<'e>(
        &self,
        events: impl IntoIterator<Item = &'e NewEvent>,
    ) -> Result<(), CommandFailure> {
        for NewEvent { name, .. } in events {
            let name = name.clone();
            return Err(match self.kind(&name) {
                Some(EventKind::Synced) => continue,
                Some(event_kind) => CommandFailure::NotSynced { name, event_kind },
                None => CommandFailure::UnknownEvent { name },
            });
        }
        Ok(())
    }
}

/// Encodes a command, if it is not too large to be kept beside its events.
pub(crate) fn encode<T: Serialize + ?Sized>(
    name: &str,
    args: &T,
) -> Result<CanonicalJson, NotExecuted> {
    let payload = |source| NotExecuted::Unmade(name.to_owned(), Unmade::Payload(source));
    let args = CanonicalJson::encode(args).map_err(payload)?;
    let bytes = args.as_str().len();
    if bytes > MAX_ARGS_BYTES {
        return Err(NotExecuted::TooLarge { name: name.to_owned(), bytes });
    }
    Ok(args)
}

/// Why a command was not executed; nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<E> {
    /// The handler refused the command.
    #[error("{0}")]
    Refused(E),
    /// The handler failed, or made events that cannot be.
    #[error(transparent)]
    Failed(CommandFailure),
    /// The schema has no handler for the command.
    #[error("the schema has no command {name}; add it with SchemaBuilder::command")]
    Unknown {
        /// The command's name.
        name: String,
    },
    /// The command has no JSON form that can be stored and read back.
    #[error("command {name} cannot be stored: {source}")]
    Payload {
        /// The command's name.
        name: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// The command is too large to be kept beside its events.
    #[error("command {name} has {bytes} bytes, the limit is {MAX_ARGS_BYTES}")]
    TooLarge {
        /// The command's name.
        name: String,
        /// The size of its JSON form.
        bytes: usize,
    },
    /// The events that it made could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl<E: 'static> ExecuteError<E> {
    /// Takes the error of an execution, whose command is of a type that refuses with `E`.
    pub(crate) fn of(error: NotExecuted) -> Self {
        match error {
            NotExecuted::Unmade(_, Unmade::Refused(error, failure)) => match error.downcast() {
                Ok(error) => Self::Refused(*error),
                Err(_) => Self::Failed(failure),
            },
            NotExecuted::Unmade(_, Unmade::Failed(failure)) => Self::Failed(failure),
            NotExecuted::Unmade(name, Unmade::Payload(source)) => Self::Payload { name, source },
            NotExecuted::Unmade(_, Unmade::Machine(error)) => Self::Commit(error.into()),
            NotExecuted::Unknown { name } => Self::Unknown { name },
            NotExecuted::TooLarge { name, bytes } => Self::TooLarge { name, bytes },
            NotExecuted::Commit(error) => Self::Commit(error),
        }
    }
}

/// Why a stored command was not executed.
#[derive(Debug)]
pub(crate) enum NotExecuted {
    /// It made no events; with its name.
    Unmade(String, Unmade),
    Unknown {
        name: String,
    },
    TooLarge {
        name: String,
        bytes: usize,
    },
    Commit(CommitError),
}

impl From<CommitError> for NotExecuted {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}
