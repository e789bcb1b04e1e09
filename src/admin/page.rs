//! The status page: what a person wants to see first, without scripts.

use crate::metrics::Metrics;

/// What is configured, by name.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The sources.
    pub sources: Vec<String>,
    /// The sinks.
    pub sinks: Vec<String>,
}

/// The columns of the tables: heading, metric, and whether it is in bytes.
const SOURCE_COLUMNS: [(&str, &str); 7] = [
    ("events read", "standpipe_source_events_total"),
    ("bytes read", "standpipe_source_bytes_total"),
    ("bytes behind", "standpipe_file_behind_bytes"),
    ("lag, seconds", "standpipe_source_lag_seconds"),
    ("bytes lost", "standpipe_file_lost_bytes_total"),
    ("undecodable", "standpipe_undecodable_total"),
    ("errors", "standpipe_source_errors_total"),
];
const SINK_COLUMNS: [(&str, &str); 9] = [
    ("accepted", "standpipe_sink_accepted_events_total"),
    ("delivered", "standpipe_sink_delivered_events_total"),
    ("in flight", "standpipe_sink_in_flight_events"),
    ("oldest, seconds", "standpipe_buffer_oldest_seconds"),
    ("dropped", "standpipe_sink_dropped_events_total"),
    ("dead letters", "standpipe_dead_letter_events_total"),
    ("payload bytes", "standpipe_sink_delivered_bytes_total"),
    ("billed bytes", "standpipe_sink_billed_bytes_total"),
    ("dead letter bytes", "standpipe_dead_letter_bytes"),
];

pub(super) fn html(metrics: &Metrics, issues: &[String], notes: &[String], summary: &Summary) -> String {
    let metrics = metrics.render().unwrap_or_default();
    let state = if issues.is_empty() {
        "<p class=ok>No issues.</p>".to_owned()
    } else {
        format!(
            "<p class=bad>Needs attention:</p><ul><li>{}</ul>",
            escape(&issues.join("\n")).replace('\n', "<li>")
        )
    };
    let notes: Vec<String> = notes.iter().map(|note| format!("<p>{}</p>", escape(note))).collect();
    let notes = notes.concat();
    let Summary { sources, sinks } = summary;
    let sources = table("Source", "source", sources, &SOURCE_COLUMNS, &metrics);
    let sinks = table("Sink", "sink", sinks, &SINK_COLUMNS, &metrics);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5><title>standpipe</title>\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse;margin:1rem 0}}td,th{{padding:.2rem .8rem;text-align:right;\
         border-bottom:1px solid #ccc}}td:first-child,th:first-child{{text-align:left}}.ok{{color:#276a2b}}\
         .bad{{color:#a3261b}}</style><h1>standpipe {}</h1>{state}{notes}{sources}{sinks}\
         <p><a href=/metrics>metrics</a> · <a href=/readyz>readiness</a></html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn table(heading: &str, label: &str, names: &[String], columns: &[(&str, &str)], metrics: &str) -> String {
    let heads: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let row = |name: &String| {
        let cells: Vec<String> =
            columns.iter().map(|(_, metric)| value(metrics, metric, label, name)).collect();
        format!("<tr><td>{}<td>{}", escape(name), cells.join("<td>"))
    };
    let rows: Vec<String> = names.iter().map(row).collect();
    format!("<table><tr><th>{heading}<th>{}{}</table>", heads.join("<th>"), rows.concat())
}

/// The sum of a family's series that have this label, in the text format.
fn value(metrics: &str, metric: &str, label: &str, name: &str) -> String {
    let label = format!("{label}=\"{name}\"");
    let of_series = |line: &str| {
        let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
        labels.split(',').any(|found| found == label).then(|| value.parse::<f64>().ok()).flatten()
    };
    let sum: f64 = metrics.lines().filter_map(of_series).sum();
    if sum.fract() == 0.0 { format!("{sum:.0}") } else { format!("{sum:.1}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_sum_of_what_has_the_label() {
        let metrics = "a_total{reason=\"x\",sink=\"s\"} 2\na_total{reason=\"y\",sink=\"s\"} 3\n\
                       a_total{reason=\"y\",sink=\"s2\"} 5\na_total_more{sink=\"s\"} 7\nb{sink=\"s\"} 1.25\n";
        let check = |metric: &str, name: &str, expected: &str| {
            assert_eq!(value(metrics, metric, "sink", name), expected);
        };
        check("a_total", "s", "5");
        check("a_total", "s2", "5");
        check("a_total", "none", "0");
        check("b", "s", "1.2");
    }
}
