//! The schema: tables, events and the materializers that connect them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use livestore_core::{CanonicalJson, EventName, EventNameError};
use livestore_sqlite::{Scope, Table, TableDef, TableError, check_tables};

use crate::Event;
use crate::event::EventKind;
use crate::materializer::{IntoWrites, Materializer, MaterializerContext};

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
    /// An event's name is not valid.
    #[error(transparent)]
    EventName(#[from] EventNameError),
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
/// BLAKE3 over the definitions of the tables on disk and the materializer version. When it
/// changes, the state is rebuilt from the log. A new event is no change: only if the log holds
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

#[derive(Debug)]
struct Parts {
    tables: Vec<TableDef>,
    events: HashMap<EventName, (EventKind, Materializer)>,
    payloads: HashMap<EventName, PayloadSchema>,
    materializer_version: u64,
    version: StateVersion,
}

/// The JSON Schema of an event's payload.
#[derive(Debug)]
enum PayloadSchema {
    /// Made from the type when it is asked for, if the type tells it.
    OfType(fn() -> Option<serde_json::Value>),
    Given(serde_json::Value),
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

    /// Returns the version of the state that this schema derives.
    pub fn state_version(&self) -> StateVersion {
        self.0.version
    }

    /// Returns the version of the materializers' code.
    pub fn materializer_version(&self) -> u64 {
        self.0.materializer_version
    }

    /// Walks over the events and their kinds, in no order.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&EventName, EventKind)> {
        self.0.events.iter().map(|(name, (kind, _))| (name, *kind))
    }

    /// Returns the JSON Schema of an event's payload, if it is known.
    pub(crate) fn payload_schema(&self, event: &EventName) -> Option<serde_json::Value> {
        match self.0.payloads.get(event)? {
            PayloadSchema::OfType(schema) => schema(),
            PayloadSchema::Given(schema) => Some(schema.clone()),
        }
    }

    /// Returns the kind of an event.
    pub(crate) fn kind(&self, event: &EventName) -> Option<EventKind> {
        self.0.events.get(event).map(|(kind, _)| *kind)
    }

    /// Returns the materializer of an event, if it is of this kind.
    pub(crate) fn materializer(&self, event: &EventName, kind: EventKind) -> Option<&Materializer> {
        let (known_kind, materializer) = self.0.events.get(event)?;
        (*known_kind == kind).then_some(materializer)
    }
}

/// Collects the parts of a [`Schema`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct SchemaBuilder {
    tables: Vec<Result<TableDef, TableError>>,
    events: Vec<(String, EventKind, Materializer)>,
    payloads: Vec<(String, PayloadSchema)>,
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

    /// Adds an event with its materializer.
    ///
    /// The materializer turns the payload into writes and must be a function of its arguments:
    /// it runs again after every rebase and on every client. It must not call the store.
    pub fn event<E: Event, W: IntoWrites>(
        mut self,
        materializer: impl Fn(E, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        self.events.push((E::NAME.into(), E::KIND, Materializer::typed(materializer)));
        self.payloads.push((E::NAME.into(), PayloadSchema::OfType(E::payload_schema)));
        self
    }

    /// Adds an event that was defined at run time, with a materializer of its JSON payload.
    pub fn event_json<W: IntoWrites>(
        mut self,
        name: impl Into<String>,
        kind: EventKind,
        materializer: impl Fn(&CanonicalJson, &MaterializerContext<'_>) -> W + Send + Sync + 'static,
    ) -> Self {
        self.events.push((name.into(), kind, Materializer::untyped(materializer)));
        self
    }

    /// Describes an event's payload by a JSON Schema, for [`Schema::describe`]; it is told and not
    /// enforced.
    ///
    /// For events that were defined at run time; a typed event has its own with `#[event(schema)]`,
    /// which this takes the place of.
    pub fn payload_schema(mut self, event: impl Into<String>, schema: serde_json::Value) -> Self {
        self.payloads.push((event.into(), PayloadSchema::Given(schema)));
        self
    }

    /// Sets the version of the materializers' code, 0 by default.
    ///
    /// Raise it whenever a materializer does something else than before, so that the state is
    /// rebuilt; a program cannot see that from outside.
    pub fn materializer_version(mut self, version: u64) -> Self {
        self.materializer_version = version;
        self
    }

    /// Checks the parts and makes the schema.
    pub fn build(self) -> Result<Schema, SchemaError> {
        let mut tables = self.tables.into_iter().collect::<Result<Vec<_>, _>>()?;
        tables.sort_by(|a, b| a.name().cmp(b.name()));
        let mut lower: Vec<_> = tables.iter().map(|t| t.name().to_ascii_lowercase()).collect();
        lower.sort();
        if let Some(pair) = lower.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SchemaError::DuplicateTable { name: pair[0].clone() });
        }
        check_tables(&tables)?;
        let mut events = HashMap::new();
        for (name, kind, materializer) in self.events {
            let name = EventName::new(name)?;
            if events.insert(name.clone(), (kind, materializer)).is_some() {
                return Err(SchemaError::DuplicateEvent { name });
            }
        }
        let mut payloads = HashMap::new();
        for (name, schema) in self.payloads {
            let name = EventName::new(name)?;
            if !events.contains_key(&name) {
                return Err(SchemaError::SchemaOfUnknownEvent { name });
            }
            if let PayloadSchema::Given(schema) = &schema
                && !(schema.is_object() || schema.is_boolean())
            {
                return Err(SchemaError::NoJsonSchema { name });
            }
            // One that is given comes to stand over that of the type, whichever came first.
            match (payloads.get(&name), &schema) {
                (Some(PayloadSchema::Given(_)), PayloadSchema::OfType(_)) => {}
                _ => drop(payloads.insert(name, schema)),
            }
        }
        let materializer_version = self.materializer_version;
        let version = state_version(&tables, materializer_version);
        Ok(Schema(Arc::new(Parts { tables, events, payloads, materializer_version, version })))
    }
}

fn state_version(tables: &[TableDef], materializer_version: u64) -> StateVersion {
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
    StateVersion(*hasher.finalize().as_bytes())
}
