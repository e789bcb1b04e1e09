//! The columns of the tables, and how many of them there is room for.

use super::screen::ShownDestination;
use crate::cli::state::printable;
use crate::overview::{DestinationOverview, DestinationState, SourceOverview, SourceState, words};

/// A column of a table of `T`.
pub(super) struct TopColumn<T> {
    pub(super) title: &'static str,
    pub(super) width: u16,
    /// The narrowest terminal that has room for it.
    pub(super) from: u16,
    pub(super) cell: fn(&T) -> String,
}

/// Of sources. The first takes the width that is left.
pub(super) fn of_sources<'a>() -> [TopColumn<&'a SourceOverview>; 8] {
    [
        TopColumn { title: "SOURCE", width: 12, from: 0, cell: |source| printable(&source.name) },
        TopColumn { title: "TYPE", width: 15, from: 100, cell: |source| printable(&source.kind) },
        TopColumn { title: "STATE", width: 15, from: 0, cell: |source| source_state(source) },
        TopColumn { title: "EVENTS/S", width: 8, from: 80, cell: |source| count(source.events_per_second) },
        TopColumn { title: "RATE", width: 11, from: 50, cell: |source| per_second(source.bytes_per_second) },
        TopColumn { title: "UNREAD", width: 9, from: 60, cell: |source| unread(source) },
        TopColumn { title: "CATCH UP", width: 8, from: 110, cell: |source| seconds(source.catch_up_seconds) },
        TopColumn {
            title: "OLDEST",
            width: 8,
            from: 0,
            cell: |source| words::duration(source.oldest_unacknowledged_seconds),
        },
    ]
}

/// Of destinations. The first takes the width that is left.
pub(super) fn of_destinations<'a>() -> [TopColumn<ShownDestination<'a>>; 10] {
    [
        TopColumn {
            title: "DESTINATION",
            width: 14,
            from: 0,
            cell: |(sink, destination)| name(&sink.name, destination),
        },
        TopColumn {
            title: "ACCOUNT",
            width: 12,
            from: 110,
            cell: |(_, destination)| text(destination.account.as_deref()),
        },
        TopColumn {
            title: "REGION",
            width: 14,
            from: 130,
            cell: |(_, destination)| text(destination.region.as_deref()),
        },
        TopColumn {
            title: "STATE",
            width: 15,
            from: 0,
            cell: |(_, destination)| destination_state(destination),
        },
        TopColumn {
            title: "RATE",
            width: 11,
            from: 51,
            cell: |(_, destination)| per_second(destination.bytes_per_second),
        },
        TopColumn {
            title: "REFUSED/S",
            width: 9,
            from: 80,
            cell: |(_, destination)| count(destination.refused_per_second),
        },
        TopColumn {
            title: "WAITING",
            width: 9,
            from: 90,
            cell: |(_, destination)| words::size(float(destination.pending_bytes)),
        },
        TopColumn {
            title: "BILLED/DAY",
            width: 10,
            from: 100,
            cell: |(_, destination)| billed_a_day(destination),
        },
        TopColumn { title: "FACTOR", width: 6, from: 120, cell: |(_, destination)| factor(destination) },
        TopColumn {
            title: "OLDEST",
            width: 8,
            from: 0,
            cell: |(_, destination)| words::duration(destination.oldest_seconds),
        },
    ]
}

/// What is older than this stands out.
const LATE: f64 = 60.0;

/// In a word, and for one that is held up the sink that does it.
pub(super) fn source_state(source: &SourceOverview) -> String {
    let word = match source.state() {
        SourceState::InTrouble(_) => "! attention",
        SourceState::HeldUp(hold) if hold.is_everywhere => {
            return format!("! {}: {}", hold.state.word(), printable(&hold.sink));
        }
        SourceState::HeldUp(_) | SourceState::Waiting => "~ waits",
        SourceState::Starved => "~ no memory",
        SourceState::Late => "~ late",
        SourceState::Delivering => "delivering",
        SourceState::Buffered(_) => "on disk",
        SourceState::Delivered => "delivered",
    };
    word.to_owned()
}

/// In a word, and for a held one the reason; with a sign, for those who see no colour.
pub(super) fn destination_state(destination: &DestinationOverview) -> String {
    match (destination.state, &destination.reason) {
        (DestinationState::Held, Some(reason)) => format!("! {}", printable(reason)),
        (DestinationState::Held, None) => "! held".to_owned(),
        (DestinationState::Failing, _) => "! failing".to_owned(),
        (DestinationState::Busy, _) => "~ busy".to_owned(),
        (DestinationState::Working, _) if destination.oldest_seconds >= LATE => "~ late".to_owned(),
        (DestinationState::Working, _) => "working".to_owned(),
    }
}

fn name(sink: &str, destination: &DestinationOverview) -> String {
    format!("{} {}", printable(sink), printable(&destination.stream))
}

fn unread(source: &SourceOverview) -> String {
    match (source.behind_bytes, source.behind_seconds) {
        (Some(bytes), _) => words::size(float(bytes)),
        (None, behind) => seconds(behind),
    }
}

fn billed_a_day(destination: &DestinationOverview) -> String {
    const DAY: f64 = 86_400.0;
    destination.billed_bytes_per_second.map_or_else(unknown, |rate| words::size(rate * DAY))
}

fn factor(destination: &DestinationOverview) -> String {
    destination.billed_ratio().map_or_else(unknown, |ratio| format!("{ratio:.3}"))
}

fn text(text: Option<&str>) -> String {
    text.map_or_else(unknown, printable)
}

fn count(rate: Option<f64>) -> String {
    rate.map_or_else(unknown, words::count)
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(unknown, |rate| format!("{}/s", words::size(rate)))
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(unknown, words::duration)
}

fn unknown() -> String {
    "-".to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
const fn float(count: u64) -> f64 {
    count as f64
}
