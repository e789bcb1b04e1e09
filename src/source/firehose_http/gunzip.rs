//! Inflates a body piece by piece, in small steps.

use flate2::{Decompress, FlushDecompress, Status};

/// The body's gzip is damaged, or goes on after its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the content encoding is gzip, but the body is not")]
pub(super) struct NotGzip;

/// The state of one body.
pub(super) struct Gunzip {
    stream: Decompress,
    space: Box<[u8]>,
    ended: bool,
}

/// Bytes inflated at a time: small enough not to hold up other tasks.
const STEP: usize = 32 << 10;

const WINDOW_BITS: u8 = 15;

impl Gunzip {
    pub(super) fn new() -> Self {
        Self { stream: Decompress::new_gzip(WINDOW_BITS), space: vec![0; STEP].into(), ended: false }
    }

    /// Inflates some of `input`, which is shortened by what was used. Empty: more input is needed.
    pub(super) fn step(&mut self, input: &mut &[u8]) -> Result<&[u8], NotGzip> {
        if self.ended {
            return if input.is_empty() { Ok(&[]) } else { Err(NotGzip) };
        }
        let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
        let status =
            self.stream.decompress(input, &mut self.space, FlushDecompress::None).map_err(|_| NotGzip)?;
        self.ended = status == Status::StreamEnd;
        let used = usize::try_from(self.stream.total_in() - before_in).unwrap_or(usize::MAX);
        let made = usize::try_from(self.stream.total_out() - before_out).unwrap_or(usize::MAX);
        *input = input.get(used..).unwrap_or_default();
        self.space.get(..made).ok_or(NotGzip)
    }

    /// The body has ended.
    pub(super) fn finish(&self) -> Result<(), NotGzip> {
        if self.ended { Ok(()) } else { Err(NotGzip) }
    }
}
