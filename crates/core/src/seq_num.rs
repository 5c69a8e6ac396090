//! Positions in the log, in LiveStore's notation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The place of an event in the backend's total order; the first event is 1, 0 means "before it".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct GlobalSeqNum(pub u64);

/// A number beyond [`GlobalSeqNum::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is not a position; the greatest is {}", GlobalSeqNum::MAX.0)]
pub struct PositionError {
    /// The number.
    pub number: u64,
}

impl TryFrom<u64> for GlobalSeqNum {
    type Error = PositionError;

    fn try_from(number: u64) -> Result<Self, PositionError> {
        Some(Self(number)).filter(|seq| *seq <= Self::MAX).ok_or(PositionError { number })
    }
}

impl From<GlobalSeqNum> for u64 {
    fn from(seq: GlobalSeqNum) -> Self {
        seq.0
    }
}

impl GlobalSeqNum {
    /// Before the first event.
    pub const ROOT: Self = Self(0);

    /// The greatest position that may come from outside.
    ///
    /// It and its successor are 64-bit integers with a sign, which is what databases hold.
    pub const MAX: Self = Self(i64::MAX as u64 - 1);

    /// Returns the position that lies `count` events further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// Returns the next position.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Display for GlobalSeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// The full position of an event as one replica sees it: `e5`, `e5.1`, `e3r1`, `e3.2r1`.
///
/// `global` counts synced events, `client` counts client-only events since the last synced one,
/// and `generation` counts the rebases that this numbering has been through. Zero `client` and
/// zero `generation` are not written. Positions order by all three, in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct SeqNum {
    /// Place among the synced events.
    pub global: GlobalSeqNum,
    /// Place among the client-only events that follow `global`; 0 for a synced event.
    pub client: u32,
    /// How often the pending tail that this event belongs to has been rebased.
    pub generation: u32,
}

impl SeqNum {
    /// The parent of the first event: `e0`.
    pub const ROOT: Self = Self { global: GlobalSeqNum::ROOT, client: 0, generation: 0 };

    /// Returns the position of a confirmed, synced event.
    pub const fn confirmed(global: GlobalSeqNum) -> Self {
        Self { global, client: 0, generation: 0 }
    }

    /// Returns the positions of the next event and of its parent.
    ///
    /// A synced event never has a client-only parent, so that its parent means the same to every
    /// client; client-only events are leaves beside the synced chain.
    #[must_use]
    pub const fn next_pair(self, client_only: bool, generation: u32) -> (Self, Self) {
        if client_only {
            let next = Self { global: self.global, client: self.client + 1, generation };
            (next, self)
        } else {
            let parent = Self { client: 0, ..self };
            (Self { global: self.global.next(), client: 0, generation }, parent)
        }
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.global)?;
        if self.client > 0 {
            write!(f, ".{}", self.client)?;
        }
        if self.generation > 0 {
            write!(f, "r{}", self.generation)?;
        }
        Ok(())
    }
}

/// A text that is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a sequence number; expected e5, e5.1, e3r1 or e3.2r1")]
pub struct ParseSeqNumError {
    /// What was given, cut at 64 characters.
    pub text: String,
}

impl FromStr for SeqNum {
    type Err = ParseSeqNumError;

    /// Reads the notation that [`Display`](fmt::Display) writes, and nothing else: a number has
    /// one spelling, so `e05`, `e5.0` and `e5r0` are refused.
    fn from_str(text: &str) -> Result<Self, ParseSeqNumError> {
        parse(text)
            .filter(|seq_num| seq_num.to_string() == text)
            .ok_or_else(|| ParseSeqNumError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<SeqNum> {
    let rest = text.strip_prefix('e')?;
    let (rest, generation) = split_number(rest, 'r')?;
    let (rest, client) = split_number(rest, '.')?;
    Some(SeqNum { global: GlobalSeqNum(rest.parse().ok()?), client, generation })
}

fn split_number(text: &str, mark: char) -> Option<(&str, u32)> {
    match text.split_once(mark) {
        None => Some((text, 0)),
        Some((head, number)) => Some((head, number.parse().ok()?)),
    }
}

impl TryFrom<String> for SeqNum {
    type Error = ParseSeqNumError;

    fn try_from(text: String) -> Result<Self, ParseSeqNumError> {
        text.parse()
    }
}

impl From<SeqNum> for String {
    fn from(seq_num: SeqNum) -> Self {
        seq_num.to_string()
    }
}
