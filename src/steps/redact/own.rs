//! Patterns of one's own, on an engine that takes a bounded time for each byte.

use std::ops::Range;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use crate::config::OwnPattern;

/// All patterns of one's own.
#[derive(Debug)]
pub(super) struct OwnPatterns {
    /// Whether any of them is in a text is seen at once.
    any: RegexSet,
    each: Vec<Regex>,
}

/// A longer text is looked at in pieces of this size: the time that looking for all matches of a pattern takes may grow with
/// the square of the text.
const PIECE: usize = 16 << 10;

/// A piece that ends within a word is followed by one that begins so many bytes before: what is shorter is whole in one of them.
const OVERLAP: usize = 256;

/// A piece's matches may be looked for in so many bytes, over all of them. What is left after that is taken for a match.
const WORK: usize = 16 << 20;

/// All patterns together compile to no more than this.
const MOST_COMPILED: usize = 16 << 20;

impl OwnPatterns {
    /// None where there are no patterns.
    ///
    /// # Errors
    /// When they are too large together.
    pub(super) fn new(patterns: &[OwnPattern]) -> Result<Option<Self>, regex::Error> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let texts = patterns.iter().map(|pattern| pattern.regex.as_str());
        let any = RegexSetBuilder::new(texts).size_limit(MOST_COMPILED).build()?;
        let each = patterns.iter().map(|pattern| pattern.regex.clone()).collect();
        Ok(Some(Self { any, each }))
    }

    /// Tells `found` of each match in a text, with the pattern's place.
    pub(super) fn find(&self, text: &[u8], found: &mut impl FnMut(usize, Range<usize>)) {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (len, overlap) = piece_len(rest);
            let piece = rest.get(..len).unwrap_or(rest);
            if self.any.is_match(piece) {
                for (pattern, regex) in self.each.iter().enumerate() {
                    matches(regex, piece, |range| {
                        found(pattern, at.saturating_add(range.start)..at.saturating_add(range.end));
                    });
                }
            }
            at = at.saturating_add(piece.len()).saturating_sub(overlap);
        }
    }
}

/// How much from the front is looked at together, and how much of that once more: up to the last white space, where the text is longer
/// than a piece.
fn piece_len(text: &[u8]) -> (usize, usize) {
    let Some(piece) = text.get(..PIECE).filter(|piece| piece.len() < text.len()) else {
        return (text.len(), 0);
    };
    piece.iter().rposition(u8::is_ascii_whitespace).map_or((PIECE, OVERLAP), |at| (at + 1, 0))
}

fn matches(regex: &Regex, text: &[u8], mut found: impl FnMut(Range<usize>)) {
    let (mut at, mut work) = (0, 0_usize);
    while at < text.len() {
        work = work.saturating_add(text.len().saturating_sub(at));
        if work > WORK {
            return found(at..text.len());
        }
        let Some(hit) = regex.find_at(text, at) else { return };
        found(hit.range());
        // No match is empty.
        at = hit.end().max(at.saturating_add(1));
    }
}
