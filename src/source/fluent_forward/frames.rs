//! What was read of a connection, and the whole messages in it.

use std::ops::Range;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::{FIRST_READ, SMALL};
use crate::event::Held;
use crate::msgpack::{PackError, PackScan, PackSpan};

/// Bytes of a connection, from the first message on that was not taken.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the message begins that is looked at.
    begin: usize,
    scan: PackScan,
    /// The longest message.
    most: usize,
    /// Memory for the buffer.
    held: Held,
}

/// A message, where it stands in the buffer.
#[derive(Clone, Debug)]
pub(super) struct FoundFrame {
    pub(super) place: Range<usize>,
    pub(super) span: PackSpan,
}

/// A run of messages is handed over with the buffer from this size on, and copied below.
const COPIED: usize = 128 << 10;

/// A buffer grows by so much at least.
const STEP: usize = SMALL;

impl FrameBuffer {
    pub(super) fn new(most: usize, held: Held) -> Self {
        Self { bytes: Vec::new(), begin: 0, scan: PackScan::default(), most, held }
    }

    /// From now on, messages may be so long.
    pub(super) const fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// How many bytes of a message are there that is not whole.
    pub(super) fn pending(&self) -> usize {
        self.bytes.len().saturating_sub(self.begin)
    }

    /// How much larger the buffer has to get before more can be read, where it is more than any connection may have.
    pub(super) fn wanted(&self) -> Option<usize> {
        let is_full = self.pending() >= SMALL && self.bytes.len() >= self.bytes.capacity();
        is_full.then(|| (self.bytes.capacity() / 2).max(STEP).min(self.most))
    }

    /// Grows by so much.
    pub(super) fn grow(&mut self, more: usize) {
        self.bytes.reserve_exact(more);
        self.charge();
    }

    /// Reads more; none at the end. Cancel-safe.
    pub(super) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<usize> {
        if self.bytes.len() >= self.bytes.capacity() {
            // Who fills what there is brings more.
            let more = self.bytes.capacity().clamp(FIRST_READ, SMALL);
            self.bytes.reserve_exact(more);
            self.charge();
        }
        stream.read_buf(&mut self.bytes).await
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When what comes next is none.
    pub(super) fn next(&mut self) -> Result<Option<FoundFrame>, PackError> {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some(span) = self.scan.step(rest, self.most)? else { return Ok(None) };
        let place = self.begin..self.begin.saturating_add(span.len);
        self.begin = place.end;
        Ok(Some(FoundFrame { place, span }))
    }

    /// The bytes at a place.
    pub(super) fn at(&self, place: Range<usize>) -> &[u8] {
        self.bytes.get(place).unwrap_or_default()
    }

    /// Takes a run of messages out, and everything before it.
    pub(super) fn take(&mut self, run: Range<usize>) -> Bytes {
        let is_last = run.end >= self.begin;
        if run.len() < COPIED || !is_last {
            return Bytes::copy_from_slice(self.at(run));
        }
        let rest = self.bytes.get(self.begin..).unwrap_or_default().to_vec();
        let mut taken = std::mem::replace(&mut self.bytes, rest);
        self.begin = 0;
        taken.truncate(run.end);
        taken.shrink_to_fit();
        self.charge();
        Bytes::from(taken).slice(run.start..)
    }

    /// Forgets what was taken, and gives back what is not needed.
    pub(super) fn compact(&mut self) {
        let taken = self.begin.min(self.bytes.len());
        self.bytes.drain(..taken);
        self.begin = 0;
        if self.bytes.capacity() > SMALL && self.bytes.len() <= SMALL / 2 {
            self.bytes.shrink_to(SMALL);
            self.charge();
        }
    }

    /// Gives the buffer back, where nothing is in it.
    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
            self.charge();
        }
    }

    fn charge(&mut self) {
        self.held.resize(self.bytes.capacity() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Budget;

    fn message(len: usize) -> Vec<u8> {
        let len = u32::try_from(len).unwrap().to_be_bytes();
        let text = vec![b'x'; u32::from_be_bytes(len) as usize];
        [&[0x92, 0xa1, b't', 0xc6][..], &len, &text].concat()
    }

    /// Reads all of `stream` with runs of the whole messages in each read.
    async fn read_all(most: usize, mut stream: &[u8]) -> (Vec<u8>, Result<(), PackError>, u64) {
        let budget = Budget::new(1 << 30);
        let mut frames = FrameBuffer::new(most, budget.keep());
        let mut seen = Vec::new();
        loop {
            if let Some(more) = frames.wanted() {
                frames.grow(more);
            }
            if frames.read(&mut stream).await.unwrap() == 0 {
                return (seen, Ok(()), budget.peak());
            }
            let mut run = 0..0;
            loop {
                match frames.next() {
                    Ok(Some(frame)) => run = run.start..frame.place.end,
                    Ok(None) => break,
                    Err(error) => {
                        seen.extend_from_slice(&frames.take(run));
                        return (seen, Err(error), budget.peak());
                    }
                }
            }
            seen.extend_from_slice(&frames.take(run));
            frames.compact();
        }
    }

    #[tokio::test]
    async fn whole_messages_are_taken_out_in_order_however_large_they_are() {
        let sizes = [0, 5, 70_000, 3, 1 << 20, 200_000, 200_000, 1, (3 << 20) - 100, 7];
        let stream: Vec<u8> = sizes.iter().flat_map(|size| message(*size)).collect();
        let (seen, end, peak) = read_all(3 << 20, &stream).await;
        assert_eq!(end, Ok(()));
        assert!(seen == stream, "{} of {} bytes", seen.len(), stream.len());
        assert!(peak < 6 << 20, "{peak} bytes of memory");
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_refused_before_it_is_read() {
        let stream = [message(10), message(1 << 20)].concat();
        let (seen, end, peak) = read_all(1 << 18, &stream).await;
        assert_eq!((seen, end), (message(10), Err(PackError::TooLarge)));
        assert!(peak <= 2 * SMALL as u64, "{peak} bytes of memory");
    }

    #[tokio::test]
    async fn a_buffer_that_is_not_needed_is_given_back() {
        let budget = Budget::new(1 << 20);
        let mut frames = FrameBuffer::new(1 << 20, budget.keep());
        let message = message(100);
        let mut stream = &message[..];
        frames.read(&mut stream).await.unwrap();
        let frame = frames.next().unwrap().unwrap();
        assert_eq!(frames.take(frame.place), message);
        frames.compact();
        assert!(budget.used() >= 100);
        frames.rest();
        assert_eq!(budget.used(), 0);
    }
}
