//! What one destination counts: for `/status.json` of every one, and as series of as many as a scrape may hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use tokio::time::Instant;

use super::register::{CONSTANT, Family, MetricRegistrar, PREFIX};
use crate::overview::RateWindow;
use crate::sync::Lock;

/// What tells the series of destinations apart.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct DestinationLabels {
    /// The sink.
    pub(crate) sink: String,
    /// The account of the role; empty: that of the credentials.
    pub(crate) account: String,
    /// The region; empty: that of the environment.
    pub(crate) region: String,
    /// The stream.
    pub(crate) stream: String,
}

/// What one destination counts, and how it is. Changed once a request or a record, never once an event.
#[derive(Debug, Default)]
pub struct DestinationTally {
    labels: DestinationLabels,
    events: AtomicU64,
    bytes: AtomicU64,
    billed_bytes: AtomicU64,
    refused_records: AtomicU64,
    failed_requests: AtomicU64,
    rate_limit: AtomicI64,
    oldest_millis: AtomicU64,
    pending_bytes: AtomicU64,
    is_held: AtomicBool,
    /// The lock covers a look, or a change.
    trouble: Lock<Option<DestinationTrouble>>,
    /// The lock covers a look, or a sample.
    rates: Lock<RateWindow<4>>,
    /// The region that the client found, when something was accepted last, and how old what is under way is. The lock covers a look, or a change.
    seen: Lock<SeenOfService>,
}

#[derive(Clone, Debug, Default)]
struct SeenOfService {
    region: Option<String>,
    accepted: Option<Instant>,
    taken_since: Option<Instant>,
}

/// What is wrong with a destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationTrouble {
    /// Why it is held, in a word; none: its requests fail.
    pub reason: Option<&'static str>,
    /// The service's or the system's words.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
}

/// What a destination has counted so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct DestinationCounts {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) billed_bytes: u64,
    pub(crate) refused_records: u64,
    pub(crate) failed_requests: u64,
    /// Bytes a second; 0 is no limit.
    pub(crate) rate_limit: i64,
}

impl DestinationTally {
    /// A destination that has done nothing yet.
    pub(crate) fn new(labels: DestinationLabels) -> Self {
        Self { labels, ..Self::default() }
    }

    /// A record was accepted.
    pub(crate) fn delivered(&self, events: u64, payload: usize, billed: usize) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(payload as u64, Ordering::Relaxed);
        self.billed_bytes.fetch_add(billed as u64, Ordering::Relaxed);
    }

    /// A request was accepted, at least in part.
    pub(crate) fn accepted(&self, now: Instant) {
        self.seen.lock().accepted = Some(now);
    }

    /// Records were refused, and are sent again.
    pub(crate) fn refused(&self, records: usize) {
        self.refused_records.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// A request failed.
    pub(crate) fn failed(&self) {
        self.failed_requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The limit that it keeps to, in bytes a second; 0: none.
    pub(crate) fn limited(&self, bytes: i64) {
        self.rate_limit.store(bytes, Ordering::Relaxed);
    }

    /// The client's region.
    pub(crate) fn found_region(&self, region: &str) {
        self.seen.lock().region = Some(region.to_owned());
    }

    /// Something is wrong with it.
    pub(crate) fn set_trouble(&self, trouble: DestinationTrouble) {
        self.is_held.store(trouble.reason.is_some(), Ordering::Relaxed);
        *self.trouble.lock() = Some(trouble);
    }

    /// Nothing is wrong with it any more.
    pub(crate) fn clear_trouble(&self) {
        self.is_held.store(false, Ordering::Relaxed);
        *self.trouble.lock() = None;
    }

    /// When the first event came of what was taken from its queue and has not ended.
    pub(crate) fn taken_since(&self, since: Option<Instant>) {
        self.seen.lock().taken_since = since;
    }

    /// The age of the oldest record, where the oldest in the queue has this one.
    pub(crate) fn oldest(&self, in_queue: Duration, now: Instant) -> Duration {
        let taken = self.seen.lock().taken_since.map(|since| now.duration_since(since));
        in_queue.max(taken.unwrap_or_default())
    }

    /// How its queue is; to be told once a second.
    pub(crate) fn look(&self, now: Instant, oldest: Duration, pending: u64) {
        self.oldest_millis.store(u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.pending_bytes.store(pending, Ordering::Relaxed);
        let DestinationCounts { events, bytes, billed_bytes, refused_records, .. } = self.counts();
        self.rates.lock().sample(now, [events, bytes, billed_bytes, refused_records]);
    }

    /// What it has counted so far.
    pub(crate) fn counts(&self) -> DestinationCounts {
        DestinationCounts {
            events: self.events.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            billed_bytes: self.billed_bytes.load(Ordering::Relaxed),
            refused_records: self.refused_records.load(Ordering::Relaxed),
            failed_requests: self.failed_requests.load(Ordering::Relaxed),
            rate_limit: self.rate_limit.load(Ordering::Relaxed),
        }
    }

    /// Events, bytes, billed bytes and refused records a second.
    pub(crate) fn per_second(&self) -> Option<[f64; 4]> {
        self.rates.lock().per_second()
    }

    /// What is wrong with it.
    pub(crate) fn trouble(&self) -> Option<DestinationTrouble> {
        self.trouble.lock().clone()
    }

    /// The region that its client found.
    pub(crate) fn region(&self) -> Option<String> {
        self.seen.lock().region.clone()
    }

    /// When it last accepted something.
    pub(crate) fn last_accepted(&self) -> Option<Instant> {
        self.seen.lock().accepted
    }

    fn shown_labels(&self) -> DestinationLabels {
        let mut labels = self.labels.clone();
        if let Some(region) = self.region() {
            labels.region = region;
        }
        labels
    }
}

/// Most destinations of a sink that have series of their own: those that were opened first, so that a series goes on.
const MOST_SHOWN: usize = 100;

const LABELS: &[&str] = &["sink", "account", "region", "stream"];
const EVENTS: Family = Family {
    name: "destination_delivered_events_total",
    help: "Events that a destination accepted since it was opened, for the first 100 of a sink.",
    labels: LABELS,
};
const BYTES: Family = Family {
    name: "destination_delivered_bytes_total",
    help: "Payload bytes that a destination accepted since it was opened.",
    labels: LABELS,
};
const BILLED: Family = Family {
    name: "destination_billed_bytes_total",
    help: "Bytes that AWS bills for what a destination accepted since it was opened.",
    labels: LABELS,
};
const REFUSED: Family = Family {
    name: "destination_refused_records_total",
    help: "Records that a destination refused for the moment since it was opened; they are sent again.",
    labels: LABELS,
};
const OLDEST: Family = Family {
    name: "destination_oldest_seconds",
    help: "Age of the oldest record of a destination that is not delivered.",
    labels: LABELS,
};
const PENDING: Family = Family {
    name: "destination_pending_bytes",
    help: "Bytes that wait for a destination, in memory or on disk.",
    labels: LABELS,
};
const HELD: Family = Family {
    name: "destination_held",
    help: "1 while a destination accepts nothing until somebody acts.",
    labels: LABELS,
};
const OPEN: Family =
    Family { name: "sink_destinations", help: "Open destinations of a sink.", labels: &["sink"] };

/// A family of destinations, and what it shows of one.
struct DestinationSeries {
    family: &'static Family,
    is_counter: bool,
    value: fn(&ShownValues) -> f64,
}

const SERIES: [DestinationSeries; 7] = [
    DestinationSeries { family: &EVENTS, is_counter: true, value: |shown| shown.events },
    DestinationSeries { family: &BYTES, is_counter: true, value: |shown| shown.bytes },
    DestinationSeries { family: &BILLED, is_counter: true, value: |shown| shown.billed_bytes },
    DestinationSeries { family: &REFUSED, is_counter: true, value: |shown| shown.refused_records },
    DestinationSeries { family: &OLDEST, is_counter: false, value: |shown| shown.oldest_seconds },
    DestinationSeries { family: &PENDING, is_counter: false, value: |shown| shown.pending_bytes },
    DestinationSeries { family: &HELD, is_counter: false, value: |shown| shown.held },
];

/// What is shown of all destinations with the same labels: they may differ by their roles alone.
#[derive(Clone, Copy, Debug, Default)]
struct ShownValues {
    events: f64,
    bytes: f64,
    billed_bytes: f64,
    refused_records: f64,
    oldest_seconds: f64,
    pending_bytes: f64,
    held: f64,
}

impl ShownValues {
    fn add(&mut self, tally: &DestinationTally) {
        let DestinationCounts { events, bytes, billed_bytes, refused_records, .. } = tally.counts();
        self.events += float(events);
        self.bytes += float(bytes);
        self.billed_bytes += float(billed_bytes);
        self.refused_records += float(refused_records);
        let oldest = float(tally.oldest_millis.load(Ordering::Relaxed)) / 1000.0;
        self.oldest_seconds = self.oldest_seconds.max(oldest);
        self.pending_bytes += float(tally.pending_bytes.load(Ordering::Relaxed));
        self.held = self.held.max(if tally.is_held.load(Ordering::Relaxed) { 1.0 } else { 0.0 });
    }
}

#[expect(clippy::cast_precision_loss, reason = "the text format has no whole numbers")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// The open destinations of all sinks, as a collector. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationCollector {
    /// In the order they were opened. The lock covers a look at all, or an entry.
    open: Arc<Lock<Vec<Weak<DestinationTally>>>>,
    descriptions: Arc<[Desc]>,
}

impl DestinationCollector {
    pub(super) fn register(registrar: &MetricRegistrar) -> Self {
        let collector = Self::new();
        registrar.register(collector.clone());
        collector
    }

    #[expect(clippy::expect_used, reason = "metric names are constants that a test registers")]
    fn new() -> Self {
        let families = SERIES.iter().map(|series| series.family).chain([&OPEN]);
        let described = |family: &Family| {
            let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(format!("{PREFIX}{}", family.name), family.help.to_owned(), labels, [].into())
                .expect(CONSTANT)
        };
        Self { open: Arc::default(), descriptions: families.map(described).collect() }
    }

    /// A destination is opened; it is shown for as long as what is returned is kept.
    pub(super) fn open(&self, labels: DestinationLabels) -> Arc<DestinationTally> {
        let tally = Arc::new(DestinationTally::new(labels));
        let mut open = self.open.lock();
        open.retain(|tally| tally.strong_count() > 0);
        open.push(Arc::downgrade(&tally));
        tally
    }

    /// What is shown, and how many destinations each sink has.
    fn shown(&self) -> (BTreeMap<DestinationLabels, ShownValues>, BTreeMap<String, usize>) {
        let (mut shown, mut of_sink) = (BTreeMap::<_, ShownValues>::new(), BTreeMap::<String, usize>::new());
        let living: Vec<_> = self.open.lock().iter().filter_map(Weak::upgrade).collect();
        for tally in living {
            let labels = tally.shown_labels();
            let count = of_sink.entry(labels.sink.clone()).or_default();
            *count = count.saturating_add(1);
            if *count <= MOST_SHOWN {
                shown.entry(labels).or_default().add(&tally);
            }
        }
        (shown, of_sink)
    }
}

impl Collector for DestinationCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (shown, of_sink) = self.shown();
        let of_series = |series: &DestinationSeries| {
            let metric = |(labels, values): (&DestinationLabels, &ShownValues)| {
                let DestinationLabels { sink, account, region, stream } = labels;
                let labels = series.family.labels.iter().zip([sink, account, region, stream]);
                metric(labels, (series.value)(values), series.is_counter)
            };
            family(series.family, series.is_counter, shown.iter().map(metric).collect())
        };
        let open = of_sink
            .iter()
            .map(|(sink, count)| metric([(&"sink", sink)].into_iter(), float(*count as u64), false));
        let open = family(&OPEN, false, open.collect());
        SERIES.iter().map(of_series).chain([open]).filter(|family| !family.get_metric().is_empty()).collect()
    }
}

fn metric<'a>(
    labels: impl Iterator<Item = (&'a &'static str, &'a String)>,
    value: f64,
    is_counter: bool,
) -> Metric {
    let label = |(name, value): (&&str, &String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    let mut labels: Vec<LabelPair> = labels.map(label).collect();
    labels.sort_by(|a, b| a.name().cmp(b.name()));
    let mut metric = Metric::from_label(labels);
    if is_counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn family(family: &Family, is_counter: bool, metrics: Vec<Metric>) -> MetricFamily {
    let mut shown = MetricFamily::default();
    shown.set_name(format!("{PREFIX}{}", family.name));
    shown.set_help(family.help.to_owned());
    shown.set_field_type(if is_counter { MetricType::COUNTER } else { MetricType::GAUGE });
    shown.set_metric(metrics);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn labels(stream: &str) -> DestinationLabels {
        DestinationLabels {
            sink: "archive".to_owned(),
            account: "222222222222".to_owned(),
            region: String::new(),
            stream: stream.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_destination_has_series_while_it_is_open_and_those_of_one_name_are_one() {
        let metrics = Metrics::new();
        let sink = metrics.sink("archive");
        assert!(!metrics.render().unwrap().contains("standpipe_destination_"), "there is none");
        let (tally, twin) = (sink.destination(labels("logs")), sink.destination(labels("logs")));
        for tally in [&tally, &twin] {
            tally.found_region("us-east-1");
            tally.delivered(2, 100, 5_120);
            tally.look(Instant::now(), Duration::from_millis(1_500), 70);
        }
        twin.set_trouble(DestinationTrouble { reason: Some("denied"), message: String::new(), fix: None });
        let text = metrics.render().unwrap();
        let of = |family: &str, value: &str| {
            let series = format!(
                "standpipe_destination_{family}{{account=\"222222222222\",region=\"us-east-1\",sink=\"archive\",stream=\"logs\"}} {value}\n"
            );
            assert!(text.contains(&series), "{series} is not in\n{text}");
        };
        of("delivered_events_total", "4");
        of("billed_bytes_total", "10240");
        of("oldest_seconds", "1.5");
        of("pending_bytes", "140");
        of("held", "1");
        assert!(text.contains("standpipe_sink_destinations{sink=\"archive\"} 2\n"), "{text}");
        drop((tally, twin));
        assert!(!metrics.render().unwrap().contains("standpipe_destination_"), "they are closed");
    }

    #[tokio::test]
    async fn the_first_hundred_destinations_of_a_sink_keep_their_series() {
        let metrics = Metrics::new();
        let sink = metrics.sink("archive");
        let open: Vec<_> =
            (0..150).map(|number| sink.destination(labels(&format!("logs-{number}")))).collect();
        let text = metrics.render().unwrap();
        let shown = text.lines().filter(|line| line.starts_with("standpipe_destination_held{")).count();
        assert_eq!(shown, MOST_SHOWN);
        assert!(text.contains("stream=\"logs-99\"") && !text.contains("stream=\"logs-100\""), "{text}");
        assert!(text.contains("standpipe_sink_destinations{sink=\"archive\"} 150\n"), "{text}");
        drop(open);
    }
}
