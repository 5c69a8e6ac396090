//! The one place that reads the clock and draws randomness from the system.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the driver's clock")]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// Draws 32 random bytes from the system.
pub(crate) fn seed() -> Result<[u8; 32], std::io::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}
