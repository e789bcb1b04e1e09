//! Tables, sizes and ages for people.

use std::io::{self, Write};

use crate::event::Timestamp;

/// Writes rows in columns as wide as they need; the last column is not padded.
pub(super) fn write(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// A row of words.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A size such as `1.2 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut whole = bytes;
    let mut tenths = 0;
    let mut name = "B";
    for unit in units {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        name = unit;
    }
    if name == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {name}") }
}

/// How long ago that was, such as `3m` or `2d`.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.0.saturating_sub(then.0).max(0) / 1000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(|| format!("{seconds}s"), |(length, name)| format!("{}{name}", seconds / length))
}

/// A count and what it counts, such as `1 letter` or `2 letters`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        for (bytes, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_372_000, "1.3 MiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(size(bytes), expected);
        }
        for (seconds, expected) in [(-5, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (200_000, "2d")] {
            assert_eq!(age(Timestamp(0), Timestamp(seconds * 1000)), expected);
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let mut out = Vec::new();
        write(&mut out, &[row(["a", "b"]), row(["long", ""])]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  a     b\n  long\n");
    }
}
