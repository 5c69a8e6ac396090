//! Validated names of stores, clients and sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_NAME_BYTES;

/// A text that cannot name a store, client or session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid {kind}; use 1 to {MAX_NAME_BYTES} of the characters A-Z a-z 0-9 _ -{more}",
    more = if *dots { ", and . within them" } else { "" }
)]
pub struct NameError {
    /// What kind of name was expected, such as `store id`.
    pub kind: &'static str,
    /// What was given, cut at 80 characters.
    pub text: String,
    /// True if dots are allowed.
    dots: bool,
}

fn check(kind: &'static str, dots: bool, text: &str) -> Result<(), NameError> {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len());
    let is_allowed =
        |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || dots && b == b'.';
    // As in the name of a machine, and never as in a path.
    let is_path = text.starts_with('.') || text.contains("..");
    if fits && !is_path && text.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(NameError { kind, text: text.chars().take(80).collect(), dots })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, dots: $dots:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps a name.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                check($kind, $dots, text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// Makes a name of random bytes, at most 32 of them, as hexadecimal digits.
            pub fn from_random(bytes: &[u8]) -> Self {
                let bytes = &bytes[..bytes.len().min(MAX_NAME_BYTES / 2)];
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Self(if digits.is_empty() { "0".into() } else { digits.into() })
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

name_type! {
    /// Names one log and everything derived from it.
    ///
    /// It is the name of a file, too.
    StoreId, "store id", dots: false
}
name_type! {
    /// Names one device or profile that commits to a store.
    ///
    /// LiveStore uses a machine's name for one, which may have dots.
    ClientId, "client id", dots: true
}
name_type! {
    /// Names one opening of a store by a client: a tab, a window, a process.
    SessionId, "session id", dots: true
}
