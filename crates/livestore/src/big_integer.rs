//! Integers beyond ±(2⁵³−1) in payloads, as decimal strings: `#[serde(with = "livestore::big_integer")]`.
//!
//! JSON readers round larger integers, so a commit refuses them as numbers. This is for fields of
//! type `i64`, `u64`, `i128`, `u128` and all others that are written and read as decimal text.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Paid {
//!     #[serde(with = "livestore::big_integer")]
//!     amount: i128,
//! }
//!
//! let text = serde_json::to_string(&Paid { amount: 1 << 100 })?;
//! assert_eq!(text, r#"{"amount":"1267650600228229401496703205376"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;

/// Writes an integer as a decimal string.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<T: fmt::Display, S: Serializer>(
    integer: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(integer)
}

/// Reads an integer from a decimal string; from a number as well, as earlier releases may have
/// written it.
///
/// # Errors
///
/// It is no integer, or one beyond the type.
pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Decimal(PhantomData))
}

struct Decimal<T>(PhantomData<T>);

impl<T: FromStr> Visitor<'_> for Decimal<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a decimal string that fits {}", std::any::type_name::<T>())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
