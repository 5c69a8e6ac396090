//! Records: the bytes of a row or of an index entry, and the values in them.

use crate::Value;

/// Most columns that a record may have here.
const MAX_COLUMNS: usize = 64;

/// Reads SQLite's variable-length integer: its value and its length.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(index)?;
        if index == 8 {
            return Some((value << 8 | u64::from(byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// The kinds and places of a record's values.
#[derive(Debug)]
pub(super) struct Layout {
    /// For each value its serial type, and where it begins and ends in the payload.
    columns: Vec<(u64, u64, u64)>,
}

/// Returns the length of the part that tells the layout, as the payload's first bytes say.
pub(super) fn header_len(payload: &[u8]) -> Option<usize> {
    let (len, _) = varint(payload)?;
    usize::try_from(len).ok().filter(|len| (1..=9 * MAX_COLUMNS).contains(len))
}

impl Layout {
    /// Reads the layout of a payload; `None` unless it accounts for every byte.
    pub(super) fn read(header: &[u8], payload_len: u64) -> Option<Self> {
        let (len, mut at) = varint(header)?;
        let header = header.get(..usize::try_from(len).ok()?)?;
        let mut begin = len;
        let mut columns = Vec::new();
        while at < header.len() {
            let (serial, read) = varint(&header[at..])?;
            at += read;
            let size = match serial {
                0 | 8 | 9 => 0,
                1..=4 => serial,
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return None,
                _ => (serial - 12) / 2,
            };
            let end = begin.checked_add(size)?;
            columns.push((serial, begin, end));
            begin = end;
        }
        (begin == payload_len && columns.len() <= MAX_COLUMNS).then_some(Self { columns })
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Returns how much of the payload the first columns take.
    pub(super) fn end_of(&self, columns: usize) -> Option<u64> {
        self.columns.get(columns.checked_sub(1)?).map(|(.., end)| *end)
    }

    /// Reads the first columns from the beginning of the payload.
    pub(super) fn values(&self, payload: &[u8], columns: usize) -> Option<Vec<Value>> {
        let value = |(serial, begin, end): &(u64, u64, u64)| {
            let bytes = payload.get(*begin as usize..*end as usize)?;
            Some(match serial {
                0 => Value::Null,
                1..=6 => Value::Integer(integer(bytes)),
                7 => Value::Real(f64::from_bits(integer(bytes) as u64)),
                8 => Value::Integer(0),
                9 => Value::Integer(1),
                serial if serial % 2 == 0 => Value::Blob(bytes.into()),
                _ => Value::Text(std::str::from_utf8(bytes).ok()?.into()),
            })
        };
        self.columns.get(..columns)?.iter().map(value).collect()
    }
}

/// Reads a big-endian integer with a sign.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}
