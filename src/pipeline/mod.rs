//! The data's way: what sources hand over is decoded, routed, encoded and enqueued at its destinations, on worker threads.
//!
//! In:      [`Chunk`](crate::event::Chunk)s, by an [`Intake`]; chunks of one lane in order.
//! Out:     encoded events to the queues of destinations, and dead letters.
//! Full:    the queue of chunks is bounded, and so is their memory: sources wait, and jobs pause between two events.
//! Failure: what cannot be decoded, or taken by a sink, becomes a dead letter.
//! Stop:    the workers end when the sources have, and every chunk is done.

mod costs;
mod deciding;
mod encoded;
mod encoding;
mod enqueue;
mod ids;
mod intake;
mod labelling;
mod open_job;
mod parsing;
mod paused;
mod process;
mod rehearsal;
mod routing;
mod scratch;
mod step;
mod tapping;
mod worker;

pub(crate) use self::enqueue::Enqueuer;
pub use self::intake::{CommitSlot, Intake, IntakeQueue, Job, Jobs, OrderedLane, WhenFullDestination};
#[cfg(test)]
pub(crate) use self::labelling::LabelledOrigins;
pub(crate) use self::labelling::Labeller;
pub(crate) use self::open_job::SourceDecoder;
pub(crate) use self::parsing::MessageParser;
pub(crate) use self::process::Processor;
pub(crate) use self::rehearsal::RehearsedChunk;
pub(crate) use self::routing::WorkerState;
#[cfg(test)]
pub(crate) use self::step::StepMemory;
#[cfg(test)]
pub(crate) use self::step::StepNeeds;
pub(crate) use self::worker::Workers;
