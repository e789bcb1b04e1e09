//! Every metric, in one place: names, help texts and labels.
//!
//! A part of the pipeline is handed its own struct of counters, with its labels looked up once; nothing is looked up per event.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Makes counters that belong together move together: shared by those who count, exclusive for a scrape, so that at every
/// scrape what was read is what was routed, filtered or undecodable, and what was accepted is what was delivered, given to the
/// dead letters or is in flight.
#[derive(Clone, Debug, Default)]
pub struct Settlement(Arc<RwLock<()>>);

impl Settlement {
    /// Counts without a scrape in between.
    pub fn together(&self, count: impl FnOnce()) {
        let _shared = self.0.read().unwrap_or_else(PoisonError::into_inner);
        count();
    }

    fn scrape<T>(&self, scrape: impl FnOnce() -> T) -> T {
        let _alone = self.0.write().unwrap_or_else(PoisonError::into_inner);
        scrape()
    }
}

/// All families; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    settlement: Settlement,
    source: SourceFamilies,
    sink: SinkFamilies,
    filtered_events: IntCounterVec,
    /// Payload bytes in memory.
    pub memory_bytes: IntGauge,
    /// The limit on them.
    pub memory_limit_bytes: IntGauge,
    /// 1 when the running configuration is the newest that was read.
    pub config_last_reload_successful: IntGauge,
}

#[derive(Clone, Debug)]
struct SourceFamilies {
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

#[derive(Clone, Debug)]
struct SinkFamilies {
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
    held: IntGaugeVec,
    buffer_bytes: IntGaugeVec,
    buffer_oldest: GaugeVec,
    credentials_expiry: GaugeVec,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Panics
    /// Never in practice: the names are constants, and a test makes one.
    #[must_use]
    pub fn new() -> Self {
        let maker = Maker { registry: Registry::new() };
        let metrics = Self {
            source: SourceFamilies::register(&maker),
            sink: SinkFamilies::register(&maker),
            filtered_events: maker.counters(
                "filtered_events_total",
                "Events that a route dropped, or that no route took (route \"none\").",
                &["route"],
            ),
            memory_bytes: maker.gauge("memory_bytes", "Payload bytes in memory."),
            memory_limit_bytes: maker.gauge("memory_limit_bytes", "The limit on payload bytes in memory."),
            config_last_reload_successful: maker.gauge(
                "config_last_reload_successful",
                "1 when the newest configuration read is the one that runs.",
            ),
            registry: maker.registry.clone(),
            settlement: Settlement::default(),
        };
        let build = maker.gauges("build_info", "The running build; always 1.", &["version", "revision"]);
        build
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("STANDPIPE_REVISION").unwrap_or("unknown"),
            ])
            .set(1);
        metrics.config_last_reload_successful.set(1);
        metrics
    }

    /// The counters of one source.
    #[must_use]
    pub fn source(&self, source: &str) -> SourceMetrics {
        let f = &self.source;
        SourceMetrics {
            name: source.to_owned(),
            settlement: self.settlement.clone(),
            events: f.events.with_label_values(&[source]),
            routed: f.routed.with_label_values(&[source]),
            bytes: f.bytes.with_label_values(&[source]),
            behind_bytes: f.behind.with_label_values(&[source]),
            lag_seconds: f.lag.with_label_values(&[source]),
            backpressure_seconds: f.backpressure.with_label_values(&[source]),
            errors: f.errors.clone(),
            undecodable: f.undecodable.clone(),
            lost: f.lost.clone(),
        }
    }

    /// The counters of one sink.
    #[must_use]
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        let f = &self.sink;
        SinkMetrics {
            name: sink.to_owned(),
            settlement: self.settlement.clone(),
            accepted: f.accepted.with_label_values(&[sink]),
            delivered: f.delivered.with_label_values(&[sink]),
            in_flight: f.in_flight.with_label_values(&[sink]),
            delivered_bytes: f.delivered_bytes.with_label_values(&[sink]),
            billed_bytes: f.billed_bytes.with_label_values(&[sink]),
            records: f.records.with_label_values(&[sink]),
            duration: f.duration.with_label_values(&[sink]),
            concurrency: f.concurrency.with_label_values(&[sink]),
            buffer_bytes: f.buffer_bytes.with_label_values(&[sink]),
            buffer_oldest_seconds: f.buffer_oldest.with_label_values(&[sink]),
            credentials_expiry: f.credentials_expiry.clone(),
            requests: f.requests.clone(),
            rejected: f.rejected.clone(),
            held: f.held.clone(),
            dead_lettered: f.dead_lettered.clone(),
        }
    }

    /// The counter of events that a route dropped.
    #[must_use]
    pub fn filtered(&self, route: &str) -> IntCounter {
        self.filtered_events.with_label_values(&[route])
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// When a family cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let families = self.settlement.scrape(|| self.registry.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What a source counts.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    name: String,
    settlement: Settlement,
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

/// What a sink counts.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    name: String,
    settlement: Settlement,
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
    /// Bytes waiting in the buffer.
    pub buffer_bytes: IntGauge,
    /// Age of the oldest record in the buffer.
    pub buffer_oldest_seconds: Gauge,
    credentials_expiry: GaugeVec,
    requests: IntCounterVec,
    rejected: IntCounterVec,
    held: IntGaugeVec,
    dead_lettered: IntCounterVec,
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

    /// Sets or clears the sign that the sink is held.
    pub fn held(&self, reason: &str, held: bool) {
        self.held.with_label_values(&[self.name.as_str(), reason]).set(i64::from(held));
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
            self.in_flight.add(signed(events));
        });
    }

    /// Counts events that the destination accepted.
    pub fn deliver(&self, events: u64) {
        self.settlement.together(|| {
            self.delivered.inc_by(events);
            self.in_flight.sub(signed(events));
        });
    }

    /// Counts events that went to the dead letters.
    pub fn dead_letter(&self, reason: &str, events: u64) {
        self.settlement.together(|| {
            self.dead_lettered.with_label_values(&[self.name.as_str(), reason]).inc_by(events);
            self.in_flight.sub(signed(events));
        });
    }

    /// Notes when the credentials in use expire, in seconds since 1970.
    #[must_use]
    pub fn credentials_expiry(&self) -> Gauge {
        self.credentials_expiry.with_label_values(&[self.name.as_str()])
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl SourceFamilies {
    fn register(maker: &Maker) -> Self {
        let source = &["source"];
        let reason = &["source", "reason"];
        Self {
            events: maker.counters("source_events_total", "Events read.", source),
            routed: maker.counters(
                "source_routed_events_total",
                "Events read that at least one route gave to a sink.",
                source,
            ),
            bytes: maker.counters("source_bytes_total", "Payload bytes read.", source),
            errors: maker.counters("source_errors_total", "Errors at a source that lost nothing.", reason),
            undecodable: maker.counters(
                "undecodable_total",
                "Payloads that could not be decoded and went to the dead letters.",
                reason,
            ),
            lag: maker.float_gauges(
                "source_lag_seconds",
                "Age of the oldest event read and not yet acknowledged.",
                source,
            ),
            behind: maker.gauges("file_behind_bytes", "Bytes in the files that were not read yet.", source),
            lost: maker.counters(
                "file_lost_bytes_total",
                "Bytes of files that were gone before they could be read.",
                reason,
            ),
            backpressure: maker.float_counters(
                "backpressure_seconds_total",
                "Time a source waited for memory or for a destination.",
                source,
            ),
        }
    }
}

impl SinkFamilies {
    #[expect(clippy::too_many_lines, reason = "a flat table")]
    fn register(maker: &Maker) -> Self {
        let sink = &["sink"];
        Self {
            accepted: maker.counters(
                "sink_accepted_events_total",
                "Events a sink took from the router.",
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
            in_flight: maker.gauges("sink_in_flight_events", "Events accepted and not yet delivered.", sink),
            delivered_bytes: maker.counters(
                "sink_delivered_bytes_total",
                "Payload bytes that the destination accepted, before compression.",
                sink,
            ),
            billed_bytes: maker.counters(
                "sink_billed_bytes_total",
                "Bytes as AWS bills them: each record rounded up to 5 KiB.",
                sink,
            ),
            records: maker.counters("sink_records_total", "Records that the destination accepted.", sink),
            requests: maker.counters("sink_requests_total", "Requests by outcome.", &["sink", "outcome"]),
            rejected: maker.counters(
                "sink_rejected_records_total",
                "Records refused one by one, by error code; they are sent again.",
                &["sink", "code"],
            ),
            duration: maker.histograms(
                "sink_request_duration_seconds",
                "Time from sending a request to its answer.",
                sink,
            ),
            concurrency: maker.gauges(
                "sink_concurrency",
                "Requests that may be under way at once, over the sink's destinations.",
                sink,
            ),
            held: maker.gauges(
                "sink_held",
                "1 while a destination of the sink is held for this reason.",
                &["sink", "reason"],
            ),
            buffer_bytes: maker.gauges("buffer_bytes", "Bytes waiting in the sink's buffer.", sink),
            buffer_oldest: maker.float_gauges(
                "buffer_oldest_seconds",
                "Age of the oldest record in the sink's buffer.",
                sink,
            ),
            credentials_expiry: maker.float_gauges(
                "credentials_expiry_timestamp_seconds",
                "When the credentials in use expire, in seconds since 1970.",
                sink,
            ),
        }
    }
}

/// Makes and registers families under the common prefix.
struct Maker {
    registry: Registry,
}

const PREFIX: &str = "standpipe_";
const CONSTANT: &str = "metric names are constants that a test registers";

#[expect(clippy::expect_used, reason = "metric names are constants that a test registers")]
impl Maker {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect(CONSTANT);
        self.registry.register(Box::new(collector.clone())).expect(CONSTANT);
        collector
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("{PREFIX}{name}"), help)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn float_counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::CounterVec {
        self.add(prometheus::CounterVec::new(Self::opts(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(Self::opts(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Self::opts(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let buckets = vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets);
        self.add(HistogramVec::new(opts, labels))
    }
}
