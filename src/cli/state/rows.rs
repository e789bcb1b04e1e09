//! Tables of the state, or the word that there is nothing.

use std::io::Write;

use super::error::StateCommandError;
use super::printable::printable;
use crate::cli::table;

/// The rows of a table after its first, the heading.
pub(super) fn table_or_none(rows: &[Vec<String>], out: &mut impl Write) -> Result<(), StateCommandError> {
    if rows.len() > 1 {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
        table::write(out, &rows)?;
    } else {
        writeln!(out, "  none")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_row_or_speak_to_the_terminal() {
        let rows = [vec!["file".to_owned()], vec!["e\u{1b}]0;x\u{7}\n  forged \u{9b}2J é".to_owned()]];
        let mut out = Vec::new();
        table_or_none(&rows, &mut out).unwrap();
        let expected = "  file\n  e\\u{1b}]0;x\\u{7}\\n  forged \\u{9b}2J é\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
