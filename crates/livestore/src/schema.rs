//! The schema: tables, events and the materializers that connect them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use livestore_core::{CanonicalJson, EventName, EventNameError, JsonError, MISSING_EVENT};
use livestore_sqlite::{Scope, Table, TableDef, TableError, check_tables};

use crate::command::{Command, CommandContext, Commands, DEFAULT_BUDGET, Handler, HandlerError};
use crate::document::{ClientDocument, DocumentDef};
use crate::event::EventKind;
use crate::group::{IntoGroup, NewEvent};
use crate::materializer::{IntoWrites, Materializer, MaterializerContext};
use crate::on_rebase::{Decide, OnRebase, RebaseContext};
use crate::reader::QueryFailed;
use crate::unknown::UnknownEvents;
use crate::upcaster::{self, Upcaster};
use crate::{Event, EventDef};

/// A schema that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two tables have the same name (SQLite does not tell case apart).
    #[error("the schema has two tables named {name}")]
    DuplicateTable {
        /// The name.
        name: String,
    },
    /// Two events have the same name.
    #[error("the schema has two events named {name}; a new meaning needs a new name, such as v2.…")]
    DuplicateEvent {
        /// The name.
        name: EventName,
    },
    /// An event has a name that means something to LiveStore itself.
    #[error("{name} stands for events that are missing in a log; give the event another name")]
    ReservedEvent {
        /// The name.
        name: EventName,
    },
    /// Two commands have the same name.
    #[error("the schema has two commands named {name}")]
    DuplicateCommand {
        /// The name.
        name: String,
    },
    /// It was said twice what becomes of an event on a rebase.
    #[error("the schema says twice what becomes of event {name} on a rebase; keep one")]
    DuplicateOnRebase {
        /// The event's name.
        name: EventName,
    },
    /// It was said what becomes on a rebase of an event that the schema does not have, or that is
    /// not rebased.
    #[error(
        "the schema has no synced event {name}, of which it says what becomes of it on a rebase; \
         add it, or leave this out"
    )]
    OnRebaseOfOther {
        /// The event's name.
        name: EventName,
    },
    /// An upcaster starts from an event that the schema has, or another one does.
    #[error(
        "the schema has two meanings of event {name}: it is upcast, and defined or upcast again; \
         keep one"
    )]
    DuplicateUpcast {
        /// The name.
        name: EventName,
    },
    /// An upcaster leads to nothing that has a materializer.
    #[error(
        "the upcaster of {from} leads to {to}, which the schema does not have; add it as an event"
    )]
    UnknownUpcast {
        /// The event that it starts from.
        from: EventName,
        /// The event that it leads to.
        to: String,
    },
    /// Upcasters lead from an event back to it.
    #[error("the upcaster of {from} leads back to it; an old event has to lead to a newer one")]
    UpcastCycle {
        /// An event of the cycle.
        from: EventName,
    },
    /// An upcaster leads to events of different kinds.
    #[error(
        "the upcaster of {from} leads to events of different kinds, {one} and {other}; an event \
         stays what it is"
    )]
    UpcastKinds {
        /// The event that it starts from.
        from: EventName,
        /// One kind.
        one: EventKind,
        /// Another.
        other: EventKind,
    },
    /// An event's name is not valid.
    #[error(transparent)]
    EventName(#[from] EventNameError),
    /// The default of a client document has no JSON form.
    #[error("the default of a client document cannot be stored: {0}")]
    DocumentDefault(#[from] JsonError),
    /// A table cannot be what its definition says.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A payload was described of an event that is not there.
    #[error(
        "the schema has no event {name}, whose payload is described; add it, or leave this out"
    )]
    SchemaOfUnknownEvent {
        /// The event's name.
        name: EventName,
    },
    /// What should describe a payload is not a JSON Schema.
    #[error(
        "the JSON Schema of the payload of event {name} is neither an object nor true or false"
    )]
    NoJsonSchema {
        /// The event's name.
        name: EventName,
    },
}

/// Tells which definitions a state was derived with.
///
/// BLAKE3 over the definitions of the tables on disk, the versions of materializers and the
/// upcasters. When it changes, the state is rebuilt from the log. A new event is no change: only if the log holds
/// events of its name that nobody knew before, the state is rebuilt as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateVersion([u8; 32]);

impl StateVersion {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns all 64 hexadecimal digits; its display form has the first 16.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_string()
    }
}

impl fmt::Display for StateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex()[..16])
    }
}

impl fmt::Debug for StateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateVersion({self})")
    }
}

/// What the schema says of an event.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) kind: EventKind,
    pub(crate) materializer: Materializer,
    /// None if the event is only read any more, and upcast.
    pub(crate) def: Option<EventDef>,
    /// True if applying it may lead to a warning.
    pub(crate) is_deprecated: bool,
    /// What becomes of it on a rebase; it is kept if nothing is said.
    pub(crate) on_rebase: Option<Decide>,
}

#[derive(Debug)]
struct Parts {
    tables: Vec<TableDef>,
    events: HashMap<EventName, Registered>,
    documents: Vec<DocumentDef>,
    commands: Commands,
    unknown_events: UnknownEvents,
    splits_large_commits: bool,
    materializer_version: u64,
    version: StateVersion,
}

/// The tables, events and materializers of one app; a clone shares them.
#[derive(Debug, Clone)]
pub struct Schema(Arc<Parts>);

impl Schema {
    /// Starts an empty schema.
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// Returns the tables, ordered by name.
    pub fn tables(&self) -> &[TableDef] {
        &self.0.tables
    }

    /// Returns the events, ordered by name, those that are only upcast left out.
    pub fn events(&self) -> Vec<&EventDef> {
        let mut events: Vec<_> = self.0.events.values().filter_map(|e| e.def.as_ref()).collect();
        events.sort_unstable_by_key(|def| def.name());
        events
    }

    /// Returns the client documents, in the order in which they were added.
    pub fn documents(&self) -> &[DocumentDef] {
        &self.0.documents
    }

    /// Returns the client document of a name.
    pub(crate) fn document(&self, name: &str) -> Option<&DocumentDef> {
        self.documents().iter().find(|def| def.name() == name)
    }

    /// Returns the version of the state that this schema derives.
    pub fn state_version(&self) -> StateVersion {
        self.0.version
    }

    /// Returns the version of the materializers' code.
    pub fn materializer_version(&self) -> u64 {
        self.0.materializer_version
    }

    /// Returns what to do with events that are not in the schema.
    pub fn unknown_events(&self) -> &UnknownEvents {
        &self.0.unknown_events
    }

    /// Tells whether commits that are too large for the backend are cut.
    pub(crate) fn splits_large_commits(&self) -> bool {
        self.0.splits_large_commits
    }

    /// Returns the names of the commands, in order.
    pub fn command_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.commands.handlers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.0.commands
    }

    /// Returns what becomes of an event on a rebase, if something is said about it.
    pub(crate) fn on_rebase(&self, event: &EventName) -> Option<&Decide> {
        self.0.events.get(event).and_then(|registered| registered.on_rebase.as_ref())
    }

    /// Returns the kind of an event.
    pub(crate) fn kind(&self, event: &EventName) -> Option<EventKind> {
        self.0.events.get(event).map(|registered| registered.kind)
    }

    /// Returns what the schema says of an event, if it is of this kind.
    pub(crate) fn registered(&self, event: &EventName, kind: EventKind) -> Option<&Registered> {
        self.0.events.get(event).filter(|registered| registered.kind == kind)
    }
}

/// Collects the parts of a [`Schema`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct SchemaBuilder {
    tables: Vec<Result<TableDef, TableError>>,
    events: Vec<(EventDef, Materializer)>,
    payloads: Vec<(String, serde_json::Value)>,
    upcasters: Vec<Upcaster>,
    documents: Vec<Result<DocumentDef, JsonError>>,
    commands: Vec<(String, Handler)>,
    command_budget: Option<u64>,
    on_rebase: Vec<(String, Decide)>,
    unknown_events: UnknownEvents,
    splits_large_commits: bool,
    persist_client_only: bool,
    materializer_version: u64,
}

impl SchemaBuilder {
    /// Adds a table that is described by a struct.
    pub fn table<T: Table>(mut self) -> Self {
        self.tables.push(T::definition());
        self
    }

    /// Adds a table that was defined at run time.
    pub fn table_def(mut self, table: TableDef) -> Self {
        self.tables.push(Ok(table));
        self
    }

    /// Adds an event, or all events of a family, with their materializer.
    ///
    /// The materializer turns the payload into writes and must be a function of its arguments:
    /// it runs again after every rebase and on every client. It must not call the store.
    ///
    /// That of a family is a `match`; [`IntoWrites::into_writes`] gives its arms one type.
    pub fn event<E: Event, W: IntoWrites>(
        mut self,
        materializer: impl Fn(E, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        let materializer = Arc::new(materializer);
        for def in E::definitions() {
            let typed = Materializer::typed(def.name().into(), Arc::clone(&materializer));
            self.events.push((def, typed));
        }
        self
    }

    /// Adds an event that was defined at run time, with a materializer of its JSON payload.
    pub fn event_json<W: IntoWrites>(
        self,
        name: impl Into<String>,
        kind: EventKind,
        materializer: impl Fn(&CanonicalJson, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        self.event_def(EventDef::new(name.into(), kind), materializer)
    }

    /// Adds an event by its definition, with a materializer of its JSON payload.
    pub fn event_def<W: IntoWrites>(
        mut self,
        def: EventDef,
        materializer: impl Fn(&CanonicalJson, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        self.events.push((def, Materializer::untyped(materializer)));
        self
    }

    /// Describes an event's payload by a JSON Schema, for [`Schema::describe`]; it is told and not
    /// enforced.
    ///
    /// A typed event has its own with `#[event(schema)]`, which this takes the place of.
    pub fn payload_schema(mut self, event: impl Into<String>, schema: serde_json::Value) -> Self {
        self.payloads.push((event.into(), schema));
        self
    }

    /// Adds a client document that is described by a type, with its table and its event.
    pub fn document<T: ClientDocument>(mut self) -> Self {
        self.documents.push(T::definition());
        self
    }

    /// Adds a client document that was defined at run time, with its table and its event.
    pub fn document_def(mut self, document: DocumentDef) -> Self {
        self.documents.push(Ok(document));
        self
    }

    /// Adds the meaning of an event that is no longer defined: another event.
    ///
    /// Chains of upcasters are followed to their end, where there has to be an event.
    pub fn upcast(mut self, upcaster: Upcaster) -> Self {
        self.upcasters.push(upcaster);
        self
    }

    /// Adds a command with its handler.
    ///
    /// The handler looks at the state and returns the synced events that the command makes: one, or
    /// an array, vector or tuple of events; or an error if the command cannot be. It runs when the
    /// command is executed, and again, as long as its events are pending, whenever the state under
    /// them has changed. It must not call the store.
    pub fn command<C: Command, R: IntoGroup<Kind>, Kind>(
        mut self,
        handler: impl Fn(C, &CommandContext<'_>) -> Result<R, HandlerError<C::Error>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.commands.push((C::NAME.into(), Handler::typed(handler)));
        self
    }

    /// Adds a command that was defined at run time, with a handler of its JSON form.
    pub fn command_json<R: IntoGroup<Kind>, Kind>(
        mut self,
        name: impl Into<String>,
        handler: impl Fn(
            &CanonicalJson,
            &CommandContext<'_>,
        ) -> Result<R, HandlerError<serde_json::Value>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.commands.push((name.into(), Handler::untyped(handler)));
        self
    }

    /// Sets how many steps of SQLite's machine the queries of one run of a handler may take together,
    /// 20 million by default: a good part of a second. Each query counts for at least 100, and for
    /// 1,100 if its text is a new one.
    ///
    /// A handler that goes on with queries after that is unwound, as after a query that has failed. In
    /// a program that is built with `panic = "abort"` these queries return errors instead, so a handler
    /// that ignores them and never ends is not stopped; and one that panics ends the process.
    ///
    /// The same holds for the functions of [`SchemaBuilder::on_rebase`].
    pub fn command_budget(mut self, steps: u64) -> Self {
        self.command_budget = Some(steps);
        self
    }

    /// Says what becomes of a pending event, or of the events of a family, when the state before it has
    /// become another one; by default it is kept.
    ///
    /// So it is when other clients' events come in before it, when an earlier group of this client was
    /// refused or given up, when the state was derived anew from the log, and when the backend has
    /// another history. The function may run for one event any number of times, and does not run before
    /// it is known what the backend has of the event's group.
    pub fn on_rebase<E: Event>(
        mut self,
        decide: impl Fn(E, &RebaseContext<'_>) -> Result<OnRebase<E>, QueryFailed>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let decide = Arc::new(decide);
        for def in E::definitions() {
            let typed = Decide::typed(def.name().into(), Arc::clone(&decide));
            self.on_rebase.push((def.name().into(), typed));
        }
        self
    }

    /// Says what becomes of a pending event of a name, as [`SchemaBuilder::on_rebase`] does, by its
    /// JSON payload.
    pub fn on_rebase_json(
        mut self,
        event: impl Into<String>,
        decide: impl Fn(&CanonicalJson, &RebaseContext<'_>) -> Result<OnRebase<NewEvent>, QueryFailed>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.on_rebase.push((event.into(), Decide::untyped(decide)));
        self
    }

    /// Sets what to do with events of the log that are not in this schema; a warning by default.
    pub fn unknown_events(mut self, answer: UnknownEvents) -> Self {
        self.unknown_events = answer;
        self
    }

    /// Cuts commits that a backend cannot take at once, instead of refusing them.
    ///
    /// That concerns backends that know no groups, such as LiveStore's own: with ours, a commit is one group
    /// whatever its size. Here it still is one transaction; but others may see the first part without the
    /// next, and if the backend or a rebase has something against one part, the others stay. The receipt
    /// tells of the last one. What a command has made is never cut.
    pub fn split_large_commits(mut self) -> Self {
        self.splits_large_commits = true;
        self
    }

    /// Keeps client-only events in this client's log unless they say `memory` themselves.
    ///
    /// That is how LiveStore has it; by default they are applied and forgotten unless they say
    /// `persist`.
    pub fn persist_client_only(mut self, persist: bool) -> Self {
        self.persist_client_only = persist;
        self
    }

    /// Sets the version of the materializers' code, 0 by default.
    ///
    /// Raise it whenever a materializer does something else than before, so that the state is
    /// rebuilt; a program cannot see that from outside. [`EventDef::version`] does the same for one
    /// event.
    pub fn materializer_version(mut self, version: u64) -> Self {
        self.materializer_version = version;
        self
    }

    /// Checks the parts and makes the schema.
    pub fn build(mut self) -> Result<Schema, SchemaError> {
        let documents = self.documents.into_iter().collect::<Result<Vec<_>, _>>()?;
        for document in &documents {
            let table = document.table()?;
            let materializer = Materializer::untyped(document.materializer(table.clone()));
            let def = EventDef::new(document.event_name(), EventKind::ClientOnly);
            self.events.push((def, materializer));
            self.tables.push(Ok(table));
        }
        let mut tables = self.tables.into_iter().collect::<Result<Vec<_>, _>>()?;
        tables.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let mut lower: Vec<_> = tables.iter().map(|t| t.name().to_ascii_lowercase()).collect();
        lower.sort_unstable();
        if let Some(pair) = lower.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SchemaError::DuplicateTable { name: pair[0].clone() });
        }
        check_tables(&tables)?;
        let mut events = HashMap::new();
        for (mut def, materializer) in self.events {
            let name = EventName::new(def.name())?;
            if name.as_str() == MISSING_EVENT {
                return Err(SchemaError::ReservedEvent { name });
            }
            def.resolve(self.persist_client_only);
            let is_deprecated = def.deprecation().is_some() || def.deprecated_fields().len() > 0;
            let (kind, def) = (def.kind(), Some(def));
            let on_rebase = None;
            let registered = Registered { kind, materializer, def, is_deprecated, on_rebase };
            if events.insert(name.clone(), registered).is_some() {
                return Err(SchemaError::DuplicateEvent { name });
            }
        }
        for (name, schema) in self.payloads {
            let name = EventName::new(name)?;
            if !(schema.is_object() || schema.is_boolean()) {
                return Err(SchemaError::NoJsonSchema { name });
            }
            let Some(def) = events.get_mut(&name).and_then(|event| event.def.as_mut()) else {
                return Err(SchemaError::SchemaOfUnknownEvent { name });
            };
            *def = def.clone().payload_schema(schema);
        }
        for (name, decide) in self.on_rebase {
            let name = EventName::new(name)?;
            match events.get_mut(&name).filter(|event| event.kind == EventKind::Synced) {
                None => return Err(SchemaError::OnRebaseOfOther { name }),
                Some(event) if event.on_rebase.is_some() => {
                    return Err(SchemaError::DuplicateOnRebase { name });
                }
                Some(event) => event.on_rebase = Some(decide),
            }
        }
        let budget = self.command_budget.unwrap_or(DEFAULT_BUDGET);
        let mut commands = Commands { handlers: HashMap::new(), budget };
        for (name, handler) in self.commands {
            // They are written where names of events are, so they have the same limits.
            EventName::new(&name)?;
            if commands.handlers.insert(name.clone(), handler).is_some() {
                return Err(SchemaError::DuplicateCommand { name });
            }
        }
        let version = state_version(&tables, self.materializer_version, &events, &self.upcasters);
        upcaster::register(&mut events, self.upcasters)?;
        let unknown_events = self.unknown_events;
        Ok(Schema(Arc::new(Parts {
            tables,
            events,
            documents,
            commands,
            unknown_events,
            splits_large_commits: self.splits_large_commits,
            materializer_version: self.materializer_version,
            version,
        })))
    }
}

fn state_version(
    tables: &[TableDef],
    materializer_version: u64,
    events: &HashMap<EventName, Registered>,
    upcasters: &[Upcaster],
) -> StateVersion {
    let mut hasher = blake3::Hasher::new();
    let mut field = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    field(&materializer_version.to_string());
    // The DDL holds everything that a table definition is. Memory tables begin empty anyway.
    for table in tables.iter().filter(|table| table.scope() != Scope::Memory) {
        field(&table.scope().to_string());
        field(&table.ddl());
    }
    // An event at version 0 is no part of it, so that a new event changes nothing. What memory
    // events do is in no state on disk.
    let mut versions: Vec<_> = events
        .iter()
        .filter(|(_, event)| event.kind != EventKind::Memory)
        .map(|(name, event)| (name, event.def.as_ref().map_or(0, EventDef::materializer_version)))
        .filter(|(_, version)| *version > 0)
        .collect();
    versions.sort_unstable();
    for (name, version) in versions {
        field("event");
        field(name.as_str());
        field(&version.to_string());
    }
    let mut steps: Vec<_> = upcasters
        .iter()
        .flat_map(|upcaster| upcaster.from.iter().map(move |from| (from, upcaster)))
        .collect();
    steps.sort_by_key(|(from, _)| *from);
    for (from, Upcaster { to, version, .. }) in steps {
        field("upcast");
        field(from);
        field(&to.len().to_string());
        for to in to {
            field(to);
        }
        field(&version.to_string());
    }
    StateVersion(*hasher.finalize().as_bytes())
}
