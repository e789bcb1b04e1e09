//! What was read of the journal and is not handed over: whole entries are taken from its front.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::event::Held;
use crate::journal_export::{ExportError, ExportScan, JournalCursor, ScannedExport};

/// Bytes of entries.
pub(super) struct EntryBuffer {
    pub(super) bytes: BytesMut,
    /// The memory of `bytes`; none: it is empty.
    held: Option<Held>,
    scan: ExportScan,
    /// An entry may have so many bytes.
    most: usize,
    /// What is to be dropped from the front, and whether an entry ends with it.
    too_large: Option<(usize, bool)>,
    /// The first entry is not handed over if it has this cursor: it was before.
    passed: Option<Box<str>>,
}

/// What is at the front.
pub(super) enum BufferedEntries {
    /// Whole entries, and the cursor of the last one.
    Entries(Bytes, Box<str>),
    /// So many bytes of an entry that is too large, which are dropped; whether it ends with them.
    TooLarge(usize, bool),
    /// No whole entry.
    Nothing,
}

impl EntryBuffer {
    /// For entries of up to `most` bytes, behind the one with the cursor `passed`.
    pub(super) fn new(most: usize, passed: &str) -> Self {
        Self {
            bytes: BytesMut::new(),
            held: None,
            scan: ExportScan::default(),
            most,
            too_large: None,
            passed: Some(passed.into()).filter(|_| !passed.is_empty()),
        }
    }

    /// Whether all that came was whole entries.
    pub(super) fn is_between_entries(&self) -> bool {
        self.bytes.is_empty() && self.scan.is_new()
    }

    /// Holds what was read, for which there was room.
    pub(super) fn hold(&mut self, room: Held) {
        self.held.get_or_insert(room).resize(self.bytes.capacity() as u64);
    }

    /// Takes what is at the front.
    pub(super) fn next(&mut self) -> Result<BufferedEntries, ExportError> {
        let (mut end, mut last) = (0_usize, 0);
        while self.too_large.is_none() {
            let rest = self.bytes.get(end..).unwrap_or_default();
            match self.scan.step(rest, self.most) {
                Ok(ScannedExport::Entry(len)) if end == 0 && self.is_passed() => self.bytes.advance(len),
                Ok(ScannedExport::Entry(len)) => (last, end) = (end, end.saturating_add(len)),
                Ok(ScannedExport::TooLarge { len, ends }) => {
                    self.passed = None;
                    self.too_large = Some((len, ends));
                }
                Ok(ScannedExport::More) => break,
                // What came before is handed over.
                Err(_) if end > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if end > 0 {
            let entry = self.bytes.get(last..end).unwrap_or_default();
            let cursor = JournalCursor::of_entry(entry).ok_or(ExportError::NoCursor)?.into();
            // Copied to its size, so that the chunk does not keep the whole buffer alive.
            let entries = Bytes::copy_from_slice(&self.bytes.split_to(end));
            self.give_back();
            return Ok(BufferedEntries::Entries(entries, cursor));
        }
        Ok(match self.too_large.take() {
            Some((len, ends)) => {
                self.bytes.advance(len.min(self.bytes.len()));
                BufferedEntries::TooLarge(len, ends)
            }
            None => BufferedEntries::Nothing,
        })
    }

    /// Whether the entry at the front is the one that was handed over before. Only the first can be.
    fn is_passed(&mut self) -> bool {
        let Some(passed) = self.passed.take() else { return false };
        let Some(cursor) = JournalCursor::of_entry(&self.bytes) else { return false };
        let place = |text: &str| JournalCursor::parse(text).map(|cursor| (cursor.sequence, cursor.number));
        // Versions of systemd may differ in the rest of a cursor.
        *cursor == *passed || place(cursor).is_some_and(|here| place(&passed) == Some(here))
    }

    fn give_back(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.held = None;
        } else if let Some(held) = &mut self.held {
            held.resize(self.bytes.capacity() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_export::{end_entry, put_field};

    fn entry(number: u64, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_field(&mut out, "__CURSOR", cursor(number).as_bytes());
        put_field(&mut out, "MESSAGE", message);
        end_entry(&mut out);
        out
    }

    fn cursor(number: u64) -> String {
        format!("s=1;i={number:x};b=2;m=3;t=4;x={number}")
    }

    /// What is told of entries that come in pieces: the cursor of the last one of a chunk, or how much of one was dropped.
    fn told(passed: &str, bytes: &[u8], piece: usize) -> (Vec<String>, usize, Option<ExportError>) {
        let mut buffer = EntryBuffer::new(1_000, passed);
        let (mut cursors, mut dropped) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            buffer.bytes.extend_from_slice(piece);
            loop {
                match buffer.next() {
                    Ok(BufferedEntries::Entries(entries, cursor)) => {
                        assert!(entries.ends_with(b"\n\n"));
                        cursors.push(cursor.into());
                    }
                    Ok(BufferedEntries::TooLarge(len, _)) => dropped += len,
                    Ok(BufferedEntries::Nothing) => break,
                    Err(error) => return (cursors, dropped, Some(error)),
                }
            }
        }
        assert!(buffer.is_between_entries());
        (cursors, dropped, None)
    }

    #[test]
    fn entries_that_were_read_together_are_handed_over_together() {
        let bytes = [entry(1, b"a"), entry(2, b"b\n\n"), entry(3, b"")].concat();
        assert_eq!(told("", &bytes, usize::MAX), (vec![cursor(3)], 0, None));
        assert_eq!(told("", &bytes, 1), ([1, 2, 3].map(cursor).to_vec(), 0, None));
    }

    #[test]
    fn the_entry_of_the_position_is_passed_over_and_no_other() {
        let bytes = [entry(1, b"a"), entry(2, b"b"), entry(1, b"a")].concat();
        for piece in [1, usize::MAX] {
            let seen = |passed: &str| told(passed, &bytes, piece).0;
            assert_eq!(seen(&cursor(1)).last(), Some(&cursor(1)), "its like behind it is another entry");
            assert_eq!(seen(&cursor(1)).len(), if piece == 1 { 2 } else { 1 });
            assert_eq!(seen(&cursor(9)).len(), if piece == 1 { 3 } else { 1 });
        }
        assert_eq!(told(&cursor(1), &entry(1, b"a"), usize::MAX), (vec![], 0, None));
        assert_eq!(told("s=1;i=1;b=2;m=3;t=4;x=other", &entry(1, b"a"), usize::MAX), (vec![], 0, None));
        assert_eq!(told("of-its-own", &entry(1, b"a"), usize::MAX), (vec![cursor(1)], 0, None));
    }

    #[test]
    fn an_entry_that_is_too_large_costs_no_other() {
        let large = entry(2, &[b'x'; 5_000]);
        let bytes = [entry(1, b"a"), large.clone(), entry(3, b"c")].concat();
        for piece in [1, 700, usize::MAX] {
            assert_eq!(
                told("", &bytes, piece),
                ([1, 3].map(cursor).to_vec(), large.len(), None),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_comes_before_a_fault_is_handed_over() {
        let bytes = [&entry(1, b"a")[..], b"-- Reboot --\n"].concat();
        for piece in [1, usize::MAX] {
            assert_eq!(told("", &bytes, piece), (vec![cursor(1)], 0, Some(ExportError::NoCursor)));
        }
        let nameless = [&entry(1, b"a")[..], b"__CURSOR=\x1b\n\n"].concat();
        assert_eq!(told("", &nameless, usize::MAX).2, Some(ExportError::NoCursor));
    }
}
