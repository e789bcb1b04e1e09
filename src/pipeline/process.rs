//! One chunk's way through a worker: decode → route → encode → enqueue. A chunk of which more is written than there is memory for
//! goes the way in steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encoded::EncodedChunk;
use super::enqueue::{Enqueuer, RoomCheck};
use super::intake::Job;
use super::open_job::{OpenJob, SourceDecoder};
use super::paused::{JobWait, PausedJob, PausedJobs};
use super::routing::{Routing, WorkerState};
use super::scratch::WorkerScratch;
use super::step::{StepMemory, StepNeeds};
use crate::decode::Undecoded;
use crate::event::{AckGuard, Budget, Chunk, CommitTurn, Held, Origin};
use crate::steps::Redacting;
use crate::tap::TapTarget;

/// What the workers work with.
#[derive(Debug)]
pub(crate) struct Processor {
    /// Sources by name.
    pub(crate) sources: BTreeMap<Arc<str>, Arc<SourceDecoder>>,
    /// The last step.
    pub(crate) enqueuer: Arc<Enqueuer>,
    /// The memory of what waits.
    pub(crate) budget: Arc<Budget>,
    /// What a step may write before it is enqueued, in bytes.
    pub(crate) step: u64,
    /// Jobs that wait for memory, or for a destination.
    pub(super) paused: PausedJobs,
}

impl Processor {
    /// What workers work with, with `count` of them.
    pub(crate) fn new(
        sources: BTreeMap<Arc<str>, Arc<SourceDecoder>>,
        enqueuer: Enqueuer,
        budget: Arc<Budget>,
        count: usize,
    ) -> Self {
        let step = budget.limit() / 8 / (count as u64).max(1);
        let step = step.clamp(LEAST_STEP, MOST_STEP);
        let paused = PausedJobs::new(Arc::clone(&budget), step);
        Self { sources, enqueuer: Arc::new(enqueuer), budget, step, paused }
    }

    /// Takes a chunk from its source's bytes to its destinations' queues, as far as there is memory.
    pub(super) fn process(&self, job: Job, state: &mut WorkerState, scratch: &mut WorkerScratch) {
        let Job { chunk, slot, undecodable } = job;
        let Chunk { origin, payload, piece, read_at, ack, held } = chunk;
        let Some(source) = self.sources.get(&origin.source).map(Arc::clone) else {
            debug_assert!(false, "a chunk of a source that is not configured");
            // The ack guard is dropped unsettled: the chunk is given up, not lost.
            return;
        };
        let origin = match &source.labeller {
            Some(labeller) => labeller.label(origin, &mut scratch.labelled),
            None => origin,
        };
        let used = payload.len() as u64;
        let undecoded = match undecodable {
            None => Undecoded::new(payload, piece),
            Some(reason) => Undecoded::refused(payload, reason),
        };
        let (mark, has_begun, needs) = (self.paused.mark(), false, StepNeeds::default());
        let job =
            OpenJob { source, origin, undecoded, read_at, ack, held, used, slot, has_begun, needs, mark };
        // Who waits for memory is not overtaken.
        let room = if self.budget.is_wanted() {
            None
        } else {
            self.budget.reserve(self.step, job.slot.turn(), &job.held)
        };
        match room {
            Some(room) => self.step(job, room, state, scratch),
            None => self.paused.add(job, JobWait::Memory),
        }
    }

    /// Goes on with a job that was paused.
    pub(super) fn go_on(&self, paused: PausedJob, state: &mut WorkerState, scratch: &mut WorkerScratch) {
        let PausedJob { mut job, mut room } = paused;
        job.held.merge(room.split(job.needs.for_payload));
        self.step(job, room, state, scratch);
    }

    /// Takes a job as far as the room goes.
    fn step(&self, job: OpenJob, mut room: Held, state: &mut WorkerState, scratch: &mut WorkerScratch) {
        let OpenJob {
            source, origin, undecoded, read_at, ack, mut held, used, slot, has_begun, mark, ..
        } = job;
        let mut needs = StepNeeds::default();
        let memory =
            StepMemory::new((&self.budget, slot.turn()), room.bytes(), (&mut held, used), &mut needs);
        let taps = self.enqueuer.taps.of(TapTarget::Source, &origin.source);
        let routing = state.begin(read_at, memory).of_chunk(&source, &origin.source, &ack).tapped(taps);
        let (left, mut encoded) = decode(&source, &origin, undecoded, routing, scratch);
        needs.add_to(&mut room);
        let (enqueuer, lane, of_source) =
            (Arc::clone(&self.enqueuer), Arc::clone(slot.lane()), Arc::clone(&source));
        // The rest of what was given up is not needed; what is parked before it may still be given up.
        let check = if has_begun { RoomCheck::Begun } else { RoomCheck::First };
        // A guard of what is not committed would give the chunk up.
        let is_committed = left.is_none() || !encoded.is_empty();
        let whole = (has_begun && is_committed).then(|| ack.split());
        // What is parked behind other jobs of its lane stays until they go on, as what is paused does.
        let is_parked = slot.turn() == CommitTurn::Later;
        let parked = is_parked.then(|| self.budget.pause(encoded.memory, false));
        let enqueue = move |encoded, ack| {
            drop(parked);
            let is_given_up = whole.as_ref().is_some_and(AckGuard::is_given_up);
            whole.into_iter().for_each(AckGuard::settle);
            if !is_given_up {
                enqueuer.enqueue(encoded, &lane, ack, check, &of_source.metrics);
            }
        };
        let Some(undecoded) = left else {
            // Chunks of one lane are encoded side by side, and enqueued one after the other.
            held.merge(room);
            held.resize(encoded.memory);
            if encoded.has_several_sinks() {
                encoded.held = Some(held);
            } else {
                ack.hold(held);
            }
            return slot.commit(move || enqueue(encoded, ack));
        };
        let wrote = !encoded.is_empty();
        // What was taken for a payload that was not opened is free again.
        let used = if undecoded.is_whole() { used } else { held.bytes() };
        if wrote {
            room.resize(encoded.memory);
            let part = if encoded.has_several_sinks() {
                encoded.held = Some(room);
                ack.split()
            } else {
                ack.part(room)
            };
            slot.commit_part(move || enqueue(encoded, part));
        }
        let has_begun = has_begun || wrote;
        let job =
            OpenJob { source, origin, undecoded, read_at, ack, held, used, slot, has_begun, needs, mark };
        self.paused.add(job, if wrote { JobWait::Turn } else { JobWait::Memory });
    }
}

/// Decodes as much as there is room for. The decoder calls back for each event that it finds: see `Redacting`, which replaces what is
/// to be redacted, and `Routing`, which routes it, and encodes it for its sinks.
pub(super) fn decode(
    source: &SourceDecoder,
    origin: &Arc<Origin>,
    undecoded: Undecoded,
    mut routing: Routing<'_>,
    scratch: &mut WorkerScratch,
) -> (Option<Undecoded>, EncodedChunk) {
    let WorkerScratch { decode, redact, .. } = scratch;
    let Some(redactor) = &source.redactor else {
        let left = source.decoder.decode_some(decode, origin, undecoded, &mut routing);
        return (left, routing.finish());
    };
    let mut redacting = Redacting::new(&mut routing, redactor, redact);
    let left = source.decoder.decode_some(decode, origin, undecoded, &mut redacting);
    let redacted = redactor.take_counts(redact);
    redact.shrink();
    (left, EncodedChunk { redacted, ..routing.finish() })
}

/// A step writes at least so much.
const LEAST_STEP: u64 = 64 << 10;

/// A step writes at most so much: more than is written of most chunks.
const MOST_STEP: u64 = 2 << 20;
