//! Why a request has failed, in either of the two encodings that there are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::message::{BackendIdMismatch, ServerAhead, UnknownError};

/// An error that the protocol knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RpcError {
    /// The log does not end where the push begins.
    ServerAhead(ServerAhead),
    /// The client has followed another backend.
    BackendIdMismatch(BackendIdMismatch),
    /// Something else.
    Unknown(UnknownError),
}

impl RpcError {
    /// Returns its tag.
    fn tag(&self) -> &'static str {
        match self {
            Self::ServerAhead(_) => "ServerAheadError",
            Self::BackendIdMismatch(_) => "BackendIdMismatchError",
            Self::Unknown(_) => "UnknownError",
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let value = value.clone();
        match value.get("_tag")?.as_str()? {
            "ServerAheadError" => serde_json::from_value(value).ok().map(Self::ServerAhead),
            "BackendIdMismatchError" => {
                serde_json::from_value(value).ok().map(Self::BackendIdMismatch)
            }
            "UnknownError" => serde_json::from_value(value).ok().map(Self::Unknown),
            _ => None,
        }
    }
}

/// Why a request has failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// With an error that the protocol knows.
    Fail(RpcError),
    /// It was interrupted.
    Interrupt,
    /// In a way that the protocol does not know; as it was told.
    Other(Value),
}

impl Cause {
    /// Reads what was told: a tree in which the first failure counts, or a list of failures.
    fn read(value: &Value) -> Self {
        Self::find(value, 0).unwrap_or_else(|| Self::Other(value.clone()))
    }

    /// Finds the first failure, and if there is none, whether it was an interruption.
    fn find(value: &Value, depth: usize) -> Option<Self> {
        // As deep as JSON is read at all.
        if depth > 128 {
            return None;
        }
        if let Value::Array(reasons) = value {
            return Self::first(reasons.iter(), depth);
        }
        match value.get("_tag")?.as_str()? {
            "Fail" => RpcError::read(value.get("error")?).map(Self::Fail),
            "Interrupt" => Some(Self::Interrupt),
            "Sequential" | "Parallel" => {
                let sides = [value.get("left"), value.get("right")];
                Self::first(sides.into_iter().flatten(), depth)
            }
            _ => None,
        }
    }

    fn first<'a>(values: impl Iterator<Item = &'a Value>, depth: usize) -> Option<Self> {
        let found: Vec<Self> = values.filter_map(|value| Self::find(value, depth + 1)).collect();
        let failure = found.iter().position(|cause| matches!(cause, Self::Fail(_)));
        found.into_iter().nth(failure.unwrap_or(0))
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fail<'a> {
            #[serde(rename = "_tag")]
            tag: &'static str,
            error: Tagged<'a>,
        }
        #[derive(Serialize)]
        struct Tagged<'a> {
            #[serde(flatten)]
            error: &'a RpcError,
            #[serde(rename = "_tag")]
            tag: &'static str,
        }
        match self {
            Self::Fail(error) => Fail { tag: "Fail", error: Tagged { error, tag: error.tag() } }
                .serialize(serializer),
            Self::Interrupt => {
                let fiber = json!({ "_tag": "Runtime", "id": -499, "startTimeMillis": 0 });
                json!({ "_tag": "Interrupt", "fiberId": fiber }).serialize(serializer)
            }
            Self::Other(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(&Value::deserialize(deserializer)?))
    }
}
