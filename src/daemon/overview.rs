//! How the daemon is at a moment: what `/status.json` and the status page show.

use std::sync::{Arc, Weak};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use super::generation::Generation;
use crate::config::{Action, Config};
use crate::event::Timestamp;
use crate::health::Status;
use crate::metrics::{MetricReading, Metrics};
use crate::overview::{
    Overview, RATE_SECONDS, RouteOverview, SinkOverview, SourceOverview, UnitList, bounded, hold_of, sinks_of,
};

/// What is looked at, for one generation.
#[derive(Debug)]
pub(crate) struct Observer {
    metrics: Metrics,
    status: Arc<Status>,
    host: Arc<str>,
    /// It is not kept by this: what is gone is not shown.
    generation: Weak<Generation>,
    /// Names and kinds.
    sources: Vec<(String, &'static str)>,
    routes: Vec<RouteOverview>,
    configured: i64,
}

/// Most of each list.
const MOST_SOURCES: usize = 200;
const MOST_ROUTES: usize = 100;
const MOST_ISSUES: usize = 100;

/// Most units of all sources, and most destinations of all sinks; each has some.
const MOST_IN_ALL: usize = 1_000;

impl Observer {
    pub(crate) fn new(
        config: &Config,
        generation: &Arc<Generation>,
        metrics: &Metrics,
        status: &Arc<Status>,
        host: &Arc<str>,
    ) -> Self {
        let route = |(number, route): (usize, &crate::config::Route)| RouteOverview {
            number: number as u64,
            from: route.from.clone(),
            when: bounded(route.when.words()),
            to: match &route.action {
                Action::To(sinks) => sinks.clone(),
                Action::Drop => Vec::new(),
            },
            dropped: 0,
        };
        let configured = Timestamp::now().0;
        metrics.configured(&hash(config), configured / 1000);
        Self {
            metrics: metrics.clone(),
            status: Arc::clone(status),
            host: Arc::clone(host),
            generation: Arc::downgrade(generation),
            sources: config.sources.iter().map(|(name, source)| (name.clone(), source.kind())).collect(),
            routes: config.routes.iter().enumerate().map(route).collect(),
            configured,
        }
    }

    /// Looks at everything.
    pub(crate) fn look(&self) -> Overview {
        let (reading, generation) = (self.metrics.reading(), self.generation.upgrade());
        let mut issues = self.status.issues();
        issues.extend(self.metrics.troubles());
        let more_issues = issues.len().saturating_sub(MOST_ISSUES) as u64;
        let units = (MOST_IN_ALL / self.sources.len().max(1)).clamp(5, 50);
        let rates = |name: &str| generation.as_ref().and_then(|generation| generation.rates.of(name));
        let sinks =
            generation.as_ref().map(|generation| generation.sink_overviews(&reading)).unwrap_or_default();
        let source = |(name, kind): &(String, &'static str)| {
            let source = self.source((name, kind), rates(name), &reading, &issues, units);
            self.with_sinks(source, &sinks)
        };
        let sources = self.sources.iter().take(MOST_SOURCES).map(source).collect();
        let dropped = |route: &RouteOverview| {
            let number = route.number.to_string();
            reading.count("filtered_events_total", Some(("route", &number)))
        };
        let route = |route: &RouteOverview| RouteOverview { dropped: dropped(route), ..route.clone() };
        Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("BUILD_REVISION").to_owned(),
            host: self.host.to_string(),
            time: Timestamp::now().0,
            started: millis(reading.sum("process_start_time_seconds", None).unwrap_or(0.0)),
            configured: self.configured,
            ready: issues.is_empty(),
            more_issues,
            notes: self.status.notes().into_iter().map(bounded).collect(),
            memory_bytes: reading.count("memory_bytes", None),
            memory_limit_bytes: reading.count("memory_limit_bytes", None),
            rate_seconds: RATE_SECONDS,
            sources,
            more_sources: self.sources.len().saturating_sub(MOST_SOURCES) as u64,
            routes: self.routes.iter().take(MOST_ROUTES).map(route).collect(),
            more_routes: self.routes.len().saturating_sub(MOST_ROUTES) as u64,
            sinks,
            issues: issues.into_iter().take(MOST_ISSUES).map(bounded).collect(),
        }
    }

    fn source(
        &self,
        (name, kind): (&str, &str),
        rates: Option<[f64; 2]>,
        reading: &MetricReading,
        issues: &[String],
        most_units: usize,
    ) -> SourceOverview {
        let label = ("source", name);
        let (count, sum) =
            (|family| reading.count(family, Some(label)), |family| reading.sum(family, Some(label)));
        let (begin, quoted) = (format!("source {name}: "), format!("source `{name}`: "));
        let own = issues
            .iter()
            .filter_map(|issue| issue.strip_prefix(&begin).or_else(|| issue.strip_prefix(&quoted)));
        let behind_bytes = sum("file_behind_bytes").map(|_| count("file_behind_bytes"));
        let [events_per_second, bytes_per_second] =
            rates.map_or([None, None], |[events, bytes]| [Some(events), Some(bytes)]);
        SourceOverview {
            name: name.to_owned(),
            kind: kind.to_owned(),
            issues: own.take(MOST_ISSUES).map(|issue| bounded(issue.to_owned())).collect(),
            events: count("source_events_total"),
            bytes: count("source_bytes_total"),
            events_per_second,
            bytes_per_second,
            behind_bytes,
            behind_seconds: sum("source_behind_seconds").or_else(|| sum("source_poll_age_seconds")),
            catch_up_seconds: catch_up(behind_bytes, bytes_per_second),
            oldest_unacknowledged_seconds: sum("source_lag_seconds").unwrap_or(0.0),
            held_by: None,
            buffered_bytes: 0,
            waits_for_memory: false,
            waited_seconds: sum("backpressure_seconds_total").unwrap_or(0.0),
            errors: count("source_errors_total"),
            lost_bytes: count("file_lost_bytes_total"),
            undecodable: count("undecodable_total"),
            objects: reading.by("source_objects_total", label, "outcome"),
            units: self.status.units(name).map(|units| cut(units, most_units)),
        }
    }

    /// The source with what its sinks tell of it.
    fn with_sinks(&self, source: SourceOverview, sinks: &[SinkOverview]) -> SourceOverview {
        let own = sinks_of(&source.name, &self.routes, sinks);
        let with_disk = own.iter().filter(|sink| sink.disk.is_some());
        let buffered = with_disk.flat_map(|sink| &sink.destinations).map(|found| found.pending_bytes).sum();
        let starves = source.stands_still() && source.is_blocked() == Some(false);
        let held_by = hold_of(&source, &own);
        // Nothing is caught up by going on as it did.
        let catches_up = held_by.as_ref().is_none_or(|hold| !hold.is_everywhere);
        SourceOverview {
            catch_up_seconds: source.catch_up_seconds.filter(|_| catches_up),
            held_by,
            buffered_bytes: buffered,
            waits_for_memory: starves && self.status.has_issue("memory"),
            ..source
        }
    }
}

impl Generation {
    fn sink_overviews(&self, reading: &MetricReading) -> Vec<SinkOverview> {
        let most = (MOST_IN_ALL / self.sinks.len().max(1)).clamp(10, 100);
        let now = Instant::now();
        self.sinks.iter().map(|sink| sink.overview(reading, most, now)).collect()
    }
}

fn cut(mut units: UnitList, most: usize) -> UnitList {
    units.cut(most);
    units
}

/// When so many bytes are read, at this rate.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn catch_up(behind: Option<u64>, per_second: Option<f64>) -> Option<f64> {
    let (behind, per_second) = (behind.filter(|behind| *behind > 0)?, per_second.filter(|rate| *rate > 0.0)?);
    Some(behind as f64 / per_second)
}

#[expect(clippy::cast_possible_truncation, reason = "a time of this age")]
const fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

/// A configuration, in a few letters: equal for two that say the same. Secrets are not part of it.
fn hash(config: &Config) -> String {
    let hash = digest(&SHA256, format!("{config:?}").as_bytes());
    let short = hash.as_ref().first_chunk().copied().map_or(0, u32::from_be_bytes);
    format!("{short:08x}")
}
