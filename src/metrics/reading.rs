//! All values at one moment, to be asked by name: for what shows them to people.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::register::PREFIX;

/// All families at one moment.
#[derive(Debug)]
pub(crate) struct MetricReading(Vec<MetricFamily>);

impl MetricReading {
    pub(super) const fn new(families: Vec<MetricFamily>) -> Self {
        Self(families)
    }

    /// The sum of a family's series with this label; none: there is no such series. Without a label, of all.
    pub(crate) fn sum(&self, family: &str, label: Option<(&str, &str)>) -> Option<f64> {
        let is_named =
            |found: &&MetricFamily| found.name().strip_prefix(PREFIX).unwrap_or(found.name()) == family;
        let family = self.0.iter().find(is_named)?;
        let has_label = |metric: &&Metric| {
            label.is_none_or(|(name, value)| {
                metric.get_label().iter().any(|pair| pair.name() == name && pair.value() == value)
            })
        };
        let value = |metric: &Metric| match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            MetricType::GAUGE => metric.get_gauge().get_value(),
            MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => 0.0,
        };
        let mut values = family.get_metric().iter().filter(has_label).map(value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The counts of a family's series with this label, by the values of another.
    pub(crate) fn by(&self, family: &str, label: (&str, &str), by: &str) -> BTreeMap<String, u64> {
        let is_named = |found: &&MetricFamily| found.name().strip_prefix(PREFIX) == Some(family);
        let metrics = self.0.iter().filter(is_named).flat_map(MetricFamily::get_metric);
        let of = |metric: &Metric, name: &str| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == name)?;
            Some(pair.value().to_owned())
        };
        let of_label = metrics.filter(|metric| of(metric, label.0).as_deref() == Some(label.1));
        let count = |metric: &Metric| Some((of(metric, by)?, whole(metric.get_counter().get_value())));
        of_label.filter_map(count).collect()
    }

    /// The same of a count; 0 where there is none.
    pub(crate) fn count(&self, family: &str, label: Option<(&str, &str)>) -> u64 {
        whole(self.sum(family, label).unwrap_or(0.0))
    }
}

/// A counter's value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and not negative"
)]
pub(super) const fn whole(counter: f64) -> u64 {
    counter as u64
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn a_value_is_the_sum_of_what_has_the_label() {
        let metrics = Metrics::new();
        for (source, reason, times) in [("a", "open", 2), ("a", "read", 3), ("b", "open", 4)] {
            (0..times).for_each(|_| metrics.source(source).error(reason));
        }
        let reading = metrics.reading();
        assert_eq!(reading.sum("source_errors_total", Some(("source", "a"))), Some(5.0));
        assert_eq!(reading.sum("source_errors_total", Some(("source", "c"))), None);
        assert_eq!(reading.count("source_errors_total", None), 9);
        assert_eq!(reading.sum("nothing", None), None);
        let by_reason = reading.by("source_errors_total", ("source", "a"), "reason");
        assert_eq!(
            by_reason.into_iter().collect::<Vec<_>>(),
            [("open".to_owned(), 2), ("read".to_owned(), 3)]
        );
        assert!(reading.sum("process_start_time_seconds", None).is_some_and(|start| start > 1.7e9));
    }
}
