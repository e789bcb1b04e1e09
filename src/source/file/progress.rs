//! How far a file was read.

use std::sync::Arc;

use super::account::AccountHandle;
use super::setup::FileSetup;
use crate::event::Origin;
use crate::pipeline::{OrderedLane, WhenFullDestination};
use crate::source::file::position::{Fingerprint, Mark};
use crate::source::framer::{Framer, FramerState};

/// How far a file was read, and where what is read of it goes.
pub(super) struct ReadProgress {
    pub(super) account: Arc<AccountHandle>,
    pub(super) origin: Arc<Origin>,
    pub(super) lane: Arc<OrderedLane>,
    /// What ids of its lines are made of.
    pub(super) unit: Arc<str>,
    pub(super) head: Fingerprint,
    pub(super) mark: Mark,
    /// A checksum of the bytes before the mark, as many as its fingerprint is of: good enough from one read to the next, and
    /// cheaper. None: nothing is known but the fingerprint.
    sum: Option<u32>,
    /// Stands at the mark.
    pub(super) framer: Framer,
    /// Some marks before it, for copies that were made while it was read.
    pub(super) recent: RecentMarks,
}

/// The latest few marks.
pub(super) type RecentMarks = [Option<Mark>; 4];

impl ReadProgress {
    /// A file that is read from `mark` on; its events carry the path `origin`.
    pub(super) fn new(
        setup: &FileSetup,
        account: Arc<AccountHandle>,
        origin: Arc<str>,
        head: Fingerprint,
        mark: Mark,
    ) -> Self {
        let mut framer = Framer::new(&setup.config.decoding, setup.intake.framing());
        framer.resume(FramerState::resumed(mark.skipping));
        let lane = setup.intake.lane(WhenFullDestination::Wait);
        let recent = RecentMarks::default();
        let unit = format!("{:016x}", account.id().hash).into();
        Self { account, origin: setup.origin(origin), lane, unit, head, mark, sum: None, framer, recent }
    }

    /// Notes the file's first bytes, if more of them are known now.
    pub(super) fn learn_head(&mut self, first: &[u8]) {
        let head = Fingerprint::of_start(first);
        if head.len > self.head.len {
            self.head = head;
            self.account.grown(head);
        }
    }

    /// Notes that so many bytes more were read, which end with `before`, when the file was so large.
    pub(super) fn advance(&mut self, len: usize, before: &[u8], size: u64) {
        let before = last_bytes(before);
        self.move_to(self.mark_after(len, before, size));
        self.sum = Some(crc32c::crc32c(before));
    }

    /// Moves over so many bytes more that nobody has to acknowledge.
    pub(super) fn leave_out(&mut self, len: usize, before: &[u8], size: u64) {
        self.pass(self.mark_after(len, last_bytes(before), size));
    }

    /// Moves to a mark; nobody has to acknowledge what is before it.
    pub(super) fn pass(&mut self, mark: Mark) {
        self.account.pass(mark);
        self.move_to(mark);
    }

    /// Whether `before`, which stands before the mark now, is what was read there.
    pub(super) fn follows_on(&self, before: &[u8]) -> bool {
        match self.sum {
            Some(sum) => before.len() == usize::from(self.mark.tail.len) && crc32c::crc32c(before) == sum,
            None => Fingerprint::of_end(before) == self.mark.tail,
        }
    }

    fn mark_after(&self, len: usize, before: &[u8], size: u64) -> Mark {
        let offset = self.mark.offset.saturating_add(len as u64);
        Mark { offset, tail: Fingerprint::of_end(before), skipping: self.framer.state().skipping, size }
    }

    const fn move_to(&mut self, mark: Mark) {
        let [newest, newer, older, _] = self.recent;
        self.recent = [Some(self.mark), newest, newer, older];
        self.mark = mark;
        self.sum = None;
    }
}

/// As many as a fingerprint is taken of.
fn last_bytes(bytes: &[u8]) -> &[u8] {
    bytes.last_chunk::<{ Fingerprint::MOST }>().map_or(bytes, |last| last)
}

/// A place to begin at, behind these bytes.
pub(super) fn mark_at(offset: u64, size: u64, before: &[u8]) -> Mark {
    Mark { offset, tail: Fingerprint::of_end(before), skipping: false, size }
}
