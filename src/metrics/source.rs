//! What sources count.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::ScrapeBarrier;
use super::register::Maker;

/// What a source counts.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    name: String,
    settlement: ScrapeBarrier,
    events: IntCounter,
    routed: IntCounter,
    /// Payload bytes read.
    pub bytes: IntCounter,
    /// Bytes in the files that were not read yet.
    pub behind_bytes: IntGauge,
    /// Age of the oldest event read and not yet acknowledged.
    pub lag_seconds: Gauge,
    backpressure_seconds: prometheus::Counter,
    errors: IntCounterVec,
    undecodable: IntCounterVec,
    lost: IntCounterVec,
}

impl SourceMetrics {
    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an error that lost nothing.
    pub fn error(&self, reason: &str) {
        self.errors.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Counts what became of a chunk's events, all at once.
    pub fn read(&self, fate: &Fate<'_>) {
        self.settlement.together(|| {
            let undecodable: u64 = fate.undecodable.iter().map(|(_, payloads)| payloads).sum();
            let filtered: u64 = fate.filtered.iter().map(|(_, events)| events).sum();
            self.events.inc_by(fate.routed.saturating_add(filtered).saturating_add(undecodable));
            self.routed.inc_by(fate.routed);
            for (counter, events) in fate.filtered {
                counter.inc_by(*events);
            }
            for (reason, payloads) in fate.undecodable {
                self.undecodable.with_label_values(&[self.name.as_str(), reason]).inc_by(*payloads);
            }
        });
    }

    /// Counts bytes of a file that can never be delivered.
    pub fn lost(&self, reason: &str, bytes: u64) {
        self.lost.with_label_values(&[self.name.as_str(), reason]).inc_by(bytes);
    }

    /// The source does not run any more: there is nothing to gauge.
    pub fn retire(&self) {
        self.behind_bytes.set(0);
        self.lag_seconds.set(0.0);
    }

    /// Counts time spent waiting for memory or room.
    pub fn backpressure(&self, waited: Duration) {
        self.backpressure_seconds.inc_by(waited.as_secs_f64());
    }
}

/// What became of a chunk's events.
#[derive(Debug, Default)]
pub struct Fate<'a> {
    /// Events that at least one sink took.
    pub routed: u64,
    /// Events that a route dropped, or none took, by the route's counter.
    pub filtered: &'a [(IntCounter, u64)],
    /// Payloads that could not be decoded, by reason.
    pub undecodable: &'a [(&'static str, u64)],
}

/// The families of all sources.
#[derive(Clone, Debug)]
pub(super) struct SourceFamilies {
    events: IntCounterVec,
    routed: IntCounterVec,
    bytes: IntCounterVec,
    errors: IntCounterVec,
    undecodable: IntCounterVec,
    lag: GaugeVec,
    behind: IntGaugeVec,
    lost: IntCounterVec,
    backpressure: prometheus::CounterVec,
}

impl SourceFamilies {
    pub(super) fn register(maker: &Maker) -> Self {
        let source = &["source"];
        let reason = &["source", "reason"];
        Self {
            events: maker.counters(
                "source_events_total",
                "Events read; a payload that could not be decoded counts as one.",
                source,
            ),
            routed: maker.counters(
                "source_routed_events_total",
                "Events that at least one route gave to a sink.",
                source,
            ),
            bytes: maker.counters("source_bytes_total", "Payload bytes read.", source),
            errors: maker.counters("source_errors_total", "Errors at a source, by reason.", reason),
            undecodable: maker.counters(
                "undecodable_total",
                "Payloads that could not be decoded and went to the dead letters.",
                reason,
            ),
            lag: maker.float_gauges(
                "source_lag_seconds",
                "Age of the oldest event read but not yet acknowledged.",
                source,
            ),
            behind: maker.gauges("file_behind_bytes", "Bytes of the files not read yet.", source),
            lost: maker.counters(
                "file_lost_bytes_total",
                "Bytes that were gone before they could be read, or were skipped or cut off as too large.",
                reason,
            ),
            backpressure: maker.float_counters(
                "backpressure_seconds_total",
                "Time a source waited for memory.",
                source,
            ),
        }
    }

    pub(super) fn of(&self, source: &str, settlement: &ScrapeBarrier) -> SourceMetrics {
        SourceMetrics {
            name: source.to_owned(),
            settlement: settlement.clone(),
            events: self.events.with_label_values(&[source]),
            routed: self.routed.with_label_values(&[source]),
            bytes: self.bytes.with_label_values(&[source]),
            behind_bytes: self.behind.with_label_values(&[source]),
            lag_seconds: self.lag.with_label_values(&[source]),
            backpressure_seconds: self.backpressure.with_label_values(&[source]),
            errors: self.errors.clone(),
            undecodable: self.undecodable.clone(),
            lost: self.lost.clone(),
        }
    }
}
