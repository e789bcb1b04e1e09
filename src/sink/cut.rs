//! A record in smaller ones, each of whole lines: at low rates a full record would be seconds of a quota at once.

use bytes::Bytes;

use crate::event::{Receipt, Record};

/// The record in pieces of at most `size` bytes, or as it is: where it is not much larger, compressed already, or has newlines
/// within its events. A single line that is longer than `size` is a piece by itself.
pub(super) fn cut(record: Record, size: usize) -> Vec<Record> {
    if record.compressed || record.payload != record.len || record.len <= size.saturating_add(size / 2) {
        return vec![record];
    }
    match pieces(&record.parts, size) {
        Some(pieces) if pieces.iter().map(|piece| piece.events).sum::<u64>() == record.events => {
            apart(record, &pieces)
        }
        _ => vec![record],
    }
}

/// A piece: where it ends, and how many lines it has.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    end: usize,
    events: u64,
}

/// Where to cut; `None` when the last byte is no newline.
fn pieces(parts: &[Bytes], size: usize) -> Option<Vec<Piece>> {
    let mut done: Vec<Piece> = Vec::new();
    let (mut start, mut open, mut before) = (0, Piece::default(), 0_usize);
    for part in parts {
        for at in memchr::memchr_iter(b'\n', part) {
            let end = before.saturating_add(at).saturating_add(1);
            if end.saturating_sub(start) > size && open.events > 0 {
                done.push(open);
                (start, open) = (open.end, Piece::default());
            }
            open = Piece { end, events: open.events.saturating_add(1) };
        }
        before = before.saturating_add(part.len());
    }
    done.push(open);
    (open.end == before).then_some(done)
}

/// The record cut at the ends of its pieces. Each is a part of every chunk that the record was: a chunk is done when all are.
fn apart(record: Record, pieces: &[Piece]) -> Vec<Record> {
    let mut rest: std::collections::VecDeque<Bytes> = record.parts.into();
    let mut start = 0;
    let mut cut = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let len = piece.end.saturating_sub(start);
        start = piece.end;
        cut.push(Record {
            parts: take(&mut rest, len),
            len,
            payload: len,
            compressed: false,
            events: piece.events,
            receipts: record.receipts.iter().map(Receipt::split).collect(),
            origin: std::sync::Arc::clone(&record.origin),
            since: record.since,
        });
    }
    record.receipts.into_iter().for_each(Receipt::settle);
    cut
}

/// Takes `len` bytes off the front.
fn take(rest: &mut std::collections::VecDeque<Bytes>, mut len: usize) -> Vec<Bytes> {
    let mut taken = Vec::new();
    while len > 0
        && let Some(mut part) = rest.pop_front()
    {
        if part.len() > len {
            rest.push_front(part.split_off(len));
        }
        len = len.saturating_sub(part.len());
        taken.push(part);
    }
    taken
}
