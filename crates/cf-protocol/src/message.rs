//! Requests and their answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cause::Cause;
use crate::event::{CfEvent, Stamped};
use crate::identity::without_lone_surrogates;
use crate::{MAX_EVENTS, MAX_MESSAGE_BYTES};

/// Names a request of a client; the answers repeat it as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// Digits in a text, as LiveStore 0.4.0 writes it.
    Text(String),
    /// A number.
    Number(u64),
}

/// Longest id of a request, in bytes.
const MAX_ID_BYTES: usize = 64;

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self::Text(number.to_string())
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_tag", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// Asks whether the backend is there.
    Ping,
    /// Asks for something.
    Request(Request),
    /// It has dealt with a chunk.
    Ack {
        /// Of which request.
        request_id: RequestId,
    },
    /// It wants no answer any more.
    Interrupt {
        /// To which request.
        request_id: RequestId,
    },
    /// It has nothing more to say.
    Eof,
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its id, which no other one of the connection has.
    pub id: RequestId,
    /// What is asked for.
    #[serde(flatten)]
    pub call: Call,
    /// For tracing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// For tracing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// For tracing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<bool>,
    /// Headers of the request; LiveStore sends none.
    #[serde(default)]
    pub headers: Vec<Value>,
}

impl Request {
    /// Makes a request that is not traced.
    pub fn new(id: RequestId, call: Call) -> Self {
        Self { id, call, trace_id: None, span_id: None, sampled: None, headers: Vec::new() }
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tag", content = "payload")]
pub enum Call {
    /// The events after a position, over a WebSocket.
    #[serde(rename = "SyncWsRpc.Pull", alias = "SyncHttpRpc.Pull")]
    Pull(Pull),
    /// To append events, over a WebSocket.
    #[serde(rename = "SyncWsRpc.Push", alias = "SyncHttpRpc.Push")]
    Push(Push),
    /// Whether the backend is there; over HTTP.
    #[serde(rename = "SyncHttpRpc.Ping")]
    Ping(Ping),
}

/// Asks for events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// Of which log.
    pub store_id: String,
    /// What the app shows to say who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// True if events that come later are wanted as well.
    #[serde(default)]
    pub live: bool,
    /// Up to where they are there; from the beginning, if nowhere.
    #[serde(with = "option")]
    pub cursor: Option<Cursor>,
}

/// Up to where a client has a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Whose log.
    pub backend_id: String,
    /// The position of the last event.
    pub event_sequence_number: u64,
}

/// Asks to append events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// To which log.
    pub store_id: String,
    /// What the app shows to say who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// The events, in order.
    pub batch: Vec<CfEvent>,
    /// The backend that the client has followed, if any.
    #[serde(with = "option")]
    pub backend_id: Option<String>,
}

/// Asks whether the backend is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// For which log.
    pub store_id: String,
    /// What the app shows to say who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// What a backend says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_tag", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// Answers [`ClientMessage::Ping`].
    Pong,
    /// Events that a pull gets.
    Chunk {
        /// Which pull.
        request_id: RequestId,
        /// The events, and what is still to come.
        values: Vec<PullResponse>,
    },
    /// The last word on a request.
    Exit {
        /// Which one.
        request_id: RequestId,
        /// How it went.
        exit: Exit,
    },
    /// The backend itself has failed.
    Defect {
        /// What is wrong.
        defect: Value,
    },
}

/// How a request went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_tag")]
pub enum Exit {
    /// It is done.
    Success {
        /// What it has brought; nothing for a pull.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// It has failed.
    Failure {
        /// Why.
        cause: Cause,
    },
}

/// Some events of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullResponse {
    /// The events, in order.
    pub batch: Vec<Stamped>,
    /// What is still to come.
    pub page_info: PageInfo,
    /// Whose log.
    pub backend_id: String,
}

/// What is still to come of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "_tag")]
pub enum PageInfo {
    /// Nothing, for now.
    NoMore,
    /// So many events.
    MoreKnown {
        /// How many.
        remaining: u64,
    },
    /// Something.
    MoreUnknown,
}

/// The log does not end where a push begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerAhead {
    /// Where the log ends.
    pub minimum_expected_num: u64,
    /// The parent of the first event that was pushed.
    pub provided_num: u64,
}

/// The client has followed another backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendIdMismatch {
    /// Which one this is.
    pub expected: String,
    /// Which one the client has followed.
    pub received: String,
}

/// Something else has gone wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnknownError {
    /// What.
    pub cause: Thrown,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// What was thrown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thrown {
    /// An error.
    Error(ThrownError),
    /// Something else.
    Other(Value),
}

/// An error that was thrown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrownError {
    /// What kind of error.
    pub name: String,
    /// What has happened.
    pub message: String,
}

impl UnknownError {
    /// Makes one of an error's name and message.
    pub fn new(name: &str, message: &str) -> Self {
        let cause = Thrown::Error(ThrownError { name: name.into(), message: message.into() });
        Self { cause, note: None, payload: None }
    }
}

/// A text that is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is longer than any.
    #[error("a message of {bytes} bytes, which is more than {MAX_MESSAGE_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is not the JSON of one.
    #[error("not a message: {0}")]
    Json(#[from] serde_json::Error),
    /// An id is longer than any that a client has a use for.
    #[error("a request id of {bytes} bytes, which is more than {MAX_ID_BYTES}")]
    LongId {
        /// How long it is.
        bytes: usize,
    },
    /// A push has more events than one may have.
    #[error("a push of {count} events, which is more than {MAX_EVENTS}")]
    TooManyEvents {
        /// How many.
        count: usize,
    },
}

impl ClientMessage {
    /// Reads a message and checks its bounds.
    pub fn decode(text: &str) -> Result<Self, MessageError> {
        check_length(text)?;
        let message: Self = serde_json::from_str(text)?;
        if let Some(RequestId::Text(id)) = message.request_id()
            && id.len() > MAX_ID_BYTES
        {
            return Err(MessageError::LongId { bytes: id.len() });
        }
        match &message {
            Self::Request(Request { call: Call::Push(push), .. })
                if push.batch.len() > MAX_EVENTS =>
            {
                Err(MessageError::TooManyEvents { count: push.batch.len() })
            }
            _ => Ok(message),
        }
    }

    /// Writes a message, as it goes over a WebSocket.
    pub fn encode(&self) -> String {
        encode(self)
    }

    /// Writes a message as it goes over HTTP, where calls have other names.
    pub fn encode_for_http(&self) -> String {
        let mut message = serde_json::to_value(self).unwrap_or_default();
        if let Some(Value::String(tag)) = message.get_mut("tag") {
            *tag = tag.replace("SyncWsRpc.", "SyncHttpRpc.");
        }
        message.to_string()
    }

    /// Returns the request that it is about.
    pub fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Ack { request_id } | Self::Interrupt { request_id } => Some(request_id),
            Self::Ping | Self::Eof => None,
        }
    }
}

impl ServerMessage {
    /// Reads a message and checks its bounds.
    ///
    /// Half a character in a text, which only JavaScript knows, is read as U+FFFD.
    pub fn decode(text: &str) -> Result<Self, MessageError> {
        check_length(text)?;
        serde_json::from_str(text).or_else(|error| match without_lone_surrogates(text) {
            Cow::Borrowed(_) => Err(error.into()),
            Cow::Owned(clean) => Ok(serde_json::from_str(&clean)?),
        })
    }

    /// Writes a message.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

fn check_length(text: &str) -> Result<(), MessageError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong { bytes: text.len() });
    }
    Ok(())
}

fn encode(message: &impl Serialize) -> String {
    // Maps have string keys, so this cannot fail.
    serde_json::to_string(message).expect("a message is JSON")
}

/// An option as Effect's schemas write it.
pub(crate) mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "_tag")]
    enum Written<T> {
        None,
        Some { value: T },
    }

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => Written::None,
            Some(value) => Written::Some { value },
        }
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::None => None,
            Written::Some { value } => Some(value),
        })
    }
}
