//! Reads how payload bytes become events: the keys that sources of every kind have.

use std::time::Duration;

use super::section::Section;
use super::types::{Decoding, Format, Multiline, TooLong};
use super::values::{choice, duration, length, pattern};
use crate::event::Charset;

/// Most bytes in one Firehose record, and so in one event:
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html>.
pub(super) const MAX_RECORD: u64 = 1_000 * 1_024;

const HOUR: Duration = Duration::from_hours(1);

const TOO_LONG: [(&str, TooLong); 3] =
    [("split", TooLong::Split), ("truncate", TooLong::Truncate), ("dead_letter", TooLong::DeadLetter)];

/// Reads `too_long`, of sources and sinks.
pub(super) fn too_long(section: &mut Section<'_>) -> TooLong {
    section.or("too_long", TooLong::Split, choice(&TOO_LONG))
}

pub(super) fn sized(section: &mut Section<'_>, format: Format, multiline: Option<Multiline>) -> Decoding {
    const MAX_INFLATED: usize = 64 << 20;
    let max_line = usize::try_from(MAX_RECORD).unwrap_or(usize::MAX);
    Decoding {
        format,
        charset: Charset::UTF8,
        multiline,
        max_line: section.or("max_line", max_line, length(1_024..=MAX_RECORD)),
        too_long: too_long(section),
        max_inflated: section.or("max_inflated", MAX_INFLATED, length(1_024..=4 << 30)),
    }
}

pub(super) fn multiline(mut section: Section<'_>) -> Option<Multiline> {
    let start = section.required("start", r"^\d{4}-\d{2}-\d{2}", pattern);
    let least = Duration::from_millis(10);
    let timeout = section.or("timeout", Duration::from_secs(1), duration(least..=HOUR));
    section.finish();
    Some(Multiline { start: start?, timeout })
}
