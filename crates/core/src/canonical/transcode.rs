//! From JSON to canonical JSON, without a value in between.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::JsonError;
use super::encoder::{Encoder, ObjectEncoder, Origin};

/// Writes a JSON text in its canonical form.
pub(super) fn transcode(text: &str) -> Result<Box<str>, JsonError> {
    let (mut encoder, mut refused) = (Encoder::new(Origin::Text), None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let whole = Transcoder { encoder: &mut encoder, refused: &mut refused };
    match whole.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => Ok(encoder.finish()),
        Err(error) => Err(refused.unwrap_or_else(|| JsonError::syntax(error))),
    }
}

/// Writes one value.
struct Transcoder<'a> {
    encoder: &'a mut Encoder,
    /// Why the encoder has refused something, which the reader's errors cannot hold.
    refused: &'a mut Option<JsonError>,
}

impl Transcoder<'_> {
    fn note<E: Error>(
        refused: &mut Option<JsonError>,
        result: Result<(), JsonError>,
    ) -> Result<(), E> {
        result.map_err(|error| {
            let told = E::custom(&error);
            *refused = Some(error);
            told
        })
    }
}

impl<'de> DeserializeSeed<'de> for Transcoder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcoder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.encoder.raw(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        Self::note(self.refused, self.encoder.integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        Self::note(self.refused, self.encoder.integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        Self::note(self.refused, self.encoder.double(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.encoder.string(text);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.encoder.raw("null");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { encoder, refused } = self;
        Self::note(refused, encoder.open('['))?;
        let mut is_first = true;
        loop {
            let value = Transcoder { encoder: &mut *encoder, refused: &mut *refused };
            if items.next_element_seed(Element { is_first, value })?.is_none() {
                break;
            }
            is_first = false;
        }
        encoder.close(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { encoder, refused } = self;
        let mut object = match ObjectEncoder::new(encoder, 0, None) {
            Ok(object) => object,
            Err(error) => return Self::note(refused, Err(error)),
        };
        while let Some(name) = members.next_key_seed(Name)? {
            Self::note(refused, object.key(name))?;
            let value = Transcoder { encoder: object.encoder(), refused: &mut *refused };
            members.next_value_seed(value)?;
        }
        Self::note(refused, object.finish())
    }
}

/// Writes an element of an array.
struct Element<'a> {
    is_first: bool,
    value: Transcoder<'a>,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.is_first {
            self.value.encoder.raw(",");
        }
        self.value.deserialize(deserializer)
    }
}

/// Reads the name of a member, which is borrowed from the text unless it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
