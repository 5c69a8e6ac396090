//! The server's only look at the calendar.

use std::time::SystemTime;

/// Returns the time now, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the server's clock")]
pub(crate) fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(0, |elapsed| elapsed.as_millis() as u64)
}
