//! What a session and its leader say to each other. `docs/session-link.md` is the specification.
//!
//! A message is one JSON object with one member, whose name is the kind of the message, or only that name
//! if there is nothing more to say; rows of the
//! state travel beside them as bytes. Both ends are the same app on one machine, and still each checks
//! what it reads: an end that is damaged, old or hostile gets an error, and the conversation ends.

use livestore_core::limits::PAGE_EVENTS;
use livestore_core::{
    BackendId, ClientId, ConfirmedGroup, Group, GroupId, LogHash, LogPosition, SessionId, StoreId,
};
use serde::{Deserialize, Serialize};

use super::outline::{Newer, Outline};
use crate::Refresh;
use crate::replica::pending::Origin;
use crate::replica::{DeadLetter, Divergence, Fate, HistoryAnswer, SyncStatus};

/// The version of the link between sessions and leaders that this crate speaks.
pub(crate) const LINK_VERSION: u32 = 0;

/// Most groups of one push: a synced and a client-only one for each commit.
pub(crate) const MAX_PUSHED_COMMITS: usize = PAGE_EVENTS;

/// Most groups that a session asks about when it attaches. Of those beyond it the leader's file tells.
pub(crate) const MAX_OPEN_GROUPS: usize = 100_000;

/// What a session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SessionMessage {
    /// Opens the conversation, or begins it anew.
    Attach(Attach),
    /// Hands over what was committed in the session.
    Push(SessionPush),
    /// Has the leader do something that only it can do.
    Do(Order),
    /// Asks how the leader stands, and has it do something, without following it; said instead of
    /// [`SessionMessage::Attach`].
    Visit(Visit),
}

/// What somebody wants who does not follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Visit {
    /// The versions of the link that the visitor speaks.
    pub(crate) versions: Vec<u32>,
    pub(crate) store_id: StoreId,
    /// What is to be done before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<Order>,
    /// True if the last refreshes of live queries are asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) queries: bool,
}

/// What a session can have its leader do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Order {
    /// Go on with a backend that has another history.
    AnswerDivergence {
        answer: HistoryAnswer,
        /// What was seen; none if it is a backend that refuses a log which is published to it.
        to: Option<Divergence>,
    },
    /// Go on like that with a backend of which somebody else has seen this, now or when it is met.
    NoteAnswer { answer: HistoryAnswer, to: Divergence },
    /// Try to reach the backend at once.
    RetryNow,
}

/// Who wants to take part, and what it wants to know the fate of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Attach {
    /// The versions of the link that the session speaks.
    pub(crate) versions: Vec<u32>,
    pub(crate) store_id: StoreId,
    pub(crate) session_id: SessionId,
    /// The process that it is in.
    pub(crate) process: u32,
    pub(crate) schema: Outline,
    /// Groups of its own that it has pushed and does not know the fate of.
    pub(crate) open: Vec<GroupId>,
}

/// What was committed, in order; each commit is taken whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SessionPush {
    /// Chosen by the session; the answer repeats it.
    pub(crate) request: u64,
    pub(crate) commits: Vec<PushedCommit>,
    /// The answer is to come only when a power cut can take none of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) full: bool,
}

/// One commit of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PushedCommit {
    /// The last advance that the session had seen when it committed.
    pub(crate) seen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) synced: Option<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_only: Option<Group>,
    /// Where the synced group comes from.
    #[serde(default, skip_serializing_if = "Origin::is_plain")]
    pub(crate) origin: Origin,
    /// The dead letter that is forgotten with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgets: Option<GroupId>,
}

/// What a leader says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LeaderMessage {
    /// Answers [`Attach`]; the rows of the state follow, then [`LeaderMessage::Whole`], then advances.
    Attached(Box<Attached>),
    /// Answers [`Attach`]: the session may not follow.
    Refused(Refused),
    /// All rows are there.
    Whole,
    /// What a step of the leader did.
    Advance(Box<Advance>),
    /// Everything of a push is in the leader's file, or a dead letter.
    Taken(Taken),
    /// Where the leader stands, whenever that has changed.
    Status(Box<LeaderStatus>),
    /// Answers [`SessionMessage::Visit`].
    Visited(Box<LeaderStatus>),
    /// The session has missed advances, and has to attach anew.
    Restart,
}

/// Why a session may not follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Refused {
    /// Why.
    pub reason: RefusedReason,
    /// Why, for people.
    pub message: String,
}

/// Why a leader does not let a session follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusedReason {
    /// They have different schemas; `Us` is the session.
    Schema(Newer),
    /// Something else.
    #[serde(other)]
    Other,
}

/// A session of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its id, which the events have that were committed in it.
    pub session_id: SessionId,
    /// The id of the process that it is in.
    pub process: u32,
    /// True if it uses the file, and the others follow it.
    pub leads: bool,
}

/// Where a leader stands, and who follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LeaderStatus {
    pub(crate) sync: SyncStatus,
    pub(crate) sessions: Vec<SessionInfo>,
    /// The last refreshes of live queries, if a visitor has asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refreshes: Vec<Refresh>,
}

/// Where the leader stands as the rows that follow show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Attached {
    pub(crate) version: u32,
    pub(crate) client_id: ClientId,
    pub(crate) backend_id: Option<BackendId>,
    /// The end of the leader's log.
    pub(crate) head: LogPosition,
    /// The end of the log as far as it is in the state.
    pub(crate) state_head: LogPosition,
    pub(crate) generation: u32,
    pub(crate) rebases: u64,
    /// The last advance that the rows have.
    pub(crate) seen: u64,
    /// What became of the open groups that the leader has, and that are not pending; nothing more of
    /// those that are client-only and in their place, or dead letters that were forgotten.
    pub(crate) ended: Vec<(GroupId, Option<Fate>)>,
    pub(crate) status: LeaderStatus,
}

/// What one step of the leader did, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Advance {
    /// One more than the advance before.
    pub(crate) number: u64,
    /// The backend whose log this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backend_id: Option<BackendId>,
    /// The first pending synced groups, which were confirmed where they stand, and the hash of the log
    /// after each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) confirmed: Vec<(GroupId, LogHash)>,
    /// What was appended to the log behind them, and its hash after each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logged: Vec<(ConfirmedGroup, LogHash)>,
    /// The state has come to the end of the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_merged: bool,
    /// Groups that are dead letters now, be they pending before or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) buried: Vec<DeadLetter>,
    /// Pending groups that have other events now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rewritten: Vec<TailGroup>,
    /// What was committed, and stands at the end of the tail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) added: Vec<TailGroup>,
    /// Dead letters that were forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) forgotten: Vec<GroupId>,
}

/// A pending group of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TailGroup {
    /// The ordinal of its first event.
    pub(crate) ordinal: i64,
    pub(crate) group: Group,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) client_only: bool,
    #[serde(default, skip_serializing_if = "Origin::is_plain")]
    pub(crate) origin: Origin,
}

/// Answers a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Taken {
    pub(crate) request: u64,
    /// No power cut can take what was pushed, or anything before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) full: bool,
}

impl SessionMessage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a message and checks its bounds.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let message: Self = decode(bytes)?;
        let (what, count, max) = match &message {
            Self::Attach(attach) => ("open groups", attach.open.len(), MAX_OPEN_GROUPS),
            Self::Push(push) => ("commits", push.commits.len(), MAX_PUSHED_COMMITS),
            Self::Do(_) | Self::Visit(_) => return Ok(message),
        };
        if count > max {
            return Err(MessageError::TooMany { what, count, max });
        }
        Ok(message)
    }
}

impl LeaderMessage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode(bytes)
    }
}

/// Why bytes are no message between a session and its leader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// They are not the JSON of one.
    #[error("not a message: {0}")]
    Json(#[from] serde_json::Error),
    /// A list is longer than it may be.
    #[error("{count} {what}, which is more than {max}")]
    TooMany {
        /// What is listed.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    // Maps have string keys and payloads are JSON, so this cannot fail.
    serde_json::to_vec(message).expect("a message is JSON")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MessageError> {
    Ok(serde_json::from_slice(bytes)?)
}
