//! Events, and the groups in which they are committed, pushed and applied.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_ARGS_BYTES, MAX_EVENT_NAME_BYTES, MAX_GROUP_BYTES, MAX_GROUP_EVENTS};
use crate::{CanonicalJson, ClientId, ContentHash, EventId, GlobalSeqNum, GroupId, SessionId};

/// A text that cannot name an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid event name; use 1 to {MAX_EVENT_NAME_BYTES} bytes without control \
     characters, by convention v1.PastTense"
)]
pub struct EventNameError {
    /// What was given, cut at 160 characters.
    pub text: String,
}

/// The name of an event type, by convention `v1.PastTense`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventName(Arc<str>);

impl EventName {
    /// Checks and wraps a name.
    pub fn new(text: impl AsRef<str>) -> Result<Self, EventNameError> {
        let text = text.as_ref();
        let fits = (1..=MAX_EVENT_NAME_BYTES).contains(&text.len());
        if !fits || text.chars().any(char::is_control) {
            return Err(EventNameError { text: text.chars().take(160).collect() });
        }
        Ok(Self(text.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventName({})", self.0)
    }
}

impl TryFrom<String> for EventName {
    type Error = EventNameError;

    fn try_from(text: String) -> Result<Self, EventNameError> {
        Self::new(text)
    }
}

impl From<EventName> for String {
    fn from(name: EventName) -> Self {
        name.0.as_ref().into()
    }
}

/// One immutable fact: a name and a canonical payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Names this event for ever.
    pub id: EventId,
    /// What kind of fact it is.
    pub name: EventName,
    /// The payload, in canonical JSON.
    pub args: CanonicalJson,
}

/// The name of an event that stands where the log of a backend has none.
///
/// Logs of LiveStore may have holes, and ours have none. It does nothing, whatever a schema says.
pub const MISSING_EVENT: &str = "livestore.Missing";

impl Event {
    /// Tells whether it only stands where a backend has no event.
    pub fn is_missing(&self) -> bool {
        self.name.as_str() == MISSING_EVENT
    }
}

/// A set of events that cannot be a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A group without events means nothing.
    #[error("a group needs at least one event")]
    Empty,
    /// The payload of one event is over [`MAX_ARGS_BYTES`].
    #[error(
        "the payload of event {name} has {bytes} bytes; the limit is {MAX_ARGS_BYTES}: \
         keep large data in files and commit a reference to them"
    )]
    ArgsTooLarge {
        /// The event's name.
        name: EventName,
        /// Size of its payload.
        bytes: usize,
    },
    /// The group is over [`MAX_GROUP_EVENTS`] or [`MAX_GROUP_BYTES`].
    #[error(
        "a group of {events} events and {bytes} bytes is too large (limits: {MAX_GROUP_EVENTS} \
         events, {MAX_GROUP_BYTES} bytes): commit it in several groups"
    )]
    TooLarge {
        /// Events in the group.
        events: usize,
        /// Bytes of its payloads and names.
        bytes: usize,
    },
}

/// What one commit produced: the unit of atomicity, rejection and idempotence.
///
/// It is never empty and never larger than a frame can carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GroupFields", into = "GroupFields")]
pub struct Group {
    id: GroupId,
    client_id: ClientId,
    session_id: SessionId,
    events: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GroupFields {
    id: GroupId,
    client_id: ClientId,
    session_id: SessionId,
    events: Vec<Event>,
}

impl TryFrom<GroupFields> for Group {
    type Error = GroupError;

    fn try_from(fields: GroupFields) -> Result<Self, GroupError> {
        Self::new(fields.id, fields.client_id, fields.session_id, fields.events)
    }
}

impl From<Group> for GroupFields {
    fn from(group: Group) -> Self {
        let Group { id, client_id, session_id, events } = group;
        Self { id, client_id, session_id, events }
    }
}

impl Group {
    /// Checks the bounds and makes a group.
    pub fn new(
        id: GroupId,
        client_id: ClientId,
        session_id: SessionId,
        events: Vec<Event>,
    ) -> Result<Self, GroupError> {
        if events.is_empty() {
            return Err(GroupError::Empty);
        }
        if let Some(event) = events.iter().find(|e| e.args.as_str().len() > MAX_ARGS_BYTES) {
            let bytes = event.args.as_str().len();
            return Err(GroupError::ArgsTooLarge { name: event.name.clone(), bytes });
        }
        let group = Self { id, client_id, session_id, events };
        let (events, bytes) = (group.events.len(), group.size_bytes());
        if events > MAX_GROUP_EVENTS || bytes > MAX_GROUP_BYTES {
            return Err(GroupError::TooLarge { events, bytes });
        }
        Ok(group)
    }

    /// Returns the group's id.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Returns the client that committed it.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Returns the session that committed it.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// Returns its events in commit order; at least one.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the number of events, which is the number of positions it takes in the log.
    pub fn event_count(&self) -> u64 {
        self.events.len() as u64
    }

    /// Returns its size for paging: payloads and names, and 32 bytes an event for ids.
    pub fn size_bytes(&self) -> usize {
        let event = |e: &Event| e.args.as_str().len() + e.name.as_str().len() + 32;
        self.events.iter().map(event).sum()
    }

    /// Hashes everything that the group is.
    ///
    /// Fields are length-prefixed, so no two different groups feed the hash the same bytes.
    pub fn content_hash(&self) -> ContentHash {
        // Pieces as short as these cost the hasher more than its blocks do.
        let mut text = Vec::with_capacity(self.size_bytes() + 64 * (self.events.len() + 1));
        let mut field = |bytes: &[u8]| {
            text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            text.extend_from_slice(bytes);
        };
        field(self.id.as_bytes());
        field(self.client_id.as_str().as_bytes());
        field(self.session_id.as_str().as_bytes());
        for event in &self.events {
            field(event.id.as_bytes());
            field(event.name.as_str().as_bytes());
            field(event.args.as_str().as_bytes());
        }
        ContentHash::from_bytes(*blake3::hash(&text).as_bytes())
    }
}

/// A group that the backend has ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmedGroup {
    /// The position of its first event; the others follow without a gap.
    pub first: GlobalSeqNum,
    /// The group.
    pub group: Group,
}

impl ConfirmedGroup {
    /// Returns the position of its last event.
    pub fn last(&self) -> GlobalSeqNum {
        self.first.plus(self.group.event_count() - 1)
    }
}
