//! Inflates a body piece by piece, in small steps.

use flate2::{Decompress, FlushDecompress, Status};

/// The body's gzip is damaged, or something else follows it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the content encoding is gzip, but the body is not")]
pub(super) struct NotGzip;

/// The state of one body.
pub(super) struct Gunzip {
    stream: Decompress,
    space: Box<[u8]>,
    /// Members that were begun.
    members: u32,
    ended: bool,
}

/// More members are no text that anybody wrote: each costs a decompressor, whatever it holds.
const MOST_MEMBERS: u32 = 4_096;

/// Bytes inflated at a time: small enough not to hold up other tasks.
const STEP: usize = 32 << 10;

const WINDOW_BITS: u8 = 15;

impl Gunzip {
    pub(super) fn new() -> Self {
        let stream = Decompress::new_gzip(WINDOW_BITS);
        Self { stream, space: vec![0; STEP].into(), members: 1, ended: false }
    }

    /// Inflates some of `input`, which is shortened by what was used. Empty: more input is needed. Several members are one text.
    pub(super) fn step(&mut self, input: &mut &[u8]) -> Result<&[u8], NotGzip> {
        let mut made = 0;
        while made == 0 {
            match self.ended {
                true if input.is_empty() => break,
                true => self.begin_member()?,
                false => {}
            }
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let status =
                self.stream.decompress(input, &mut self.space, FlushDecompress::None).map_err(|_| NotGzip)?;
            self.ended = status == Status::StreamEnd;
            let used = usize::try_from(self.stream.total_in() - before_in).unwrap_or(usize::MAX);
            made = usize::try_from(self.stream.total_out() - before_out).unwrap_or(usize::MAX);
            *input = input.get(used..).unwrap_or_default();
            if used == 0 {
                break;
            }
        }
        self.space.get(..made).ok_or(NotGzip)
    }

    fn begin_member(&mut self) -> Result<(), NotGzip> {
        if self.members >= MOST_MEMBERS {
            return Err(NotGzip);
        }
        self.members = self.members.saturating_add(1);
        (self.stream, self.ended) = (Decompress::new_gzip(WINDOW_BITS), false);
        Ok(())
    }

    /// The body has ended.
    pub(super) fn finish(&self) -> Result<(), NotGzip> {
        if self.ended { Ok(()) } else { Err(NotGzip) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out of a body that comes in pieces of so many bytes.
    fn inflated(body: &[u8], piece: usize) -> Result<Vec<u8>, NotGzip> {
        let (mut gunzip, mut text) = (Gunzip::new(), Vec::new());
        for mut input in body.chunks(piece) {
            loop {
                let step = gunzip.step(&mut input)?;
                if step.is_empty() {
                    break;
                }
                text.extend_from_slice(step);
            }
        }
        gunzip.finish().map(|()| text)
    }

    #[test]
    fn members_that_follow_each_other_are_one_text() {
        let long = vec![b'x'; 3 * STEP];
        let body = [gzip(b"a"), gzip(b""), gzip(&long), gzip(b"z")].concat();
        let whole = [b"a", long.as_slice(), b"z"].concat();
        for piece in [1, 7, body.len()] {
            assert_eq!(inflated(&body, piece).unwrap(), whole, "in pieces of {piece}");
        }
        assert!(inflated(&body[..body.len() - 1], 10).is_err(), "cut off");
        assert!(inflated(&[gzip(b"a"), b"rest".to_vec()].concat(), 10).is_err(), "no gzip");
        let many = gzip(b"").repeat(usize::try_from(MOST_MEMBERS).unwrap());
        assert_eq!(inflated(&many, 1_000).unwrap(), b"");
        assert!(inflated(&[many, gzip(b"")].concat(), 1_000).is_err(), "too many");
    }
}
