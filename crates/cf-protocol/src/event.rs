//! Events as LiveStore counts and names them.

use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, Group, GroupId,
    MISSING_EVENT, SessionId,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// An event of a log: LiveStore knows no groups and no ids of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CfEvent {
    /// Its name.
    pub name: String,
    /// Its payload; none if the event has no argument at all, which is another thing than `null`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Its position in the log; that of the first event is 1.
    #[serde(deserialize_with = "position")]
    pub seq_num: u64,
    /// The position of the event before it.
    #[serde(deserialize_with = "position")]
    pub parent_seq_num: u64,
    /// Who committed it.
    pub client_id: String,
    /// In which session.
    pub session_id: String,
}

/// A number below zero, which LiveStore's backend lets into a log, is as good as zero: before the first.
fn position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let below = number.as_i64().filter(|number| *number < 0).map(|_| 0);
    number.as_u64().or(below).ok_or_else(|| de::Error::custom("a position is a whole number"))
}

/// A member that is there is given, also if it is `null`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// An event as a backend passes it on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamped {
    /// The event.
    pub event_encoded: CfEvent,
    /// What the backend knows of it.
    #[serde(with = "crate::message::option")]
    pub metadata: Option<Metadata>,
}

/// What a backend knows of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "_tag", rename = "SyncMessage.SyncMetadata")]
pub struct Metadata {
    /// When it was taken, as a text such as `2026-11-22T01:37:17.517Z`.
    #[serde(rename = "createdAt")]
    pub created_at: String,
}

/// An event that cannot be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {name:?} at {seq_num}: {reason}")]
pub struct EventError {
    /// Its name, cut at 80 characters.
    pub name: String,
    /// Where it wants to stand.
    pub seq_num: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The first bits of the version byte of an event id that says: its argument is `null`, and was given.
///
/// Without it, `null` stands for no argument at all, which is what events without a payload have in
/// LiveStore, and `null` in Rust. Such an id is a UUID of version 8, the others are of version 7.
const NULL_GIVEN: u8 = 0x80;

impl CfEvent {
    /// Makes what stands at a position where a backend's log has nothing.
    pub fn missing(seq_num: u64) -> Self {
        let nobody = || "livestore".to_owned();
        Self {
            name: MISSING_EVENT.into(),
            args: None,
            seq_num,
            parent_seq_num: seq_num.saturating_sub(1),
            client_id: nobody(),
            session_id: nobody(),
        }
    }

    /// Tells whether it stands where a backend's log has nothing.
    pub fn is_missing(&self) -> bool {
        self.name == MISSING_EVENT
    }

    /// Makes a group of this one event, under ids that nobody else has.
    ///
    /// # Errors
    ///
    /// It does not fit into a log of ours, for example since a name is too long.
    pub fn into_group(self, id: GroupId, event_id: EventId) -> Result<Group, EventError> {
        let Self { name, args, seq_num, client_id, session_id, .. } = self;
        let error = |reason: String| {
            let name = name.chars().take(80).collect();
            EventError { name, seq_num, reason }
        };
        let mut bytes = *event_id.as_bytes();
        if args == Some(Value::Null) {
            bytes[6] = bytes[6] & 0x0f | NULL_GIVEN;
        }
        let event = Event {
            id: EventId::from_bytes(bytes),
            name: EventName::new(&name).map_err(|e| error(e.to_string()))?,
            args: CanonicalJson::encode(&args).map_err(|e| error(e.to_string()))?,
        };
        let client = ClientId::new(client_id).map_err(|e| error(e.to_string()))?;
        let session = SessionId::new(session_id).map_err(|e| error(e.to_string()))?;
        Group::new(id, client, session, vec![event]).map_err(|e| error(e.to_string()))
    }
}

/// Returns the events of a group in a log, in order.
pub fn events_of(confirmed: &ConfirmedGroup) -> impl Iterator<Item = CfEvent> + '_ {
    let group = &confirmed.group;
    (confirmed.first.0..).zip(group.events()).map(|(seq_num, event)| CfEvent {
        name: event.name.as_str().into(),
        args: args_of(event),
        seq_num,
        parent_seq_num: seq_num - 1,
        client_id: group.client_id().as_str().into(),
        session_id: group.session_id().as_str().into(),
    })
}

fn args_of(event: &Event) -> Option<Value> {
    // A payload is JSON, since nothing else gets into a log.
    let args = event.args.decode::<Value>().unwrap_or(Value::Null);
    let is_given = !args.is_null() || event.id.as_bytes()[6] & 0xf0 == NULL_GIVEN;
    is_given.then_some(args)
}
