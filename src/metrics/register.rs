//! Families, made and registered.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// A family as it is written: name without the common prefix, help, and labels.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

/// What the name of each family begins with.
pub(super) const PREFIX: &str = "standpipe_";

/// Makes and registers families under the common prefix.
pub(super) struct MetricRegistrar {
    pub(super) registry: Registry,
}

pub(super) const CONSTANT: &str = "metric names are constants that a test registers";

#[expect(clippy::expect_used, reason = "metric names are constants that a test registers")]
impl MetricRegistrar {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect(CONSTANT);
        self.register(collector.clone());
        collector
    }

    /// Registers what is there already.
    pub(super) fn register(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect(CONSTANT);
    }

    pub(super) fn counters(&self, family: &Family) -> IntCounterVec {
        self.add(IntCounterVec::new(family.opts(), family.labels))
    }

    pub(super) fn float_counters(&self, family: &Family) -> CounterVec {
        self.add(CounterVec::new(family.opts(), family.labels))
    }

    pub(super) fn gauge(&self, family: &Family) -> IntGauge {
        self.add(IntGauge::with_opts(family.opts()))
    }

    pub(super) fn gauges(&self, family: &Family) -> IntGaugeVec {
        self.add(IntGaugeVec::new(family.opts(), family.labels))
    }

    pub(super) fn float_gauges(&self, family: &Family) -> GaugeVec {
        self.add(GaugeVec::new(family.opts(), family.labels))
    }

    /// Gauges of which a series is shown only while it is not 0.
    pub(super) fn nonzero_gauges(&self, family: &Family) -> GaugeVec {
        let gauges = GaugeVec::new(family.opts(), family.labels).expect(CONSTANT);
        self.register(NonZeroGauges(gauges.clone()));
        gauges
    }

    /// For what takes from 10 ms to half a minute, such as a request.
    pub(super) fn histograms(&self, family: &Family) -> HistogramVec {
        self.with_buckets(&[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0], family)
    }

    /// For what takes from half a millisecond to seconds, such as a disk.
    pub(super) fn quick_histograms(&self, family: &Family) -> HistogramVec {
        self.with_buckets(
            &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
            family,
        )
    }

    fn with_buckets(&self, buckets: &[f64], family: &Family) -> HistogramVec {
        let opts = HistogramOpts::from(family.opts()).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, family.labels))
    }
}

impl Family {
    fn opts(&self) -> Opts {
        Opts::new(format!("{PREFIX}{}", self.name), self.help)
    }
}

struct NonZeroGauges(GaugeVec);

impl Collector for NonZeroGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for family in &mut families {
            let metrics = family.take_metric().into_iter();
            family.set_metric(metrics.filter(|metric| metric.get_gauge().get_value() != 0.0).collect());
        }
        families
    }
}

/// A count as the value of a gauge.
pub(crate) fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
