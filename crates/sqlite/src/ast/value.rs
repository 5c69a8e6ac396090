//! Values as JSON.
//!
//! Null, texts and ordinary numbers are themselves; true and false become 1 and 0. What JSON has no
//! number for is an object: `{"integer": "9007199254740993"}`, `{"real": "inf"}`; bytes are
//! `{"blob": "00ff"}`. JavaScript writes a great number as `{"real": "1e+21"}`, since it may be an integer.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Value;

/// The greatest integer up to which JavaScript's numbers are exact.
const MAX_EXACT: u64 = (1 << 53) - 1;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(value) if value.unsigned_abs() > MAX_EXACT => {
                object(serializer, "integer", &value.to_string())
            }
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Real(value) if !value.is_finite() => {
                object(serializer, "real", &value.to_string())
            }
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Blob(bytes) => {
                let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
                let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
                let digits: String = digits.collect();
                object(serializer, "blob", &digits)
            }
        }
    }
}

fn object<S: Serializer>(serializer: S, key: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "null, a boolean, a number, a text, {\"integer\": \"…\"}, {\"real\": \"…\"} or \
             {\"blob\": \"hex digits\"}",
        )
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        let too_great = |_| E::custom(format!("{value} is greater than a 64-bit integer can be"));
        i64::try_from(value).map(Value::Integer).map_err(too_great)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_nan() {
            return Err(E::custom("NaN is no value; use null"));
        }
        Ok(Value::Real(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some((key, text)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        let value = match &*key {
            "integer" => text.parse().ok().map(Value::Integer),
            "real" => real(&text).map(Value::Real),
            "blob" => blob(&text).map(Value::from),
            _ => return Err(de::Error::unknown_field(&key, &["integer", "real", "blob"])),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::invalid_length(2, &self));
        }
        value.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &self))
    }
}

/// Reads a number in JSON's form, or an infinity.
fn real(text: &str) -> Option<f64> {
    match text {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        // Not `str::parse`: with its tables of its own, it makes what browsers load 14 kB heavier.
        number => serde_json::from_str(number).ok(),
    }
}

/// Reads pairs of hex digits.
fn blob(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? * 16 + digit(*low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}
