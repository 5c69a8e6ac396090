//! What a store finds wrong that hinders nobody: told once, and kept for whoever asks.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use livestore_core::{CanonicalJson, EventName, SeqNum};
use serde::Serialize;

use crate::EventDef;

/// Something that is not as it should be, and that the store goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum Warning {
    /// An event was applied that should no longer be used.
    DeprecatedEvent {
        /// Its name.
        name: EventName,
        /// Why.
        reason: String,
    },
    /// An event was applied with a value in a field that should no longer be used.
    DeprecatedField {
        /// The event's name.
        name: EventName,
        /// The field of the payload.
        field: String,
        /// Why.
        reason: String,
    },
    /// The log holds an event that the schema does not know; it is kept, and applied once a schema
    /// knows it.
    UnknownEvent {
        /// Its name.
        name: EventName,
        /// Where the first of them stands in the log.
        seq: SeqNum,
    },
    /// A pending command could not be run again on a rebase, since the schema has changed; the events
    /// that it had made are kept as they are.
    CommandGone {
        /// The command's name.
        name: String,
        /// What has changed.
        reason: String,
    },
    /// The state is not what the log leads to by the materializers as they are.
    StateDiffersFromReplay,
    /// A value of a client document no longer fits its type; the default stands in for it.
    DocumentValue {
        /// The document.
        document: String,
        /// Which of them.
        id: String,
        /// The field, or `None` if it is the whole value.
        field: Option<String>,
        /// What does not fit.
        reason: String,
    },
    /// The store was handed out before everything was pulled, although it was to wait for that.
    InitialSyncIncomplete {
        /// What kept it.
        reason: String,
    },
    /// Events of the log were skipped while the state was derived, since they failed.
    EventsSkipped {
        /// How many; `quarantined` lists them.
        count: u64,
    },
    /// A newer version of the app wants to open the store, and cannot as long as sessions of this one
    /// have it open.
    NewerVersionWaits,
    /// Subscribers kept committing in answer to each other, so that they are no longer called until
    /// something else changes.
    SubscribersUnsettled {
        /// How many were still to be called.
        subscribers: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeprecatedEvent { name, reason } => {
                write!(f, "event {name} is deprecated: {reason}")
            }
            Self::DeprecatedField { name, field, reason } => {
                write!(f, "field {field} of event {name} is deprecated: {reason}")
            }
            Self::UnknownEvent { name, seq } => write!(
                f,
                "the schema does not know event {name} (first at {seq}); it is kept, and applied \
                 once the schema knows it"
            ),
            Self::CommandGone { name, reason } => write!(
                f,
                "command {name} cannot be run again ({reason}); the events that it made before \
                 are kept as they are"
            ),
            Self::StateDiffersFromReplay => f.write_str(
                "the state differs from a replay of the log: a materializer does something else \
                 than before, or is not a function of its arguments; raise `materializer_version` \
                 of the schema, or `version` of the event, so that the state is derived anew",
            ),
            Self::DocumentValue { document, id, field: Some(field), reason } => write!(
                f,
                "field {field} of document {document} ({id}) no longer fits, its default stands in \
                 for it: {reason}"
            ),
            Self::DocumentValue { document, id, field: None, reason } => write!(
                f,
                "document {document} ({id}) no longer fits, its default stands in for it: {reason}"
            ),
            Self::InitialSyncIncomplete { reason } => {
                write!(f, "the store was opened before the first pull was complete: {reason}")
            }
            Self::EventsSkipped { count } => {
                write!(f, "{count} events of the log were skipped; `quarantined` tells why")
            }
            Self::NewerVersionWaits => f.write_str(
                "a newer version of the app wants to open the store; close it here, so that the newer \
                 one can",
            ),
            Self::SubscribersUnsettled { subscribers } => write!(
                f,
                "subscribers keep committing in answer to each other; {subscribers} are called no more \
                 until something else changes"
            ),
        }
    }
}

impl Warning {
    /// Tells what the warning is about; there is one for each such thing.
    fn subject(&self) -> String {
        match self {
            Self::DeprecatedEvent { name, .. } => format!("event {name}"),
            Self::DeprecatedField { name, field, .. } => format!("event {name} field {field}"),
            Self::UnknownEvent { name, .. } => format!("unknown {name}"),
            Self::DocumentValue { document, id, field, .. } => {
                format!("document {document} {id} {field:?}")
            }
            Self::CommandGone { name, .. } => format!("command {name}"),
            Self::StateDiffersFromReplay => "state".into(),
            Self::InitialSyncIncomplete { .. } => "initial sync".into(),
            Self::EventsSkipped { .. } => "skipped".into(),
            Self::NewerVersionWaits => "newer version".into(),
            Self::SubscribersUnsettled { .. } => "unsettled".into(),
        }
    }

    /// Tells whether it says something about the program alone, whichever store it is about.
    fn is_of_program(&self) -> bool {
        matches!(self, Self::DeprecatedEvent { .. } | Self::DeprecatedField { .. })
    }
}

/// Most warnings that a store remembers; an app has fewer events and documents than that.
const MAX_WARNINGS: usize = 1_000;

/// The warnings of one store: each is logged and handed out once.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    subjects: HashSet<String>,
    new: Vec<Warning>,
}

impl Warnings {
    /// Logs a warning and keeps it, unless there was one about the same thing.
    pub(crate) fn tell(&self, warning: Warning) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = warning.subject();
        if told.subjects.len() >= MAX_WARNINGS || !told.subjects.insert(subject.clone()) {
            return;
        }
        match &warning {
            Warning::StateDiffersFromReplay | Warning::SubscribersUnsettled { .. } => {
                tracing::error!("{warning}");
            }
            _ if warning.is_of_program() && !is_first_of_process(subject) => {}
            _ => tracing::warn!("{warning}"),
        }
        told.new.push(warning);
    }

    /// Takes over what others have logged, unless there was one about the same thing.
    pub(crate) fn adopt(&self, warnings: Vec<Warning>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if told.subjects.len() < MAX_WARNINGS && told.subjects.insert(warning.subject()) {
                told.new.push(warning);
            }
        }
    }

    /// Hands out what is new.
    pub(crate) fn take(&self) -> Vec<Warning> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).new)
    }

    /// Warns of an event that should no longer be used, or of such fields of it.
    pub(crate) fn check_deprecation(&self, name: &EventName, def: &EventDef, args: &CanonicalJson) {
        if let Some(reason) = def.deprecation() {
            self.tell(Warning::DeprecatedEvent { name: name.clone(), reason: reason.into() });
        }
        if def.deprecated_fields().len() == 0 {
            return;
        }
        // A payload that is no object has no fields.
        let payload: serde_json::Map<String, serde_json::Value> = args.decode().unwrap_or_default();
        for (field, reason) in def.deprecated_fields() {
            if payload.get(field).is_some_and(|value| !value.is_null()) {
                let (name, field, reason) = (name.clone(), field.into(), reason.into());
                self.tell(Warning::DeprecatedField { name, field, reason });
            }
        }
    }
}

/// Tells whether no store of this process has warned of it before.
fn is_first_of_process(subject: String) -> bool {
    static TOLD: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.get_or_insert_default().insert(subject)
}
