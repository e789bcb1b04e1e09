//! Sizes such as `64MiB` and durations such as `1h30m`, read and written.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes from `64MiB`, `5MB` or plain `1024`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = split_number(text.trim())?;
    let unit = unit.trim_start();
    let count: u64 = digits.parse().ok()?;
    if unit.is_empty() {
        return Some(count);
    }
    let (_, bytes) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    count.checked_mul(*bytes)
}

/// A duration from `500ms`, `5m` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    loop {
        let (digits, after) = split_number(rest)?;
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end)?;
        let (_, millis) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        if next.is_empty() {
            return Some(Duration::from_millis(total));
        }
        rest = next;
    }
}

/// The shortest way to write a size, exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    let exact = SIZES.iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    match exact {
        Some((name, unit)) if *unit > 1 => format!("{}{name}", bytes / unit),
        Some(_) | None => format!("{bytes}B"),
    }
}

/// The shortest way to write a duration, to the millisecond.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut shown = String::new();
    for (name, millis) in DURATIONS {
        let count = rest / millis;
        rest %= millis;
        if count > 0 {
            shown.push_str(&count.to_string());
            shown.push_str(name);
        }
    }
    shown
}

fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_size(text: &str, bytes: Option<u64>) {
        assert_eq!(parse_size(text), bytes, "{text}");
    }

    #[track_caller]
    fn check_duration(text: &str, millis: Option<u64>) {
        assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        check_size("64MiB", Some(64 << 20));
        check_size("1000KiB", Some(1_024_000));
        check_size("5MB", Some(5_000_000));
        check_size("5 mb", Some(5_000_000));
        check_size("17", Some(17));
        check_size("17B", Some(17));
        for wrong in ["", "MiB", "1.5GiB", "-1", "1M", "64MiBs", "99999999999TiB"] {
            check_size(wrong, None);
        }
    }

    #[test]
    fn a_duration_is_one_or_more_numbers_with_units() {
        check_duration("1s", Some(1_000));
        check_duration("500ms", Some(500));
        check_duration("5m", Some(300_000));
        check_duration("1h30m", Some(5_400_000));
        check_duration("1d", Some(86_400_000));
        for wrong in ["", "5", "s", "1.5s", "-1s", "1S", "1h30", "99999999999999999d"] {
            check_duration(wrong, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes in any::<u64>(), millis in 0_u64..1 << 50) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _size = parse_size(&text);
            let _duration = parse_duration(&text);
        }
    }
}
