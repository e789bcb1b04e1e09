//! The status as tables for people.

use std::io::{self, Write};

use crate::cli::state::printable;
use crate::cli::table::{self, row};
use crate::overview::{
    DestinationOverview, DestinationState, Overview, SinkOverview, SourceOverview, SourceState, SourceUnit,
    UnitState, words,
};

/// Units of a source that are shown unless all are asked for: those in trouble, and of the others so many that are behind.
const MOST_UNITS: usize = 5;

pub(super) fn write(overview: &Overview, all_units: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "standpipe {} ({}) on {}: {}, up for {}, configured {} ago, memory {} of {}",
        printable(&overview.version),
        printable(&overview.revision),
        printable(&overview.host),
        if overview.ready { "ready" } else { "needs attention" },
        overview.age(overview.started),
        overview.age(overview.configured),
        size(overview.memory_bytes),
        size(overview.memory_limit_bytes)
    )?;
    issues(overview, out)?;
    writeln!(out, "\nsources")?;
    let heads = row(["NAME", "TYPE", "EVENTS/S", "RATE", "UNREAD", "OLDEST", "LOST", "STATE"]);
    let rows: Vec<_> = overview.sources.iter().map(source).collect();
    table::write(out, &[vec![heads], rows].concat())?;
    more(overview.more_sources, "source", out)?;
    for source in &overview.sources {
        units(source, all_units, out)?;
    }
    writeln!(out, "\ndestinations")?;
    let heads = row([
        "SINK", "STREAM", "ACCOUNT", "REGION", "RATE", "REFUSED", "WAITING", "OLDEST", "BILLED", "STATE",
    ]);
    let rows: Vec<_> = overview.sinks.iter().flat_map(destinations).collect();
    table::write(out, &[vec![heads], rows].concat())?;
    more(overview.sinks.iter().map(|sink| sink.more_destinations).sum(), "destination", out)?;
    for sink in &overview.sinks {
        if let Some(disk) = sink.disk {
            writeln!(
                out,
                "  disk buffer of {}: {} of {}",
                printable(&sink.name),
                size(disk.bytes),
                size(disk.max_bytes)
            )?;
        }
        for destination in sink.destinations.iter().filter(|destination| destination.issue.is_some()) {
            trouble(sink, destination, out)?;
        }
    }
    Ok(())
}

fn issues(overview: &Overview, out: &mut impl Write) -> io::Result<()> {
    for issue in &overview.issues {
        writeln!(out, "  ! {}", printable(issue))?;
    }
    more(overview.more_issues, "issue", out)?;
    for note in &overview.notes {
        writeln!(out, "  note: {}", printable(note))?;
    }
    Ok(())
}

fn more(count: u64, what: &str, out: &mut impl Write) -> io::Result<()> {
    if count == 0 { Ok(()) } else { writeln!(out, "  and {} more", table::count(count, what)) }
}

fn source(source: &SourceOverview) -> Vec<String> {
    let unread = match (source.behind_bytes, source.behind_seconds) {
        (Some(bytes), _) => size(bytes),
        (None, Some(behind)) => words::duration(behind),
        (None, None) => "-".to_owned(),
    };
    let caught_up =
        source.catch_up_seconds.map(|seconds| format!("caught up in {}", words::duration(seconds)));
    let state = match source.state() {
        SourceState::InTrouble(_) => "needs attention".to_owned(),
        SourceState::HeldUp(hold) => printable(&hold.words()),
        SourceState::Waiting => "waits for a destination".to_owned(),
        SourceState::Starved => "waits for memory".to_owned(),
        SourceState::Late => caught_up.unwrap_or_else(|| "late".to_owned()),
        SourceState::Delivering => caught_up.unwrap_or_else(|| "delivering".to_owned()),
        SourceState::Buffered(bytes) => format!("read; {} on disk", size(bytes)),
        SourceState::Delivered => caught_up.unwrap_or_else(|| "all delivered".to_owned()),
    };
    vec![
        printable(&source.name),
        printable(&source.kind),
        source.events_per_second.map_or_else(unknown, words::count),
        per_second(source.bytes_per_second),
        unread,
        words::duration(source.oldest_unacknowledged_seconds),
        size(source.lost_bytes),
        state,
    ]
}

fn units(source: &SourceOverview, all: bool, out: &mut impl Write) -> io::Result<()> {
    let Some(list) = &source.units else { return Ok(()) };
    let in_trouble = |unit: &&SourceUnit| unit.state < UnitState::Waiting;
    let is_behind = |unit: &&SourceUnit| in_trouble(unit) || unit.behind_bytes.unwrap_or(0) > 0;
    let shown: Vec<&SourceUnit> = if all {
        list.listed.iter().collect()
    } else {
        list.listed.iter().filter(is_behind).take(MOST_UNITS).collect()
    };
    if shown.is_empty() {
        return Ok(());
    }
    let number = (list.listed.len() as u64).saturating_add(list.more);
    writeln!(out, "\n{} of {}: {number}", printable(&list.what), printable(&source.name))?;
    let heads = row(["NAME", "STATE", "READ", "DELIVERED", "SIZE", "BEHIND"]);
    let rows: Vec<_> = shown.iter().map(|found| unit(found)).collect();
    let left_out = number.saturating_sub(rows.len() as u64);
    table::write(out, &[vec![heads], rows].concat())?;
    if left_out > 0 { writeln!(out, "  and {left_out} more") } else { Ok(()) }
}

fn unit(unit: &SourceUnit) -> Vec<String> {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(unknown, size);
    let behind = match (unit.behind_bytes, unit.behind_seconds) {
        (None, Some(behind)) => words::duration(behind),
        (behind, _) => bytes(behind),
    };
    vec![
        printable(&unit.name),
        unit.state.word().to_owned(),
        bytes(unit.position),
        bytes(unit.delivered),
        bytes(unit.size),
        behind,
    ]
}

fn destinations(sink: &SinkOverview) -> Vec<Vec<String>> {
    if sink.destinations.is_empty() {
        let mut cells = vec![printable(&sink.name)];
        cells.extend((0..8).map(|_| unknown()));
        cells.push("nothing was sent yet".to_owned());
        return vec![cells];
    }
    sink.destinations.iter().map(|found| destination(sink, found)).collect()
}

fn destination(sink: &SinkOverview, destination: &DestinationOverview) -> Vec<String> {
    let text = |text: &Option<String>| text.as_deref().map_or_else(unknown, printable);
    let state = match destination.state {
        DestinationState::Held => format!("held: {}", text(&destination.reason)),
        state @ (DestinationState::Failing | DestinationState::Busy | DestinationState::Working) => {
            match destination.rate_limit {
                Some(limit) => format!("{}, limited to {}/s", state.word(), size(limit)),
                None => state.word().to_owned(),
            }
        }
    };
    vec![
        printable(&sink.name),
        printable(&destination.stream),
        text(&destination.account),
        text(&destination.region),
        per_second(destination.bytes_per_second),
        words::count(float(destination.refused_records)),
        size(destination.pending_bytes),
        words::duration(destination.oldest_seconds),
        destination.billed_ratio().map_or_else(unknown, |ratio| format!("{ratio:.3}")),
        state,
    ]
}

fn trouble(sink: &SinkOverview, destination: &DestinationOverview, out: &mut impl Write) -> io::Result<()> {
    let name = format!("{} ({})", printable(&sink.name), printable(&destination.stream));
    if let Some(issue) = &destination.issue {
        writeln!(out, "\n{name}: {}", printable(issue))?;
    }
    match &destination.fix {
        Some(fix) => writeln!(out, "  fix: {}", printable(fix)),
        None => Ok(()),
    }
}

fn unknown() -> String {
    "-".to_owned()
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(unknown, |rate| format!("{}/s", words::size(rate)))
}

fn size(bytes: u64) -> String {
    words::size(float(bytes))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::UnitList;

    #[test]
    fn what_is_in_trouble_is_shown_with_its_fix_and_harms_no_terminal() {
        let file = |name: &str, state, behind| SourceUnit {
            name: name.to_owned(),
            state,
            behind_bytes: Some(behind),
            ..SourceUnit::default()
        };
        let units = UnitList {
            what: "files".to_owned(),
            listed: vec![
                file("/a\u{1b}[2J", UnitState::Unreadable, 0),
                file("/b", UnitState::Reading, 2048),
                file("/c", UnitState::Reading, 0),
            ],
            more: 7,
        };
        let destination = DestinationOverview {
            stream: "logs".to_owned(),
            account: Some("222222222222".to_owned()),
            state: DestinationState::Held,
            reason: Some("access_denied".to_owned()),
            issue: Some("not allowed".to_owned()),
            fix: Some("allow it".to_owned()),
            ..DestinationOverview::default()
        };
        let overview = Overview {
            sources: vec![SourceOverview {
                name: "app".to_owned(),
                behind_bytes: Some(2048),
                units: Some(units),
                ..SourceOverview::default()
            }],
            sinks: vec![SinkOverview {
                name: "archive".to_owned(),
                destinations: vec![destination],
                ..SinkOverview::default()
            }],
            ..Overview::default()
        };
        let mut out = Vec::new();
        write(&overview, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "/a\\u{1b}[2J  unreadable",
            "/b",
            "files of app: 10",
            "and 8 more",
            "222222222222",
            "held: access_denied",
            "fix: allow it",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("/c") && !text.contains('\u{1b}'), "{text}");
    }
}
