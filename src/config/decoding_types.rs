//! How the bytes of a source become events, as the rest of the program uses it.

use std::time::Duration;

use super::forward_source::RecordAs;
use crate::event::Charset;

/// How payload bytes become events.
#[derive(Clone, Debug)]
pub struct Decoding {
    /// The format.
    pub format: Format,
    /// How the characters of lines are written.
    pub charset: Charset,
    /// Joins continued lines; for `lines`, `docker` and `cri`.
    pub multiline: Option<Multiline>,
    /// Longest event in bytes.
    pub max_line: usize,
    /// What becomes of longer ones.
    pub too_long: TooLong,
    /// Most bytes that one compressed payload may inflate to.
    pub max_inflated: usize,
}

/// What a payload's bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One event a line.
    Lines,
    /// Docker's json-file lines, partial ones joined.
    Docker,
    /// Kubernetes CRI lines, partial ones joined.
    Cri,
    /// `CloudWatch` Logs subscription envelopes, gzipped or not, one or many.
    Envelope,
    /// `CloudTrail`'s `{"Records":[..]}`, gzipped or not.
    Cloudtrail,
    /// Messages of the Fluent Forward protocol.
    FluentForward(RecordAs),
    /// Entries of systemd's journal, in its export format.
    Journald,
}

/// `multiline = { start, timeout }`
#[derive(Clone, Debug)]
pub struct Multiline {
    /// A line that matches begins an event; others continue it.
    pub start: regex::bytes::Regex,
    /// How long an event waits for its continuation.
    pub timeout: Duration,
}

/// What becomes of an event longer than allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TooLong {
    /// It is shipped in parts, in order.
    Split,
    /// It is cut, and a mark says so.
    Truncate,
    /// It goes to the dead letters whole.
    DeadLetter,
}
