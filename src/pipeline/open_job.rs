//! A chunk on its way through a worker, perhaps in steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::intake::CommitSlot;
use super::labelling::Labeller;
use super::parsing::MessageParser;
use super::step::StepNeeds;
use crate::decode::{Decoder, Undecoded};
use crate::event::{AckGuard, Held, Origin, Timestamp};
use crate::metrics::SourceMetrics;
use crate::steps::Redactor;

/// One source, as the workers see it.
#[derive(Debug)]
pub(crate) struct SourceDecoder {
    /// How its payloads are decoded.
    pub(crate) decoder: Decoder,
    /// What is redacted in its events.
    pub(crate) redactor: Option<Redactor>,
    /// How its messages are read; none: they are text.
    pub(crate) parser: Option<MessageParser>,
    /// What labels its origins; none: nothing does.
    pub(crate) labeller: Option<Labeller>,
    /// Events whose own time is longer ago are left out; none: no event is too old.
    pub(crate) ignore_older: Option<Duration>,
    /// What it counts.
    pub(crate) metrics: SourceMetrics,
}

impl SourceDecoder {
    /// The oldest time that an event may have which was read at `read_at`.
    pub(super) fn oldest(&self, read_at: Timestamp) -> Timestamp {
        self.ignore_older.map_or(Timestamp(i64::MIN), |age| read_at.before(age))
    }
}

/// A chunk on its way, or what is left of it.
#[derive(Debug)]
pub(super) struct OpenJob {
    pub(super) source: Arc<SourceDecoder>,
    pub(super) origin: Arc<Origin>,
    pub(super) undecoded: Undecoded,
    pub(super) read_at: Timestamp,
    pub(super) ack: AckGuard,
    /// Memory of what is left to decode, and how much of it is in use.
    pub(super) held: Held,
    pub(super) used: u64,
    pub(super) slot: CommitSlot,
    /// Some of it is enqueued.
    pub(super) has_begun: bool,
    /// Memory that its next step needs beside the room of any.
    pub(super) needs: StepNeeds,
    pub(super) mark: JobMark,
}

impl OpenJob {
    /// Its place in its lane.
    pub(super) fn slot(&self) -> &CommitSlot {
        &self.slot
    }

    /// It waits for a destination.
    pub(super) fn waits(&mut self) {
        self.slot.waits();
    }

    /// The memory that it holds, in bytes.
    pub(super) fn held(&self) -> u64 {
        self.held.bytes()
    }

    /// Whether it is given up rather than kept until a destination has room: its sender sends it again.
    pub(super) fn may_be_given_up(&self) -> bool {
        self.slot.lane().may_reject()
    }

    /// Whether it is of a request, and a part of it is enqueued.
    pub(super) fn is_rest_of_request(&self) -> bool {
        self.has_begun && self.slot.lane().may_reject()
    }

    /// Whether nobody needs the rest of it.
    pub(super) fn is_given_up(&self) -> bool {
        self.ack.is_given_up()
    }

    /// The memory that its next step needs, where a step is of so many bytes.
    pub(super) fn needs(&self, step: u64) -> u64 {
        step.saturating_add(self.needs.for_payload).saturating_add(self.needs.for_writing)
    }
}

/// Counts a job for as long as it lives, on a worker or paused.
#[derive(Debug)]
pub(super) struct JobMark(Arc<AtomicUsize>);

impl JobMark {
    /// Counts one more.
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for JobMark {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
