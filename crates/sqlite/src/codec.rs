//! The bytes of values, in undo data and in the state hash.
//!
//! A varint is little-endian base 128. A value is a tag byte, then: null nothing, integer a
//! zigzag varint, real its eight bytes little-endian, text and blob a varint length and the bytes.
//! A list of values is a varint count and the values.

use rusqlite::types::ValueRef;

use crate::Value;

pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    write_value_ref(
        out,
        match value {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        },
    );
}

/// Writes a value as SQLite has it, whose text is UTF-8.
pub(crate) fn write_value_ref(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(value) => {
            out.push(1);
            write_varint(out, ((value << 1) ^ (value >> 63)) as u64);
        }
        ValueRef::Real(value) => {
            out.push(2);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        ValueRef::Text(text) => {
            out.push(3);
            write_varint(out, text.len() as u64);
            out.extend_from_slice(text);
        }
        ValueRef::Blob(bytes) => {
            out.push(4);
            write_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn write_values(out: &mut Vec<u8>, values: &[Value]) {
    write_varint(out, values.len() as u64);
    for value in values {
        write_value(out, value);
    }
}

/// Reads what the functions above write; `None` is damage at [`Self::at`].
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(len).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// Reads a value without a copy; its text is UTF-8.
    pub(crate) fn value_ref(&mut self) -> Option<ValueRef<'a>> {
        Some(match self.byte()? {
            0 => ValueRef::Null,
            1 => {
                let zigzag = self.varint()?;
                ValueRef::Integer((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
            }
            2 => {
                let bytes = self.take(8)?.try_into().ok()?;
                ValueRef::Real(f64::from_bits(u64::from_le_bytes(bytes)))
            }
            3 => {
                let len = self.varint()?;
                ValueRef::Text(std::str::from_utf8(self.take(len)?).ok()?.as_bytes())
            }
            4 => {
                let len = self.varint()?;
                ValueRef::Blob(self.take(len)?)
            }
            _ => return None,
        })
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.value_ref()? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).ok()?.into()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.into()),
        })
    }

    pub(crate) fn values(&mut self) -> Option<Box<[Value]>> {
        let count = self.varint()?;
        // Every value takes at least one byte, so a count beyond that is damage, not a reservation.
        if count > (self.bytes.len() - self.at) as u64 {
            return None;
        }
        (0..count).map(|_| self.value()).collect()
    }
}
