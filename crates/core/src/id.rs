//! 128-bit, random, time-ordered ids and the generator that makes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not one of our ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id; expected a UUID such as 01939c5e-8d2a-7cc0-98c8-2b7c1a7e0f00")]
pub struct IdError {
    /// What was given, cut at 64 characters.
    pub text: String,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps 16 bytes, most significant first.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads an id from a slice of exactly 16 bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError {
                    text: text.chars().take(64).collect(),
                })
            }
        }
    };
}

id_type! {
    /// Names one event for ever; rebase, rewrite and retry keep it.
    EventId
}
id_type! {
    /// Names one group: what one commit produced. The idempotency key of a push.
    GroupId
}
id_type! {
    /// Names one incarnation of a backend's log.
    BackendId
}

const RANDOM_BITS: u32 = 74;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;

/// Makes ids that rise strictly: UUID version 7 with a monotonic random part.
///
/// The randomness is a BLAKE3 keyed output stream over the given seed, so two generators with
/// one seed make the same ids from the same times (the simulator relies on it), and generators
/// with independent 256-bit seeds do not meet.
///
/// Ids of one millisecond, or made while the clock stands still or goes back, continue from the
/// last one by a random step of 1 to 2³².
#[derive(Debug)]
pub struct IdGenerator {
    random: blake3::OutputReader,
    last_ms: u64,
    last_random: u128,
}

impl IdGenerator {
    /// Starts a generator from 32 random bytes.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut random = blake3::Hasher::new_keyed(&seed).finalize_xof();
        // Should the clock start at zero, the first id continues from here.
        let last_random = fresh_random(&mut random) >> 1;
        Self { random, last_ms: 0, last_random }
    }

    /// Makes the next event id; `unix_ms` is the time now, in milliseconds since 1970.
    pub fn event_id(&mut self, unix_ms: u64) -> EventId {
        EventId(self.next(unix_ms))
    }

    /// Makes the next group id; `unix_ms` is the time now, in milliseconds since 1970.
    pub fn group_id(&mut self, unix_ms: u64) -> GroupId {
        GroupId(self.next(unix_ms))
    }

    /// Makes a backend id; `unix_ms` is the time now, in milliseconds since 1970.
    pub fn backend_id(&mut self, unix_ms: u64) -> BackendId {
        BackendId(self.next(unix_ms))
    }

    /// Draws 64 random bits, for jitter and the like.
    pub fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn next(&mut self, unix_ms: u64) -> Uuid {
        let fresh = fresh_random(&mut self.random);
        let now_ms = unix_ms.min((1 << 48) - 1);
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            // The top bit starts at zero, which leaves room to count within the millisecond.
            self.last_random = fresh >> 1;
        } else {
            self.last_random += (fresh & 0xffff_ffff) + 1;
            if self.last_random > RANDOM_MASK {
                self.last_ms += 1;
                self.last_random = fresh >> 1;
            }
        }
        let time = u128::from(self.last_ms) << 80;
        let high = (self.last_random >> 62) << 64;
        let low = self.last_random & ((1 << 62) - 1);
        Uuid::from_u128(time | (0x7 << 76) | high | (0b10 << 62) | low)
    }
}

fn fresh_random(random: &mut blake3::OutputReader) -> u128 {
    let mut bytes = [0; 16];
    random.fill(&mut bytes[6..]);
    u128::from_be_bytes(bytes) & RANDOM_MASK
}
