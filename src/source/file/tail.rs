//! The state of one file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::content::Content;
use super::identity::FileKey;
use crate::event::{
    Acknowledge, FileAccount, FilePosition, Fingerprint, Mark, Origin, Outcome, Place, Timestamp,
};
use crate::metrics::SourceMetrics;
use crate::pipeline::OrderedLane;
use crate::source::framer::{Framer, Upcoming};

/// A file that is known by its inode.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Tail {
    pub(super) key: FileKey,
    /// The path it is opened by.
    pub(super) path: PathBuf,
    pub(super) name: Name,
    /// The path that its events carry, where that is not the one it was found at.
    pub(super) origin: Option<PathBuf>,
    pub(super) stage: Stage,
    /// Whether its name matches the source's patterns; otherwise it is read only if it continues a file that did.
    pub(super) wanted: bool,
    /// Whether it was found after the first walk, so that it may be a copy made while standpipe runs.
    pub(super) is_late: bool,
    /// Where reading begins if nothing is known of the file.
    pub(super) start: u64,
    /// Its size when it was last looked at.
    pub(super) size: u64,
    /// When it was last written to, by its own account, as far as that was looked into.
    modified: Option<(i64, i64)>,
    /// Whether it was written to since its last bytes were compared.
    pub(super) is_doubtful: bool,
    /// When it last grew, or lost its name.
    pub(super) changed: Instant,
    /// The size at which no event was whole; it would be vain to look again for the same end.
    pub(super) vain: Option<(u64, Upcoming)>,
    /// How much is to be read at once, where a usual block does not hold an event.
    pub(super) reach: usize,
    /// Whether it gave little when it was last read, so that a glance may do.
    pub(super) gives_little: bool,
    pub(super) content: Option<Content>,
    /// When it was last used, as a number: for closing the one used longest ago.
    pub(super) used: u64,
    pub(super) is_queued: bool,
    /// When it asked to be looked at again.
    pub(super) wake: Option<Instant>,
    /// How often in a row it could not be opened.
    pub(super) failures: u32,
    /// Whether a broken gzip file was reported.
    pub(super) reported: bool,
}

/// What became of the name that a file was found by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Name {
    /// It stands.
    Present,
    /// It was renamed, or is a copy: its writers will leave it.
    Rotated,
    /// There is none that we know.
    Gone,
}

/// How far a file has come.
pub(super) enum Stage {
    /// Nothing is known of its content.
    Unplaced,
    /// It may be a copy of a file that is still there.
    Held,
    /// It is read.
    Followed(Box<Progress>),
}

/// How far a file was read.
pub(super) struct Progress {
    pub(super) owner: Arc<Owner>,
    pub(super) origin: Arc<Origin>,
    pub(super) lane: Arc<OrderedLane>,
    pub(super) head: Fingerprint,
    pub(super) mark: Mark,
    /// A checksum of the bytes before the mark, as many as its fingerprint is of: good enough from one look to the next, and
    /// cheaper. None: nothing is known but the fingerprint.
    pub(super) sum: Option<u32>,
    /// Stands at the mark.
    pub(super) framer: Framer,
    /// Some marks before it, for copies that were made while it was read.
    pub(super) recent: Recent,
}

/// The latest few marks.
pub(super) type Recent = [Option<Mark>; 4];

/// Passes acknowledgements on to the file's account, and counts those that were none.
pub(super) struct Owner {
    pub(super) account: Arc<dyn FileAccount>,
    pub(super) metrics: SourceMetrics,
}

impl Acknowledge for Owner {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        if outcome == Outcome::Abandoned {
            self.metrics.error("abandoned");
        }
        self.account.acknowledge(number, outcome);
    }
}

impl Tail {
    pub(super) fn new(path: PathBuf, key: FileKey, size: u64, now: Instant) -> Self {
        Self {
            key,
            path,
            name: Name::Present,
            origin: None,
            stage: Stage::Unplaced,
            wanted: true,
            is_late: true,
            start: 0,
            size,
            modified: None,
            is_doubtful: false,
            changed: now,
            vain: None,
            reach: 0,
            gives_little: false,
            content: None,
            used: 0,
            is_queued: false,
            wake: None,
            failures: 0,
            reported: false,
        }
    }

    pub(super) fn place(&self) -> Place {
        Place { path: self.path.clone(), device: self.key.device, inode: self.key.inode }
    }

    /// Notes the size that the file has now.
    pub(super) fn seen(&mut self, size: u64, now: Instant) {
        if size != self.size {
            self.size = size;
            self.changed = now;
        }
    }

    /// Whether the file was written to since it was last looked into.
    pub(super) fn is_modified(&self, metadata: &Metadata) -> bool {
        self.modified.is_none_or(|modified| modified != (metadata.mtime(), metadata.mtime_nsec()))
    }

    /// Notes when the file was written to. Whether that was since the last time.
    pub(super) fn learn_modified(&mut self, metadata: &Metadata) -> bool {
        let is_news = self.modified.is_some() && self.is_modified(metadata);
        self.is_doubtful |= is_news;
        self.modified = Some((metadata.mtime(), metadata.mtime_nsec()));
        is_news
    }

    /// Notes that the file's name is another, or none.
    pub(super) fn renamed(&mut self, name: Name, now: Instant) {
        self.name = name;
        self.changed = now;
    }

    pub(super) const fn progress(&self) -> Option<&Progress> {
        match &self.stage {
            Stage::Followed(progress) => Some(progress),
            Stage::Unplaced | Stage::Held => None,
        }
    }

    pub(super) const fn progress_mut(&mut self) -> Option<&mut Progress> {
        match &mut self.stage {
            Stage::Followed(progress) => Some(progress),
            Stage::Unplaced | Stage::Held => None,
        }
    }

    /// Whether the file's size counts plain bytes, as its mark does.
    pub(super) fn is_plain(&self) -> bool {
        self.content.as_ref().map_or_else(|| !self.is_named_gzip(), |content| !content.is_gzip())
    }

    /// Whether it is a plain file that is read on through its descriptor, under the name that it has, as soon as it grows.
    pub(super) fn is_at_hand(&self) -> bool {
        matches!(self.content, Some(Content::Plain(_)))
            && self.name == Name::Present
            && self.progress().is_some_and(|progress| !progress.lane.is_blocked())
    }

    /// Bytes that are there and were not read.
    pub(super) fn unread(&self) -> u64 {
        match self.progress() {
            Some(_) if !self.is_plain() => 0,
            Some(progress) => self.size.saturating_sub(progress.mark.offset),
            None => self.size,
        }
    }

    pub(super) fn is_named_gzip(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "gz")
    }

    /// Whether the file can be opened again by its path.
    pub(super) fn can_be_closed(&self) -> bool {
        self.name != Name::Gone && self.content.is_some()
    }

    /// How long nothing has happened to the file.
    pub(super) fn quiet(&self, now: Instant) -> Duration {
        now.duration_since(self.changed)
    }

    /// Whether what is there now is all there will be.
    pub(super) fn end(&self, now: Instant, patience: &Patience) -> Upcoming {
        let quiet = self.quiet(now);
        match self.name {
            Name::Rotated | Name::Gone if quiet >= patience.rotated => Upcoming::Nothing,
            _ if patience.once || !self.is_plain() => Upcoming::Nothing,
            _ if patience.event.is_some_and(|event| quiet >= event) => Upcoming::Quiet,
            Name::Present | Name::Rotated | Name::Gone => Upcoming::More,
        }
    }

    /// When the file is to be looked at again though nobody says that it changed.
    pub(super) fn next_look(&self, now: Instant, patience: &Patience) -> Option<Instant> {
        let rotated = self.changed.checked_add(patience.rotated);
        let event = patience.event.and_then(|event| self.changed.checked_add(event)).filter(|at| *at > now);
        let event = event.filter(|_| self.unread() > 0);
        match self.name {
            Name::Present => event,
            Name::Rotated => [event, rotated].into_iter().flatten().filter(|at| *at > now).min(),
            // Nobody tells of writes to a file without a name.
            Name::Gone => [rotated, now.checked_add(LOOK_AT_NAMELESS)]
                .into_iter()
                .flatten()
                .filter(|at| *at > now)
                .min(),
        }
    }
}

/// How long things are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For late writers of a file that was rotated away.
    pub(super) rotated: Duration,
    /// For the continuation of an event.
    pub(super) event: Option<Duration>,
    /// Nothing is waited for.
    pub(super) once: bool,
}

impl Progress {
    /// Notes the file's first bytes, if more of them are known now.
    pub(super) fn learn_head(&mut self, first: &[u8]) {
        let head = Fingerprint::of_start(first);
        if head.len > self.head.len {
            self.head = head;
            self.owner.account.grown(head);
        }
    }

    /// Notes how far the file is read now.
    pub(super) const fn advance(&mut self, mark: Mark) {
        let [newest, newer, older, _] = self.recent;
        self.recent = [Some(self.mark), newest, newer, older];
        self.mark = mark;
        self.sum = None;
    }

    /// Whether `before`, which stands before the mark now, is what was read there.
    pub(super) fn follows_on(&self, before: &[u8]) -> bool {
        match self.sum {
            Some(sum) => before.len() == usize::from(self.mark.tail.len) && crc32c::crc32c(before) == sum,
            None => Fingerprint::of_end(before) == self.mark.tail,
        }
    }

    /// Moves over bytes that nobody has to acknowledge.
    pub(super) fn pass(&mut self, mark: Mark) {
        let number = self.owner.account.begin(mark, Timestamp::now());
        self.owner.account.acknowledge(number, Outcome::Done);
        self.advance(mark);
    }
}

/// What a new file's account begins with.
pub(super) fn position_of(tail: &Tail, origin: Arc<str>, head: Fingerprint, mark: Mark) -> FilePosition {
    FilePosition { place: tail.place(), origin, head, mark, time: Timestamp::now() }
}

/// How often a deleted file that may still grow is looked at.
const LOOK_AT_NAMELESS: Duration = Duration::from_millis(500);
