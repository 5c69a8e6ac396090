//! The `serde` serializer that writes canonical bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde::ser::{
    Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::key::KeySerializer;
use super::path::Step;
use super::{JsonError, MAX_DEPTH, MAX_SAFE_INTEGER};

/// What `serde_json` calls the struct of a raw JSON text, and its member: an object with a member of this
/// name is not read back as what it is.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Where what is encoded comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A value of the author's program: an integer that a double does not hold exactly is refused, and
    /// so are two members of one name.
    Value,
    /// A JSON text: every number is a double, and of two members of one name the last counts.
    Text,
}

/// Writes canonical JSON to a string.
pub(super) struct Encoder {
    out: String,
    origin: Origin,
    depth: usize,
}

impl Encoder {
    pub(super) fn new(origin: Origin) -> Self {
        Self { out: String::with_capacity(128), origin, depth: 0 }
    }

    pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Box<str>, JsonError> {
        let mut encoder = Self::new(Origin::Value);
        value.serialize(&mut encoder)?;
        Ok(encoder.finish())
    }

    pub(super) fn finish(self) -> Box<str> {
        self.out.into_boxed_str()
    }

    /// Writes a word, or a sign between two values.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Opens an array or object.
    pub(super) fn open(&mut self, bracket: char) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    /// Closes what was opened last.
    pub(super) fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.out.push(bracket);
    }

    /// Opens the object around the content of an enum's variant.
    fn open_variant(&mut self, variant: &'static str) -> Result<(), JsonError> {
        self.open('{')?;
        self.string(variant);
        self.out.push(':');
        Ok(())
    }

    pub(super) fn integer(&mut self, value: i128) -> Result<(), JsonError> {
        if value.unsigned_abs() <= MAX_SAFE_INTEGER as u128 {
            let _ = write!(self.out, "{value}");
            return Ok(());
        }
        match self.origin {
            Origin::Value => Err(too_large(value)),
            Origin::Text => self.double(value as f64),
        }
    }

    pub(super) fn double(&mut self, value: f64) -> Result<(), JsonError> {
        if !value.is_finite() {
            return Err(JsonError::NotFinite { value: value.to_string(), path: String::new() });
        }
        self.out.push_str(ryu_js::Buffer::new().format_finite(value));
        Ok(())
    }

    /// Strings need the escapes of RFC 8785 section 3.2.2.2: the two-letter ones, and `\u00xx`
    /// with lower-case digits for the other control characters.
    pub(super) fn string(&mut self, text: &str) {
        let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        self.out.push('"');
        // Most texts have nothing to escape, and without a way out the loop is vectorized.
        if !text.bytes().fold(false, |any, byte| any | is_special(byte)) {
            self.out.push_str(text);
            self.out.push('"');
            return;
        }
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !is_special(byte) {
                continue;
            }
            self.out.push_str(&text[plain_from..at]);
            plain_from = at + 1;
            match byte {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                0x08 => self.out.push_str("\\b"),
                0x09 => self.out.push_str("\\t"),
                0x0a => self.out.push_str("\\n"),
                0x0c => self.out.push_str("\\f"),
                0x0d => self.out.push_str("\\r"),
                control => {
                    let _ = write!(self.out, "\\u{control:04x}");
                }
            }
        }
        self.out.push_str(&text[plain_from..]);
        self.out.push('"');
    }
}

impl<'a> Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = ArrayEncoder<'a>;
    type SerializeTuple = ArrayEncoder<'a>;
    type SerializeTupleStruct = ArrayEncoder<'a>;
    type SerializeTupleVariant = ArrayEncoder<'a>;
    type SerializeMap = ObjectEncoder<'a, 'static>;
    type SerializeStruct = ObjectEncoder<'a, 'static>;
    type SerializeStructVariant = ObjectEncoder<'a, 'static>;

    fn serialize_bool(self, value: bool) -> Result<(), JsonError> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<(), JsonError> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), JsonError> {
        self.integer(value.into())
    }

    fn serialize_u128(self, value: u128) -> Result<(), JsonError> {
        match i128::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => Err(too_large(value)),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<(), JsonError> {
        self.double(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), JsonError> {
        self.double(value)
    }

    fn serialize_char(self, value: char) -> Result<(), JsonError> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), JsonError> {
        self.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), JsonError> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        self.out.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), JsonError> {
        self.string(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        self.open_variant(variant)?;
        value.serialize(&mut *self).map_err(|error| error.within(Step::Member(variant)))?;
        self.close('}');
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<ArrayEncoder<'a>, JsonError> {
        ArrayEncoder::new(self, None)
    }

    fn serialize_tuple(self, _len: usize) -> Result<ArrayEncoder<'a>, JsonError> {
        ArrayEncoder::new(self, None)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<ArrayEncoder<'a>, JsonError> {
        ArrayEncoder::new(self, None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<ArrayEncoder<'a>, JsonError> {
        self.open_variant(variant)?;
        ArrayEncoder::new(self, Some(variant))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<ObjectEncoder<'a, 'static>, JsonError> {
        ObjectEncoder::new(self, len.unwrap_or(0), None)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<ObjectEncoder<'a, 'static>, JsonError> {
        // Its bytes are somebody else's, so they cannot be taken for canonical.
        if name == RAW_VALUE {
            return Err(JsonError::Custom {
                reason: "a RawValue has no canonical form; use serde_json::Value".into(),
            });
        }
        ObjectEncoder::new(self, len, None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<ObjectEncoder<'a, 'static>, JsonError> {
        self.open_variant(variant)?;
        ObjectEncoder::new(self, len, Some(variant))
    }
}

fn too_large(value: impl ToString) -> JsonError {
    JsonError::IntegerTooLarge { value: value.to_string(), path: String::new() }
}

fn within_variant(error: JsonError, variant: Option<&'static str>) -> JsonError {
    match variant {
        Some(name) => error.within(Step::Member(name)),
        None => error,
    }
}

/// Writes the elements of one array.
pub(super) struct ArrayEncoder<'a> {
    encoder: &'a mut Encoder,
    /// How many elements there are so far.
    count: usize,
    /// The variant of an enum whose content this is.
    variant: Option<&'static str>,
}

impl<'a> ArrayEncoder<'a> {
    fn new(encoder: &'a mut Encoder, variant: Option<&'static str>) -> Result<Self, JsonError> {
        encoder.open('[')?;
        Ok(Self { encoder, count: 0, variant })
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        if self.count > 0 {
            self.encoder.out.push(',');
        }
        self.count += 1;
        value.serialize(&mut *self.encoder).map_err(|error| {
            within_variant(error.within(Step::Element(self.count - 1)), self.variant)
        })
    }

    fn finish(self) {
        self.encoder.close(']');
        if self.variant.is_some() {
            self.encoder.close('}');
        }
    }
}

macro_rules! array_impl {
    ($trait:ident, $method:ident) => {
        impl $trait for ArrayEncoder<'_> {
            type Ok = ();
            type Error = JsonError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
                self.element(value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.finish();
                Ok(())
            }
        }
    };
}
array_impl!(SerializeSeq, serialize_element);
array_impl!(SerializeTuple, serialize_element);
array_impl!(SerializeTupleStruct, serialize_field);
array_impl!(SerializeTupleVariant, serialize_field);

/// Writes the members of one object, then puts them in order if they did not come in order.
pub(super) struct ObjectEncoder<'a, 'k> {
    encoder: &'a mut Encoder,
    /// Name of each member and where its text `"name":value` starts in the output.
    members: Vec<(Cow<'k, str>, usize)>,
    start: usize,
    /// The variant of an enum whose content this is.
    variant: Option<&'static str>,
}

impl<'a, 'k> ObjectEncoder<'a, 'k> {
    pub(super) fn new(
        encoder: &'a mut Encoder,
        len: usize,
        variant: Option<&'static str>,
    ) -> Result<Self, JsonError> {
        encoder.open('{')?;
        let start = encoder.out.len();
        // The length is a hint from the value; a wrong one costs a reallocation, not memory.
        Ok(Self { encoder, members: Vec::with_capacity(len.min(64)), start, variant })
    }

    /// Returns the encoder, to write the value of the member that was named last.
    pub(super) fn encoder(&mut self) -> &mut Encoder {
        self.encoder
    }

    /// Names the next member.
    pub(super) fn key(&mut self, key: Cow<'k, str>) -> Result<(), JsonError> {
        if key == RAW_VALUE {
            return Err(JsonError::Custom { reason: format!("no member can be named {key}") });
        }
        if !self.members.is_empty() {
            self.encoder.out.push(',');
        }
        let at = self.encoder.out.len();
        self.encoder.string(&key);
        self.encoder.out.push(':');
        self.members.push((key, at));
        Ok(())
    }

    /// Writes the value of the member that was named last.
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        value.serialize(&mut *self.encoder).map_err(|error| {
            let name = self.members.last().map_or("", |(name, _)| name);
            within_variant(error.within(Step::Member(name)), self.variant)
        })
    }

    pub(super) fn finish(self) -> Result<(), JsonError> {
        let Self { encoder, mut members, start, variant } = self;
        let in_order = members.windows(2).all(|pair| is_before(&pair[0].0, &pair[1].0));
        if !in_order {
            let unordered = encoder.out.split_off(start);
            let mut ends: Vec<usize> = members.iter().skip(1).map(|(_, at)| at - 1).collect();
            ends.push(start + unordered.len());
            let mut spans: Vec<_> = members.drain(..).zip(ends).collect();
            spans.sort_unstable_by(|((a, a_at), _), ((b, b_at), _)| {
                a.encode_utf16().cmp(b.encode_utf16()).then(a_at.cmp(b_at))
            });
            for (index, ((name, at), end)) in spans.iter().enumerate() {
                if spans.get(index + 1).is_some_and(|((next, _), _)| next == name) {
                    if encoder.origin == Origin::Text {
                        continue;
                    }
                    return Err(JsonError::DuplicateKey { key: name.to_string() });
                }
                if encoder.out.len() > start {
                    encoder.out.push(',');
                }
                encoder.out.push_str(&unordered[at - start..end - start]);
            }
        }
        encoder.close('}');
        if variant.is_some() {
            encoder.close('}');
        }
        Ok(())
    }
}

/// Compares names as RFC 8785 section 3.2.3 says: by UTF-16 code units.
fn is_before(a: &str, b: &str) -> bool {
    a.encode_utf16().lt(b.encode_utf16())
}

impl SerializeMap for ObjectEncoder<'_, 'static> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        let key = key.serialize(KeySerializer)?;
        self.key(Cow::Owned(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.value(value)
    }

    fn end(self) -> Result<(), JsonError> {
        self.finish()
    }
}

macro_rules! object_impl {
    ($trait:ident) => {
        impl $trait for ObjectEncoder<'_, 'static> {
            type Ok = ();
            type Error = JsonError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), JsonError> {
                self.key(Cow::Borrowed(key))?;
                self.value(value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.finish()
            }
        }
    };
}
object_impl!(SerializeStruct);
object_impl!(SerializeStructVariant);

/// The compound types of a serializer that has none.
pub(super) type Never = Impossible<String, JsonError>;
