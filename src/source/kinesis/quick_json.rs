//! Reads JSON in the form that services write it in: no white space, no escapes, numbers that are not negative. None of what is otherwise:
//! that is left to whoever reads all of JSON. Pure.

use standpipe_simd::{BLOCK, Specials};

/// A position in text.
pub(super) struct QuickReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> QuickReader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether nothing is left.
    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    /// Reads an object; `field` is given each name, and reads the value.
    pub(super) fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            field(self, name)?;
            if !self.takes(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads an array; `element` reads one value.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        if self.takes(b']') {
            return Some(());
        }
        loop {
            element(self)?;
            if !self.takes(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Reads a string, or that there is none.
    pub(super) fn string_or_null(&mut self) -> Option<Option<&'a str>> {
        if self.bytes().get(self.at..)?.starts_with(b"null") {
            self.at = self.at.checked_add(4)?;
            return Some(None);
        }
        self.string().map(Some)
    }

    /// Reads a string that has nothing to be unescaped.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = plain_end(self.bytes(), start)?;
        self.at = end.checked_add(1)?;
        self.text.get(start..end)
    }

    /// Reads a number that is not negative.
    pub(super) fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.digits()?;
        let has_zeros = self.at > start.checked_add(1)? && self.bytes().get(start) == Some(&b'0');
        if has_zeros {
            return None;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'E') {
            self.digits()?;
        }
        self.text.get(start..self.at)
    }

    fn digits(&mut self) -> Option<()> {
        let rest = self.bytes().get(self.at..)?;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = self.at.checked_add(count)?;
        (count > 0).then_some(())
    }
}

/// Where the string whose inside begins at `start` has its closing quote; none: something stands before it that strings do not hold as it
/// is.
fn plain_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let rest = text.get(at..)?;
        let found = match rest.first_chunk::<BLOCK>() {
            Some(block) => Specials::find(block),
            None => {
                // Zeros are control characters.
                let mut block = [0; BLOCK];
                block.get_mut(..rest.len())?.copy_from_slice(rest);
                Specials::find(&block)
            }
        };
        let Specials { quotes, backslashes, controls } = found;
        let special = quotes | backslashes | controls;
        if special != 0 {
            let first = special.trailing_zeros();
            return (quotes >> first & 1 == 1).then(|| at.saturating_add(first as usize));
        }
        at = at.checked_add(BLOCK)?;
    }
}
