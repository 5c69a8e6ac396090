//! Upcasters: what events of earlier releases mean today.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use livestore_core::{CanonicalJson, EventName};
use serde::Serialize;

use crate::materializer::{MaterializeError, Materializer};
use crate::schema::Registered;
use crate::{Event, EventDef, EventKind, SchemaError};

type UpcastFn =
    dyn Fn(&str, &CanonicalJson) -> Result<(String, CanonicalJson), MaterializeError> + Send + Sync;

/// A function from an event that is no longer committed to the event that took its place.
///
/// It is applied whenever the old event is read, before its successor's materializer; the log keeps
/// the old one. Like a materializer, it must be a function of its arguments.
#[derive(Clone)]
#[must_use = "an upcaster does nothing until a schema has it"]
pub struct Upcaster {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) version: u64,
    pub(crate) run: Arc<UpcastFn>,
}

impl Upcaster {
    /// Makes an upcaster of typed events: `Upcaster::new(|old: TodoCreatedV1| TodoCreated { … })`.
    pub fn new<Old: Event, New: Event>(
        upcast: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self {
        Self::fallible(move |old| Ok::<_, MaterializeError>(upcast(old)))
    }

    /// Makes an upcaster of typed events that may fail; the event is skipped then, and noted.
    pub fn fallible<Old: Event, New: Event, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        upcast: impl Fn(Old) -> Result<New, E> + Send + Sync + 'static,
    ) -> Self {
        let names = |definitions: Vec<EventDef>| {
            definitions.iter().map(|def| def.name().to_owned()).collect::<Vec<_>>()
        };
        let run = move |name: &str, args: &CanonicalJson| {
            let new = upcast(Old::decode(name, args)?).map_err(MaterializeError::of)?;
            Ok((new.name().to_owned(), new.encode()?))
        };
        let (from, to) = (names(Old::definitions()), names(New::definitions()));
        Self { from, to, version: 0, run: Arc::new(run) }
    }

    /// Makes an upcaster of events that are defined at run time, from the old payload to the new.
    pub fn json<T: Serialize, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        from: impl Into<String>,
        to: impl Into<String>,
        upcast: impl Fn(&CanonicalJson) -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        let (from, to) = (from.into(), to.into());
        let name = to.clone();
        let run = move |_: &str, args: &CanonicalJson| {
            let new = upcast(args).map_err(MaterializeError::of)?;
            Ok((name.clone(), CanonicalJson::encode(&new)?))
        };
        Self { from: vec![from], to: vec![to], version: 0, run: Arc::new(run) }
    }

    /// Sets the upcaster's version, 0 by default; raise it whenever its result changes, so that the
    /// state is derived anew.
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }
}

impl fmt::Debug for Upcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, version, .. } = self;
        f.debug_struct("Upcaster")
            .field("from", from)
            .field("to", to)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

/// Puts each upcaster in front of what it leads to, the last of a chain first.
pub(crate) fn register(
    events: &mut HashMap<EventName, Registered>,
    upcasters: Vec<Upcaster>,
) -> Result<(), SchemaError> {
    let mut waiting: BTreeMap<EventName, Upcaster> = BTreeMap::new();
    for upcaster in upcasters {
        for from in &upcaster.from {
            let name = EventName::new(from.as_str())?;
            let is_known = events.contains_key(&name);
            if is_known || waiting.insert(name.clone(), upcaster.clone()).is_some() {
                return Err(SchemaError::DuplicateUpcast { name });
            }
        }
    }
    while let Some(first) = waiting.keys().next() {
        let is_ready = |upcaster: &Upcaster| {
            upcaster.to.iter().all(|to| events.keys().any(|name| name.as_str() == to))
        };
        let ready = waiting.iter().find(|(_, upcaster)| is_ready(upcaster));
        let Some((from, upcaster)) = ready.map(|(from, upcaster)| (from.clone(), upcaster.clone()))
        else {
            return Err(stuck(events, &waiting, first));
        };
        waiting.remove(&from);
        let mut targets = HashMap::new();
        let mut kind: Option<EventKind> = None;
        for to in &upcaster.to {
            let Some(target) = events.get(&EventName::new(to.as_str())?) else { continue };
            let one = *kind.get_or_insert(target.kind);
            if one != target.kind {
                return Err(SchemaError::UpcastKinds { from, one, other: target.kind });
            }
            targets.insert(to.clone(), target.materializer.clone());
        }
        // A family has a member.
        let Some(kind) = kind else { continue };
        let materializer = Materializer::upcast(from.as_str().into(), upcaster, targets);
        let registered =
            Registered { kind, materializer, def: None, is_deprecated: false, on_rebase: None };
        events.insert(from, registered);
    }
    Ok(())
}

/// Says why no upcaster leads to an event: one leads nowhere, or all that are left go round.
fn stuck(
    events: &HashMap<EventName, Registered>,
    waiting: &BTreeMap<EventName, Upcaster>,
    first: &EventName,
) -> SchemaError {
    for (from, upcaster) in waiting {
        let is_known =
            |to: &&String| events.keys().chain(waiting.keys()).any(|name| name.as_str() == *to);
        if let Some(to) = upcaster.to.iter().find(|to| !is_known(to)) {
            return SchemaError::UnknownUpcast { from: from.clone(), to: to.clone() };
        }
    }
    // Each leads to one that waits as well, so after so many steps it stands in a cycle.
    let next = |at: &EventName| {
        let to = &waiting.get(at)?.to;
        waiting.keys().find(|name| to.iter().any(|to| name.as_str() == to))
    };
    let mut from = first;
    for _ in 0..waiting.len() {
        from = next(from).unwrap_or(from);
    }
    SchemaError::UpcastCycle { from: from.clone() }
}
