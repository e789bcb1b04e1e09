//! Every metric, in one place: names, help texts and labels.
//!
//! A part of the pipeline is handed its own struct of counters, with its labels looked up once; nothing is looked up per event.

mod register;
mod sink;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use self::register::Maker;
use self::sink::SinkFamilies;
pub use self::sink::SinkMetrics;
use self::source::SourceFamilies;
pub use self::source::{Fate, SourceMetrics};

/// All families; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    settlement: ScrapeBarrier,
    source: SourceFamilies,
    sink: SinkFamilies,
    filtered_events: IntCounterVec,
    dead_letter_bytes: IntGaugeVec,
    dead_letter_files: IntGaugeVec,
    dead_letter_waiting: IntGaugeVec,
    /// Payload bytes in memory.
    pub memory_bytes: IntGauge,
    /// The limit on them.
    pub memory_limit_bytes: IntGauge,
    /// 1 when the running configuration is the newest that was read.
    pub config_last_reload_successful: IntGauge,
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
                "Events that a route dropped, or that no route matched (route \"none\").",
                &["route"],
            ),
            dead_letter_bytes: maker.gauges(
                "dead_letter_bytes",
                "Bytes of dead letters on disk, by sink, or for a source's undecodable payloads by \"_SOURCE\".",
                &["sink"],
            ),
            dead_letter_files: maker.gauges("dead_letter_files", "Files of dead letters.", &["sink"]),
            dead_letter_waiting: maker.gauges(
                "dead_letter_waiting",
                "Dead letters that wait in memory until they can be written.",
                &["sink"],
            ),
            memory_bytes: maker.gauge("memory_bytes", "Payload bytes in memory."),
            memory_limit_bytes: maker.gauge("memory_limit_bytes", "The limit on payload bytes in memory."),
            config_last_reload_successful: maker.gauge(
                "config_last_reload_successful",
                "1 if the configuration last read is the one that runs, 0 after a failed reload.",
            ),
            registry: maker.registry.clone(),
            settlement: ScrapeBarrier::default(),
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
        self.source.of(source, &self.settlement)
    }

    /// The counters of one sink.
    #[must_use]
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        self.sink.of(sink, &self.settlement)
    }

    /// The counter of events that a route dropped.
    #[must_use]
    pub fn filtered(&self, route: &str) -> IntCounter {
        self.filtered_events.with_label_values(&[route])
    }

    /// Events accepted and not ended, over all sinks.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.sink.in_flight()
    }

    /// Notes how much a folder of dead letters holds.
    pub fn dead_letters_held(&self, folder: &str, files: u64, bytes: u64) {
        self.dead_letter_files.with_label_values(&[folder]).set(gauge(files));
        self.dead_letter_bytes.with_label_values(&[folder]).set(gauge(bytes));
    }

    /// Notes how many letters of a folder are not on disk yet.
    pub fn dead_letters_waiting(&self, folder: &str, letters: i64) {
        self.dead_letter_waiting.with_label_values(&[folder]).set(letters);
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

/// A count as the value of a gauge.
pub(crate) fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes counters that belong together move together: shared by those who count, exclusive for a scrape, so that at every
/// scrape what was read is what was routed, filtered or undecodable, and what was accepted is what was delivered, given to the
/// dead letters, dropped, or is in flight.
#[derive(Clone, Debug, Default)]
pub struct ScrapeBarrier(Arc<RwLock<()>>);

impl ScrapeBarrier {
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
