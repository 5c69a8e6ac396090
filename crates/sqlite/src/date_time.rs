//! Moments in time, to the millisecond, in the two forms that columns store them in.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 0000-01-01T00:00:00.000Z, in milliseconds since 1970.
const FIRST_MS: i64 = -62_167_219_200_000;

/// 9999-12-30T22:00:00.000Z, the last moment that is within the year 9999 in every time zone.
const LAST_MS: i64 = 253_402_207_200_000;

/// The same as a text.
const LAST: &str = "9999-12-30T22:00:00.000Z";

/// A moment that cannot be a [`DateTime`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateTimeError {
    /// Its text would not have four digits for the year, and would not sort with the others.
    #[error("{ms} ms since 1970 is not within the years 0000 to 9999")]
    OutOfRange {
        /// Milliseconds since 1970.
        ms: i64,
    },
    /// It tells more than milliseconds.
    #[error("{text} is finer than a millisecond; round it before")]
    TooFine {
        /// The moment.
        text: String,
    },
    /// The text is no moment.
    #[error("{text:?} is no date with time and offset, such as 2026-01-02T03:04:05.678Z")]
    NotADateTime {
        /// The text, or its beginning.
        text: String,
    },
}

/// A moment, to the millisecond, within the years 0000 to 9999.
///
/// In a column and in a payload it is the text `2026-01-02T03:04:05.678Z`, whose order is that of
/// time. [`DateTimeMillis`] is the same moment as an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

/// A moment like [`DateTime`], kept as an integer: milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTimeMillis(DateTime);

impl DateTime {
    /// The last moment that there is: 9999-12-30T22:00:00.000Z, which is within the year 9999 in every
    /// time zone.
    pub const MAX: Self = Self(LAST_MS);

    /// Returns the present moment, for the payload of an event.
    ///
    /// A materializer must not ask for it: it runs again on other days.
    pub fn now() -> Self {
        Self(Timestamp::now().as_millisecond().clamp(FIRST_MS, LAST_MS))
    }

    /// Returns the moment that is so many milliseconds after the beginning of 1970, in UTC.
    pub fn from_millis(ms: i64) -> Result<Self, DateTimeError> {
        if (FIRST_MS..=LAST_MS).contains(&ms) {
            return Ok(Self(ms));
        }
        Err(DateTimeError::OutOfRange { ms })
    }

    /// Returns the milliseconds since the beginning of 1970, in UTC.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Tells whether a text is the one that a column stores for some moment.
    ///
    /// Schemas ask, also in browsers, which need no more of dates and do without `jiff` for it.
    pub(crate) fn is_stored_form(text: &str) -> bool {
        const DIGITS: &[u8] = b"0000-00-00T00:00:00.000Z";
        let bytes = text.as_bytes();
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        };
        if bytes.len() != DIGITS.len() || !bytes.iter().zip(DIGITS).all(fits) {
            return false;
        }
        let number = |digits: std::ops::Range<usize>| {
            bytes[digits].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
        };
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        let is_time = number(11..13) < 24 && number(14..16) < 60 && number(17..19) < 60;
        (1..=days).contains(&day) && is_time && text <= LAST
    }
}

impl DateTimeMillis {
    /// Returns the present moment, for the payload of an event.
    pub fn now() -> Self {
        Self(DateTime::now())
    }

    /// Returns the moment that is so many milliseconds after the beginning of 1970, in UTC.
    pub fn from_millis(ms: i64) -> Result<Self, DateTimeError> {
        DateTime::from_millis(ms).map(Self)
    }

    /// Returns the milliseconds since the beginning of 1970, in UTC.
    pub fn millis(self) -> i64 {
        self.0.millis()
    }
}

impl From<DateTime> for DateTimeMillis {
    fn from(moment: DateTime) -> Self {
        Self(moment)
    }
}

impl From<DateTimeMillis> for DateTime {
    fn from(moment: DateTimeMillis) -> Self {
        moment.0
    }
}

impl TryFrom<Timestamp> for DateTime {
    type Error = DateTimeError;

    fn try_from(moment: Timestamp) -> Result<Self, DateTimeError> {
        if moment.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(DateTimeError::TooFine { text: moment.to_string() });
        }
        Self::from_millis(moment.as_millisecond())
    }
}

impl From<DateTime> for Timestamp {
    fn from(moment: DateTime) -> Self {
        // Within the range of both, always.
        Self::from_millisecond(moment.0).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", Timestamp::from(*self))
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DateTimeMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for DateTimeMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    /// Reads any date with time and offset that is no finer than a millisecond.
    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        let not_one = |_| DateTimeError::NotADateTime { text: text.chars().take(80).collect() };
        text.parse::<Timestamp>().map_err(not_one)?.try_into()
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for DateTimeMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.millis())
    }
}

impl<'de> Deserialize<'de> for DateTimeMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_millis(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`DateTime::is_stored_form`] has to tell, by `jiff`.
    fn is_its_own_text(text: &str) -> bool {
        text.parse().is_ok_and(|moment: DateTime| moment.to_string() == text)
    }

    #[test]
    fn the_form_in_columns_is_known_without_jiff() {
        for text in [
            LAST,
            "0000-01-01T00:00:00.000Z",
            "2000-02-29T23:59:59.999Z",
            "1900-02-29T00:00:00.000Z",
            "2023-02-29T00:00:00.000Z",
            "2024-02-29T00:00:00.000Z",
            "2024-04-31T00:00:00.000Z",
            "2024-00-10T00:00:00.000Z",
            "2024-13-10T00:00:00.000Z",
            "2024-01-00T00:00:00.000Z",
            "2024-01-01T24:00:00.000Z",
            "2024-01-01T00:60:00.000Z",
            "2016-12-31T23:59:60.000Z",
            "9999-12-30T22:00:00.001Z",
            "2024-01-01T00:00:00Z",
            "2024-01-01 00:00:00.000Z",
            "2024-01-01T00:00:00.000z",
            "2024-01-01T00:00:00.000+00:00",
            "",
        ] {
            assert_eq!(DateTime::is_stored_form(text), is_its_own_text(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn moments_have_the_form(ms in FIRST_MS..=LAST_MS) {
            prop_assert!(DateTime::is_stored_form(&DateTime(ms).to_string()));
        }

        #[test]
        fn what_looks_like_one_has_it_if_it_is_one(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z",
        ) {
            prop_assert_eq!(DateTime::is_stored_form(&text), is_its_own_text(&text));
        }
    }
}
