//! What standard input leaves to the next run of its source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tracing::error;

use super::framer::FramerState;
use crate::event::{Held, Piece};
use crate::source::Carried;

/// What a run of the source leaves to the next one, since standard input cannot be read again.
#[derive(Debug, Default)]
pub(super) struct StdinCarryover(
    /// The lock covers a look or a change.
    Mutex<CarriedInput>,
);

#[derive(Debug, Default)]
pub(super) struct CarriedInput {
    /// Whether there will be a next run.
    pub(super) has_successor: bool,
    /// What was read and is not a whole event yet.
    pub(super) carry: BytesMut,
    /// Where the stream stands before `carry`.
    pub(super) framer: FramerState,
    /// What was handed over and has not ended, in order.
    pub(super) in_flight: BTreeMap<u64, InFlightInput>,
    pub(super) next: u64,
    /// What tells the input from that of other runs, and how much of it was handed over: what ids are made of.
    pub(super) unit: Option<Arc<str>>,
    pub(super) handed_over: u64,
    /// What was given up, with nobody to come after.
    pub(super) lost: LostInput,
}

/// Input that was read and cannot be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LostInput {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl LostInput {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let is_open = bytes.last().is_some_and(|last| *last != b'\n');
        let lines = (memchr::memchr_iter(b'\n', bytes).count() as u64).saturating_add(u64::from(is_open));
        self.lines = self.lines.saturating_add(lines);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }
}

impl Carried for StdinCarryover {
    fn holds_data(&self) -> bool {
        !self.is_empty()
    }

    fn announce(&self, successors: &BTreeSet<&'static str>) {
        self.set_successor(successors.contains("stdin"));
    }

    fn report_lost(&self) -> bool {
        let carried = self.lock();
        let mut lost = carried.lost;
        let kept = carried.in_flight.values().map(|input| &*input.payload).chain([&*carried.carry]);
        kept.for_each(|bytes| lost.add(bytes));
        drop(carried);
        if lost.bytes == 0 {
            return false;
        }
        error!(
            lines = lost.lines,
            bytes = lost.bytes,
            "events of standard input are lost: they were read, are not delivered, and nobody can read them again; a sink with a disk buffer would keep them"
        );
        true
    }
}

/// A copy of a chunk, with the memory it takes.
#[derive(Debug)]
pub(super) struct InFlightInput {
    /// Bytes of the input before it.
    pub(super) offset: u64,
    pub(super) payload: Bytes,
    pub(super) piece: Piece,
    pub(super) held: Held,
}

impl StdinCarryover {
    /// Says whether a stop that comes is followed by another run.
    pub(super) fn set_successor(&self, has_successor: bool) {
        self.lock().has_successor = has_successor;
    }

    /// Whether nothing is left that only another run can deliver.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        let carried = self.lock();
        carried.carry.is_empty() && carried.in_flight.is_empty()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CarriedInput> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
