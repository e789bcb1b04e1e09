//! Where an entry ends that comes in pieces: each byte is looked at once, however small the pieces are.

use super::error::ExportError;
use super::name::{CURSOR, LONGEST_NAME, is_name};

/// Most bytes of a value: journald itself keeps less than 768 MiB.
const LONGEST_VALUE: u64 = 1 << 30;

/// What stands at the front of the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ScannedExport {
    /// An entry of so many bytes, with the empty line that ends it.
    Entry(usize),
    /// An entry that goes on behind them.
    More,
    /// So many bytes of an entry that is too large. They are to be dropped before the next step; `ends`: they are the last of it.
    TooLarge {
        /// How many.
        len: usize,
        /// Whether the entry ends with them.
        ends: bool,
    },
}

/// An entry of which the front was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportScan {
    /// So many bytes were looked at.
    at: usize,
    inside: InsideEntry,
    /// Whether its first line has begun.
    has_begun: bool,
    is_too_large: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum InsideEntry {
    #[default]
    Name,
    Text,
    Length,
    /// A value of which so many bytes are still to come, and a newline behind them.
    Value(u64),
}

/// How far a step came.
enum ExportStep {
    Goes,
    Lacks,
    Ends,
}

impl ExportScan {
    /// Looks on, in all bytes of the entry that are not dropped. After an entry it is as new.
    ///
    /// # Errors
    /// When they are no entry.
    pub fn step(&mut self, bytes: &[u8], most: usize) -> Result<ScannedExport, ExportError> {
        loop {
            let step = self.advance(bytes)?;
            self.is_too_large |= self.claims() > most as u64;
            match step {
                ExportStep::Goes => {}
                ExportStep::Ends => {
                    let Self { at, is_too_large, .. } = std::mem::take(self);
                    let too_large = ScannedExport::TooLarge { len: at, ends: true };
                    return Ok(if is_too_large { too_large } else { ScannedExport::Entry(at) });
                }
                ExportStep::Lacks if self.is_too_large && self.at > 0 => {
                    let len = std::mem::take(&mut self.at);
                    return Ok(ScannedExport::TooLarge { len, ends: false });
                }
                ExportStep::Lacks => return Ok(ScannedExport::More),
            }
        }
    }

    /// Whether nothing was looked at.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.at == 0 && !self.has_begun
    }

    /// What is to be held of the entry at least.
    fn claims(&self) -> u64 {
        let left = if let InsideEntry::Value(left) = self.inside { left } else { 0 };
        (self.at as u64).saturating_add(left)
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<ExportStep, ExportError> {
        let rest = bytes.get(self.at..).unwrap_or_default();
        match self.inside {
            InsideEntry::Name => self.name(rest),
            InsideEntry::Text => {
                if let Some(end) = memchr::memchr(b'\n', rest) {
                    return Ok(self.enter(end + 1, InsideEntry::Name));
                }
                self.at = self.at.saturating_add(rest.len());
                Ok(ExportStep::Lacks)
            }
            InsideEntry::Length => {
                let Some(len) = rest.first_chunk() else { return Ok(ExportStep::Lacks) };
                let len = u64::from_le_bytes(*len);
                if len > LONGEST_VALUE {
                    return Err(ExportError::Length);
                }
                Ok(self.enter(size_of::<u64>(), InsideEntry::Value(len)))
            }
            InsideEntry::Value(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                match rest.get(here) {
                    Some(b'\n') => Ok(self.enter(here + 1, InsideEntry::Name)),
                    Some(_) => Err(ExportError::Value),
                    None => {
                        self.enter(here, InsideEntry::Value(left.saturating_sub(here as u64)));
                        Ok(ExportStep::Lacks)
                    }
                }
            }
        }
    }

    fn name(&mut self, rest: &[u8]) -> Result<ExportStep, ExportError> {
        let line = rest.get(..=LONGEST_NAME).unwrap_or(rest);
        let Some(end) = memchr::memchr2(b'\n', b'=', line) else {
            return if line.len() > LONGEST_NAME { Err(ExportError::Name) } else { Ok(ExportStep::Lacks) };
        };
        let (name, is_text) = (line.get(..end).unwrap_or_default(), line.get(end) == Some(&b'='));
        let is_first = !self.has_begun;
        if is_first && (!is_text || name != CURSOR) {
            return Err(ExportError::NoCursor);
        }
        self.has_begun = true;
        match (is_text, name.is_empty()) {
            (true, _) => Ok(self.enter(end + 1, InsideEntry::Text)),
            (false, true) => {
                self.enter(1, InsideEntry::Name);
                Ok(ExportStep::Ends)
            }
            (false, false) if is_name(name) => Ok(self.enter(end + 1, InsideEntry::Length)),
            (false, false) => Err(ExportError::Name),
        }
    }

    const fn enter(&mut self, len: usize, inside: InsideEntry) -> ExportStep {
        self.at = self.at.saturating_add(len);
        self.inside = inside;
        ExportStep::Goes
    }
}
