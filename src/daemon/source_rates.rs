//! How fast each source of a generation is read: sampled once a second.

use tokio::time::Instant;

use crate::config::Config;
use crate::metrics::{Metrics, SourceMetrics};
use crate::overview::RateWindow;
use crate::sync::Lock;

/// The sources' rates.
#[derive(Debug)]
pub(crate) struct SourceRates(Vec<SampledSource>);

#[derive(Debug)]
struct SampledSource {
    name: String,
    metrics: SourceMetrics,
    /// The lock covers a sample, or a look.
    window: Lock<RateWindow<2>>,
}

impl SourceRates {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Self {
        let sampled = |name: &String| SampledSource {
            name: name.clone(),
            metrics: metrics.source(name),
            window: Lock::default(),
        };
        Self(config.sources.keys().map(sampled).collect())
    }

    /// To be called once a second.
    pub(crate) fn sample(&self, now: Instant) {
        for source in &self.0 {
            source.window.lock().sample(now, source.metrics.read_so_far());
        }
    }

    /// Events and bytes a second; none: not known yet.
    pub(crate) fn of(&self, name: &str) -> Option<[f64; 2]> {
        let source = self.0.iter().find(|source| source.name == name)?;
        source.window.lock().per_second()
    }
}
