//! Where a value ends that comes in pieces: each byte is looked at once, however small the pieces are.

use super::token::{PackError, PackReader, PackToken, below};

/// Elements of the outer array that are told apart.
const ELEMENTS: usize = 4;

/// A value that is whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PackSpan {
    /// Its length.
    pub len: usize,
    /// How many elements it has where it is an array, at most 4; none: it is something else, or has more.
    pub elements: Option<usize>,
    /// Where each begins.
    pub starts: [usize; ELEMENTS],
}

/// A value of which the front was looked at.
#[derive(Clone, Copy, Debug)]
pub struct PackScan {
    /// Values that are still to come; none: it has not begun.
    open: Option<u64>,
    at: usize,
    /// Elements of the outer array that have not begun.
    outer: u64,
    elements: Option<usize>,
    begun: usize,
    starts: [usize; ELEMENTS],
}

impl Default for PackScan {
    fn default() -> Self {
        Self { open: None, at: 0, outer: 0, elements: None, begun: 0, starts: [0; ELEMENTS] }
    }
}

impl PackScan {
    /// Looks on, in all bytes from the value's first on. None: it goes on behind them. After a span it is as new.
    ///
    /// # Errors
    /// When they are no value, or one of more than `most` bytes.
    pub fn step(&mut self, bytes: &[u8], most: usize) -> Result<Option<PackSpan>, PackError> {
        let mut reader = PackReader::from(bytes, self.at);
        loop {
            if let Some(open) = self.open
                && open > 0
                && open == self.outer
            {
                if let Some(start) = self.starts.get_mut(self.begun) {
                    *start = reader.at();
                }
                self.begun = self.begun.saturating_add(1);
                self.outer = open - 1;
            }
            let taken = match self.open {
                None => reader.token().map(|token| self.begin(token)),
                Some(open) => reader.pass().map(|below| open.saturating_sub(1).saturating_add(below)),
            };
            let open = match taken {
                Ok(open) => open,
                Err(PackError::Truncated) => return self.is_possible(bytes, most).map(|()| None),
                Err(error) => return Err(error),
            };
            (self.at, self.open) = (reader.at(), Some(open));
            if open == 0 {
                let Self { at, elements, starts, .. } = std::mem::take(self);
                if at > most {
                    return Err(PackError::TooLarge);
                }
                return Ok(Some(PackSpan { len: at, elements, starts }));
            }
            // Each that is to come has a byte at least.
            let least = u64::try_from(self.at).unwrap_or(u64::MAX).saturating_add(open);
            if least > most as u64 {
                return Err(PackError::TooLarge);
            }
        }
    }

    /// How many values are to come behind the first token.
    fn begin(&mut self, token: PackToken<'_>) -> u64 {
        let below = below(token);
        if let PackToken::Array(count) = token {
            self.outer = below;
            self.elements = usize::try_from(count).ok().filter(|count| *count <= ELEMENTS);
        }
        below
    }

    /// Whether the token that is cut off may still come to its end.
    fn is_possible(&self, bytes: &[u8], most: usize) -> Result<(), PackError> {
        let rest = bytes.get(self.at..).unwrap_or_default();
        let len = match rest {
            [0xc6 | 0xdb | 0xc9, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        let told = u64::try_from(self.at).unwrap_or(u64::MAX).saturating_add(len.into());
        if told > most as u64 || bytes.len() > most { Err(PackError::TooLarge) } else { Ok(()) }
    }
}
