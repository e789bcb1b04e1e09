//! Standard input: a pipe that is written a few whole lines at a time, so that a read never ends within one.
//!
//! A pipe takes up to 4,096 bytes (`PIPE_BUF`) as a whole or not at all, and standpipe reads all that the pipe holds. So what a
//! process read of it is whole lines, and what it left unread can be counted when it has ended.

use std::io::{ErrorKind, PipeWriter, Write};

use crate::standin::Lines;

/// The writing end of one process's standard input.
pub(crate) struct Tap {
    pipe: PipeWriter,
}

/// Lines in one write; each is less than 320 bytes.
const AT_ONCE: u64 = 12;

impl Tap {
    pub(crate) fn open(pipe: PipeWriter) -> Self {
        rustix::io::ioctl_fionbio(&pipe, true).unwrap();
        Self { pipe }
    }

    /// Writes lines from this number on, and says how many; none when the pipe is full.
    pub(crate) fn write(&mut self, lines: Lines, from: u64) -> u64 {
        let text = lines.text(from..from + AT_ONCE);
        assert!(text.len() <= 4_096, "one write is taken as a whole");
        match self.pipe.write(&text) {
            Ok(written) => {
                assert_eq!(written, text.len(), "one write is taken as a whole");
                AT_ONCE
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic_on(&error),
        }
    }
}

#[expect(
    clippy::panic,
    reason = "the reading end is kept open: a pipe that breaks is a fault of the harness"
)]
fn panic_on(error: &std::io::Error) -> ! {
    panic!("standard input cannot be written: {error}")
}
