//! Events with ids and times that are the same in every run.

use livestore::Event;
use livestore_core::IdGenerator;

/// The time of the first event of a sequence: the beginning of 2025.
const FIRST_MS: u64 = 1_735_689_600_000;

/// Starts a sequence of events, each made from its number, an id and a time.
///
/// Two sequences of one event type make the same ids; give one of them a [`Sequence::named`].
///
/// ```
/// # use livestore::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "v1.TodoCreated")]
/// # struct TodoCreated { id: String, text: String, at: u64 }
/// use livestore_testing::sequence;
///
/// let mut todos = sequence(|n| TodoCreated {
///     id: n.id(),
///     text: format!("Todo {}", n.number()),
///     at: n.unix_ms(),
/// });
/// let (first, more) = (todos.one(), todos.many(2));
/// assert_eq!(first.text, "Todo 1");
/// assert_eq!(more[1].text, "Todo 3");
/// assert!(first.id < more[0].id);
/// assert_eq!(more[0].at - first.at, 1_000);
/// ```
pub fn sequence<E: Event, F: FnMut(Nth<'_>) -> E>(make: F) -> Sequence<F> {
    let names: Vec<_> = E::definitions().iter().map(|def| def.name().to_owned()).collect();
    Sequence { make, number: 0, ids: ids(&names.join(" ")) }
}

fn ids(name: &str) -> IdGenerator {
    IdGenerator::new(blake3::hash(name.as_bytes()).into())
}

/// Makes one event after the other; [`sequence()`] starts it. It never ends.
#[derive(Debug)]
#[must_use = "a sequence makes events when it is asked for them"]
pub struct Sequence<F> {
    make: F,
    number: u64,
    ids: IdGenerator,
}

/// What an event of a [`Sequence`] is made from.
#[derive(Debug)]
pub struct Nth<'a> {
    number: u64,
    ids: std::cell::RefCell<&'a mut IdGenerator>,
}

impl Nth<'_> {
    /// Returns how many events there are up to this one; 1 for the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the time of the event in milliseconds since 1970; each is a second after the last.
    pub fn unix_ms(&self) -> u64 {
        FIRST_MS + (self.number - 1) * 1_000
    }

    /// Makes an id as [`livestore::new_id`] does, another one with each call.
    pub fn id(&self) -> String {
        self.ids.borrow_mut().event_id(self.unix_ms()).to_string()
    }
}

impl<E, F: FnMut(Nth<'_>) -> E> Sequence<F> {
    /// Gives the sequence ids that differ from those of sequences with other names.
    pub fn named(mut self, name: &str) -> Self {
        self.ids = ids(name);
        self
    }

    /// Makes the next event.
    pub fn one(&mut self) -> E {
        self.number += 1;
        (self.make)(Nth { number: self.number, ids: (&mut self.ids).into() })
    }

    /// Makes the next events.
    pub fn many(&mut self, count: usize) -> Vec<E> {
        (0..count).map(|_| self.one()).collect()
    }
}

impl<E, F: FnMut(Nth<'_>) -> E> Iterator for Sequence<F> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        Some(self.one())
    }
}
