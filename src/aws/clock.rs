//! The wall clock, by which credentials expire.

use std::time::Duration;

/// How long it is until then; nothing when it has passed.
#[expect(clippy::disallowed_types, reason = "AWS gives expiry as wall-clock time")]
pub(super) fn left_until(time: std::time::SystemTime) -> Duration {
    time.duration_since(std::time::SystemTime::now()).unwrap_or_default()
}
