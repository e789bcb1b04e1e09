//! How the daemon is at a moment, in plain values: what `/status.json` answers, and the status page and the commands show.
//!
//! It holds names, numbers and what is wrong; no payload and no secret. Every list is bounded, and says how many it leaves out.

mod destination;
mod hold;
mod rate;
mod source;
mod units;
mod waiting;
pub mod words;

use serde::{Deserialize, Serialize};

pub use self::destination::{DestinationOverview, DestinationState, DiskUse, SinkOverview};
pub use self::hold::SourceHold;
pub use self::rate::{RATE_SECONDS, RateWindow};
pub use self::source::{RouteOverview, SourceOverview, SourceState};
pub use self::units::{SourceUnit, UnitList, UnitRank, UnitState};
pub use self::waiting::{hold_of, sinks_of};

/// The daemon at a moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Overview {
    /// The version.
    pub version: String,
    /// The revision that it was built from.
    pub revision: String,
    /// The host.
    pub host: String,
    /// When this was seen, in milliseconds since 1970.
    pub time: i64,
    /// When the process started, in milliseconds since 1970.
    pub started: i64,
    /// When the running configuration took over, in milliseconds since 1970.
    pub configured: i64,
    /// Whether nothing is wrong.
    pub ready: bool,
    /// What is wrong, one a line.
    pub issues: Vec<String>,
    /// How many more issues there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_issues: u64,
    /// What a person should know beside that.
    pub notes: Vec<String>,
    /// Payload bytes in memory.
    pub memory_bytes: u64,
    /// Their limit.
    pub memory_limit_bytes: u64,
    /// Over how many seconds rates are measured, at the most.
    pub rate_seconds: u64,
    /// The sources.
    pub sources: Vec<SourceOverview>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_sources: u64,
    /// The routes, in order; none: every source goes to every sink.
    pub routes: Vec<RouteOverview>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_routes: u64,
    /// The sinks.
    pub sinks: Vec<SinkOverview>,
}

impl Overview {
    /// How long ago that was, in words: a time in milliseconds since 1970.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn age(&self, since: i64) -> String {
        words::duration(self.time.saturating_sub(since) as f64 / 1000.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The longest text of a list, in bytes: messages of services have any length.
const LONGEST_TEXT: usize = 2_000;

/// A text, cut where it is longer than any needs to be.
#[must_use]
pub fn bounded(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(bounded("short".to_owned()), "short");
        let cut = bounded("é".repeat(LONGEST_TEXT));
        assert!(cut.ends_with("é…") && cut.len() <= LONGEST_TEXT + 4, "{}", cut.len());
    }

    #[test]
    fn what_an_older_daemon_does_not_say_is_not_needed() {
        let overview: Overview = serde_json::from_str(r#"{"version":"0.1.0","other":1}"#).unwrap();
        assert_eq!(overview, Overview { version: "0.1.0".to_owned(), ..Overview::default() });
    }
}
