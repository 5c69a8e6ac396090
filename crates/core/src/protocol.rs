//! The messages of our own sync protocol, version 1. `docs/protocol.md` is its specification.
//!
//! A message is one JSON object with one member, whose name is the kind of the message. Payloads
//! are embedded byte for byte. Decoding checks every bound and the canonical form, so that what
//! comes out of [`ClientMessage::decode`] or [`ServerMessage::decode`] can be used as it is.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{
    MAX_ATTEMPTED_GROUPS, MAX_FRAME_BYTES, MAX_LOCATE_POSITIONS, MAX_TOKEN_BYTES, MAX_VERSIONS,
};
use crate::{BackendId, ClientId, ConfirmedGroup, Cursor, GlobalSeqNum, Group, GroupId};
use crate::{LogPosition, StoreId};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientMessage {
    /// Says who talks; the first message if there is one.
    Authenticate(Authenticate),
    /// Asks, before the hello, how much of a log the client and the server have in common.
    Locate(Locate),
    /// Opens the conversation; the first message but for [`Locate`], sent once.
    Hello(Hello),
    /// Offers groups to the log.
    Push(Push),
}

/// What shows the server who talks to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    /// What the app was given to show; only the server knows what it means.
    pub token: Token,
}

/// A secret that is shown to a server; it is not shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes a text for a token.
    ///
    /// # Errors
    ///
    /// It is longer than [`MAX_TOKEN_BYTES`].
    pub fn new(text: impl Into<String>) -> Result<Self, ProtocolError> {
        let text = text.into();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(ProtocolError::TokenTooLong { bytes: text.len() });
        }
        Ok(Self(text))
    }

    /// Returns the secret.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Positions of the client's own log, to find out which of them the server's log shares.
///
/// A client whose cursor was refused finds the end of the common history by asking again about
/// the positions between the last one that is common and the first one that is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Locate {
    /// The protocol versions that the client speaks.
    pub versions: Vec<u32>,
    /// The log that it wants.
    pub store_id: StoreId,
    /// Who it is.
    pub client_id: ClientId,
    /// Ends of groups in the client's log, ascending; at least one.
    pub positions: Vec<LogPosition>,
}

/// Who connects, to what, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hello {
    /// The protocol versions that the client speaks.
    pub versions: Vec<u32>,
    /// The log that it wants.
    pub store_id: StoreId,
    /// Who it is.
    pub client_id: ClientId,
    /// Up to where it has the log; none before the first contact with any backend.
    #[serde(deserialize_with = "nullable")]
    pub cursor: Option<Cursor>,
    /// Groups that it has pushed without learning the outcome, in order.
    pub attempted: Vec<GroupId>,
}

/// Groups offered to the log, in order, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Push {
    /// Chosen by the client; the answer repeats it.
    pub request: u64,
    /// The position that the first group continues.
    pub base: GlobalSeqNum,
    /// The groups; at least one.
    pub groups: Vec<Group>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServerMessage {
    /// Answers [`Locate`].
    Located(Located),
    /// Answers [`Hello`]; pages follow by themselves, now and whenever the log grows.
    Welcome(Welcome),
    /// A piece of the log that continues what the client has.
    Page(Page),
    /// The groups of a push are in the log, and on disk.
    PushAccepted(PushAccepted),
    /// Groups of a push were in the log already; nothing of the push was taken.
    AlreadyAccepted(AlreadyAccepted),
    /// A push did not continue the log; nothing of it was taken.
    ServerAhead(ServerAhead),
    /// A push was refused for good because of one of its groups; nothing of it was taken.
    GroupRejected(GroupRejected),
    /// The conversation ends here.
    Goodbye(Goodbye),
}

/// How far the histories of a client and of a server are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Located {
    /// Whose log was looked at.
    pub backend_id: BackendId,
    /// The last of the client's positions at which the log has the client's hash.
    ///
    /// The root if there is none.
    pub common: GlobalSeqNum,
    /// The end of the log now.
    pub head: GlobalSeqNum,
}

/// The server's side of the introduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Welcome {
    /// The version that both will speak.
    pub version: u32,
    /// Whose log it is.
    pub backend_id: BackendId,
    /// The end of the log now.
    pub head: GlobalSeqNum,
    /// Which of the attempted groups are in the log, and where.
    pub accepted: Vec<GroupPosition>,
}

/// Where a group stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPosition {
    /// The group.
    pub id: GroupId,
    /// The position of its first event.
    pub first: GlobalSeqNum,
}

/// A gapless piece of the log, cut between groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The groups, in order; at least one.
    pub groups: Vec<ConfirmedGroup>,
    /// Where the log stands after the last of them.
    pub end: LogPosition,
    /// The end of the log when the page was read; beyond `end` if more pages follow.
    pub head: GlobalSeqNum,
}

/// The good answer to a [`Push`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushAccepted {
    /// The request that is answered.
    pub request: u64,
    /// The position of the first event of the first group.
    pub first: GlobalSeqNum,
    /// Where the log stands after the last group.
    pub end: LogPosition,
}

/// The answer to a [`Push`] that repeats groups; their pages bring the confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlreadyAccepted {
    /// The request that is answered.
    pub request: u64,
    /// The groups that the log holds, and where.
    pub groups: Vec<GroupPosition>,
}

/// The answer to a [`Push`] whose base is not the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerAhead {
    /// The request that is answered.
    pub request: u64,
    /// What the client is missing, or the beginning of it; further pages follow.
    ///
    /// None if the pages sent so far reach the end of the log already.
    #[serde(deserialize_with = "nullable")]
    pub missing: Option<Page>,
}

/// The answer to a [`Push`] that holds a group which the server will never take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRejected {
    /// The request that is answered.
    pub request: u64,
    /// The group.
    pub group: GroupId,
    /// Why.
    pub reason: RejectReason,
}

/// Why a server will never take a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ReasonFields", rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum RejectReason {
    /// The log holds another group under this id.
    EventIdConflict,
    /// The rules of the server's operator forbid it.
    Refused(Refusal),
}

/// What a rule of the server's operator has against a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For programs, such as `overdrawn`; none if the rule gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words, for people.
    pub message: String,
    /// What else a program wants to know, in any form that the rule and the app agree on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl Refusal {
    /// Makes a refusal of a text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), details: None }
    }

    /// Adds a code, by which programs tell refusals apart.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds what else a program wants to know.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }
}

/// What a reason is read as: `serde` lets unknown members of a unit variant pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum ReasonFields {
    EventIdConflict(NoFields),
    Refused(Refusal),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl From<ReasonFields> for RejectReason {
    fn from(fields: ReasonFields) -> Self {
        match fields {
            ReasonFields::EventIdConflict(NoFields {}) => Self::EventIdConflict,
            ReasonFields::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Why a conversation ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goodbye {
    /// For programs.
    pub reason: GoodbyeReason,
    /// For people.
    pub message: String,
}

/// The kinds of [`Goodbye`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// No common protocol version.
    UnsupportedVersion,
    /// The cursor is not on this backend's history.
    HistoryDiverged,
    /// The client broke the protocol.
    ProtocolError,
    /// The client has begun another conversation.
    Superseded,
    /// The server wants to know who talks, and no token, or none that it knows, was shown.
    Unauthenticated,
    /// The token held for a time that is over; come back with another one.
    AuthExpired,
    /// The server knows who talks, who may not use this store.
    Forbidden,
    /// The server is going down; come back later.
    ShuttingDown,
    /// The server failed; come back later.
    Internal,
}

/// A frame that is not a message of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The frame is over [`MAX_FRAME_BYTES`].
    #[error("a frame of {bytes} bytes is over the limit of {MAX_FRAME_BYTES}")]
    FrameTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A token is over [`MAX_TOKEN_BYTES`].
    #[error("a token of {bytes} bytes is over the limit of {MAX_TOKEN_BYTES}")]
    TokenTooLong {
        /// Its size.
        bytes: usize,
    },
    /// The frame is not a message.
    #[error("not a message of protocol version {PROTOCOL_VERSION}: {reason}")]
    Malformed {
        /// What did not fit, with line and column.
        reason: String,
    },
    /// A list that must not be empty is, or one is too long.
    #[error("a {message} message with {count} {items}; expected {expected}")]
    WrongCount {
        /// The kind of message.
        message: &'static str,
        /// What is counted.
        items: &'static str,
        /// How many there are.
        count: usize,
        /// What the protocol allows.
        expected: &'static str,
    },
    /// The positions of a locate message do not ascend.
    #[error("a locate message asks about {found} after {after}; its positions have to ascend")]
    NotAscending {
        /// A position.
        after: GlobalSeqNum,
        /// The one that follows it.
        found: GlobalSeqNum,
    },
    /// The groups of a page are not numbered without a gap.
    #[error("a page jumps from {after} to {found}")]
    Gap {
        /// The last position before the gap.
        after: GlobalSeqNum,
        /// The position found next.
        found: GlobalSeqNum,
    },
}

/// Reads a member that may be null but has to be there, which `serde` alone would not ask for.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

fn encode(message: &impl Serialize) -> String {
    // Every type here has string keys and finite numbers, and payloads are valid JSON by type.
    serde_json::to_string(message).expect("protocol messages always have a JSON form")
}

fn decode<T: DeserializeOwned>(frame: &str) -> Result<T, ProtocolError> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(ProtocolError::FrameTooLarge { bytes: frame.len() });
    }
    serde_json::from_str(frame)
        .map_err(|error| ProtocolError::Malformed { reason: error.to_string() })
}

impl ClientMessage {
    /// Writes the message as one frame.
    pub fn encode(&self) -> String {
        encode(self)
    }

    /// Reads and checks one frame.
    pub fn decode(frame: &str) -> Result<Self, ProtocolError> {
        let message = decode(frame)?;
        match &message {
            Self::Authenticate(Authenticate { token: Token(token) })
                if token.len() > MAX_TOKEN_BYTES =>
            {
                Err(ProtocolError::TokenTooLong { bytes: token.len() })
            }
            Self::Locate(locate) => locate.check().and(Ok(message)),
            Self::Hello(hello) => hello.check().and(Ok(message)),
            Self::Push(push) if push.groups.is_empty() => Err(ProtocolError::WrongCount {
                message: "push",
                items: "groups",
                count: 0,
                expected: "at least one",
            }),
            _ => Ok(message),
        }
    }
}

impl ServerMessage {
    /// Writes the message as one frame.
    pub fn encode(&self) -> String {
        encode(self)
    }

    /// Reads and checks one frame.
    pub fn decode(frame: &str) -> Result<Self, ProtocolError> {
        let message = decode(frame)?;
        if let Self::Page(page) | Self::ServerAhead(ServerAhead { missing: Some(page), .. }) =
            &message
        {
            page.check()?;
        }
        Ok(message)
    }
}

fn check_versions(message: &'static str, versions: &[u32]) -> Result<(), ProtocolError> {
    if versions.len() > MAX_VERSIONS {
        let (items, expected) = ("versions", "at most 16");
        return Err(ProtocolError::WrongCount { message, items, count: versions.len(), expected });
    }
    Ok(())
}

impl Hello {
    /// Checks that there are not too many versions and groups.
    pub fn check(&self) -> Result<(), ProtocolError> {
        check_versions("hello", &self.versions)?;
        if self.attempted.len() > MAX_ATTEMPTED_GROUPS {
            return Err(ProtocolError::WrongCount {
                message: "hello",
                items: "attempted groups",
                count: self.attempted.len(),
                expected: "at most 256",
            });
        }
        Ok(())
    }
}

impl Locate {
    /// Checks that there are positions, not too many, that they ascend, and the number of versions.
    pub fn check(&self) -> Result<(), ProtocolError> {
        check_versions("locate", &self.versions)?;
        let count = self.positions.len();
        if count == 0 || count > MAX_LOCATE_POSITIONS {
            return Err(ProtocolError::WrongCount {
                message: "locate",
                items: "positions",
                count,
                expected: "1 to 256",
            });
        }
        let disorder = self.positions.windows(2).find(|pair| pair[0].seq >= pair[1].seq);
        disorder.map_or(Ok(()), |pair| {
            Err(ProtocolError::NotAscending { after: pair[0].seq, found: pair[1].seq })
        })
    }
}

impl Page {
    /// Checks that the page is not empty, has no gap and ends where it says.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let Some(first) = self.groups.first() else {
            return Err(ProtocolError::WrongCount {
                message: "page",
                items: "groups",
                count: 0,
                expected: "at least one",
            });
        };
        let mut next = first.first;
        for group in &self.groups {
            if group.first != next || next == GlobalSeqNum::ROOT {
                let after = GlobalSeqNum(next.0.saturating_sub(1));
                return Err(ProtocolError::Gap { after, found: group.first });
            }
            // A position near the end of the range is as wrong as a gap.
            let end = next.0.checked_add(group.group.event_count());
            next = GlobalSeqNum(end.ok_or(ProtocolError::Gap { after: next, found: next })?);
        }
        let last = GlobalSeqNum(next.0 - 1);
        if self.end.seq != last || self.head < last {
            return Err(ProtocolError::Gap { after: last, found: self.end.seq });
        }
        Ok(())
    }
}
