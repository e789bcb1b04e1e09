//! How far a run is, and what it did, in words.

use std::time::Duration;

use super::table::{count, size};
use crate::daemon::{RunOutcome, RunReport};
use crate::metrics::RunTotals;

/// One line for a run that goes on.
#[must_use]
pub fn progress(report: &RunReport) -> String {
    let RunTotals { read, delivered, dead_letters, percent_read, .. } = report.totals;
    let share = percent_read.map_or_else(String::new, |percent| format!(" ({percent} %)"));
    let seconds = report.elapsed.as_secs_f64();
    let waiting = read.saturating_sub(report.totals.filtered);
    let mut parts = vec![
        format!("read {}{share}", grouped(read)),
        format!("delivered {}", grouped(delivered)),
        format!("{}/s", grouped(per_second(delivered, seconds))),
    ];
    if delivered == 0 && waiting > 0 {
        parts.truncate(2);
    }
    if dead_letters > 0 {
        parts.push(format!("{} dead", grouped(dead_letters)));
    }
    parts.push(short(report.elapsed));
    parts.join(", ")
}

/// What a run did, at its end.
#[must_use]
pub fn summary(report: &RunReport, outcome: RunOutcome) -> String {
    let RunTotals { read, delivered, dead_letters, filtered, dropped, billed_bytes, .. } = report.totals;
    let ended = match outcome {
        RunOutcome::Drained => "done",
        RunOutcome::Undelivered => "stopped, and not everything was delivered",
        RunOutcome::Lost => "stopped, and a part of standard input is lost",
    };
    let lost = if dropped > 0 { format!(", {} dropped", grouped(dropped)) } else { String::new() };
    format!(
        "{ended}: read {}, delivered {}, {} filtered, {}{lost}, {} billed, in {}",
        named(read, "event"),
        grouped(delivered),
        grouped(filtered),
        named(dead_letters, "dead letter"),
        size(billed_bytes),
        short(report.elapsed),
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn per_second(events: u64, seconds: f64) -> u64 {
    (events as f64 / seconds.max(0.001)) as u64
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn named(number: u64, what: &str) -> String {
    let words = count(number, what);
    words.replacen(&number.to_string(), &grouped(number), 1)
}

/// A time that passed: `0.4 s`, `14 s`, `2 min 5 s`.
fn short(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..10 => format!("{:.1} s", elapsed.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(totals: RunTotals, millis: u64) -> RunReport {
        RunReport { totals, elapsed: Duration::from_millis(millis), outcome: None }
    }

    #[test]
    fn a_run_is_summed_up_in_one_line() {
        let totals = RunTotals {
            read: 1_234_567,
            delivered: 1_000_000,
            dead_letters: 1,
            filtered: 234_566,
            dropped: 0,
            billed_bytes: 5 << 20,
            percent_read: Some(100),
        };
        assert_eq!(
            summary(&report(totals, 400), RunOutcome::Drained),
            "done: read 1,234,567 events, delivered 1,000,000, 234,566 filtered, 1 dead letter, 5.0 MiB billed, in 0.4 s"
        );
        let totals = RunTotals { read: 1, dropped: 3, ..RunTotals::default() };
        assert_eq!(
            summary(&report(totals, 125_000), RunOutcome::Undelivered),
            "stopped, and not everything was delivered: read 1 event, delivered 0, 0 filtered, 0 dead letters, 3 dropped, 0 B billed, in 2 min 5 s"
        );
    }

    #[test]
    fn progress_fits_into_a_line() {
        let check = |totals: RunTotals, expected: &str| {
            let line = progress(&report(totals, 20_000));
            assert_eq!(line, expected);
            assert!(line.len() < 80, "{line}");
        };
        check(RunTotals { read: 10, ..RunTotals::default() }, "read 10, delivered 0, 20 s");
        let totals =
            RunTotals { read: 4_000, delivered: 2_000, percent_read: Some(7), ..RunTotals::default() };
        check(totals, "read 4,000 (7 %), delivered 2,000, 100/s, 20 s");
        check(
            RunTotals {
                read: 12_345_678_901,
                delivered: 12_345_678_900,
                dead_letters: 1_234,
                ..RunTotals::default()
            },
            "read 12,345,678,901, delivered 12,345,678,900, 617,283,945/s, 1,234 dead, 20 s",
        );
    }
}
