//! A record in smaller ones, each of whole lines: at low rates a full record would be seconds of a quota at once.

use bytes::Bytes;

use crate::event::{AckGuard, Record};

/// The record in pieces of at most `size` bytes, or as it is: where it is not much larger, compressed already, or has newlines
/// within its events. A single line that is longer than `size` is a piece by itself.
pub(super) fn split(record: Record, size: usize) -> Vec<Record> {
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
struct RecordSlice {
    end: usize,
    events: u64,
}

/// Where to cut; `None` when the last byte is no newline.
fn pieces(parts: &[Bytes], size: usize) -> Option<Vec<RecordSlice>> {
    let mut done: Vec<RecordSlice> = Vec::new();
    let (mut start, mut open, mut before) = (0, RecordSlice::default(), 0_usize);
    for part in parts {
        for at in memchr::memchr_iter(b'\n', part) {
            let end = before.saturating_add(at).saturating_add(1);
            if end.saturating_sub(start) > size && open.events > 0 {
                done.push(open);
                (start, open) = (open.end, RecordSlice::default());
            }
            open = RecordSlice { end, events: open.events.saturating_add(1) };
        }
        before = before.saturating_add(part.len());
    }
    done.push(open);
    (open.end == before).then_some(done)
}

/// The record cut at the ends of its pieces. Each is a part of every chunk that the record was: a chunk is done when all are.
fn apart(record: Record, pieces: &[RecordSlice]) -> Vec<Record> {
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
            is_piece: true,
            acks: record.acks.iter().map(AckGuard::split).collect(),
            origin: std::sync::Arc::clone(&record.origin),
            since: record.since,
        });
    }
    record.acks.into_iter().for_each(AckGuard::settle);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::event::Origin;

    /// A record of these pieces; each newline ends an event.
    fn record(parts: &[Vec<u8>], events: u64) -> Record {
        let parts: Vec<Bytes> = parts.iter().cloned().map(Bytes::from).collect();
        let len = parts.iter().map(Bytes::len).sum();
        Record {
            parts,
            len,
            payload: len,
            compressed: false,
            events,
            is_piece: false,
            acks: Vec::new(),
            origin: Arc::new(Origin::default()),
            since: Instant::now(),
        }
    }

    fn text(record: &Record) -> Vec<u8> {
        record.parts.concat()
    }

    proptest! {
        #[test]
        fn pieces_are_whole_lines_and_join_to_the_record(
            lines in prop::collection::vec("[a-z]{0,30}", 1..60), breaks in prop::collection::vec(1_usize..50, 0..20),
            size in 1_usize..200,
        ) {
            let whole = [lines.join("\n").as_bytes(), b"\n"].concat();
            let (mut parts, mut rest) = (Vec::new(), whole.as_slice());
            for at in breaks {
                let (part, after) = rest.split_at(at.min(rest.len()));
                parts.push(part.to_vec());
                rest = after;
            }
            parts.push(rest.to_vec());
            let pieces = split(record(&parts, lines.len() as u64), size);
            prop_assert_eq!(pieces.iter().flat_map(text).collect::<Vec<_>>(), whole);
            prop_assert_eq!(pieces.iter().map(|piece| piece.events).sum::<u64>(), lines.len() as u64);
            for piece in &pieces {
                let text = text(piece);
                prop_assert!(text.ends_with(b"\n") && text.len() == piece.len && piece.payload == piece.len);
                prop_assert!(piece.len <= size || piece.events == 1 || pieces.len() == 1);
            }
        }
    }

    #[track_caller]
    fn stays_whole(record: Record) {
        assert_eq!(split(record, 10).len(), 1);
    }

    #[test]
    fn what_cannot_be_cut_between_events_stays_whole() {
        let lines = || vec![b"one line of text\nanother line of text\n".to_vec()];
        assert_eq!(split(record(&lines(), 2), 10).len(), 2);
        stays_whole(record(&lines(), 1));
        stays_whole(record(&[b"no newline at the end\nof this".to_vec()], 1));
        stays_whole(Record { compressed: true, ..record(&lines(), 2) });
        stays_whole(record(&[b"short\n".to_vec()], 1));
    }
}
