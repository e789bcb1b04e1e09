//! The flow as a picture: sources, routes and destinations side by side, with lines between them; below each other where there is
//! little room.

use std::collections::BTreeMap;

use super::text::{StateLevel, each, escape, mark, rates};
use crate::overview::{
    DestinationOverview, DestinationState, Overview, RouteOverview, SinkOverview, SourceOverview,
    SourceState, words,
};

/// Most cards of a column; the rest is counted.
const MOST_CARDS: usize = 12;

/// The height of a card and the gap below it, as the style sheet has it.
const ROW: usize = 100;

/// What is behind by less than this is not worth a word.
const LATE: f64 = 60.0;

/// One column of cards.
#[derive(Default)]
struct FlowColumn {
    cards: Vec<String>,
    more: usize,
}

/// A sink, and one of its destinations; none: none is open.
type ShownCard<'a> = (&'a SinkOverview, Option<&'a DestinationOverview>);

/// A line from a card to one of the next column.
struct FlowLine {
    from: usize,
    to: usize,
    is_broken: bool,
}

pub(super) fn picture(overview: &Overview) -> String {
    let sources: Vec<&SourceOverview> = overview.sources.iter().take(MOST_CARDS).collect();
    let routes: Vec<&RouteOverview> = overview.routes.iter().take(MOST_CARDS).collect();
    let destinations = shown_destinations(overview);
    let columns = [
        FlowColumn {
            more: more(sources.len(), overview.sources.len(), overview.more_sources),
            cards: sources.iter().map(|source| of_source(source)).collect(),
        },
        FlowColumn {
            more: more(routes.len(), overview.routes.len(), overview.more_routes),
            cards: if routes.is_empty() {
                let words = "no routes: every source to every sink".to_owned();
                vec![card(StateLevel::Good, "all to all", "", &[words])]
            } else {
                routes.iter().map(|route| of_route(route)).collect()
            },
        },
        FlowColumn {
            more: more(destinations.len(), listed(overview), left_out(overview)),
            cards: destinations
                .iter()
                .map(|(sink, destination)| of_destination(sink, *destination))
                .collect(),
        },
    ];
    let rows = columns.iter().map(|column| column.cards.len()).max().unwrap_or(1).max(1);
    let [first, second, third] = &columns;
    format!(
        "<section class=flow aria-label=\"The flow\">{}{}{}{}{}</section>",
        column("Sources", first),
        lines(&to_routes(&sources, &routes), rows),
        column("Routes", second),
        lines(&to_destinations(&routes, &destinations), rows),
        column("Destinations", third)
    )
}

/// How many are left out, of so many that are listed and so many that are not.
fn more(shown: usize, listed: usize, more: u64) -> usize {
    listed.saturating_sub(shown).saturating_add(usize::try_from(more).unwrap_or(usize::MAX))
}

/// How many destinations are listed; a sink without any counts as one.
fn listed(overview: &Overview) -> usize {
    overview.sinks.iter().map(|sink| sink.destinations.len().max(1)).sum()
}

fn left_out(overview: &Overview) -> u64 {
    overview.sinks.iter().map(|sink| sink.more_destinations).sum()
}

fn to_routes(sources: &[&SourceOverview], routes: &[&RouteOverview]) -> Vec<FlowLine> {
    let line = |from, to| FlowLine { from, to, is_broken: false };
    if routes.is_empty() {
        return (0..sources.len()).map(|from| line(from, 0)).collect();
    }
    let of_route = |(to, route): (usize, &&RouteOverview)| {
        let takes = |source: &SourceOverview| route.from.is_empty() || route.from.contains(&source.name);
        let from = sources.iter().enumerate().filter(|(_, source)| takes(source));
        from.map(|(from, _)| line(from, to)).collect::<Vec<_>>()
    };
    routes.iter().enumerate().flat_map(of_route).collect()
}

fn to_destinations(routes: &[&RouteOverview], destinations: &[ShownCard<'_>]) -> Vec<FlowLine> {
    let line = |from, (to, (_, destination)): (usize, &ShownCard<'_>)| FlowLine {
        from,
        to,
        is_broken: is_broken(*destination),
    };
    if routes.is_empty() {
        return destinations.iter().enumerate().map(|card| line(0, card)).collect();
    }
    let of_route = |(from, route): (usize, &&RouteOverview)| {
        let to = destinations.iter().enumerate().filter(|(_, (sink, _))| route.to.contains(&sink.name));
        to.map(|card| line(from, card)).collect::<Vec<_>>()
    };
    routes.iter().enumerate().flat_map(of_route).collect()
}

/// One of each sink at least, and of all those that are listed the worst.
fn shown_destinations(overview: &Overview) -> Vec<ShownCard<'_>> {
    let mut shown: BTreeMap<(usize, usize), _> = BTreeMap::new();
    for (number, sink) in overview.sinks.iter().enumerate() {
        shown.insert((number, 0), (sink, sink.destinations.first()));
    }
    let rest = overview.sinks.iter().enumerate().flat_map(|(number, sink)| {
        let others = sink.destinations.iter().enumerate().skip(1);
        others.map(move |(index, destination)| (destination.state, index, number, sink, destination))
    });
    let mut rest: Vec<_> = rest.collect();
    rest.sort_by_key(|(state, index, number, ..)| (*state, *index, *number));
    for (_, index, number, sink, destination) in rest.into_iter().take(MOST_CARDS.saturating_sub(shown.len()))
    {
        shown.insert((number, index), (sink, Some(destination)));
    }
    shown.into_values().take(MOST_CARDS).collect()
}

fn is_broken(destination: Option<&DestinationOverview>) -> bool {
    destination.is_some_and(|destination| destination.state.accepts_nothing())
}

fn column(heading: &str, column: &FlowColumn) -> String {
    let more = match column.more {
        0 => String::new(),
        more => format!("<p class=more>and {more} more, see the tables</p>"),
    };
    format!("<div class=column><h2>{heading}</h2>{}{more}</div>", column.cards.concat())
}

/// Lines between two columns, in a picture that is as high as the highest column and as wide as there is room.
fn lines(lines: &[FlowLine], rows: usize) -> String {
    let height = rows.saturating_mul(ROW);
    let middle = |row: usize| row.saturating_mul(ROW).saturating_add(ROW / 2);
    let line = |line: &FlowLine| {
        let (from, to) = (middle(line.from), middle(line.to));
        let class = if line.is_broken { " class=broken" } else { "" };
        format!("<path{class} d=\"M0 {from}C50 {from} 50 {to} 100 {to}\"/>")
    };
    let paths = each(lines, line);
    format!(
        "<svg class=lines aria-hidden=true viewBox=\"0 0 100 {height}\" preserveAspectRatio=none \
         style=\"height:calc(var(--row)*{rows})\">{paths}</svg>"
    )
}

fn of_source(source: &SourceOverview) -> String {
    let (level, state) = source_state(source);
    let mut lines = vec![rates(source.bytes_per_second, source.events_per_second)];
    lines.push(match source.behind_bytes {
        Some(0) => "nothing unread".to_owned(),
        Some(bytes) => {
            let caught_up =
                source.catch_up_seconds.map(|seconds| format!(", {} to catch up", words::duration(seconds)));
            format!("{} unread{}", words::size(float(bytes)), caught_up.unwrap_or_default())
        }
        None => match source.behind_seconds {
            Some(seconds) => format!("{} behind", words::duration(seconds)),
            None => format!("{} events read", words::count(float(source.events))),
        },
    });
    lines.push(state);
    card_of_lines(level, &source.name, &source.kind, &lines)
}

/// How a source is: by its issues, and by how far it is behind.
pub(super) fn source_state(source: &SourceOverview) -> (StateLevel, String) {
    let oldest = source.oldest_unacknowledged_seconds;
    let oldest = words::duration(oldest);
    let (level, words) = match source.state() {
        SourceState::InTrouble(issue) => (StateLevel::Bad, issue.to_owned()),
        SourceState::HeldUp(hold) => {
            let level = if hold.is_everywhere { StateLevel::Bad } else { StateLevel::Warning };
            (level, hold.words())
        }
        SourceState::Waiting => (StateLevel::Warning, format!("waits for a destination, oldest {oldest}")),
        SourceState::Starved => (StateLevel::Warning, format!("waits for memory, oldest {oldest}")),
        SourceState::Late => (StateLevel::Warning, format!("oldest undelivered {oldest}")),
        SourceState::Delivering => (StateLevel::Good, "delivering".to_owned()),
        SourceState::Buffered(bytes) => {
            (StateLevel::Good, format!("all read; {} on disk", words::size(float(bytes))))
        }
        SourceState::Delivered => (StateLevel::Good, "all delivered".to_owned()),
    };
    (level, mark(level, &words))
}

fn of_route(route: &RouteOverview) -> String {
    let to = if route.to.is_empty() { "dropped".to_owned() } else { route.to.join(", ") };
    let from = if route.from.is_empty() { "all sources".to_owned() } else { route.from.join(", ") };
    let when = if route.when.is_empty() { "everything".to_owned() } else { format!("when {}", route.when) };
    let dropped = match route.dropped {
        0 => String::new(),
        dropped => format!(", {} dropped", words::count(float(dropped))),
    };
    let name = format!("route {}", route.number);
    card(StateLevel::Good, &name, "", &[format!("{from} → {to}{dropped}"), when])
}

fn of_destination(sink: &SinkOverview, destination: Option<&DestinationOverview>) -> String {
    let Some(destination) = destination else {
        return card(StateLevel::Good, &sink.name, &sink.kind, &["nothing was sent yet".to_owned()]);
    };
    let (level, state) = destination_state(destination);
    let place: Vec<&str> =
        [Some(destination.stream.as_str()), destination.account.as_deref(), destination.region.as_deref()]
            .into_iter()
            .flatten()
            .collect();
    let waits = format!(
        "{} wait, oldest {}",
        words::size(float(destination.pending_bytes)),
        words::duration(destination.oldest_seconds)
    );
    let rate = rates(destination.bytes_per_second, destination.events_per_second);
    card_of_lines(level, &sink.name, &place.join(" · "), &[escape(&rate), escape(&waits), state])
}

/// How a destination is: its state with the reason.
pub(super) fn destination_state(destination: &DestinationOverview) -> (StateLevel, String) {
    let (level, word) = match destination.state {
        DestinationState::Held => {
            (StateLevel::Bad, format!("held: {}", destination.reason.as_deref().unwrap_or_default()))
        }
        DestinationState::Failing => (StateLevel::Bad, "failing".to_owned()),
        DestinationState::Busy => (StateLevel::Warning, "as much as it can take".to_owned()),
        DestinationState::Working if destination.oldest_seconds >= LATE => {
            (StateLevel::Warning, "late".to_owned())
        }
        DestinationState::Working => (StateLevel::Good, "working".to_owned()),
    };
    (level, mark(level, &word))
}

fn card(level: StateLevel, name: &str, below: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
    card_of_lines(level, name, below, &lines)
}

/// The lines are escaped, or are elements.
fn card_of_lines(level: StateLevel, name: &str, below: &str, lines: &[String]) -> String {
    let lines = each(lines, |line| format!("<p>{line}</p>"));
    let (class, name, below) = (level.class(), escape(name), escape(below));
    format!("<article class=\"card {class}\"><h3>{name} <small>{below}</small></h3>{lines}</article>")
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_destination_is_shown_of_however_many_and_its_line_is_broken() {
        let destination = |number: usize| DestinationOverview {
            stream: format!("logs-{number}"),
            state: if number == 30 { DestinationState::Held } else { DestinationState::Working },
            reason: (number == 30).then(|| "access_denied".to_owned()),
            ..DestinationOverview::default()
        };
        let mut sink = SinkOverview {
            name: "archive".to_owned(),
            destinations: (0..60).map(destination).collect(),
            ..SinkOverview::default()
        };
        sink.cut(40);
        let overview = Overview {
            sources: vec![SourceOverview { name: "<app>".to_owned(), ..SourceOverview::default() }],
            sinks: vec![sink],
            ..Overview::default()
        };
        let html = picture(&overview);
        assert!(html.contains("✖</span> held: access_denied"), "{html}");
        assert_eq!(html.matches("<path class=broken").count(), 1, "{html}");
        assert!(html.contains("and 48 more, see the tables"), "{html}");
        assert!(html.contains("&lt;app&gt;") && !html.contains("<app>"), "{html}");
    }
}
