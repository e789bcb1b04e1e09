//! Promises of the file source: whatever happens to the files, every line arrives exactly once.

mod growing;
mod many;
mod old;
mod positions;
mod removed;
mod restarted;
mod rotated;
mod world;

use std::time::Duration;

use crate::event::Framing;

/// One event a line.
#[derive(Debug)]
pub(crate) struct PlainLineFraming;

impl Framing for PlainLineFraming {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end { bytes.len() } else { memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1) }
    }
}

/// A line that begins with a blank continues the event before it.
#[derive(Debug)]
pub(crate) struct IndentedFraming;

impl Framing for IndentedFraming {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end {
            return bytes.len();
        }
        let mut starts = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1);
        starts.rfind(|start| bytes.get(*start).is_some_and(|byte| *byte != b' ')).unwrap_or(0)
    }

    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }
}

/// A file is one payload.
#[derive(Debug)]
pub(crate) struct ObjectFraming;

impl Framing for ObjectFraming {
    fn whole(&self, bytes: &[u8], _: bool) -> usize {
        bytes.len()
    }

    fn is_object(&self) -> bool {
        true
    }
}
