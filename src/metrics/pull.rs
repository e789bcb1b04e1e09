//! What a source of log groups shows beside what all sources do.

use prometheus::{GaugeVec, IntCounterVec};

use super::register::{Family, MetricRegistrar};

const SOURCE: &[&str] = &["source"];
const CALLS: Family = Family {
    name: "source_calls_total",
    help: "Calls of FilterLogEvents, by outcome.",
    labels: &["source", "outcome"],
};
const LATE: Family = Family {
    name: "source_late_seconds",
    help: "The longest time after its timestamp at which an event was ingested, of those read since the start.",
    labels: SOURCE,
};
const WINDOW: Family = Family {
    name: "source_late_window_seconds",
    help: "How late an event may come and still be found; less than `window` if there are too many to remember.",
    labels: SOURCE,
};
const POLL_AGE: Family = Family {
    name: "source_poll_age_seconds",
    help: "Age of the last whole poll of the log group that is furthest behind.",
    labels: SOURCE,
};
const GROUPS: Family =
    Family { name: "source_log_groups", help: "Log groups that are read.", labels: SOURCE };
const HELD: Family = Family {
    name: "source_log_groups_held",
    help: "Log groups that cannot be read at present.",
    labels: SOURCE,
};

/// The outcomes of a call.
const OUTCOMES: [&str; 3] = ["answered", "failed", "throttled"];

/// The families of sources of log groups.
#[derive(Clone, Debug)]
pub(super) struct PullFamilies {
    calls: IntCounterVec,
    gauges: [GaugeVec; 5],
}

/// What one source shows.
#[derive(Clone, Debug)]
pub struct PullMetrics {
    source: String,
    families: PullFamilies,
}

/// A gauge of a source of log groups.
#[derive(Clone, Copy, Debug)]
pub enum PullGauge {
    /// The largest lateness seen, in seconds.
    Late,
    /// The lateness that is found, in seconds.
    Window,
    /// The age of the oldest poll, in seconds.
    PollAge,
    /// How many log groups are read.
    Groups,
    /// How many of them cannot be.
    Held,
}

impl PullFamilies {
    pub(super) fn register(registrar: &MetricRegistrar) -> Self {
        let gauges = [&LATE, &WINDOW, &POLL_AGE, &GROUPS, &HELD].map(|family| registrar.float_gauges(family));
        Self { calls: registrar.counters(&CALLS), gauges }
    }

    pub(super) fn of(&self, source: &str) -> PullMetrics {
        PullMetrics { source: source.to_owned(), families: self.clone() }
    }
}

impl PullMetrics {
    /// Counts a call.
    pub fn call(&self, outcome: &str) {
        self.families.calls.with_label_values(&[self.source.as_str(), outcome]).inc();
    }

    /// Sets a gauge.
    pub fn set(&self, gauge: PullGauge, value: f64) {
        let [late, window, poll_age, groups, held] = &self.families.gauges;
        let family = match gauge {
            PullGauge::Late => late,
            PullGauge::Window => window,
            PullGauge::PollAge => poll_age,
            PullGauge::Groups => groups,
            PullGauge::Held => held,
        };
        family.with_label_values(&[self.source.as_str()]).set(value);
    }

    pub(super) fn announce(&self) {
        for outcome in OUTCOMES {
            self.families.calls.with_label_values(&[self.source.as_str(), outcome]);
        }
        for gauge in &self.families.gauges {
            gauge.with_label_values(&[self.source.as_str()]);
        }
    }

    pub(super) fn remove(&self) {
        for gauge in &self.families.gauges {
            // An error says that it is not shown.
            gauge.remove_label_values(&[self.source.as_str()]).ok();
        }
    }
}
