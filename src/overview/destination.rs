//! How a sink and its destinations are.

use serde::{Deserialize, Serialize};

use super::is_zero;

/// One sink.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SinkOverview {
    /// Its name.
    pub name: String,
    /// What kind it is: `firehose` or `directory`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Events accepted and not ended.
    pub in_flight_events: u64,
    /// Events that went to the dead letters.
    pub dead_letters: u64,
    /// Bytes of dead letters on disk.
    pub dead_letter_bytes: u64,
    /// Events that were given up.
    pub dropped: u64,
    /// When its credentials expire, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_expire: Option<f64>,
    /// Its disk buffer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskUse>,
    /// Its open destinations: those in trouble first, then those with the oldest records.
    pub destinations: Vec<DestinationOverview>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_destinations: u64,
}

/// How full a disk buffer is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DiskUse {
    /// Bytes of its files.
    pub bytes: u64,
    /// How many there may be.
    pub max_bytes: u64,
}

/// One destination.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DestinationOverview {
    /// The stream; for a directory sink, the folder.
    pub stream: String,
    /// The account of the role that it is written to by; absent: that of the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The role that it is written to by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How it is.
    pub state: DestinationState,
    /// Why it is held, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Events delivered.
    pub events: u64,
    /// Their bytes, before compression.
    pub bytes: u64,
    /// Bytes that AWS bills for them.
    pub billed_bytes: u64,
    /// Events delivered in a second of late; absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// Bytes delivered in a second of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
    /// Bytes billed in a second of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billed_bytes_per_second: Option<f64>,
    /// Records refused in a second of late; they are sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_per_second: Option<f64>,
    /// Records that were refused, of requests that were throttled or accepted in part; they are sent again.
    pub refused_records: u64,
    /// Requests that failed: no answer, or a fault of the service.
    pub failed_requests: u64,
    /// The limit that refusals have taught, in bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u64>,
    /// Bytes that wait, in memory or on disk.
    pub pending_bytes: u64,
    /// Of these, bytes on disk that are not in memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub pending_disk_bytes: u64,
    /// Age of the oldest record that waits.
    pub oldest_seconds: f64,
    /// How long ago it last accepted something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_seconds_ago: Option<f64>,
}

/// How a destination is. What is worse stands first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationState {
    /// Nothing is accepted until somebody acts.
    Held,
    /// Requests fail; they are sent again.
    Failing,
    /// It works, and has as much as it can take: sources wait.
    Busy,
    /// It works.
    #[default]
    Working,
}

impl DestinationState {
    /// Whether nothing is accepted at present.
    #[must_use]
    pub fn accepts_nothing(self) -> bool {
        matches!(self, Self::Held | Self::Failing)
    }

    /// In a word, as it is written in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failing => "failing",
            Self::Busy => "busy",
            Self::Working => "working",
        }
    }
}

impl DestinationOverview {
    /// Bytes billed per byte of payload; none: nothing was delivered.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn billed_ratio(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.billed_bytes as f64 / self.bytes as f64)
    }
}

impl SinkOverview {
    /// Leaves out all but the first `most`: those in trouble, and those with the oldest records.
    pub fn cut(&mut self, most: usize) {
        let by_age =
            |a: &DestinationOverview, b: &DestinationOverview| b.oldest_seconds.total_cmp(&a.oldest_seconds);
        self.destinations.sort_by(|a, b| {
            a.state.cmp(&b.state).then_with(|| by_age(a, b)).then_with(|| a.stream.cmp(&b.stream))
        });
        let left_out = self.destinations.len().saturating_sub(most);
        self.destinations.truncate(most);
        self.more_destinations = self.more_destinations.saturating_add(left_out as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_held_is_listed_of_however_many() {
        let destination = |number: u64| DestinationOverview {
            stream: format!("logs-{number:03}"),
            state: if number == 70 { DestinationState::Held } else { DestinationState::Working },
            oldest_seconds: if number == 50 { 3.0 } else { 0.0 },
            ..DestinationOverview::default()
        };
        let mut sink =
            SinkOverview { destinations: (0..100).map(destination).collect(), ..SinkOverview::default() };
        sink.cut(3);
        let streams: Vec<&str> = sink.destinations.iter().map(|found| found.stream.as_str()).collect();
        assert_eq!(streams, ["logs-070", "logs-050", "logs-000"]);
        assert_eq!(sink.more_destinations, 97);
    }
}
