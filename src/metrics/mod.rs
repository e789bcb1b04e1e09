//! Every metric, in one place: names, help texts and labels.
//!
//! A part of the pipeline is handed its own struct of counters, with its labels looked up once; nothing is looked up per event.

mod announce;
mod barrier;
mod destination;
mod process;
mod pull;
mod reading;
mod register;
mod sink;
mod source;
mod stream;
mod trouble;

use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use tokio::time::Instant;

use self::barrier::ScrapeBarrier;
use self::process::ProcessCollector;
use self::register::{Family, MetricRegistrar, PREFIX};
use self::sink::SinkFamilies;
use self::source::SourceFamilies;
use self::trouble::Troubles;
use crate::config::Config;

pub(crate) use self::destination::DestinationLabels;
pub use self::destination::{DestinationTally, DestinationTrouble};
pub use self::pull::{PullGauge, PullMetrics};
pub(crate) use self::reading::MetricReading;
use self::reading::whole;
pub(crate) use self::register::gauge;
pub use self::sink::SinkMetrics;
pub use self::source::{ChunkCounts, LazyGauge, SourceMetrics};
pub use self::stream::{ShardCounts, StreamMetrics};

/// All families; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    barrier: ScrapeBarrier,
    troubles: Troubles,
    source: SourceFamilies,
    sink: SinkFamilies,
    filtered_events: IntCounterVec,
    withheld_events: IntCounterVec,
    admin_errors: IntCounterVec,
    dead_letter_bytes: IntGaugeVec,
    dead_letter_files: IntGaugeVec,
    dead_letter_waiting: IntGaugeVec,
    config_info: IntGaugeVec,
    config_loaded: IntGauge,
    dead_letter_limit_bytes: IntGauge,
    /// Payload bytes in memory.
    pub memory_bytes: IntGauge,
    /// The limit on them.
    pub memory_limit_bytes: IntGauge,
    /// 1 when the running configuration is the newest that was read.
    pub config_last_reload_successful: IntGauge,
}

const FILTERED_EVENTS: Family = Family {
    name: "filtered_events_total",
    help: "Events that went to no sink, by the route that decided it (\"none\": no route did) and the reason.",
    labels: &["route", "reason"],
};
const WITHHELD_EVENTS: Family = Family {
    name: "withheld_events_total",
    help: "Events that `sample` or `throttle` of a route kept from its sinks, whether or not other sinks have them.",
    labels: &["route", "reason"],
};
const ADMIN_ERRORS: Family = Family {
    name: "admin_errors_total",
    help: "Connections to the admin endpoint that were closed or not accepted, by reason.",
    labels: &["reason"],
};
const DEAD_LETTER_BYTES: Family = Family {
    name: "dead_letter_bytes",
    help: "Bytes of dead letters on disk, by sink, or for a source's undecodable payloads by \"_SOURCE\".",
    labels: &["sink"],
};
const DEAD_LETTER_FILES: Family =
    Family { name: "dead_letter_files", help: "Files of dead letters.", labels: &["sink"] };
const DEAD_LETTER_WAITING: Family = Family {
    name: "dead_letter_waiting",
    help: "Dead letters that wait in memory until they can be written.",
    labels: &["sink"],
};
const CONFIG_INFO: Family = Family {
    name: "config_info",
    help: "The running configuration, by a hash of what it says; always 1.",
    labels: &["hash"],
};
const CONFIG_LOADED: Family = Family {
    name: "config_loaded_timestamp_seconds",
    help: "When the running configuration took over, in seconds since 1970.",
    labels: &[],
};
const DEAD_LETTER_LIMIT_BYTES: Family = Family {
    name: "dead_letter_limit_bytes",
    help: "Most bytes of dead letters of one sink, `state.max_dead_letters`.",
    labels: &[],
};
const MEMORY_BYTES: Family = Family { name: "memory_bytes", help: "Payload bytes in memory.", labels: &[] };
const MEMORY_LIMIT_BYTES: Family =
    Family { name: "memory_limit_bytes", help: "The limit on payload bytes in memory.", labels: &[] };
const CONFIG_LAST_RELOAD_SUCCESSFUL: Family = Family {
    name: "config_last_reload_successful",
    help: "1 if the configuration last read is the one that runs, 0 after a failed reload.",
    labels: &[],
};
const BUILD_INFO: Family =
    Family { name: "build_info", help: "The running build; always 1.", labels: &["version", "revision"] };

impl Metrics {
    /// Registers every family.
    ///
    /// # Panics
    /// Never in practice: the names are constants, and a test makes one.
    #[must_use]
    pub fn new() -> Self {
        let registrar = MetricRegistrar { registry: Registry::new() };
        let metrics = Self {
            source: SourceFamilies::register(&registrar),
            sink: SinkFamilies::register(&registrar),
            filtered_events: registrar.counters(&FILTERED_EVENTS),
            withheld_events: registrar.counters(&WITHHELD_EVENTS),
            admin_errors: registrar.counters(&ADMIN_ERRORS),
            dead_letter_bytes: registrar.gauges(&DEAD_LETTER_BYTES),
            dead_letter_files: registrar.gauges(&DEAD_LETTER_FILES),
            dead_letter_waiting: registrar.gauges(&DEAD_LETTER_WAITING),
            config_info: registrar.gauges(&CONFIG_INFO),
            config_loaded: registrar.gauge(&CONFIG_LOADED),
            dead_letter_limit_bytes: registrar.gauge(&DEAD_LETTER_LIMIT_BYTES),
            memory_bytes: registrar.gauge(&MEMORY_BYTES),
            memory_limit_bytes: registrar.gauge(&MEMORY_LIMIT_BYTES),
            config_last_reload_successful: registrar.gauge(&CONFIG_LAST_RELOAD_SUCCESSFUL),
            registry: registrar.registry.clone(),
            barrier: ScrapeBarrier::default(),
            troubles: Troubles::default(),
        };
        registrar.register(ProcessCollector::new());
        let build = [env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION")];
        registrar.gauges(&BUILD_INFO).with_label_values(&build).set(1);
        metrics.config_last_reload_successful.set(1);
        for reason in ["accept", "connections_full", "stalled"] {
            metrics.admin_errors.with_label_values(&[reason]);
        }
        metrics
    }

    /// This configuration runs from now on, `seconds` after 1970.
    pub(crate) fn configured(&self, hash: &str, seconds: i64) {
        self.config_info.reset();
        self.config_info.with_label_values(&[hash]).set(1);
        self.config_loaded.set(seconds);
    }

    /// Shows at 0 what this configuration can count, so that the first of anything is seen as an increase.
    pub(crate) fn announce(&self, config: &Config) {
        self.dead_letter_limit_bytes.set(gauge(config.state.max_dead_letters));
        for (name, source) in &config.sources {
            self.source(name).announce(&announce::of_source(source));
        }
        for (name, redaction) in config.redactions() {
            let rules: Vec<_> = redaction.names().map(|rule| (rule, 0)).collect();
            self.source(name).redacted(&rules);
        }
        for (name, steps) in &config.steps {
            let source = self.source(name);
            steps.parse.iter().for_each(|_| source.announce_unparsed("parse"));
            steps.timestamp.iter().for_each(|_| source.announce_unparsed("timestamp"));
        }
        for (name, sink) in &config.sinks {
            self.sink(name).announce(&announce::of_sink(sink));
        }
        for (route, reason) in announce::of_routes(config) {
            self.filtered_events.with_label_values(&[route.as_str(), reason]);
            if announce::WITHHELD.contains(&reason) {
                self.withheld(&route, reason, 0);
            }
        }
    }

    /// The counters of one source.
    #[must_use]
    pub fn source(&self, source: &str) -> SourceMetrics {
        self.source.of(source, &self.barrier, &self.troubles)
    }

    /// The counters of one sink.
    #[must_use]
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        self.sink.of(sink, &self.barrier, &self.troubles)
    }

    /// All values as they are now.
    pub(crate) fn reading(&self) -> MetricReading {
        MetricReading::new(self.barrier.scrape(|| self.registry.gather()))
    }

    /// The counter of events that went to no sink, by the route and the reason.
    #[must_use]
    pub fn filtered(&self, route: &str, reason: &str) -> IntCounter {
        self.filtered_events.with_label_values(&[route, reason])
    }

    /// Counts events that a route kept from its sinks.
    pub(crate) fn withheld(&self, route: &str, reason: &str, events: u64) {
        self.withheld_events.with_label_values(&[route, reason]).inc_by(events);
    }

    /// Events accepted and not ended, over all sinks.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.sink.in_flight()
    }

    /// Counts a connection to the admin endpoint that was ended or not accepted.
    pub(crate) fn admin_error(&self, reason: &str) {
        self.admin_errors.with_label_values(&[reason]).inc();
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

    /// What a run has done so far.
    #[must_use]
    pub fn totals(&self) -> RunTotals {
        let families = self.barrier.scrape(|| self.registry.gather());
        let total = |name: &str| {
            let named = families.iter().filter(|family| family.name().strip_prefix(PREFIX) == Some(name));
            let counters =
                named.flat_map(MetricFamily::get_metric).map(|metric| metric.get_counter().get_value());
            whole(counters.sum())
        };
        RunTotals {
            read: total(source::EVENTS.name),
            delivered: total(sink::DELIVERED.name),
            dead_letters: total(sink::DEAD_LETTERED.name).saturating_add(total(source::UNDECODABLE.name)),
            filtered: total(FILTERED_EVENTS.name),
            dropped: total(sink::DROPPED.name),
            billed_bytes: total(sink::BILLED_BYTES.name),
            percent_read: percent_read(&families),
        }
    }

    /// What is lost, and what cannot be read, one a line: for people.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lines(Instant::now())
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// When a family cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let families = self.barrier.scrape(|| self.registry.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

/// What a run has done, over all sources and sinks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunTotals {
    /// Events read.
    pub read: u64,
    /// Events that destinations accepted; of several sinks, each counts.
    pub delivered: u64,
    /// Events and payloads set aside.
    pub dead_letters: u64,
    /// Events that no route gave to a sink.
    pub filtered: u64,
    /// Events of a disk buffer that were given up.
    pub dropped: u64,
    /// Bytes that AWS bills.
    pub billed_bytes: u64,
    /// How much of the files was read, by their bytes; none: something else is read too, whose size is not known.
    pub percent_read: Option<u8>,
}

/// How much of the files was read; none where a source has none.
fn percent_read(families: &[MetricFamily]) -> Option<u8> {
    let series = |name: &str| {
        let family = families.iter().find(|family| family.name().strip_prefix(PREFIX) == Some(name));
        family.map(MetricFamily::get_metric).unwrap_or_default()
    };
    let (bytes, behind) = (series(source::BYTES.name), series(source::BEHIND.name));
    let unread = whole(behind.iter().map(|metric| metric.get_gauge().get_value()).sum());
    let read = whole(bytes.iter().map(|metric| metric.get_counter().get_value()).sum());
    let all = read.checked_add(unread).filter(|all| *all > 0 && bytes.len() == behind.len())?;
    u8::try_from(read.saturating_mul(100) / all).ok()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
