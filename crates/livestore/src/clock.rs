//! The one place that reads the clock and draws randomness from the system.

use std::sync::atomic::{AtomicU64, Ordering};

/// Returns the time, in milliseconds since 1970; of what was before, that of its first moment.
pub(crate) fn now_ms() -> u64 {
    #[cfg(target_family = "wasm")]
    return js_sys::Date::now() as u64;
    #[cfg(not(target_family = "wasm"))]
    #[expect(clippy::disallowed_methods, reason = "this is the driver's clock")]
    {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |time| time.as_millis() as u64)
    }
}

/// Draws 32 random bytes from the system.
pub(crate) fn seed() -> Result<[u8; 32], std::io::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}

/// The time that commits are given.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The system's.
    System,
    /// A millisecond later each time, for tests.
    Counting(AtomicU64),
}

/// The first time of a counting clock: the beginning of 2025.
const FIRST_MS: u64 = 1_735_689_600_000;

impl Clock {
    /// Starts a clock that counts.
    pub(crate) fn counting() -> Self {
        Self::Counting(AtomicU64::new(FIRST_MS))
    }

    /// Returns the time, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Self::System => now_ms(),
            Self::Counting(next) => next.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Makes 32 bytes of a number, which stand for random ones in tests.
pub(crate) fn reproducible_seed(number: u64) -> [u8; 32] {
    blake3::hash(&number.to_le_bytes()).into()
}
