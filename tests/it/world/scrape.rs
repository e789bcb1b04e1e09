//! What /metrics says.

use std::collections::BTreeMap;

/// One scrape: each series' name with its labels, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    pub(crate) fn parse(text: String) -> Self {
        let series = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        Self { text, series }
    }

    /// The sum over the series of a name (without `standpipe_`) that have all of these labels, such as `sink="archive"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let matches = |series: &str| {
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            family.strip_prefix("standpipe_") == Some(name) && labels.iter().all(|label| rest.contains(label))
        };
        self.series.iter().filter(|(series, _)| matches(series)).map(|(_, value)| value).sum()
    }

    /// The same as a count.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and not negative"
    )]
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        self.sum(name, labels).round() as u64
    }

    /// Whether there is a series of the name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let whole = format!("standpipe_{name}");
        self.series.keys().any(|series| series.split('{').next() == Some(&whole))
    }

    /// What breaks the equations of conservation: per sink, and over all sources.
    pub(crate) fn leak(&self) -> Option<String> {
        let leaks = self.labels("sink_accepted_events_total", "sink").into_iter().filter_map(|sink| {
            let sum = |name: &str| self.sum(name, &[&format!("sink=\"{sink}\"")]);
            let accepted = sum("sink_accepted_events_total");
            let ended = sum("sink_delivered_events_total")
                + sum("dead_letter_events_total")
                + sum("sink_dropped_events_total")
                + sum("sink_returned_events_total");
            let in_flight = sum("sink_in_flight_events");
            differ(accepted, ended + in_flight).then(|| {
                format!("sink `{sink}` accepted {accepted}, ended {ended}, and has {in_flight} in flight")
            })
        });
        let sources = {
            let (read, routed) =
                (self.sum("source_events_total", &[]), self.sum("source_routed_events_total", &[]));
            let (filtered, undecodable) =
                (self.sum("filtered_events_total", &[]), self.sum("undecodable_total", &[]));
            differ(read, routed + filtered + undecodable).then(|| {
                format!("sources read {read}, routed {routed}, filtered {filtered}, could not decode {undecodable}")
            })
        };
        let leaks: Vec<String> = leaks.chain(sources).collect();
        (!leaks.is_empty()).then(|| leaks.join("; "))
    }

    fn labels(&self, name: &str, label: &str) -> Vec<String> {
        let whole = format!("standpipe_{name}{{");
        let of = |series: &String| {
            let rest = series.strip_prefix(&whole)?;
            let (_, value) = rest.split_once(&format!("{label}=\""))?;
            value.split('"').next().map(str::to_owned)
        };
        self.series.keys().filter_map(of).collect()
    }
}

/// Counts are whole numbers.
fn differ(left: f64, right: f64) -> bool {
    (left - right).abs() > 0.5
}
