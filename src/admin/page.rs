//! The status page: what a person wants to see first, without scripts.

use crate::health::Status;
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
const SOURCE_COLUMNS: [(&str, &str); 4] = [
    ("events read", "standpipe_source_events_total"),
    ("bytes read", "standpipe_source_bytes_total"),
    ("bytes behind", "standpipe_file_behind_bytes"),
    ("lag, seconds", "standpipe_source_lag_seconds"),
];
const SINK_COLUMNS: [(&str, &str); 6] = [
    ("accepted", "standpipe_sink_accepted_events_total"),
    ("delivered", "standpipe_sink_delivered_events_total"),
    ("in flight", "standpipe_sink_in_flight_events"),
    ("payload bytes", "standpipe_sink_delivered_bytes_total"),
    ("billed bytes", "standpipe_sink_billed_bytes_total"),
    ("dead letter bytes", "standpipe_dead_letter_bytes"),
];

pub(super) fn html(metrics: &Metrics, status: &Status, summary: &Summary) -> String {
    let metrics = metrics.render().unwrap_or_default();
    let issues = status.issues();
    let state = if issues.is_empty() {
        "<p class=ok>No issues.</p>".to_owned()
    } else {
        format!(
            "<p class=bad>Needs attention:</p><ul><li>{}</ul>",
            escape(&issues.join("\n")).replace('\n', "<li>")
        )
    };
    let notes: Vec<String> = status.notes().iter().map(|note| format!("<p>{}</p>", escape(note))).collect();
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
        let cells: Vec<&str> =
            columns.iter().map(|(_, metric)| value(metrics, metric, label, name)).collect();
        format!("<tr><td>{}<td>{}", escape(name), cells.join("<td>"))
    };
    let rows: Vec<String> = names.iter().map(row).collect();
    format!("<table><tr><th>{heading}<th>{}{}</table>", heads.join("<th>"), rows.concat())
}

/// The value of one series in the text format.
fn value<'a>(metrics: &'a str, metric: &str, label: &str, name: &str) -> &'a str {
    let series = format!("{metric}{{{label}=\"{name}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("0")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
