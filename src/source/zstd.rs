//! Zstandard as its bytes come, one block at a time: a block is at most 128 KiB, however little it was compressed to.
//!
//! Source of the format: RFC 8878.

use std::io::Read;

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How a frame begins.
pub(super) const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How a frame begins that holds none of the contents, but for its first four bits.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// An empty block that is the last one, and room for a checksum.
const EMPTY_END: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

/// A frame that looks further back than this is refused: the format recommends to support so much.
pub(super) const MOST_WINDOW: usize = 8 << 20;

/// Most bytes of a block.
const MOST_BLOCK: usize = 128 << 10;

/// Why frames cannot be unpacked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BrokenZstd {
    #[error("its zstd is corrupt")]
    Corrupt,
    #[error("its zstd ends too early")]
    Torn,
    #[error("its zstd looks back further than 8 MiB: compress it without `--long` or `--ultra`")]
    Window,
    #[error("its zstd needs a dictionary: compress it without one")]
    Dictionary,
}

/// Whether the bytes begin as Zstandard does; a frame that holds none of the contents may come first.
pub(super) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || is_skippable(bytes)
}

fn is_skippable(bytes: &[u8]) -> bool {
    bytes.get(1..4) == Some(SKIPPABLE) && bytes.first().is_some_and(|byte| byte & 0xf0 == 0x50)
}

/// Frames, one after the other.
pub(super) struct ZstdFrames {
    decoder: FrameDecoder,
    /// What is not a whole header, or block, yet.
    pending: Vec<u8>,
    state: ZstdState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ZstdState {
    /// Before a frame, or behind the last.
    Between,
    /// Within a frame; whether its last block carries a checksum.
    Within { has_checksum: bool },
    /// Within so many bytes that are none of the contents.
    Skipping(usize),
    /// No more can be unpacked. What was unpacked before is still to be taken.
    Broken(BrokenZstd),
}

impl ZstdFrames {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MOST_WINDOW as u64);
        Self { decoder, pending: Vec::new(), state: ZstdState::Between }
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        let is_between = match self.state {
            ZstdState::Between => true,
            ZstdState::Within { .. } => self.decoder.is_finished(),
            ZstdState::Skipping(_) | ZstdState::Broken(_) => false,
        };
        is_between && self.pending.is_empty()
    }

    /// Unpacks until `out` has no room, or all of `input` is used. An error comes once all that could be unpacked was taken.
    pub(super) fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BrokenZstd> {
        let held = out.len();
        loop {
            if !self.drain(out) {
                return Ok(());
            }
            let is_done = match self.state {
                ZstdState::Broken(_) if out.len() > held => return Ok(()),
                ZstdState::Broken(error) => return Err(error),
                ZstdState::Skipping(left) => Ok(self.skip(left, input)),
                ZstdState::Between => self.header(input),
                ZstdState::Within { has_checksum } => self.block(has_checksum, input),
            };
            match is_done {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => self.give_up(error),
            }
        }
    }

    /// Notes that no input follows: what is not whole never will be.
    pub(super) fn end(&mut self) {
        if !self.is_whole() && !matches!(self.state, ZstdState::Broken(_)) {
            self.give_up(BrokenZstd::Torn);
        }
    }

    /// Ends a frame before its time. What was unpacked of it is kept back no longer, since nothing will look back at it.
    fn give_up(&mut self, error: BrokenZstd) {
        if matches!(self.state, ZstdState::Within { .. }) && !self.decoder.is_finished() {
            // Whatever is wrong with the frame was said.
            self.decoder.decode_blocks(EMPTY_END, BlockDecodingStrategy::UptoBlocks(1)).ok();
        }
        self.pending = Vec::new();
        self.state = ZstdState::Broken(error);
    }

    /// Takes what is unpacked; whether all of it was taken.
    fn drain(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let (len, waiting) = (out.len(), self.decoder.can_collect());
            if waiting == 0 {
                break;
            }
            let room = out.capacity().saturating_sub(len);
            if room == 0 {
                return false;
            }
            out.resize(len.saturating_add(room.min(waiting)), 0);
            let taken = self.decoder.read(out.get_mut(len..).unwrap_or_default()).unwrap_or_default();
            out.truncate(len.saturating_add(taken));
            if taken == 0 {
                self.state = ZstdState::Broken(BrokenZstd::Corrupt);
                break;
            }
        }
        if matches!(self.state, ZstdState::Within { .. }) && self.decoder.is_finished() {
            let told = self.decoder.get_checksum_from_data();
            let is_intact = told.is_none() || told == self.decoder.get_calculated_checksum();
            self.state = if is_intact { ZstdState::Between } else { ZstdState::Broken(BrokenZstd::Corrupt) };
        }
        true
    }

    fn skip(&mut self, left: usize, input: &mut &[u8]) -> bool {
        let skipped = left.min(input.len());
        *input = input.get(skipped..).unwrap_or_default();
        self.state = if skipped == left { ZstdState::Between } else { ZstdState::Skipping(left - skipped) };
        skipped == left
    }

    /// Begins a frame; whether all of its header was there.
    fn header(&mut self, input: &mut &[u8]) -> Result<bool, BrokenZstd> {
        if !self.fill(4, input) {
            return Ok(false);
        }
        if !self.pending.starts_with(MAGIC) {
            return self.other_frame(input);
        }
        if !self.fill(5, input) {
            return Ok(false);
        }
        let descriptor = self.pending.get(4).copied().unwrap_or_default();
        if !self.fill(header_len(descriptor), input) {
            return Ok(false);
        }
        self.decoder.reset(&*self.pending).map_err(|error| refusal(&error))?;
        self.pending.clear();
        self.state = ZstdState::Within { has_checksum: descriptor & 4 != 0 };
        Ok(true)
    }

    /// Frames that hold none of the contents are passed over.
    fn other_frame(&mut self, input: &mut &[u8]) -> Result<bool, BrokenZstd> {
        if !is_skippable(&self.pending) {
            return Err(BrokenZstd::Corrupt);
        }
        if !self.fill(8, input) {
            return Ok(false);
        }
        let len = self.pending.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        self.pending.clear();
        self.state = ZstdState::Skipping(usize::try_from(len).map_err(|_| BrokenZstd::Corrupt)?);
        Ok(true)
    }

    /// Unpacks a block; whether all of it was there.
    fn block(&mut self, has_checksum: bool, input: &mut &[u8]) -> Result<bool, BrokenZstd> {
        if !self.fill(3, input) {
            return Ok(false);
        }
        let [low, middle, high] = self.pending.first_chunk::<3>().copied().unwrap_or_default();
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let (is_last, is_repeated) = (header & 1 != 0, (header >> 1) & 3 == 1);
        let size = usize::try_from(header >> 3).map_err(|_| BrokenZstd::Corrupt)?;
        if size > MOST_BLOCK {
            return Err(BrokenZstd::Corrupt);
        }
        let sum = if is_last && has_checksum { 4 } else { 0 };
        if !self.fill(3 + if is_repeated { 1 } else { size } + sum, input) {
            return Ok(false);
        }
        let decoded = self.decoder.decode_blocks(&*self.pending, BlockDecodingStrategy::UptoBlocks(1));
        decoded.map_err(|_| BrokenZstd::Corrupt)?;
        self.pending.clear();
        Ok(true)
    }

    /// Whether so many bytes are pending, after some of `input` if need be.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.pending.len());
        let (more, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.pending.extend_from_slice(more);
        *input = rest;
        self.pending.len() >= wanted
    }
}

/// Why a frame is not begun.
const fn refusal(error: &FrameDecoderError) -> BrokenZstd {
    if matches!(error, FrameDecoderError::WindowSizeTooBig { .. }) {
        BrokenZstd::Window
    } else if matches!(error, FrameDecoderError::DictNotProvided { .. }) {
        BrokenZstd::Dictionary
    } else {
        BrokenZstd::Corrupt
    }
}

/// How long the header is that has this descriptor.
const fn header_len(descriptor: u8) -> usize {
    let is_single = descriptor & 0x20 != 0;
    let window = if is_single { 0 } else { 1 };
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let content_size = match descriptor >> 6 {
        0 => is_single as usize,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    5 + window + dictionary + content_size
}
