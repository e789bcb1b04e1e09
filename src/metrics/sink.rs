//! What sinks count.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{LabelPair, Metric, MetricFamily};
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};
use tokio::time::Instant;

use super::announce::SinkLabels;
use super::barrier::ScrapeBarrier;
use super::destination::{DestinationCollector, DestinationLabels, DestinationTally};
use super::register::{Family, MetricRegistrar, gauge};
use super::trouble::Troubles;

/// What a sink counts.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    name: String,
    barrier: ScrapeBarrier,
    troubles: Troubles,
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
    buffer_limit: IntGaugeVec,
    credentials_expiry: GaugeVec,
    requests: IntCounterVec,
    rejected: IntCounterVec,
    held: IntGaugeVec,
    dead_lettered: IntCounterVec,
    dropped: IntCounterVec,
    returned: IntCounter,
    capped: CounterVec,
    fsync: HistogramVec,
    corrupt: IntCounterVec,
    buffer_errors: IntCounterVec,
    destinations: DestinationCollector,
}

impl SinkMetrics {
    /// The counts of a destination that is opened; its series are shown for as long as they are kept.
    #[must_use]
    pub(crate) fn destination(&self, labels: DestinationLabels) -> Arc<DestinationTally> {
        self.destinations.open(labels)
    }

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

    /// Events that have ended, however.
    #[must_use]
    pub fn ended(&self) -> u64 {
        let in_flight = u64::try_from(self.in_flight.get()).unwrap_or(0);
        self.accepted.get().saturating_sub(in_flight)
    }

    /// Counts events taken from the router.
    pub fn accept(&self, events: u64) {
        self.barrier.together(|| {
            self.accepted.inc_by(events);
            self.in_flight.add(gauge(events));
        });
    }

    /// Counts events that the destination accepted.
    pub fn deliver(&self, events: u64) {
        self.barrier.together(|| {
            self.delivered.inc_by(events);
            self.in_flight.sub(gauge(events));
        });
    }

    /// Counts events that went to the dead letters.
    pub fn dead_letter(&self, reason: &str, events: u64) {
        self.barrier.together(|| {
            self.dead_lettered.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
            self.in_flight.sub(gauge(events));
        });
    }

    /// Counts events of a disk buffer that will never be delivered: `oldest` for room, or `corrupt`.
    pub fn dropped(&self, reason: &'static str, events: u64) {
        self.barrier.together(|| {
            self.dropped.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
            self.in_flight.sub(gauge(events));
        });
        if events > 0 {
            self.troubles.lost(format!("sink {}", self.name), reason, events, Instant::now());
        }
    }

    /// Counts time in which a destination waited for the sink's own rate alone.
    pub fn capped(&self, waited: Duration) {
        self.capped.with_label_values(&[self.name.as_str()]).inc_by(waited.as_secs_f64());
    }

    /// Nothing of the sink runs any more: what is in flight goes back to where it came from, and there is nothing to gauge.
    pub fn retire(&self) {
        self.barrier.together(|| {
            self.returned.inc_by(u64::try_from(self.in_flight.get()).unwrap_or(0));
            self.in_flight.set(0);
        });
        for gauge in [&self.concurrency, &self.rate_limit, &self.buffer_bytes] {
            gauge.set(0);
        }
        self.buffer_oldest_seconds.set(0.0);
        // An error says that it is not shown.
        self.buffer_limit.remove_label_values(&[self.name.as_str()]).ok();
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
        self.fsync.with_label_values(&[self.name.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a damaged place in the disk buffer.
    pub fn corrupt(&self, reason: &str) {
        self.corrupt.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Counts something that the disk buffer could not do, and will try again.
    pub fn buffer_error(&self, reason: &str) {
        self.buffer_errors.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    /// Shows at 0 what the sink can count.
    pub(super) fn announce(&self, labels: &SinkLabels) {
        let name = self.name.as_str();
        for outcome in OUTCOMES {
            self.requests.with_label_values(&[name, outcome]);
        }
        for code in REJECTION_CODES {
            self.rejected.with_label_values(&[name, code]);
        }
        for reason in &labels.dead_letters {
            self.dead_lettered.with_label_values(&[name, *reason]);
        }
        if labels.has_rate {
            self.capped(Duration::ZERO);
        }
        let Some(limit) = labels.buffer_limit else { return };
        self.buffer_limit.with_label_values(&[name]).set(gauge(limit));
        self.fsync.with_label_values(&[name]);
        for (family, reasons) in
            [(&self.dropped, DROPPED_FOR), (&self.corrupt, CORRUPT_BY), (&self.buffer_errors, BUFFER_ACTIONS)]
        {
            for reason in reasons {
                family.with_label_values(&[name, *reason]);
            }
        }
    }

    /// When the credentials in use expire, in seconds since 1970; shown once it is known.
    #[must_use]
    pub fn credentials_expiry(&self) -> Gauge {
        self.credentials_expiry.with_label_values(&[self.name.as_str()])
    }
}

const OUTCOMES: [&str; 6] = ["ok", "partial", "throttled", "failed", "held", "rejected"];
/// What Firehose says of single records: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.
const REJECTION_CODES: [&str; 2] = ["InternalFailure", "ServiceUnavailableException"];
const DROPPED_FOR: &[&str] = &["oldest", "corrupt"];
const CORRUPT_BY: &[&str] =
    &["torn", "zeros", "checksum", "header", "version", "missing", "unreadable", "cursor"];
const BUFFER_ACTIONS: &[&str] = &["open", "write", "sync", "read", "cursor", "dead_letter"];

const SINK: &[&str] = &["sink"];
const SINK_AND_REASON: &[&str] = &["sink", "reason"];
const ACCEPTED: Family =
    Family { name: "sink_accepted_events_total", help: "Events that routes gave to the sink.", labels: SINK };
pub(super) const DELIVERED: Family = Family {
    name: "sink_delivered_events_total",
    help: "Events that the destination accepted.",
    labels: SINK,
};
pub(super) const DEAD_LETTERED: Family = Family {
    name: "dead_letter_events_total",
    help: "Events written to the dead letters.",
    labels: SINK_AND_REASON,
};
const IN_FLIGHT: Family =
    Family { name: "sink_in_flight_events", help: "Events accepted but not yet delivered.", labels: SINK };
const DELIVERED_BYTES: Family = Family {
    name: "sink_delivered_bytes_total",
    help: "Payload bytes that the destination accepted, before compression.",
    labels: SINK,
};
pub(super) const BILLED_BYTES: Family = Family {
    name: "sink_billed_bytes_total",
    help: "Bytes that AWS bills: each record rounded up to 5 KiB.",
    labels: SINK,
};
const RECORDS: Family =
    Family { name: "sink_records_total", help: "Records that the destination accepted.", labels: SINK };
const REQUESTS: Family =
    Family { name: "sink_requests_total", help: "Requests by outcome.", labels: &["sink", "outcome"] };
const REJECTED: Family = Family {
    name: "sink_rejected_records_total",
    help: "Records rejected in accepted requests, by error code; they are sent again.",
    labels: &["sink", "code"],
};
const DURATION: Family = Family {
    name: "sink_request_duration_seconds",
    help: "Time from sending a request to its answer, for outcomes ok and partial.",
    labels: SINK,
};
const CONCURRENCY: Family = Family {
    name: "sink_concurrency",
    help: "Requests that may be in flight at once, over the sink's destinations.",
    labels: SINK,
};
const RATE_LIMIT: Family = Family {
    name: "sink_rate_limit_bytes_per_second",
    help: "Payload bytes per second that the sink's destinations limit themselves to after rejections; 0 is no limit.",
    labels: SINK,
};
const HELD: Family = Family {
    name: "sink_held",
    help: "Destinations of the sink held for this reason.",
    labels: SINK_AND_REASON,
};
const BUFFER_BYTES: Family = Family {
    name: "buffer_bytes",
    help: "Bytes waiting in the sink's buffer; for a disk buffer, bytes of its files.",
    labels: SINK,
};
const BUFFER_OLDEST: Family = Family {
    name: "buffer_oldest_seconds",
    help: "Age of the sink's oldest record that is not delivered.",
    labels: SINK,
};
const BUFFER_LIMIT: Family = Family {
    name: "buffer_limit_bytes",
    help: "Most bytes of the disk buffer's files, `max`.",
    labels: SINK,
};
const CREDENTIALS_EXPIRY: Family = Family {
    name: "credentials_expiry_timestamp_seconds",
    help: "When the current credentials expire, in seconds since 1970.",
    labels: SINK,
};
pub(super) const DROPPED: Family = Family {
    name: "sink_dropped_events_total",
    help: "Events accepted that will never be delivered, by reason.",
    labels: SINK_AND_REASON,
};
const RETURNED: Family = Family {
    name: "sink_returned_events_total",
    help: "Events undelivered at a reload: read again from the source or disk, and accepted again.",
    labels: SINK,
};
const CAPPED: Family = Family {
    name: "sink_capped_seconds_total",
    help: "Time in which destinations of the sink waited for its own `rate` alone.",
    labels: SINK,
};
const FSYNC: Family = Family {
    name: "buffer_fsync_duration_seconds",
    help: "Time that one sync of the sink's disk buffer takes.",
    labels: SINK,
};
const CORRUPT: Family = Family {
    name: "buffer_corrupt_total",
    help: "Damage found in the sink's disk buffer, by reason.",
    labels: SINK_AND_REASON,
};
const BUFFER_ERRORS: Family = Family {
    name: "buffer_errors_total",
    help: "Failed operations of the sink's disk buffer, which are tried again, by reason.",
    labels: SINK_AND_REASON,
};

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
    buffer_limit: IntGaugeVec,
    credentials_expiry: GaugeVec,
    dropped: IntCounterVec,
    returned: IntCounterVec,
    capped: CounterVec,
    fsync: HistogramVec,
    corrupt: IntCounterVec,
    buffer_errors: IntCounterVec,
    destinations: DestinationCollector,
}

impl SinkFamilies {
    pub(super) fn register(registrar: &MetricRegistrar) -> Self {
        Self {
            accepted: registrar.counters(&ACCEPTED),
            delivered: registrar.counters(&DELIVERED),
            dead_lettered: registrar.counters(&DEAD_LETTERED),
            in_flight: registrar.gauges(&IN_FLIGHT),
            delivered_bytes: registrar.counters(&DELIVERED_BYTES),
            billed_bytes: registrar.counters(&BILLED_BYTES),
            records: registrar.counters(&RECORDS),
            requests: registrar.counters(&REQUESTS),
            rejected: registrar.counters(&REJECTED),
            duration: registrar.histograms(&DURATION),
            concurrency: registrar.gauges(&CONCURRENCY),
            rate_limit: registrar.gauges(&RATE_LIMIT),
            held: registrar.gauges(&HELD),
            buffer_bytes: registrar.gauges(&BUFFER_BYTES),
            buffer_oldest: registrar.float_gauges(&BUFFER_OLDEST),
            buffer_limit: registrar.gauges(&BUFFER_LIMIT),
            credentials_expiry: registrar.nonzero_gauges(&CREDENTIALS_EXPIRY),
            dropped: registrar.counters(&DROPPED),
            returned: registrar.counters(&RETURNED),
            capped: registrar.float_counters(&CAPPED),
            fsync: registrar.quick_histograms(&FSYNC),
            corrupt: registrar.counters(&CORRUPT),
            buffer_errors: registrar.counters(&BUFFER_ERRORS),
            destinations: DestinationCollector::register(registrar),
        }
    }

    /// Over all sinks.
    #[expect(clippy::cast_possible_truncation, reason = "the gauge counts in whole numbers")]
    pub(super) fn in_flight(&self) -> i64 {
        let families = self.in_flight.collect();
        let metrics = families.iter().flat_map(MetricFamily::get_metric);
        metrics.map(|metric| metric.get_gauge().get_value() as i64).sum()
    }

    pub(super) fn of(&self, sink: &str, barrier: &ScrapeBarrier, troubles: &Troubles) -> SinkMetrics {
        SinkMetrics {
            name: sink.to_owned(),
            barrier: barrier.clone(),
            troubles: troubles.clone(),
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
            buffer_limit: self.buffer_limit.clone(),
            credentials_expiry: self.credentials_expiry.clone(),
            requests: self.requests.clone(),
            rejected: self.rejected.clone(),
            held: self.held.clone(),
            dead_lettered: self.dead_lettered.clone(),
            dropped: self.dropped.clone(),
            returned: self.returned.with_label_values(&[sink]),
            capped: self.capped.clone(),
            fsync: self.fsync.clone(),
            corrupt: self.corrupt.clone(),
            buffer_errors: self.buffer_errors.clone(),
            destinations: self.destinations.clone(),
        }
    }
}
