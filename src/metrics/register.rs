//! Families, made and registered.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Makes and registers families under the common prefix.
pub(super) struct Maker {
    pub(super) registry: Registry,
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

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn float_counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::CounterVec {
        self.add(prometheus::CounterVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(Self::opts(name, help)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Self::opts(name, help), labels))
    }

    /// For what takes from 10 ms to half a minute, such as a request.
    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.with_buckets(&[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0], name, help, labels)
    }

    /// For what takes from half a millisecond to seconds, such as a disk.
    pub(super) fn quick_histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        self.with_buckets(&buckets, name, help, labels)
    }

    fn with_buckets(&self, buckets: &[f64], name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }
}
