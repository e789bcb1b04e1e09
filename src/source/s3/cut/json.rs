//! Finds what structures JSON in text that comes in pieces: brackets, commas between values, and nothing within strings. Pure.

use memchr::memchr2;
use standpipe_simd::{BLOCK, JsonMarks, parity};

/// Where a scan of some text stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonScan {
    /// The next byte to look at.
    pub(super) at: usize,
    /// How many brackets are open.
    pub(super) depth: u32,
    in_string: bool,
    escaped: bool,
}

/// A byte that structures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JsonMark {
    /// A bracket opens at this place; so many were open before it.
    Open { at: usize, byte: u8, depth: u32 },
    /// A bracket closes; so many are open after it.
    Close { at: usize, depth: u32 },
    /// A comma between values that so many brackets are around.
    Comma { at: usize, depth: u32 },
}

impl JsonScan {
    /// In text that so many brackets are open before.
    pub(super) const fn within(depth: u32) -> Self {
        Self { at: 0, depth, in_string: false, escaped: false }
    }

    /// The next mark; none: the text at hand holds no more of them.
    pub(super) fn next(&mut self, text: &[u8]) -> Option<JsonMark> {
        loop {
            if self.in_string {
                self.string(text)?;
            }
            let at = self.at;
            let byte = *text.get(at)?;
            self.at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    let depth = self.depth;
                    self.depth = depth.saturating_add(1);
                    return Some(JsonMark::Open { at, byte, depth });
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    return Some(JsonMark::Close { at, depth: self.depth });
                }
                b',' => return Some(JsonMark::Comma { at, depth: self.depth }),
                _ => {}
            }
        }
    }

    /// Goes on past values that more than so many brackets are around, a block at a time, as long as nothing in one tells otherwise.
    pub(super) fn pass_nested(&mut self, text: &[u8], within: u32) {
        while self.depth > within && !self.escaped {
            let Some(block) = text.get(self.at..).and_then(<[u8]>::first_chunk::<BLOCK>) else { return };
            let marks = JsonMarks::find(block);
            let before = if self.in_string { u64::MAX } else { 0 };
            // From each opening quote on, up to its closing one.
            let inside = parity(marks.quotes) ^ before;
            let (opens, closes) =
                ((marks.opens & !inside).count_ones(), (marks.closes & !inside).count_ones());
            // However they stand, it stays below: each of the closing ones may come first.
            let is_below = self.depth.saturating_sub(closes) > within;
            if marks.backslashes != 0 || !is_below {
                return;
            }
            self.depth = self.depth.saturating_sub(closes).saturating_add(opens);
            self.in_string = inside.leading_zeros() == 0;
            self.at += BLOCK;
        }
    }

    /// Goes on to the end of a string; none: it does not end in the text at hand.
    fn string(&mut self, text: &[u8]) -> Option<()> {
        loop {
            let rest = text.get(self.at..).filter(|rest| !rest.is_empty())?;
            if self.escaped {
                self.escaped = false;
                self.at += 1;
                continue;
            }
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                self.at = text.len();
                return None;
            };
            self.at += found + 1;
            if rest.get(found) == Some(&b'\\') {
                self.escaped = true;
            } else {
                self.in_string = false;
                return Some(());
            }
        }
    }

    /// So many bytes at the front of the text are gone.
    pub(super) const fn shift(&mut self, taken: usize) {
        self.at = self.at.saturating_sub(taken);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The marks that at most so many brackets are around.
    fn marks(text: &[u8], within: u32, passes: bool) -> Vec<JsonMark> {
        let mut scan = JsonScan::within(0);
        let mut marks = Vec::new();
        loop {
            if passes {
                scan.pass_nested(text, within);
            }
            let Some(mark) = scan.next(text) else { return marks };
            let (JsonMark::Open { depth, .. }
            | JsonMark::Close { depth, .. }
            | JsonMark::Comma { depth, .. }) = mark;
            if depth <= within {
                marks.push(mark);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_nested_deeper_is_passed_and_nothing_else(parts in prop::collection::vec(prop::sample::select(vec!["{", "}", "[", "]", ",", "\"", "\\", "\\\"", "\"a\":", "{\"b\":[1,2]}", "\"}]\"", "x", "0123456789012345678901234567890123456789012345678901234567890123456789"]), 0..120), within in 0..4_u32) {
            let text = parts.concat();
            prop_assert_eq!(marks(text.as_bytes(), within, true), marks(text.as_bytes(), within, false));
        }
    }
}
