//! What two builds of an app have to agree on to share one state, and which of them is newer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{EventKind, Schema};

/// Which of two builds of an app has the newer schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Newer {
    /// The one that asks: it knows all that the other one knows, and more.
    Us,
    /// The other one.
    Them,
    /// Neither: each knows something that the other one does not, or they differ in what has no order.
    Neither,
}

/// What a schema is, as far as sessions have to agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Outline {
    /// The state that it derives, in hexadecimal digits.
    state_version: String,
    materializers: u64,
    /// The events that are in a log, and the versions of their materializers.
    events: BTreeMap<String, u64>,
    /// The tables on disk, and their columns.
    tables: BTreeMap<String, BTreeSet<String>>,
}

impl Outline {
    pub(crate) fn of(schema: &Schema) -> Self {
        let events = schema.events().into_iter().filter(|def| def.kind() != EventKind::Memory);
        let tables = schema.tables().iter().filter(|table| table.scope().is_on_disk());
        Self {
            state_version: schema.state_version().to_hex(),
            materializers: schema.materializer_version(),
            events: events.map(|def| (def.name().into(), def.materializer_version())).collect(),
            tables: tables
                .map(|table| {
                    let columns = table.columns().iter().map(|column| column.name().into());
                    (table.name().into(), columns.collect())
                })
                .collect(),
        }
    }

    /// Tells whether both derive the same state of the same events.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.state_version == other.state_version && self.events.keys().eq(other.events.keys())
    }

    /// Tells which of two that do not agree is newer; `Us` is this one.
    pub(crate) fn newer(&self, other: &Self) -> Newer {
        match (self.has_all_of(other), other.has_all_of(self)) {
            (true, false) => Newer::Us,
            (false, true) => Newer::Them,
            _ => Newer::Neither,
        }
    }

    fn has_all_of(&self, other: &Self) -> bool {
        let has_event = |(name, version): (&String, &u64)| {
            self.events.get(name).is_some_and(|own| own >= version)
        };
        let has_table = |(name, columns): (&String, &BTreeSet<String>)| {
            self.tables.get(name).is_some_and(|own| own.is_superset(columns))
        };
        self.materializers >= other.materializers
            && other.events.iter().all(has_event)
            && other.tables.iter().all(has_table)
    }
}
