//! Cuts JSON objects that follow each other, with or without anything between them.

use super::json::{JsonMark, JsonScan};
use super::plan::{CutPlan, CutState, TARGET, first_solid};

/// Cuts envelopes.
#[derive(Debug, Default)]
pub(super) struct DocumentFramer {
    scan: JsonScan,
    /// Where the last whole one ends.
    end: usize,
}

impl DocumentFramer {
    pub(super) fn next(&mut self, contents: &[u8], is_end: bool, most: usize) -> Option<CutPlan> {
        if self.end == 0
            && self.scan.at == 0
            && let Some(strange) = strange(contents, is_end, most)
        {
            return Some(strange);
        }
        while let Some(mark) = self.scan.next(contents) {
            match mark {
                JsonMark::Close { at, depth: 0 } => {
                    self.end = at + 1;
                    if self.end >= TARGET {
                        return Some(self.cut(self.end));
                    }
                }
                // What stands between two objects and is no white space goes on by itself.
                JsonMark::Open { at, depth: 0, .. } if self.end > 0 => {
                    if contents.get(self.end..at).is_some_and(|between| first_solid(between).is_some()) {
                        return Some(self.cut(self.end));
                    }
                }
                JsonMark::Open { .. } | JsonMark::Close { .. } | JsonMark::Comma { .. } => {}
            }
        }
        if self.end > 0 && (is_end || contents.len() > most) {
            return Some(self.cut(self.end));
        }
        (is_end || contents.len() > most).then(|| self.cut(contents.len()))
    }

    fn cut(&mut self, end: usize) -> CutPlan {
        *self = Self::default();
        CutPlan::of(0..end, CutState::Between)
    }
}

/// What is no object goes on by itself, line by line.
fn strange(contents: &[u8], is_end: bool, most: usize) -> Option<CutPlan> {
    let Some((at, byte)) = first_solid(contents) else {
        let blank = CutPlan { taken: contents.len(), state: Some(CutState::Between), ..CutPlan::default() };
        return Some(blank);
    };
    if byte == b'{' {
        return None;
    }
    let rest = contents.get(at..)?;
    let line = memchr::memchr(b'\n', rest).map(|newline| at + newline + 1);
    let end = line.or_else(|| (is_end || rest.len() > most.min(TARGET)).then_some(contents.len()))?;
    Some(CutPlan::of(0..end, CutState::Between))
}
