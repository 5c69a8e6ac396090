//! Hashes that identify a group's content and a log's whole history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text or slice that is not one of our hashes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a hash of 64 hexadecimal digits")]
pub struct HashError;

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads a hash from a slice of exactly 32 bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = HashError;

            fn from_str(text: &str) -> Result<Self, HashError> {
                // One spelling only: lower-case digits.
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(HashError);
                }
                blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| HashError)
            }
        }

        impl TryFrom<String> for $name {
            type Error = HashError;

            fn try_from(text: String) -> Result<Self, HashError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }
    };
}

hash_type! {
    /// BLAKE3 of everything that a group is: ids, author, names and payloads.
    ContentHash
}
hash_type! {
    /// Rolling BLAKE3 of a log up to the end of a group.
    ///
    /// Two logs with equal hashes at one position hold the same groups up to it.
    LogHash
}

impl LogHash {
    /// The hash of the empty log.
    pub const EMPTY: Self = Self([0; 32]);

    /// Returns the hash of the log after one more group.
    #[must_use]
    pub fn extend(self, group: ContentHash) -> Self {
        let mut both = [0; 64];
        both[..32].copy_from_slice(&self.0);
        both[32..].copy_from_slice(&group.0);
        Self(*blake3::hash(&both).as_bytes())
    }
}
