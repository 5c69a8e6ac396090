//! Events on their way into the log: what one commit takes.

use livestore_core::{CanonicalJson, EventName};
use serde::Serialize;

use crate::{CommitError, Event};

/// An event on its way into the log: a name and a canonical payload.
///
/// Typed events become one by themselves; other languages and generic tools make theirs with
/// [`NewEvent::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub(crate) name: EventName,
    pub(crate) args: CanonicalJson,
}

impl NewEvent {
    /// Makes an event from a name and any payload that has a JSON form.
    pub fn new<T: Serialize + ?Sized>(name: &str, args: &T) -> Result<Self, CommitError> {
        let name = EventName::new(name)?;
        let args = CanonicalJson::encode(args)
            .map_err(|source| CommitError::Payload { name: name.clone(), source })?;
        Ok(Self { name, args })
    }

    /// Encodes a typed event, so that events of different types fit one list.
    pub fn of<E: Event>(event: E) -> Result<Self, CommitError> {
        let name = EventName::new(event.name())?;
        let args =
            event.encode().map_err(|source| CommitError::Payload { name: name.clone(), source })?;
        Ok(Self { name, args })
    }

    /// Makes an event from a name and a payload that is canonical already.
    pub fn from_json(name: &str, args: CanonicalJson) -> Result<Self, CommitError> {
        Ok(Self { name: EventName::new(name)?, args })
    }

    /// Returns the event's name.
    pub fn name(&self) -> &EventName {
        &self.name
    }

    /// Returns the payload.
    pub fn args(&self) -> &CanonicalJson {
        &self.args
    }
}

/// What one commit takes: an event, or an array, vector or tuple of events.
///
/// All of them become one group: they are applied, pushed and seen by others together. The type
/// parameter only keeps the implementations apart; leave it to inference.
pub trait IntoGroup<Kind> {
    /// Encodes the events, in order.
    fn into_events(self) -> Result<Vec<NewEvent>, CommitError>;
}

/// Tells a single event from a list in [`IntoGroup`].
#[derive(Debug)]
pub enum One {}

/// Tells a list of events from a single one in [`IntoGroup`].
#[derive(Debug)]
pub enum Many {}

/// Tells an encoded event from a typed one in [`IntoGroup`].
#[derive(Debug)]
pub enum Encoded {}

impl<E: Event> IntoGroup<One> for E {
    fn into_events(self) -> Result<Vec<NewEvent>, CommitError> {
        Ok(vec![NewEvent::of(self)?])
    }
}

impl IntoGroup<Encoded> for NewEvent {
    fn into_events(self) -> Result<Vec<NewEvent>, CommitError> {
        Ok(vec![self])
    }
}

impl<E: IntoGroup<Kind>, Kind> IntoGroup<(Many, Kind)> for Vec<E> {
    fn into_events(self) -> Result<Vec<NewEvent>, CommitError> {
        flatten(self)
    }
}

impl<E: IntoGroup<Kind>, Kind, const N: usize> IntoGroup<(Many, Kind)> for [E; N] {
    fn into_events(self) -> Result<Vec<NewEvent>, CommitError> {
        flatten(self)
    }
}

fn flatten<E: IntoGroup<Kind>, Kind>(
    events: impl IntoIterator<Item = E>,
) -> Result<Vec<NewEvent>, CommitError> {
    let mut all = Vec::new();
    for event in events {
        all.append(&mut event.into_events()?);
    }
    Ok(all)
}

macro_rules! tuple_group {
    ($($event:ident $kind:ident),*) => {
        impl<$($event: IntoGroup<$kind>, $kind),*> IntoGroup<($($kind,)*)> for ($($event,)*) {
            #[allow(non_snake_case, reason = "the type parameters name the elements")]
            fn into_events(self) -> Result<Vec<NewEvent>, CommitError> {
                let ($($event,)*) = self;
                let mut all = Vec::new();
                $(all.append(&mut $event.into_events()?);)*
                Ok(all)
            }
        }
    };
}
tuple_group!(A KA, B KB);
tuple_group!(A KA, B KB, C KC);
tuple_group!(A KA, B KB, C KC, D KD);
tuple_group!(A KA, B KB, C KC, D KD, E KE);
tuple_group!(A KA, B KB, C KC, D KD, E KE, F KF);

/// Collects the events of a commit that is made by a closure.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    events: Vec<NewEvent>,
}

impl GroupBuilder {
    /// Adds events to the group.
    pub fn commit<Kind>(&mut self, events: impl IntoGroup<Kind>) -> Result<(), CommitError> {
        self.events.append(&mut events.into_events()?);
        Ok(())
    }

    pub(crate) fn into_events(self) -> Vec<NewEvent> {
        self.events
    }
}
