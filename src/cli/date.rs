//! Wall-clock time for stamps: the command line shows it, nothing decides on it.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place of the program's edge that asks"
)]

use std::time::SystemTime;

/// Seconds since 1970.
pub(super) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The date and time to the second: `2026-11-22T16:07:45Z`.
pub(super) fn seconds() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The date and time to the millisecond.
pub(super) fn millis() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
