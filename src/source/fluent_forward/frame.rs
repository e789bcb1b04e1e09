//! What a whole message says beside its entries: whether it is one, its chunk's id, and how it is to be taken.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::msgpack::{PackReader, PackSpan, PackToken, put_map, put_str};

/// A whole message, as the source sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ForwardFrame<'a> {
    pub(super) kind: ForwardKind,
    /// The id that is to be answered.
    pub(super) chunk: Option<&'a [u8]>,
}

/// How a message is to be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ForwardKind {
    /// With those around it.
    Entries,
    /// By itself: it is inflated as a whole.
    Compressed,
    /// A part of a line.
    Part,
    /// Not at all: it holds metrics or traces.
    OtherSignal,
    /// Not at all: it says that its sender is alive.
    Heartbeat,
}

/// Why a value is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotForward {
    /// It is something else.
    Shape,
    /// Its chunk's id is too long.
    ChunkId,
}

/// The longest id of a chunk that is answered; those of the known senders have up to 128 bytes.
const MOST_CHUNK_ID: usize = 512;

/// How gzip and Zstandard begin; no entry begins so.
const COMPRESSED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];

/// In the records of parts of lines.
static PART_MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"partial_message"));

impl<'a> ForwardFrame<'a> {
    /// Looks at a whole value.
    pub(super) fn read(bytes: &'a [u8], span: &PackSpan) -> Result<Self, NotForward> {
        if bytes == [0xc0] {
            return Ok(Self { kind: ForwardKind::Heartbeat, chunk: None });
        }
        let elements = span.elements.filter(|elements| *elements >= 2).ok_or(NotForward::Shape)?;
        let [tag_at, second_at, third_at, fourth_at] = span.starts;
        PackReader::from(bytes, tag_at).text().map_err(|_| NotForward::Shape)?;
        let mut reader = PackReader::from(bytes, second_at);
        let second = reader.token().map_err(|_| NotForward::Shape)?;
        let is_list = if elements > 2 && second == PackToken::Array(2) {
            // Of one entry, the time may have metadata.
            reader.token().is_ok_and(|first| matches!(first, PackToken::Array(_)))
        } else {
            second.text().is_some() || matches!(second, PackToken::Array(_))
        };
        let option_at = match (is_list, elements) {
            (true, 3..) => Some(third_at),
            (false, 4..) => Some(fourth_at),
            (true, _) | (false, 3) => None,
            (false, _) => return Err(NotForward::Shape),
        };
        let option = option_at.map(|at| MessageOption::read(PackReader::from(bytes, at))).unwrap_or_default();
        if option.chunk.is_some_and(|chunk| chunk.len() > MOST_CHUNK_ID) {
            return Err(NotForward::ChunkId);
        }
        let is_compressed = |list: &[u8]| COMPRESSED.iter().any(|magic| list.starts_with(magic));
        let kind = if option.is_other_signal {
            ForwardKind::OtherSignal
        } else if second.text().is_some_and(is_compressed) {
            ForwardKind::Compressed
        } else if !is_list && PART_MARK.find(bytes).is_some() {
            ForwardKind::Part
        } else {
            ForwardKind::Entries
        };
        Ok(Self { kind, chunk: option.chunk })
    }
}

/// What stands behind a message's entries.
#[derive(Clone, Copy, Debug, Default)]
struct MessageOption<'a> {
    chunk: Option<&'a [u8]>,
    is_other_signal: bool,
}

impl<'a> MessageOption<'a> {
    /// It may be nothing, or anything.
    fn read(mut reader: PackReader<'a>) -> Self {
        let mut option = Self::default();
        let Ok(PackToken::Map(pairs)) = reader.token() else { return option };
        for _ in 0..pairs {
            let Ok(key) = reader.text() else { return option };
            let begin = reader;
            match (key, reader.token()) {
                (b"chunk", Ok(PackToken::Str(id) | PackToken::Bin(id))) => option.chunk = Some(id),
                (b"fluent_signal", Ok(PackToken::Unsigned(signal))) => option.is_other_signal = signal > 0,
                (_, Ok(PackToken::Array(_) | PackToken::Map(_))) => {
                    reader = begin;
                    if reader.skip().is_err() {
                        return option;
                    }
                }
                (_, Ok(_)) => {}
                (_, Err(_)) => return option,
            }
        }
        option
    }
}

/// The answer for a chunk.
pub(super) fn answer(chunk: &[u8], out: &mut Vec<u8>) {
    put_map(out, 1);
    put_str(out, b"ack");
    put_str(out, chunk);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::PackScan;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(ForwardKind, Option<&[u8]>), NotForward>) {
        let span = PackScan::default().step(bytes, 1 << 20).unwrap().unwrap();
        assert_eq!(span.len, bytes.len());
        let read = ForwardFrame::read(bytes, &span).map(|frame| (frame.kind, frame.chunk));
        assert_eq!(read, expected, "{bytes:x?}");
    }

    const CHUNK: &[u8] = b"\x81\xa5chunk\xa2id";

    fn message(parts: &[&[u8]]) -> Vec<u8> {
        let count = u8::try_from(parts.len()).unwrap();
        [&[0x90 | count][..], &parts.concat()].concat()
    }

    #[test]
    fn every_mode_is_known_by_its_shape() {
        use ForwardKind::{Compressed, Entries, Heartbeat, OtherSignal, Part};
        let tag: &[u8] = b"\xa1t";
        check(&message(&[tag, b"\x01", b"\x80"]), Ok((Entries, None)));
        check(&message(&[tag, b"\x01", b"\x80", b"\xc0"]), Ok((Entries, None)));
        check(&message(&[tag, b"\x01", b"\x80", CHUNK]), Ok((Entries, Some(b"id"))));
        check(&message(&[tag, b"\xd7\x00\0\0\0\x01\0\0\0\0", b"\x80", b"\x80"]), Ok((Entries, None)));
        check(&message(&[tag, b"\x91\x92\x01\x80"]), Ok((Entries, None)));
        check(&message(&[tag, b"\x91\x92\x01\x80", CHUNK]), Ok((Entries, Some(b"id"))));
        check(&message(&[tag, b"\x90", CHUNK]), Ok((Entries, Some(b"id"))));
        check(&message(&[tag, b"\x92\x01\x80", b"\x80", CHUNK]), Ok((Entries, Some(b"id"))));
        check(&message(&[tag, b"\xc4\x03\x92\x01\x80", CHUNK]), Ok((Entries, Some(b"id"))));
        check(&message(&[tag, b"\xa3\x92\x01\x80"]), Ok((Entries, None)));
        check(&message(&[tag, b"\xc4\x03\x1f\x8b\x08", CHUNK]), Ok((Compressed, Some(b"id"))));
        check(&message(&[tag, b"\xc4\x04\x28\xb5\x2f\xfd"]), Ok((Compressed, None)));
        check(&message(&[tag, b"\xc4\x00", b"\x81\xadfluent_signal\x01"]), Ok((OtherSignal, None)));
        check(&message(&[tag, b"\xc4\x00", b"\x81\xadfluent_signal\x00"]), Ok((Entries, None)));
        check(&message(&[tag, b"\x01", b"\x81\xafpartial_message\xa4true"]), Ok((Part, None)));
        let chunk_in_bytes = b"\x82\xa1x\x91\x01\xc4\x05chunk\xc4\x02id";
        check(&message(&[tag, b"\x90", chunk_in_bytes]), Ok((Entries, Some(b"id"))));
        check(&[0xc0], Ok((Heartbeat, None)));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let tag: &[u8] = b"\xa1t";
        for bytes in [
            &[0x01][..],
            &[0x80],
            &[0x90],
            &message(&[tag]),
            &message(&[tag, b"\x01"]),
            &message(&[b"\x01", b"\x90"]),
        ] {
            check(bytes, Err(NotForward::Shape));
        }
        let long = [&b"\x81\xa5chunk\xda\x02\x01"[..], &[b'x'; 0x201]].concat();
        check(&message(&[tag, b"\x90", &long]), Err(NotForward::ChunkId));
    }
}
