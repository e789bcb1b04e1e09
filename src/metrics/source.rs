//! What sources count.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use tokio::time::Instant;

use super::announce::SourceLabels;
use super::barrier::ScrapeBarrier;
use super::pull::{PullFamilies, PullMetrics};
use super::register::{Family, MetricRegistrar};
use super::stream::{StreamFamilies, StreamMetrics};
use super::trouble::Troubles;

/// What a source counts.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    name: String,
    barrier: ScrapeBarrier,
    troubles: Troubles,
    events: IntCounter,
    routed: IntCounter,
    /// Payload bytes read.
    pub bytes: IntCounter,
    /// Events with bad characters, which were replaced.
    pub repaired: IntCounter,
    /// Bytes in the files that were not read yet.
    pub behind_bytes: LazyGauge,
    /// Age of the oldest event read and not yet acknowledged.
    pub lag_seconds: Gauge,
    backpressure_seconds: prometheus::Counter,
    errors: IntCounterVec,
    undecodable: IntCounterVec,
    lost: IntCounterVec,
    /// What a source of log groups shows.
    pub pull: PullMetrics,
    /// What a source of a Kinesis stream shows.
    pub stream: StreamMetrics,
    files: IntCounterVec,
    objects: IntCounterVec,
    messages: IntCounterVec,
    redacted: IntCounterVec,
    unparsed: IntCounterVec,
}

impl SourceMetrics {
    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Events and bytes read so far.
    pub(crate) fn read_so_far(&self) -> [u64; 2] {
        [self.events.get(), self.bytes.get()]
    }

    /// Counts an error that lost nothing.
    pub fn error(&self, reason: &str) {
        self.errors.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Counts what became of a chunk's events, all at once.
    pub fn read(&self, counts: &ChunkCounts<'_>) {
        self.barrier.together(|| {
            let undecodable: u64 = counts.undecodable.iter().map(|(_, payloads)| payloads).sum();
            let filtered: u64 = counts.filtered.iter().map(|(_, events)| events).sum();
            self.events.inc_by(counts.routed.saturating_add(filtered).saturating_add(undecodable));
            self.routed.inc_by(counts.routed);
            for (counter, events) in counts.filtered {
                counter.inc_by(*events);
            }
            for (reason, payloads) in counts.undecodable {
                self.undecodable.with_label_values(&[self.name.as_str(), reason]).inc_by(*payloads);
            }
        });
    }

    /// Counts what was replaced in events, by the rules' names.
    pub fn redacted(&self, counts: &[(Arc<str>, u64)]) {
        for (rule, count) in counts {
            self.redacted.with_label_values(&[self.name.as_str(), rule]).inc_by(*count);
        }
    }

    /// Counts events whose messages could not be read, by reason.
    pub fn unparsed(&self, reason: &'static str, events: u64) {
        if events > 0 {
            self.unparsed.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
        }
    }

    /// Shows events whose messages cannot be read at 0.
    pub(super) fn announce_unparsed(&self, reason: &'static str) {
        self.unparsed.with_label_values(&[self.name.as_str(), reason]);
    }

    /// Counts bytes of a file that can never be delivered.
    pub fn lost(&self, reason: &'static str, bytes: u64) {
        self.lost.with_label_values(&[self.name.as_str(), reason]).inc_by(bytes);
        // To cut lines off is a choice of the configuration.
        if bytes > 0 && reason != "truncated" {
            self.troubles.lost(format!("source {}", self.name), reason, bytes, Instant::now());
        }
    }

    /// Counts a file by what became of it: `ignored` or `removed`.
    pub(crate) fn file(&self, outcome: &str) {
        self.files.with_label_values(&[self.name.as_str(), outcome]).inc();
    }

    /// Notes a file that cannot be read, again and again.
    pub(crate) fn unreadable(&self, path: &Path, why: String) {
        self.troubles.unreadable(&self.name, path, why, Instant::now());
    }

    /// A file can be read.
    pub(crate) fn readable(&self, path: &Path) {
        self.troubles.readable(&self.name, path);
    }

    /// Counts an object by what became of it.
    pub fn object(&self, outcome: &str) {
        self.objects.with_label_values(&[self.name.as_str(), outcome]).inc();
    }

    /// Counts messages of a queue by what became of them.
    pub fn messages(&self, outcome: &str, messages: u64) {
        self.messages.with_label_values(&[self.name.as_str(), outcome]).inc_by(messages);
    }

    /// Shows errors at 0, by reason.
    pub(crate) fn announce_errors(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.errors.with_label_values(&[self.name.as_str(), reason]);
        }
    }

    /// Shows at 0 what the source can count.
    pub(super) fn announce(&self, labels: &SourceLabels) {
        self.announce_errors(labels.errors.iter().copied());
        for reason in labels.lost {
            self.lost.with_label_values(&[self.name.as_str(), *reason]);
        }
        for reason in &labels.undecodable {
            self.undecodable.with_label_values(&[self.name.as_str(), *reason]);
        }
        for outcome in labels.objects {
            self.objects.with_label_values(&[self.name.as_str(), *outcome]);
        }
        for outcome in labels.messages {
            self.messages.with_label_values(&[self.name.as_str(), *outcome]);
        }
        if labels.has_files {
            self.behind_bytes.show();
        }
        for outcome in &labels.files {
            self.files.with_label_values(&[self.name.as_str(), *outcome]);
        }
        if labels.has_log_groups {
            self.pull.announce();
        }
        if let Some(shared) = labels.shards {
            self.stream.announce(shared);
        }
    }

    /// The source does not run any more: there is nothing to gauge.
    pub fn retire(&self) {
        self.troubles.retire(&self.name);
        self.behind_bytes.remove();
        self.pull.remove();
        self.stream.remove();
        self.lag_seconds.set(0.0);
    }

    /// Counts time spent waiting for memory or room.
    pub fn backpressure(&self, waited: Duration) {
        self.backpressure_seconds.inc_by(waited.as_secs_f64());
    }
}

/// A gauge that is shown from its first value on: most sources have none.
#[derive(Clone, Debug)]
pub struct LazyGauge {
    family: IntGaugeVec,
    source: String,
    gauge: OnceLock<IntGauge>,
}

impl LazyGauge {
    /// Sets and shows it.
    pub fn set(&self, value: i64) {
        self.show().set(value);
    }

    /// Its value; 0 before the first.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.gauge.get().map_or(0, IntGauge::get)
    }

    fn show(&self) -> &IntGauge {
        self.gauge.get_or_init(|| self.family.with_label_values(&[self.source.as_str()]))
    }

    fn remove(&self) {
        // An error says that it is not shown.
        self.family.remove_label_values(&[self.source.as_str()]).ok();
    }
}

/// What became of a chunk's events.
#[derive(Debug, Default)]
pub struct ChunkCounts<'a> {
    /// Events that at least one sink took.
    pub routed: u64,
    /// Events that a route dropped, or none took, by the route's counter.
    pub filtered: &'a [(IntCounter, u64)],
    /// Payloads that could not be decoded, by reason.
    pub undecodable: &'a [(&'static str, u64)],
}

const SOURCE: &[&str] = &["source"];
const SOURCE_AND_REASON: &[&str] = &["source", "reason"];
pub(super) const EVENTS: Family = Family {
    name: "source_events_total",
    help: "Events read; a payload that could not be decoded counts as one.",
    labels: SOURCE,
};
const ROUTED: Family = Family {
    name: "source_routed_events_total",
    help: "Events that at least one route gave to a sink.",
    labels: SOURCE,
};
pub(super) const BYTES: Family =
    Family { name: "source_bytes_total", help: "Payload bytes read.", labels: SOURCE };
const REPAIRED: Family = Family {
    name: "repaired_events_total",
    help: "Events with bad characters, each of which was replaced by U+FFFD.",
    labels: SOURCE,
};
const ERRORS: Family =
    Family { name: "source_errors_total", help: "Errors at a source, by reason.", labels: SOURCE_AND_REASON };
pub(super) const UNDECODABLE: Family = Family {
    name: "undecodable_total",
    help: "Payloads that could not be decoded and went to the dead letters.",
    labels: SOURCE_AND_REASON,
};
const LAG: Family = Family {
    name: "source_lag_seconds",
    help: "Age of the oldest event read but not yet acknowledged.",
    labels: SOURCE,
};
pub(super) const BEHIND: Family =
    Family { name: "file_behind_bytes", help: "Bytes of the files not read yet.", labels: SOURCE };
const LOST: Family = Family {
    name: "file_lost_bytes_total",
    help: "Bytes that were gone before they could be read, or were skipped or cut off as too large.",
    labels: SOURCE_AND_REASON,
};
const SOURCE_AND_OUTCOME: &[&str] = &["source", "outcome"];
const FILES: Family = Family {
    name: "source_files_total",
    help: "Files that were left out as too old, or removed once they were delivered, by what became of them.",
    labels: SOURCE_AND_OUTCOME,
};
const OBJECTS: Family = Family {
    name: "source_objects_total",
    help: "Objects of S3 that are done, by what became of them.",
    labels: SOURCE_AND_OUTCOME,
};
const MESSAGES: Family = Family {
    name: "sqs_messages_total",
    help: "Messages of a source's queue, by what became of them.",
    labels: SOURCE_AND_OUTCOME,
};
const REDACTED: Family = Family {
    name: "redacted_total",
    help: "What was replaced in events before anything else was done with them, by rule.",
    labels: &["source", "rule"],
};
const UNPARSED: Family = Family {
    name: "unparsed_events_total",
    help: "Events whose messages are not what `parse` says, or lack the time that `timestamp` names, and go on as text.",
    labels: SOURCE_AND_REASON,
};
const BACKPRESSURE: Family =
    Family { name: "backpressure_seconds_total", help: "Time a source waited for memory.", labels: SOURCE };

/// The families of all sources.
#[derive(Clone, Debug)]
pub(super) struct SourceFamilies {
    events: IntCounterVec,
    routed: IntCounterVec,
    bytes: IntCounterVec,
    repaired: IntCounterVec,
    errors: IntCounterVec,
    undecodable: IntCounterVec,
    lag: GaugeVec,
    behind: IntGaugeVec,
    lost: IntCounterVec,
    files: IntCounterVec,
    objects: IntCounterVec,
    messages: IntCounterVec,
    redacted: IntCounterVec,
    unparsed: IntCounterVec,
    backpressure: prometheus::CounterVec,
    pull: PullFamilies,
    stream: StreamFamilies,
}

impl SourceFamilies {
    pub(super) fn register(registrar: &MetricRegistrar) -> Self {
        Self {
            events: registrar.counters(&EVENTS),
            routed: registrar.counters(&ROUTED),
            bytes: registrar.counters(&BYTES),
            repaired: registrar.counters(&REPAIRED),
            errors: registrar.counters(&ERRORS),
            undecodable: registrar.counters(&UNDECODABLE),
            lag: registrar.float_gauges(&LAG),
            behind: registrar.gauges(&BEHIND),
            lost: registrar.counters(&LOST),
            files: registrar.counters(&FILES),
            objects: registrar.counters(&OBJECTS),
            messages: registrar.counters(&MESSAGES),
            redacted: registrar.counters(&REDACTED),
            unparsed: registrar.counters(&UNPARSED),
            backpressure: registrar.float_counters(&BACKPRESSURE),
            pull: PullFamilies::register(registrar),
            stream: StreamFamilies::register(registrar),
        }
    }

    pub(super) fn of(&self, source: &str, barrier: &ScrapeBarrier, troubles: &Troubles) -> SourceMetrics {
        SourceMetrics {
            name: source.to_owned(),
            barrier: barrier.clone(),
            troubles: troubles.clone(),
            events: self.events.with_label_values(&[source]),
            routed: self.routed.with_label_values(&[source]),
            bytes: self.bytes.with_label_values(&[source]),
            repaired: self.repaired.with_label_values(&[source]),
            behind_bytes: LazyGauge {
                family: self.behind.clone(),
                source: source.to_owned(),
                gauge: OnceLock::new(),
            },
            lag_seconds: self.lag.with_label_values(&[source]),
            backpressure_seconds: self.backpressure.with_label_values(&[source]),
            errors: self.errors.clone(),
            undecodable: self.undecodable.clone(),
            lost: self.lost.clone(),
            files: self.files.clone(),
            pull: self.pull.of(source),
            stream: self.stream.of(source),
            objects: self.objects.clone(),
            messages: self.messages.clone(),
            redacted: self.redacted.clone(),
            unparsed: self.unparsed.clone(),
        }
    }
}
