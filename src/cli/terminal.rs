//! The terminal behind standard error: whether it shows colours, and one line on it that is rewritten in place.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether output to a terminal is in colour: not where `NO_COLOR` is set to anything, nor where the terminal can do nothing.
#[must_use]
pub fn wants_colour(environment: &BTreeMap<String, String>, is_terminal: bool) -> bool {
    let is_plain = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    can_rewrite(environment, is_terminal) && !is_plain
}

/// Whether a line can be rewritten.
#[must_use]
pub fn can_rewrite(environment: &BTreeMap<String, String>, is_terminal: bool) -> bool {
    is_terminal && environment.get("TERM").is_none_or(|term| term != "dumb")
}

/// A line at the end of what a terminal shows, which gives way to what is logged.
#[derive(Debug, Default)]
pub struct StatusLine {
    /// Whether it is there now. The lock covers what is written to the terminal.
    is_shown: Mutex<bool>,
}

/// To the beginning of the line, and erase it.
const ERASE: &[u8] = b"\r\x1b[K";

/// What is longer would go on in another line, which is not rewritten.
const LONGEST: usize = 79;

impl StatusLine {
    /// Writes the line, in place of the one before.
    pub fn show(&self, text: &str) {
        let mut is_shown = self.is_shown.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = text.chars().take(LONGEST).collect();
        // Nobody is left to tell when the terminal is gone.
        io::stderr().write_all(&[ERASE, text.as_bytes()].concat()).ok();
        *is_shown = true;
    }

    /// Writes something else, in place of the line.
    ///
    /// # Errors
    /// When standard error cannot be written.
    pub fn instead(&self, bytes: &[u8]) -> io::Result<()> {
        let mut is_shown = self.is_shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut err = io::stderr().lock();
        if std::mem::take(&mut *is_shown) {
            err.write_all(ERASE)?;
        }
        err.write_all(bytes)
    }
}

/// Standard error for log lines, in which the status line gives way.
#[derive(Debug)]
pub struct AroundStatus(pub Arc<StatusLine>);

impl Write for AroundStatus {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.instead(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        for (variables, is_terminal, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("TERM", "dumb")], true, false),
            (&[("TERM", "xterm")], true, true),
        ] {
            let environment =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(wants_colour(&environment, is_terminal), expected, "{variables:?}");
        }
    }
}
