//! What somebody commits who is not simulated.

use livestore::{CanonicalJson, ClientId, Event, EventName, SessionId};
use livestore_core::{Event as StoredEvent, Group, IdGenerator};

/// An event for a group of somebody who is not simulated.
pub type Fact = (&'static str, CanonicalJson);

pub fn fact<E: Event>(event: E) -> Fact {
    (event.name(), event.encode().unwrap())
}

/// Makes a group of somebody who is not simulated.
pub fn foreign_group(ids: &mut IdGenerator, facts: impl IntoIterator<Item = Fact>) -> Group {
    foreign_group_at(ids, 0, facts)
}

/// Makes such a group at a time.
pub fn foreign_group_at(
    ids: &mut IdGenerator,
    now_ms: u64,
    facts: impl IntoIterator<Item = Fact>,
) -> Group {
    let group_id = ids.group_id(now_ms);
    let event = |(name, args)| {
        let name = EventName::new(name).unwrap();
        StoredEvent { id: ids.event_id(now_ms), name, args }
    };
    let events = facts.into_iter().map(event).collect();
    let client_id = ClientId::new("elsewhere").unwrap();
    Group::new(group_id, client_id, SessionId::new("s").unwrap(), events).unwrap()
}
