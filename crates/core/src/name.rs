//! Validated names of stores, clients and sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_AUTHOR_BYTES, MAX_STORE_ID_BYTES};

/// A text that cannot name a store, client or session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}; use {}", rule.describe())]
pub struct NameError {
    /// What kind of name was expected, such as `store id`.
    pub kind: &'static str,
    /// What was given, cut at 80 characters.
    pub text: String,
    rule: Rule,
}

/// What a name may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// It becomes the name of a file.
    File,
    /// It is only shown and compared.
    Shown,
}

impl Rule {
    fn allows(self, text: &str) -> bool {
        match self {
            Self::File => {
                let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                (1..=MAX_STORE_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
            }
            Self::Shown => {
                (1..=MAX_AUTHOR_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
            }
        }
    }

    fn describe(self) -> String {
        match self {
            Self::File => format!("1 to {MAX_STORE_ID_BYTES} of the characters A-Z a-z 0-9 _ -"),
            Self::Shown => format!("1 to {MAX_AUTHOR_BYTES} bytes without control characters"),
        }
    }
}

fn check(kind: &'static str, rule: Rule, text: &str) -> Result<(), NameError> {
    if rule.allows(text) {
        return Ok(());
    }
    Err(NameError { kind, text: text.chars().take(80).collect(), rule })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps a name.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                check($kind, $rule, text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// Makes a name of random bytes, at most 32 of them, as hexadecimal digits.
            pub fn from_random(bytes: &[u8]) -> Self {
                let bytes = &bytes[..bytes.len().min(MAX_STORE_ID_BYTES / 2)];
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
    StoreId, "store id", Rule::File
}
name_type! {
    /// Names one device or profile that commits to a store.
    ClientId, "client id", Rule::Shown
}
name_type! {
    /// Names one opening of a store by a client: a tab, a window, a process.
    SessionId, "session id", Rule::Shown
}
