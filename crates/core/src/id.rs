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

impl GroupId {
    /// Makes the id of the group's event of an index, if the group may be made anew.
    ///
    /// Like [`GroupId::derived_id`] it is the same whenever it is made.
    pub fn derived_event_id(&self, index: usize) -> EventId {
        EventId(self.derive("event", index as u64))
    }

    /// Makes an id that follows from the group's, the same whenever it is made; one for each number.
    pub fn derived_id(&self, number: u64) -> String {
        self.derive("id", number).to_string()
    }

    /// Makes a UUID version 8: the group's time, then 74 bits of a hash.
    fn derive(&self, what: &str, number: u64) -> Uuid {
        let mut hasher = blake3::Hasher::new_derive_key("livestore 1 id that follows from a group");
        hasher.update(self.as_bytes()).update(&number.to_le_bytes()).update(what.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        bytes[..6].copy_from_slice(&self.as_bytes()[..6]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
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
    random: Random,
    last_ms: u64,
    last_random: u128,
}

impl IdGenerator {
    /// Starts a generator from 32 random bytes.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        // Should the clock start at zero, the first id continues from here.
        let last_random = random.id_bits() >> 1;
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
        u64::from_le_bytes(self.random.bytes())
    }

    fn next(&mut self, unix_ms: u64) -> Uuid {
        let fresh = self.random.id_bits();
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

/// A stream of random bytes, made a block of BLAKE3's output at a time.
#[derive(Debug)]
struct Random {
    stream: blake3::OutputReader,
    block: [u8; blake3::BLOCK_LEN],
    used: usize,
}

impl Random {
    fn new(seed: [u8; 32]) -> Self {
        let stream = blake3::Hasher::new_keyed(&seed).finalize_xof();
        Self { stream, block: [0; blake3::BLOCK_LEN], used: blake3::BLOCK_LEN }
    }

    /// Takes the next bytes; the few that are left of a block are not used.
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.block.len() {
            self.stream.fill(&mut self.block);
            self.used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.block[self.used..self.used + N]);
        self.used += N;
        bytes
    }

    fn id_bits(&mut self) -> u128 {
        let mut bytes = [0; 16];
        bytes[6..].copy_from_slice(&self.bytes::<10>());
        u128::from_be_bytes(bytes) & RANDOM_MASK
    }
}
