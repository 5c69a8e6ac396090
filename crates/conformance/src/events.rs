//! Groups that the cases push.

use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventName, GlobalSeqNum, Group, IdGenerator,
    LogPosition, SessionId, StoreId,
};
use serde_json::{Value, json};

/// The time of ids: the beginning of 2025.
const NOW_MS: u64 = 1_735_689_600_000;

/// Makes groups and names that nobody else has.
#[derive(Debug)]
pub(crate) struct Maker {
    ids: IdGenerator,
    made: u64,
}

impl Maker {
    /// Begins with what the system has of randomness.
    pub(crate) fn new() -> Self {
        let mut seed = [0; 32];
        // Without randomness from the system no name is new, and every case would find another's log.
        getrandom::fill(&mut seed).expect("the system's random numbers are available");
        Self { ids: IdGenerator::new(seed), made: 0 }
    }

    pub(crate) fn store_id(&mut self) -> StoreId {
        StoreId::new(format!("conformance-{}", self.ids.event_id(NOW_MS))).expect("a valid id")
    }

    pub(crate) fn client_id(&mut self) -> ClientId {
        ClientId::new(format!("client-{}", self.ids.event_id(NOW_MS))).expect("a valid id")
    }

    /// Makes a group of some events of a client.
    pub(crate) fn group(&mut self, client: &ClientId, events: usize) -> Group {
        let payloads = (0..events).map(|_| {
            self.made += 1;
            json!({ "n": self.made, "text": "é" })
        });
        let payloads: Vec<Value> = payloads.collect();
        self.group_of(client, &payloads)
    }

    /// Makes a group with certain payloads.
    pub(crate) fn group_of(&mut self, client: &ClientId, payloads: &[Value]) -> Group {
        let events = payloads.iter().map(|payload| Event {
            id: self.ids.event_id(NOW_MS),
            name: EventName::new("v1.Checked").expect("a valid name"),
            args: CanonicalJson::encode(payload).expect("it has a canonical form"),
        });
        let events = events.collect();
        let session = SessionId::new("session").expect("a valid id");
        let id = self.ids.group_id(NOW_MS);
        Group::new(id, client.clone(), session, events).expect("it is within the limits")
    }
}

/// Returns where a log stands after some groups.
pub(crate) fn after(base: LogPosition, groups: &[Group]) -> LogPosition {
    groups.iter().fold(base, |end, group| LogPosition {
        seq: end.seq.plus(group.event_count()),
        hash: end.hash.extend(group.content_hash()),
    })
}

/// Returns groups as they stand in a log behind a position.
pub(crate) fn placed(after: GlobalSeqNum, groups: &[Group]) -> Vec<ConfirmedGroup> {
    let mut first = after.next();
    let place = |group: &Group| {
        let confirmed = ConfirmedGroup { first, group: group.clone() };
        first = confirmed.last().next();
        confirmed
    };
    groups.iter().map(place).collect()
}

/// What every backend has to keep of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    name: String,
    args: String,
    client: String,
    session: String,
}

/// Returns what has to be kept of groups, event by event.
pub(crate) fn kept<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Vec<Kept> {
    let of_group = |group: &'a Group| {
        group.events().iter().map(|event| Kept {
            name: event.name.as_str().into(),
            args: event.args.as_str().into(),
            client: group.client_id().as_str().into(),
            session: group.session_id().as_str().into(),
        })
    };
    groups.into_iter().flat_map(of_group).collect()
}
