//! The tables of the page: destinations, and what each source reads from.

use super::flow::{destination_state, float, source_state};
use super::text::{StateLevel, each, escape};
use crate::overview::{
    DestinationOverview, Overview, SinkOverview, SourceOverview, SourceUnit, UnitState, words,
};

/// Most rows of destinations; `/status.json` has more.
const MOST_ROWS: usize = 100;

const DESTINATION_HEADS: [&str; 10] = [
    "Sink",
    "Stream",
    "Account",
    "Region",
    "State",
    "Rate",
    "Refused",
    "Waiting",
    "Oldest",
    "Billed / payload",
];

pub(super) fn destinations(overview: &Overview) -> String {
    let all = overview.sinks.iter().flat_map(|sink| sink.destinations.iter().map(move |found| (sink, found)));
    let mut all: Vec<_> = all.collect();
    // In the order of their sinks, the worst first.
    all.sort_by_key(|(_, destination)| destination.state);
    let left_out: u64 = overview.sinks.iter().map(|sink| sink.more_destinations).sum();
    let left_out = left_out.saturating_add(all.len().saturating_sub(MOST_ROWS) as u64);
    let rows = each(all.iter().take(MOST_ROWS), |(sink, destination)| row(sink, destination));
    let more = match left_out {
        0 => String::new(),
        more => format!("<p class=more>and {more} more in <a href=/status.json>/status.json</a></p>"),
    };
    if rows.is_empty() {
        return "<section><h2>Destinations</h2><p>None is open: nothing was sent yet.</p></section>"
            .to_owned();
    }
    let heads = each(DESTINATION_HEADS, |head| format!("<th scope=col>{head}"));
    format!(
        "<section><h2>Destinations</h2><table class=wide><thead><tr>{heads}<tbody>{rows}</table>{more}</section>"
    )
}

fn row(sink: &SinkOverview, destination: &DestinationOverview) -> String {
    let (level, state) = destination_state(destination);
    let rate = destination.bytes_per_second.map(|rate| format!("{}/s", words::size(rate)));
    let limit = destination.rate_limit.map(|limit| format!(", limited to {}/s", words::size(float(limit))));
    let disk = match sink.disk {
        Some(disk) => format!(
            ", {} of {} disk buffer",
            words::size(float(disk.bytes)),
            words::size(float(disk.max_bytes))
        ),
        None => String::new(),
    };
    let ratio = destination.billed_ratio().map(|ratio| format!("{ratio:.3}"));
    let own = "the credentials' own".to_owned();
    let cells = [
        escape(&sink.name),
        escape(&destination.stream),
        escape(destination.account.as_ref().unwrap_or(&own)),
        escape(destination.region.as_deref().unwrap_or("–")),
        state,
        escape(&format!("{}{}", rate.unwrap_or_else(|| "–".to_owned()), limit.unwrap_or_default())),
        format!("{} records", words::count(float(destination.refused_records))),
        escape(&format!("{}{disk}", words::size(float(destination.pending_bytes)))),
        words::duration(destination.oldest_seconds),
        ratio.unwrap_or_else(|| "–".to_owned()),
    ];
    let cells = DESTINATION_HEADS.iter().zip(cells);
    let cells = each(cells, |(head, cell)| format!("<td data-head=\"{head}\">{cell}"));
    format!("<tr class={}>{cells}{}", level.class(), trouble(destination))
}

/// What is wrong and what to do, in a row of its own.
fn trouble(destination: &DestinationOverview) -> String {
    let Some(issue) = &destination.issue else { return String::new() };
    let fix = destination.fix.as_ref().map(|fix| format!("<br><strong>Fix:</strong> {}", escape(fix)));
    let columns = DESTINATION_HEADS.len();
    format!("<tr class=trouble><td colspan={columns}>{}{}", escape(issue), fix.unwrap_or_default())
}

/// What each source reads from: closed, but where something is in trouble.
pub(super) fn sources(overview: &Overview) -> String {
    let of_each = each(&overview.sources, source);
    format!("<section><h2>Sources</h2>{of_each}</section>")
}

fn source(source: &SourceOverview) -> String {
    let (level, state) = source_state(source);
    let read =
        format!("{} events, {} read", words::count(float(source.events)), words::size(float(source.bytes)));
    let counts =
        [("bytes lost", source.lost_bytes), ("undecodable", source.undecodable), ("errors", source.errors)];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let counts: String = each(counts, |(what, count)| format!(", {} {what}", words::count(float(*count))));
    let (open, name) = (if level == StateLevel::Good { "" } else { " open" }, escape(&source.name));
    let issues = each(&source.issues, |issue| format!("<p>{}</p>", escape(issue)));
    let fix = source.held_by.as_ref().and_then(|hold| hold.fix.as_ref());
    let fix = each(fix, |fix| format!("<p><strong>Fix:</strong> {}</p>", escape(fix)));
    let kind = escape(&source.kind);
    let units = source.units.as_ref().map_or_else(String::new, |units| {
        let rows = each(&units.listed, unit);
        let more = match units.more {
            0 => String::new(),
            more => format!("<p class=more>and {more} more {}</p>", escape(&units.what)),
        };
        let heads =
            "<th scope=col>Name<th scope=col>State<th scope=col>Read<th scope=col>Size<th scope=col>Behind";
        format!("<table class=wide><thead><tr>{heads}<tbody>{rows}</table>{more}")
    });
    format!(
        "<details{open}><summary>{name} <small>{kind}</small> {state} <small>{read}{counts}</small></summary>{issues}{fix}{units}</details>"
    )
}

fn unit(unit: &SourceUnit) -> String {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), |bytes| words::size(float(bytes)));
    let behind = match (unit.behind_bytes, unit.behind_seconds) {
        (Some(behind), _) => words::size(float(behind)),
        (None, Some(seconds)) => words::duration(seconds),
        (None, None) => "–".to_owned(),
    };
    let class = match unit.state {
        UnitState::Unreadable => " class=bad",
        UnitState::Blocked | UnitState::Held | UnitState::Foreign => " class=warning",
        UnitState::Waiting
        | UnitState::Rotated
        | UnitState::New
        | UnitState::Reading
        | UnitState::Finished => "",
    };
    format!(
        "<tr{class}><td data-head=Name class=name>{}<td data-head=State>{}<td data-head=Read>{}<td data-head=Size>{}<td data-head=Behind>{behind}",
        escape(&unit.name),
        unit.state.word(),
        bytes(unit.position),
        bytes(unit.size)
    )
}
