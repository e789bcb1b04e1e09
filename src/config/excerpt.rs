//! A line of a file with a mark below it.

use std::fmt;
use std::ops::Range;

use super::document::Document;

/// What of a document is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ExcerptPart {
    /// What comes before it in its line is left out.
    pub(super) from: usize,
    /// What comes after it is left out, too.
    pub(super) to: usize,
    /// What the mark stands under.
    pub(super) mark: Range<usize>,
}

impl ExcerptPart {
    pub(super) fn whole(range: &Range<usize>) -> Self {
        Self { from: range.start, to: range.end, mark: range.clone() }
    }
}

/// A piece of a line, with the number of the line and a mark.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Excerpt {
    line: usize,
    text: String,
    /// Characters before the mark, and under it.
    before: usize,
    under: usize,
}

impl Excerpt {
    pub(super) fn new(document: &Document, part: &ExcerptPart) -> Self {
        /// Wider ones are cut, since their mark would be in another line.
        const WIDEST: usize = 120;
        let line = document.line_around(part.mark.start);
        let (from, to) = (part.from.max(line.start), part.to.min(line.end).max(part.from.max(line.start)));
        let text = |range: Range<usize>| document.text.get(range).unwrap_or_default();
        let is_cut = !text(line.start..from).trim().is_empty();
        let lead = if is_cut { "… ".to_owned() } else { text(line.start..from).to_owned() };
        let is_shortened = !text(to..line.end).trim().is_empty();
        let tail = if is_shortened { " …" } else { "" };
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mark = part.mark.start.clamp(from, to)..part.mark.end.clamp(from, to);
        let before = lead.chars().count() + text(from..mark.start).chars().count();
        let under = text(mark).chars().count().max(1);
        let whole = format!("{lead}{}{tail}", text(from..to));
        Self {
            line: document.position(part.mark.start).line,
            text: whole.chars().map(plain).take(WIDEST).collect(),
            before,
            under: under.min(WIDEST.saturating_sub(before).max(1)),
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (before, under) = (" ".repeat(self.before), "^".repeat(self.under));
        write!(f, "  {number} | {}\n  {margin} | {before}{under}", self.text)
    }
}
