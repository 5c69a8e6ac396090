//! Events as an app defines them: their kinds, their definitions, and the types of their payloads.

use std::borrow::Cow;

use livestore_core::{CanonicalJson, JsonError};
use livestore_sqlite::Scope;
use serde::{Deserialize, Serialize};

/// How far an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// To the backend and all clients; its materializer writes `synced` tables.
    Synced,
    /// Into this client's log on disk, and no further; its materializer writes `client` tables.
    ClientOnly,
    /// Nowhere: it is applied and forgotten; its materializer writes `memory` tables.
    Memory,
}

impl EventKind {
    /// Returns the kind of an event that is in a log.
    pub(crate) fn of(client_only: bool) -> Self {
        if client_only { Self::ClientOnly } else { Self::Synced }
    }

    /// Returns the scope of the tables that its materializer writes.
    pub fn scope(self) -> Scope {
        match self {
            Self::Synced => Scope::Synced,
            Self::ClientOnly => Scope::Client,
            Self::Memory => Scope::Memory,
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::ClientOnly => "client-only",
            Self::Memory => "memory",
        })
    }
}

/// What an event is, apart from its materializer.
///
/// `#[derive(Event)]` writes it down for a type; for an event that is defined at run time, make it
/// with [`EventDef::synced`] or [`EventDef::client_only`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a definition does nothing until a schema has it"]
pub struct EventDef {
    name: Cow<'static, str>,
    kind: EventKind,
    /// True if the event is client-only and says nothing of whether it is kept.
    follows_schema: bool,
    version: u64,
    deprecated: Option<Cow<'static, str>>,
    deprecated_fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    payload: Option<PayloadSchema>,
}

/// The JSON Schema of an event's payload.
#[derive(Debug, Clone)]
enum PayloadSchema {
    /// Made from the type when it is asked for.
    OfType(fn() -> serde_json::Value),
    Given(serde_json::Value),
}

impl PayloadSchema {
    fn to_value(&self) -> serde_json::Value {
        match self {
            Self::OfType(schema) => schema(),
            Self::Given(schema) => schema.clone(),
        }
    }
}

impl PartialEq for PayloadSchema {
    fn eq(&self, other: &Self) -> bool {
        self.to_value() == other.to_value()
    }
}

impl Eq for PayloadSchema {}

impl EventDef {
    /// Defines an event of a kind; its name is by convention `v1.PastTense`.
    pub fn new(name: impl Into<Cow<'static, str>>, kind: EventKind) -> Self {
        let name = name.into();
        let (deprecated, deprecated_fields) = (None, Vec::new());
        let (follows_schema, version, payload) = (false, 0, None);
        Self { name, kind, follows_schema, version, deprecated, deprecated_fields, payload }
    }

    /// Defines an event that goes to the backend and all clients.
    pub fn synced(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, EventKind::Synced)
    }

    /// Defines an event that never leaves this client.
    ///
    /// It is a memory event, or a persisted one if the schema says
    /// [`persist_client_only`](crate::SchemaBuilder::persist_client_only).
    pub fn client_only(name: impl Into<Cow<'static, str>>) -> Self {
        Self { follows_schema: true, ..Self::new(name, EventKind::Memory) }
    }

    /// Sets the version of the event's materializer, 0 by default.
    ///
    /// Raise it whenever the materializer does something else than before, so that the state is
    /// derived anew; a program cannot see that from outside.
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Marks the event as one that should no longer be used; it warns once when it is applied.
    pub fn deprecated(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.deprecated = Some(reason.into());
        self
    }

    /// Marks a field of the payload as one that should no longer be used; it warns once when an
    /// event is applied in which the field has a value.
    pub fn deprecated_field(
        mut self,
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.deprecated_fields.push((field.into(), reason.into()));
        self
    }

    /// Describes the payload by a JSON Schema, for [`Schema::describe`](crate::Schema::describe); it
    /// is told and not enforced.
    pub fn payload_schema(mut self, schema: serde_json::Value) -> Self {
        self.payload = Some(PayloadSchema::Given(schema));
        self
    }

    /// Describes the payload by the schema of its type, made when it is asked for; for the derive
    /// macro.
    #[doc(hidden)]
    pub fn payload_of(mut self, schema: fn() -> serde_json::Value) -> Self {
        self.payload = Some(PayloadSchema::OfType(schema));
        self
    }

    /// Returns the JSON Schema of the payload, if it is known.
    pub fn payload(&self) -> Option<serde_json::Value> {
        self.payload.as_ref().map(PayloadSchema::to_value)
    }

    /// Returns the event's name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how far the event goes.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns the version of its materializer.
    pub fn materializer_version(&self) -> u64 {
        self.version
    }

    /// Returns why the event should no longer be used, if so.
    pub fn deprecation(&self) -> Option<&str> {
        self.deprecated.as_deref()
    }

    /// Returns the fields that should no longer be used, each with the reason.
    pub fn deprecated_fields(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.deprecated_fields.iter().map(|(field, reason)| (&**field, &**reason))
    }

    /// Gives a client-only event that says nothing itself the kind that the schema says.
    pub(crate) fn resolve(&mut self, persist_client_only: bool) {
        if self.follows_schema && persist_client_only {
            self.kind = EventKind::ClientOnly;
        }
    }
}

/// A type whose values are events; implemented by `#[derive(Event)]`.
///
/// A struct is the payload of one event. An enum is a family of events: each variant has a name
/// and a payload of its own, and stands in the log like any other event.
pub trait Event: Sized + Send + Sync + 'static {
    /// Returns the definition of each event that a value can be.
    fn definitions() -> Vec<EventDef>;

    /// Returns the name of the event that this is.
    fn name(&self) -> &'static str;

    /// Encodes the payload.
    ///
    /// # Errors
    ///
    /// It holds something that has no canonical JSON.
    fn encode(self) -> Result<CanonicalJson, JsonError>;

    /// Decodes the payload of the event of a name, which is one of the definitions'.
    ///
    /// # Errors
    ///
    /// The payload does not fit the type.
    fn decode(name: &str, args: &CanonicalJson) -> Result<Self, JsonError>;
}
