//! Canonical JSON (RFC 8785): one value, one sequence of bytes, in every language.
//!
//! The encoder writes any `serde` value straight to canonical bytes. The crates that do this were
//! measured first and found to cost ten times plain JSON on the commit path, and to change values
//! silently: integers beyond ±(2⁵³−1) are rounded, NaN becomes `null`. Here both are errors. One
//! of those crates serves as the oracle in the tests, and `ryu-js` writes the numbers.

mod encoder;
mod key;
mod path;
mod transcode;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use encoder::Encoder;

/// The largest integer that every JSON reader keeps exactly: 2⁵³−1 (RFC 8785, section 3.2.2.3).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Most arrays and objects that may stand inside one another.
///
/// It is as deep as `serde_json` reads: what is written here can be read by every peer.
pub const MAX_DEPTH: usize = 127;

/// A value that has no canonical JSON, or a text that is not canonical.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not JSON at all, or holds a lone surrogate.
    #[error("not valid JSON: {reason}")]
    Syntax {
        /// What the parser found, with line and column.
        reason: String,
    },
    /// The text is JSON, but not in canonical form.
    #[error("not canonical JSON (RFC 8785); byte {at} differs from the canonical form")]
    NotCanonical {
        /// Offset of the first byte that differs.
        at: usize,
    },
    /// An integer that other languages would round.
    #[error(
        "the integer {value}{} is beyond ±(2^53-1) and would be rounded by JSON readers; encode it \
         as a string", path::at(.path)
    )]
    IntegerTooLarge {
        /// The integer, in decimal.
        value: String,
        /// Where it stands in the value, such as `items[3].count`; empty if it is the whole.
        path: String,
    },
    /// NaN or an infinity.
    #[error("{value}{} has no JSON form; use null or a string", path::at(.path))]
    NotFinite {
        /// The number, as Rust prints it.
        value: String,
        /// Where it stands in the value, such as `items[3].count`; empty if it is the whole.
        path: String,
    },
    /// Two members of one object have the same name.
    #[error("the object has two members named {key:?}")]
    DuplicateKey {
        /// The repeated name.
        key: String,
    },
    /// Arrays and objects stand inside one another more than [`MAX_DEPTH`] times.
    #[error("the value is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A map key that is not a string, number, boolean or unit variant.
    #[error("a JSON object key must be a string")]
    KeyNotString,
    /// The value's own `Serialize` failed, or a member has a name that `serde_json` keeps for itself.
    #[error("the value could not be serialized: {reason}")]
    Custom {
        /// Its message.
        reason: String,
    },
    /// The payload is canonical but does not fit the expected type.
    #[error("the payload does not fit its type: {reason}")]
    Decode {
        /// What did not fit, with line and column.
        reason: String,
    },
}

impl JsonError {
    /// Says why a text could not be read.
    fn syntax(error: serde_json::Error) -> Self {
        let reason = error.to_string();
        // It has no kind of its own.
        if reason.starts_with("recursion limit exceeded") {
            return Self::TooDeep;
        }
        Self::Syntax { reason }
    }
}

impl serde::ser::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom { reason: message.to_string() }
    }
}

/// A JSON text that is known to be canonical.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalJson(Box<str>);

impl CanonicalJson {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// Refuses what JSON would change: integers beyond ±(2⁵³−1), NaN, infinities, repeated keys;
    /// and what peers would not read back: values nested deeper than [`MAX_DEPTH`].
    ///
    /// A [`serde_json::Value`] is no exception, also if it was decoded from canonical JSON: a whole
    /// double that an `i64` or `u64` could hold stands there without a point, so it becomes an integer
    /// in the `Value`, which serde passes on as it does one that somebody meant to be exact.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        Encoder::encode(value).map(Self)
    }

    /// Makes the canonical form of a JSON text, whose numbers are doubles as JavaScript's are; of two
    /// members of one name the last counts, as there.
    pub fn of_json(text: &str) -> Result<Self, JsonError> {
        transcode::transcode(text).map(Self)
    }

    /// Takes a text that claims to be canonical, and checks it.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        // A number that arrives is a double, whatever wrote it; the canonical form of that double
        // is what has to stand in the text.
        let Self(canonical) = Self::of_json(text)?;
        if *canonical == *text {
            return Ok(Self(canonical));
        }
        let same = canonical.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        Err(JsonError::NotCanonical { at: same })
    }

    /// Takes a text that this crate wrote before and that a disk may have damaged since.
    ///
    /// It checks that it is JSON, so that a message can embed it, and not that it is canonical: the
    /// log's hash tells whether it is still the same.
    pub fn stored(text: &str) -> Result<Self, JsonError> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(JsonError::syntax)?;
        Ok(Self::trusted(text))
    }

    /// Wraps a text that this crate wrote before, without checking it again.
    ///
    /// For reading back what was stored; a text from outside goes through [`Self::parse`], and one
    /// that goes on to others through [`Self::stored`].
    pub fn trusted(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Decodes the payload into a type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_str(&self.0)
            .map_err(|error| JsonError::Decode { reason: error.to_string() })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CanonicalJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CanonicalJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanonicalJson({})", self.0)
    }
}

impl Serialize for CanonicalJson {
    /// Embeds the text as it is, so that it crosses the wire byte for byte.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CanonicalJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}
