//! What a source of a Kinesis stream shows beside what all sources do.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec};

use super::announce::SharedLeases;
use super::register::{Family, MetricRegistrar};

const SOURCE: &[&str] = &["source"];
const SHARDS: Family = Family {
    name: "source_shards",
    help: "Shards whose leases this process has: `held` are read, `waiting` wait for what they came from, `finished` are done.",
    labels: &["source", "state"],
};
const BEHIND: Family = Family {
    name: "source_behind_seconds",
    help: "How far the newest record of a shard is ahead of what was read, for the shard that is furthest behind.",
    labels: SOURCE,
};
const RENEW: Family = Family {
    name: "lease_write_seconds",
    help: "Time that a write to a lease took: a renewal, or a position.",
    labels: SOURCE,
};
const TAKEN: Family = Family {
    name: "lease_taken_total",
    help: "Leases that were taken, free ones and stolen ones.",
    labels: SOURCE,
};
const STOLEN: Family = Family {
    name: "lease_stolen_total",
    help: "Leases that were taken from a worker that had more than its share.",
    labels: SOURCE,
};
const LOST: Family = Family {
    name: "lease_lost_total",
    help: "Leases that another worker took while this one read.",
    labels: SOURCE,
};

/// The families of sources of Kinesis streams.
#[derive(Clone, Debug)]
pub(super) struct StreamFamilies {
    shards: GaugeVec,
    behind: GaugeVec,
    writes: HistogramVec,
    taken: IntCounterVec,
    stolen: IntCounterVec,
    lost: IntCounterVec,
}

/// What one source shows.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    source: String,
    families: StreamFamilies,
}

/// Shards by what they do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ShardCounts {
    /// They are read.
    pub held: u32,
    /// What they came from is not done.
    pub waiting: u32,
    /// All of them is done.
    pub finished: u32,
}

impl StreamFamilies {
    pub(super) fn register(registrar: &MetricRegistrar) -> Self {
        Self {
            shards: registrar.float_gauges(&SHARDS),
            behind: registrar.float_gauges(&BEHIND),
            writes: registrar.histograms(&RENEW),
            taken: registrar.counters(&TAKEN),
            stolen: registrar.counters(&STOLEN),
            lost: registrar.counters(&LOST),
        }
    }

    pub(super) fn of(&self, source: &str) -> StreamMetrics {
        StreamMetrics { source: source.to_owned(), families: self.clone() }
    }
}

impl StreamMetrics {
    /// A lease was taken.
    pub fn taken(&self, is_stolen: bool) {
        self.families.taken.with_label_values(&[self.source.as_str()]).inc();
        if is_stolen {
            self.families.stolen.with_label_values(&[self.source.as_str()]).inc();
        }
    }

    /// Another took a lease.
    pub fn lost(&self) {
        self.families.lost.with_label_values(&[self.source.as_str()]).inc();
    }

    /// A lease was written to.
    pub fn renewed(&self, took: Duration) {
        self.families.writes.with_label_values(&[self.source.as_str()]).observe(took.as_secs_f64());
    }

    /// Sets the gauges.
    pub fn set(&self, counts: ShardCounts, behind: f64) {
        let ShardCounts { held, waiting, finished } = counts;
        for (state, count) in [("held", held), ("waiting", waiting), ("finished", finished)] {
            self.families.shards.with_label_values(&[self.source.as_str(), state]).set(f64::from(count));
        }
        self.families.behind.with_label_values(&[self.source.as_str()]).set(behind);
    }

    pub(super) fn announce(&self, shared: SharedLeases) {
        self.set(ShardCounts::default(), 0.0);
        if shared == SharedLeases::No {
            return;
        }
        for counters in [&self.families.taken, &self.families.stolen, &self.families.lost] {
            counters.with_label_values(&[self.source.as_str()]);
        }
        self.families.writes.with_label_values(&[self.source.as_str()]);
    }

    pub(super) fn remove(&self) {
        for state in ["held", "waiting", "finished"] {
            // An error says that it is not shown.
            self.families.shards.remove_label_values(&[self.source.as_str(), state]).ok();
        }
        self.families.behind.remove_label_values(&[self.source.as_str()]).ok();
    }
}
