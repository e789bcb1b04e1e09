//! Finds what structures JSON in text that comes in pieces: brackets, commas between values, and nothing within strings. Pure.

use memchr::memchr2;

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
