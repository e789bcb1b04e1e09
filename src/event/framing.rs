//! How a format cuts bytes into whole events.

use std::time::Duration;

/// Where a source may cut what it reads, so that each chunk holds whole events. Pure.
pub trait Framing: Send + Sync + std::fmt::Debug {
    /// How many bytes at the front of `bytes` are whole events and may be sent as one chunk; 0 when more must be read first.
    ///
    /// With `end` nothing more will come for now (the file is rotated away, the run is `--once`, or the wait for a
    /// continuation is over): all bytes are to be taken.
    fn whole(&self, bytes: &[u8], end: bool) -> usize;

    /// Whether the last event of `taken`, which [`Self::whole`] gave without `end`, goes on in `rest` or behind it: it is too long
    /// to be given whole.
    fn goes_on(&self, _taken: &[u8], _rest: &[u8]) -> bool {
        false
    }

    /// How long an incomplete event waits for its continuation before the source asks again with `end`; `None` is for ever.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether the payload is one object that must be read whole, such as a gzipped `CloudTrail` file.
    fn is_object(&self) -> bool {
        false
    }
}
