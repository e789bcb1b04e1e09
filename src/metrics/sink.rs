//! What sinks count.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{LabelPair, Metric, MetricFamily};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use super::register::Maker;
use super::{ScrapeBarrier, gauge};

/// What a sink counts.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    name: String,
    settlement: ScrapeBarrier,
    accepted: IntCounter,
    delivered: IntCounter,
    in_flight: IntGauge,
    /// Payload bytes that the service accepted.
    pub delivered_bytes: IntCounter,
    /// The same as AWS bills them.
    pub billed_bytes: IntCounter,
    /// Records that the service accepted.
    pub records: IntCounter,
    /// Time of one request.
    pub duration: Histogram,
    /// Requests that may be under way at once, over all destinations of the sink.
    pub concurrency: IntGauge,
    /// Payload bytes a second that refusals have taught to send, over all destinations of the sink that have such a limit.
    pub rate_limit: IntGauge,
    /// Bytes waiting in the buffer, or bytes of its files.
    pub buffer_bytes: IntGauge,
    /// Age of the oldest record in the buffer.
    pub buffer_oldest_seconds: Gauge,
    credentials_expiry: GaugeVec,
    requests: IntCounterVec,
    rejected: IntCounterVec,
    held: IntGaugeVec,
    dead_lettered: IntCounterVec,
    dropped: IntCounterVec,
    returned: IntCounter,
    fsync: Histogram,
    corrupt: IntCounterVec,
    buffer_errors: IntCounterVec,
}

impl SinkMetrics {
    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request: `ok`, `partial`, `throttled`, `failed`, `held` or `rejected`.
    pub fn request(&self, outcome: &str) {
        self.requests.with_label_values(&[self.name.as_str(), outcome]).inc();
    }

    /// Counts records that the service refused one by one.
    pub fn rejected(&self, code: &str, records: u64) {
        self.rejected.with_label_values(&[self.name.as_str(), code]).inc_by(records);
    }

    /// Changes how many of the sink's destinations are held for this reason.
    pub fn held(&self, reason: &str, change: i64) {
        self.held.with_label_values(&[self.name.as_str(), reason]).add(change);
    }

    /// Events accepted and not yet ended.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Counts events taken from the router.
    pub fn accept(&self, events: u64) {
        self.settlement.together(|| {
            self.accepted.inc_by(events);
            self.in_flight.add(gauge(events));
        });
    }

    /// Counts events that the destination accepted.
    pub fn deliver(&self, events: u64) {
        self.settlement.together(|| {
            self.delivered.inc_by(events);
            self.in_flight.sub(gauge(events));
        });
    }

    /// Counts events that went to the dead letters.
    pub fn dead_letter(&self, reason: &str, events: u64) {
        self.settlement.together(|| {
            self.dead_lettered.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
            self.in_flight.sub(gauge(events));
        });
    }

    /// Counts events of a disk buffer that will never be delivered: `oldest` for room, or `corrupt`.
    pub fn dropped(&self, reason: &str, events: u64) {
        self.settlement.together(|| {
            self.dropped.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
            self.in_flight.sub(gauge(events));
        });
    }

    /// Nothing of the sink runs any more: what is in flight goes back to where it came from, and there is nothing to gauge.
    pub fn retire(&self) {
        self.settlement.together(|| {
            self.returned.inc_by(u64::try_from(self.in_flight.get()).unwrap_or(0));
            self.in_flight.set(0);
        });
        for gauge in [&self.concurrency, &self.rate_limit, &self.buffer_bytes] {
            gauge.set(0);
        }
        self.buffer_oldest_seconds.set(0.0);
        for reason in self.held_reasons() {
            self.held.with_label_values(&[self.name.as_str(), &reason]).set(0);
        }
    }

    fn held_reasons(&self) -> Vec<String> {
        let families = self.held.collect();
        let labels = families.iter().flat_map(MetricFamily::get_metric).map(Metric::get_label);
        let value = |labels: &[LabelPair], name: &str| {
            labels.iter().find(|label| label.name() == name).map(|label| label.value().to_owned())
        };
        let of_this = labels.filter(|labels| value(labels, "sink").as_deref() == Some(&self.name));
        of_this.filter_map(|labels| value(labels, "reason")).collect()
    }

    /// Counts a sync of the disk buffer.
    pub fn fsync(&self, took: Duration) {
        self.fsync.observe(took.as_secs_f64());
    }

    /// Counts a damaged place in the disk buffer.
    pub fn corrupt(&self, reason: &str) {
        self.corrupt.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Counts something that the disk buffer could not do, and will try again.
    pub fn buffer_error(&self, reason: &str) {
        self.buffer_errors.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Notes when the credentials in use expire, in seconds since 1970.
    #[must_use]
    pub fn credentials_expiry(&self) -> Gauge {
        self.credentials_expiry.with_label_values(&[self.name.as_str()])
    }
}

/// The families of all sinks.
#[derive(Clone, Debug)]
pub(super) struct SinkFamilies {
    accepted: IntCounterVec,
    delivered: IntCounterVec,
    dead_lettered: IntCounterVec,
    in_flight: IntGaugeVec,
    delivered_bytes: IntCounterVec,
    billed_bytes: IntCounterVec,
    records: IntCounterVec,
    requests: IntCounterVec,
    rejected: IntCounterVec,
    duration: HistogramVec,
    concurrency: IntGaugeVec,
    rate_limit: IntGaugeVec,
    held: IntGaugeVec,
    buffer_bytes: IntGaugeVec,
    buffer_oldest: GaugeVec,
    credentials_expiry: GaugeVec,
    dropped: IntCounterVec,
    returned: IntCounterVec,
    fsync: HistogramVec,
    corrupt: IntCounterVec,
    buffer_errors: IntCounterVec,
}

impl SinkFamilies {
    #[expect(clippy::too_many_lines, reason = "a flat table")]
    pub(super) fn register(maker: &Maker) -> Self {
        let sink = &["sink"];
        Self {
            accepted: maker.counters(
                "sink_accepted_events_total",
                "Events that routes gave to the sink.",
                sink,
            ),
            delivered: maker.counters(
                "sink_delivered_events_total",
                "Events that the destination accepted.",
                sink,
            ),
            dead_lettered: maker.counters(
                "dead_letter_events_total",
                "Events written to the dead letters.",
                &["sink", "reason"],
            ),
            in_flight: maker.gauges("sink_in_flight_events", "Events accepted but not yet delivered.", sink),
            delivered_bytes: maker.counters(
                "sink_delivered_bytes_total",
                "Payload bytes that the destination accepted, before compression.",
                sink,
            ),
            billed_bytes: maker.counters(
                "sink_billed_bytes_total",
                "Bytes that AWS bills: each record rounded up to 5 KiB.",
                sink,
            ),
            records: maker.counters("sink_records_total", "Records that the destination accepted.", sink),
            requests: maker.counters("sink_requests_total", "Requests by outcome.", &["sink", "outcome"]),
            rejected: maker.counters(
                "sink_rejected_records_total",
                "Records rejected in accepted requests, by error code; they are sent again.",
                &["sink", "code"],
            ),
            duration: maker.histograms(
                "sink_request_duration_seconds",
                "Time from sending a request to its answer, for outcomes ok and partial.",
                sink,
            ),
            concurrency: maker.gauges(
                "sink_concurrency",
                "Requests that may be in flight at once, over the sink's destinations.",
                sink,
            ),
            rate_limit: maker.gauges(
                "sink_rate_limit_bytes_per_second",
                "Payload bytes per second that the sink's destinations limit themselves to after rejections; 0 is no limit.",
                sink,
            ),
            held: maker.gauges(
                "sink_held",
                "Destinations of the sink held for this reason.",
                &["sink", "reason"],
            ),
            buffer_bytes: maker.gauges(
                "buffer_bytes",
                "Bytes waiting in the sink's buffer; for a disk buffer, bytes of its files.",
                sink,
            ),
            buffer_oldest: maker.float_gauges(
                "buffer_oldest_seconds",
                "Age of the oldest record in the sink's buffer.",
                sink,
            ),
            credentials_expiry: maker.float_gauges(
                "credentials_expiry_timestamp_seconds",
                "When the current credentials expire, in seconds since 1970.",
                sink,
            ),
            dropped: maker.counters(
                "sink_dropped_events_total",
                "Events accepted that will never be delivered, by reason.",
                &["sink", "reason"],
            ),
            returned: maker.counters(
                "sink_returned_events_total",
                "Events undelivered at a reload: read again from the source or disk, and accepted again.",
                sink,
            ),
            fsync: maker.quick_histograms(
                "buffer_fsync_duration_seconds",
                "Time that one sync of the sink's disk buffer takes.",
                sink,
            ),
            corrupt: maker.counters(
                "buffer_corrupt_total",
                "Damage found in the sink's disk buffer, by reason.",
                &["sink", "reason"],
            ),
            buffer_errors: maker.counters(
                "buffer_errors_total",
                "Failed operations of the sink's disk buffer, which are tried again, by reason.",
                &["sink", "reason"],
            ),
        }
    }

    /// Over all sinks.
    #[expect(clippy::cast_possible_truncation, reason = "the gauge counts in whole numbers")]
    pub(super) fn in_flight(&self) -> i64 {
        let families = self.in_flight.collect();
        let metrics = families.iter().flat_map(MetricFamily::get_metric);
        metrics.map(|metric| metric.get_gauge().get_value() as i64).sum()
    }

    pub(super) fn of(&self, sink: &str, settlement: &ScrapeBarrier) -> SinkMetrics {
        SinkMetrics {
            name: sink.to_owned(),
            settlement: settlement.clone(),
            accepted: self.accepted.with_label_values(&[sink]),
            delivered: self.delivered.with_label_values(&[sink]),
            in_flight: self.in_flight.with_label_values(&[sink]),
            delivered_bytes: self.delivered_bytes.with_label_values(&[sink]),
            billed_bytes: self.billed_bytes.with_label_values(&[sink]),
            records: self.records.with_label_values(&[sink]),
            duration: self.duration.with_label_values(&[sink]),
            concurrency: self.concurrency.with_label_values(&[sink]),
            rate_limit: self.rate_limit.with_label_values(&[sink]),
            buffer_bytes: self.buffer_bytes.with_label_values(&[sink]),
            buffer_oldest_seconds: self.buffer_oldest.with_label_values(&[sink]),
            credentials_expiry: self.credentials_expiry.clone(),
            requests: self.requests.clone(),
            rejected: self.rejected.clone(),
            held: self.held.clone(),
            dead_lettered: self.dead_lettered.clone(),
            dropped: self.dropped.clone(),
            returned: self.returned.with_label_values(&[sink]),
            fsync: self.fsync.with_label_values(&[sink]),
            corrupt: self.corrupt.clone(),
            buffer_errors: self.buffer_errors.clone(),
        }
    }
}
