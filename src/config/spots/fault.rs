//! What reading the places of a file leads to: the places, or the one where it is not of its format.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::document::Spot;

/// Places by dotted key.
pub(in crate::config) type Spots = BTreeMap<String, Spot>;

/// Why a text is not of its format.
#[derive(Debug)]
pub(in crate::config) struct SyntaxFault {
    pub(in crate::config) at: Range<usize>,
    /// The dotted key that it belongs to, as far as can be told.
    pub(in crate::config) key: String,
    /// What was found, what is expected, and the fix.
    pub(in crate::config) why: String,
}

/// A key that is there twice.
pub(super) fn twice(text: &str, at: Range<usize>, key: String, first: Option<usize>) -> SyntaxFault {
    let name = key.rsplit('.').next().unwrap_or_default();
    let line = first.and_then(|first| text.get(..first)).map(|before| before.matches('\n').count() + 1);
    let first = line.map_or_else(String::new, |line| format!(", first in line {line}"));
    let why = format!("found `{name}` twice{first}; expected it once: remove one, or join the two");
    SyntaxFault { at, key, why }
}

/// The rest of the line from a place on, up to what ends a word.
pub(super) fn word_at(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let end = rest.find(|c: char| c.is_whitespace() || ",]}:#\"'".contains(c)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}
