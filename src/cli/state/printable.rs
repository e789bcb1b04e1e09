//! Text that harms no terminal.

/// Text from a file, or the name of one, with its control characters escaped: it may have been written to forge a row, or to
/// make a terminal do something.
pub(in crate::cli) fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}
