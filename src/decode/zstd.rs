//! Zstandard in Rust alone, with a cap: for what Fluent Bit compresses with it.
//!
//! Source of the format: RFC 8878.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::gzip::InflateError;

/// How every frame begins.
const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A frame that looks further back than this is refused: the format recommends to support so much.
const MOST_WINDOW: usize = 8 << 20;

/// Whether the bytes begin as Zstandard does; a frame that holds none of the contents may come first.
pub(crate) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || skipped(bytes).is_some()
}

/// Unpacks every frame of `packed`. `may_take` is asked before it takes so many bytes more.
pub(crate) fn inflate(
    packed: &[u8],
    max: usize,
    may_take: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<u8>, InflateError> {
    let mut rest = packed;
    let mut out = Vec::new();
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MOST_WINDOW as u64);
    let mut window = 0;
    while !rest.is_empty() {
        if let Some(after) = skipped(rest) {
            rest = after;
            continue;
        }
        let wanted = window_size(rest).ok_or(InflateError::Corrupt)?.min(MOST_WINDOW);
        if wanted > window {
            if !may_take(wanted - window) {
                return Err(InflateError::NoRoom);
            }
            window = wanted;
        }
        decoder.reset(&mut rest).map_err(|_| InflateError::Corrupt)?;
        frame(&mut decoder, &mut rest, max, &mut out, may_take)?;
    }
    Ok(out)
}

/// Unpacks the frame that `decoder` has begun.
fn frame(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    max: usize,
    out: &mut Vec<u8>,
    may_take: &mut dyn FnMut(usize) -> bool,
) -> Result<(), InflateError> {
    loop {
        let blocks = decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1));
        let is_finished = blocks.map_err(|_| InflateError::Corrupt)?;
        while decoder.can_collect() > 0 {
            let (len, more) = (out.len(), decoder.can_collect());
            let wanted = len.saturating_add(more);
            if wanted > max {
                return Err(InflateError::TooLarge);
            }
            if wanted > out.capacity() {
                let grown = out.capacity().saturating_mul(2).clamp(wanted, max);
                if !may_take(grown - out.capacity()) {
                    return Err(InflateError::NoRoom);
                }
                out.reserve_exact(grown - len);
            }
            out.resize(wanted, 0);
            let taken = decoder.read(out.get_mut(len..).unwrap_or_default());
            let taken = taken.map_err(|_| InflateError::Corrupt)?;
            out.truncate(len.saturating_add(taken));
            if taken == 0 {
                return Err(InflateError::Corrupt);
            }
        }
        if is_finished && decoder.can_collect() == 0 {
            break;
        }
    }
    let told = decoder.get_checksum_from_data();
    let is_intact = told.is_none() || told == decoder.get_calculated_checksum();
    if is_intact { Ok(()) } else { Err(InflateError::Corrupt) }
}

/// What follows a frame that holds none of the contents.
fn skipped(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [first, 0x2a, 0x4d, 0x18, len @ ..] = head else { return None };
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    if first & 0xf0 == 0x50 { rest.get(len..) } else { None }
}

/// How far back a frame looks, as its header says.
fn window_size(frame: &[u8]) -> Option<usize> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, header @ ..] = frame else { return None };
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = header.first()?;
        let base = 1_usize << (10 + (window >> 3));
        return Some(base + base / 8 * usize::from(window & 7));
    }
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let content = header.get(dictionary..)?;
    Some(match descriptor >> 6 {
        0 => usize::from(*content.first()?),
        1 => usize::from(u16::from_le_bytes(*content.first_chunk()?)) + 256,
        2 => usize::try_from(u32::from_le_bytes(*content.first_chunk()?)).ok()?,
        _ => usize::try_from(u64::from_le_bytes(*content.first_chunk()?)).unwrap_or(usize::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn unpacked(bytes: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
        inflate(bytes, max, &mut |_| true)
    }

    #[test]
    fn frames_are_unpacked_one_after_the_other() {
        let text = b"a line of text\n".repeat(40_000);
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [packed(&text), skippable, packed(b"end")].concat();
        assert_eq!(unpacked(&frames, 1 << 20).unwrap(), [&text[..], b"end"].concat());
        assert_eq!(unpacked(&frames, text.len()), Err(InflateError::TooLarge));
        for len in [3, 4, 5, 20, frames.len() - 1] {
            assert_eq!(unpacked(&frames[..len], 1 << 20), Err(InflateError::Corrupt), "{len}");
        }
    }

    #[test]
    fn memory_is_asked_for_before_it_is_taken() {
        let text = vec![b'x'; 1 << 20];
        let frame = packed(&text);
        let mut taken = 0;
        let mut may_take = |bytes| {
            taken += bytes;
            taken <= 300 << 10
        };
        assert_eq!(inflate(&frame, 2 << 20, &mut may_take), Err(InflateError::NoRoom));
        assert_eq!(unpacked(&frame, 2 << 20).unwrap(), text);
    }
}
