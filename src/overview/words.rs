//! Numbers as people read them.

/// A size such as `1.2 MiB`.
#[must_use]
pub fn size(bytes: f64) -> String {
    let (value, unit) = scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]);
    if unit == "B" { format!("{value:.0} B") } else { format!("{} {unit}", short(value)) }
}

/// A count such as `12.3 k`.
#[must_use]
pub fn count(count: f64) -> String {
    let (value, unit) = scaled(count, 1000.0, &["", "k", "M", "G", "T"]);
    match unit {
        "" if value > 0.0 && value < 10.0 && value.fract() != 0.0 => format!("{value:.1}"),
        "" => format!("{value:.0}"),
        _ => format!("{} {unit}", short(value)),
    }
}

/// A time such as `3 s`, `12 min` or `2.1 h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")];
    let fits = units.iter().find(|(length, _)| seconds >= *length * if *length > 60.0 { 2.0 } else { 1.0 });
    match fits {
        Some((length, "s")) if seconds < 10.0 => format!("{:.1} s", seconds / length),
        Some((length, unit @ ("s" | "min"))) => format!("{:.0} {unit}", (seconds / length).floor()),
        Some((length, unit)) => format!("{} {unit}", short(seconds / length)),
        None if seconds <= 0.0 => "0 s".to_owned(),
        None => format!("{:.0} ms", (seconds * 1000.0).max(1.0)),
    }
}

/// `1.2`, or `12`.
fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn scaled(value: f64, step: f64, units: &[&'static str]) -> (f64, &'static str) {
    let (mut value, mut units) = (value, units.iter().peekable());
    let mut unit = "";
    while let Some(next) = units.next() {
        unit = next;
        // What would be written as a whole step is one of the next unit.
        if value < step - 0.5 || units.peek().is_none() {
            break;
        }
        value /= step;
    }
    (value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (bytes, expected) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1024.0, "1.0 KiB"),
            (1_372_000.0, "1.3 MiB"),
            (15e6, "14 MiB"),
            (1024.0 * 1024.0 - 1.0, "1.0 MiB"),
            (5.5e12, "5.0 TiB"),
            (9e18, "8185452 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (number, expected) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (7.0, "7"),
            (999.0, "999"),
            (1_000.0, "1.0 k"),
            (12_345.0, "12 k"),
            (2.5e6, "2.5 M"),
        ] {
            assert_eq!(count(number), expected);
        }
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.012, "12 ms"),
            (1.25, "1.2 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (7_100.0, "118 min"),
            (7_200.0, "2.0 h"),
            (200_000.0, "2.3 d"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
