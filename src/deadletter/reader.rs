//! Reads files of dead letters, and objects of Firehose's backup: gzipped or not, several values in a line or one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use flate2::bufread::MultiGzDecoder;
use serde_json::value::RawValue;

use super::DeadLetter;

/// The longest line that is read, in bytes: the largest payload in base64, with room around it.
const LONGEST_LINE: u64 = 256 << 20;

/// How many bytes are read at once.
const BLOCK: usize = 64 << 10;

/// Letters one after another.
pub struct LetterReader {
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    /// The rest of a line that holds several.
    ready: VecDeque<LetterEntry>,
    next: u64,
}

/// One value of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct LetterEntry {
    /// Its place in the file, from 0.
    pub number: u64,
    /// Its text as it stands there.
    pub raw: Vec<u8>,
    /// What it says; none: it is torn, was changed, or is something else.
    pub letter: Option<DeadLetter>,
}

impl LetterReader {
    /// Reads from the file's present place.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        Self::over(file)
    }

    fn over(input: impl Read + Send + 'static) -> io::Result<Self> {
        let mut plain = BufReader::with_capacity(BLOCK, input);
        let input: Box<dyn BufRead + Send> = if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self { input, line: Vec::new(), ready: VecDeque::new(), next: 0 })
    }

    /// The next value; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or its gzip is damaged.
    pub fn next_entry(&mut self) -> io::Result<Option<LetterEntry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            self.line.clear();
            let mut input = (&mut self.input).take(LONGEST_LINE);
            if input.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.split_line();
        }
    }

    fn split_line(&mut self) {
        let line = mem::take(&mut self.line);
        let bytes = line.trim_ascii();
        let mut taken = 0;
        if let Ok(text) = str::from_utf8(bytes) {
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
            while let Some(Ok(value)) = values.next() {
                taken = values.byte_offset();
                self.push(value.get().as_bytes().to_vec(), DeadLetter::from_json(value.get()));
            }
        }
        let rest = bytes.get(taken..).unwrap_or_default();
        if !rest.trim_ascii().is_empty() {
            self.push(rest.to_vec(), None);
        }
        self.line = line;
    }

    fn push(&mut self, raw: Vec<u8>, letter: Option<DeadLetter>) {
        self.ready.push_back(LetterEntry { number: self.next, raw, letter });
        self.next = self.next.saturating_add(1);
    }
}

impl std::fmt::Debug for LetterReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LetterReader").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) fn read_all(input: &[u8]) -> io::Result<Vec<LetterEntry>> {
    let mut reader = LetterReader::over(io::Cursor::new(input.to_vec()))?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}
