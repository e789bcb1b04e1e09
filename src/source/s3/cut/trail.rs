//! Cuts `CloudTrail`'s `{"Records":[..]}` between its records, of which there may be any number.

use super::json::{JsonMark, JsonScan};
use super::plan::{CutPlan, CutState, TARGET, first_solid};

/// Cuts `CloudTrail` files.
#[derive(Debug)]
pub(super) struct TrailFramer {
    scan: JsonScan,
    state: CutState,
    /// Where the last whole record ends that was found, with the comma after it.
    end: usize,
    /// It is none: the rest goes on in pieces.
    is_strange: bool,
}

/// Brackets around a record.
const AROUND_RECORD: u32 = 2;

impl TrailFramer {
    pub(super) fn new(state: CutState) -> Self {
        let depth = match state {
            CutState::Between => 0,
            CutState::Tail => 1,
            CutState::Records => AROUND_RECORD,
        };
        Self { scan: JsonScan::within(depth), state, end: 0, is_strange: false }
    }

    pub(super) fn next(&mut self, contents: &[u8], is_end: bool, most: usize) -> Option<CutPlan> {
        if self.state == CutState::Between && self.scan.depth == 0 && !self.is_strange {
            let (_, byte) = first_solid(contents).unwrap_or((0, b'{'));
            self.is_strange = byte != b'{';
        }
        if self.is_strange {
            return piece(contents, is_end);
        }
        loop {
            self.scan.pass_nested(contents, AROUND_RECORD);
            let Some(mark) = self.scan.next(contents) else { break };
            if let Some(plan) = self.at(mark, contents) {
                return Some(plan);
            }
        }
        if !is_end && contents.len() <= most {
            return None;
        }
        if self.state == CutState::Records && self.end > 0 {
            return Some(self.records(self.end - 1, self.end));
        }
        if self.state == CutState::Tail || first_solid(contents).is_none() {
            // What is behind the records is of no interest.
            self.shift(contents.len());
            return Some(CutPlan { taken: contents.len(), state: None, ..CutPlan::default() });
        }
        self.is_strange = true;
        piece(contents, is_end)
    }

    /// What a mark says.
    fn at(&mut self, mark: JsonMark, contents: &[u8]) -> Option<CutPlan> {
        match (self.state, mark) {
            (CutState::Between | CutState::Tail, JsonMark::Open { at, byte: b'[', depth: 1 }) => {
                if !is_named_records(contents.get(..at)?) {
                    return None;
                }
                self.state = CutState::Records;
                Some(self.skip(at + 1))
            }
            (CutState::Between, JsonMark::Close { at, depth: 0 }) => {
                // A document without records: the decoder says what it is not.
                self.shift(at + 1);
                Some(CutPlan::of(0..at + 1, CutState::Between))
            }
            (CutState::Tail, JsonMark::Close { at, depth: 0 }) => {
                self.state = CutState::Between;
                Some(self.skip(at + 1))
            }
            (CutState::Records, JsonMark::Comma { at, depth: AROUND_RECORD }) => {
                self.end = at + 1;
                (self.end >= TARGET).then(|| self.records(at, at + 1))
            }
            (CutState::Records, JsonMark::Close { at, depth: 1 }) => {
                self.state = CutState::Tail;
                let is_blank = contents.get(..at).is_none_or(|left| first_solid(left).is_none());
                Some(if is_blank { self.skip(at + 1) } else { self.records(at, at + 1) })
            }
            _ => None,
        }
    }

    /// Records up to `end`, and what follows them.
    fn records(&mut self, end: usize, taken: usize) -> CutPlan {
        self.shift(taken);
        CutPlan { taken, span: 0..end, is_wrapped: true, state: Some(self.state), ..CutPlan::default() }
    }

    fn skip(&mut self, taken: usize) -> CutPlan {
        self.shift(taken);
        CutPlan { taken, state: Some(self.state), ..CutPlan::default() }
    }

    fn shift(&mut self, taken: usize) {
        self.scan.shift(taken);
        self.end = 0;
    }
}

/// Whether what opens behind these bytes is the value of `Records`.
fn is_named_records(before: &[u8]) -> bool {
    let named = before.trim_ascii_end().strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    named.is_some_and(|named| named.ends_with(br#""Records""#))
}

/// A piece of what is no `CloudTrail` file.
fn piece(contents: &[u8], is_end: bool) -> Option<CutPlan> {
    let len = contents.len().min(TARGET);
    (is_end || len == TARGET).then(|| CutPlan { state: None, ..CutPlan::of(0..len, CutState::Between) })
}
