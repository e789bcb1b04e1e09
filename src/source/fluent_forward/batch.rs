//! From the messages of a connection to chunks of the pipeline: those that were read together go together.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::answers::AnswerQueue;
use super::connection_end::ConnectionEnd;
use super::context::ForwardContext;
use super::frame::{ForwardFrame, ForwardKind, NotForward, answer};
use super::frames::{FoundFrame, FrameBuffer};
use super::ledger::{ChunkKey, PendingChunks};
use super::limits::{BATCH_OVERHEAD, SMALL};
use super::parts::{JoinedLine, PartsJoiner};
use crate::event::{Chunk, Piece, Timestamp};
use crate::msgpack::PackError;
use crate::pipeline::{OrderedLane, WhenFullDestination};

/// The messages of one connection.
#[derive(Debug)]
pub(super) struct BatchIntake<'a> {
    context: &'a ForwardContext,
    pub(super) frames: FrameBuffer,
    pub(super) lane: Arc<OrderedLane>,
    pub(super) answers: Arc<AnswerQueue>,
    parts: PartsJoiner<'a>,
    /// Messages that go together, where they stand in the buffer.
    run: Range<usize>,
    /// What they are to be answered with.
    chunks: PendingChunks,
    /// Memory for an answer.
    answer: Vec<u8>,
}

impl<'a> BatchIntake<'a> {
    pub(super) fn new(context: &'a ForwardContext, frames: FrameBuffer) -> Self {
        Self {
            context,
            frames,
            lane: context.intake.lane(WhenFullDestination::Wait),
            answers: Arc::default(),
            parts: PartsJoiner::new(&context.parts, context.longest_line),
            run: 0..0,
            chunks: context.ledger.pending(),
            answer: Vec::new(),
        }
    }

    /// Whether nothing of a message is held.
    pub(super) fn is_idle(&self) -> bool {
        self.frames.pending() == 0 && self.parts.is_empty()
    }

    /// Hands over every whole message that was read. What came before one that is none is handed over, too.
    pub(super) async fn take_all(&mut self) -> Result<(), ConnectionEnd> {
        let end = loop {
            match self.frames.next() {
                Ok(Some(frame)) => {
                    if let Err(end) = self.take(&frame).await {
                        break Err(end);
                    }
                }
                Ok(None) => break Ok(()),
                Err(PackError::TooLarge) => break Err(ConnectionEnd::TooLarge),
                Err(_) => break Err(ConnectionEnd::BadMessage("what comes is not MessagePack")),
            }
        };
        self.flush().await?;
        self.frames.compact();
        end
    }

    /// Hands over lines of which no more parts are waited for.
    pub(super) async fn expire(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        let mut joined = Vec::new();
        self.parts.expire(now, &mut joined);
        self.submit_joined(joined).await
    }

    /// Hands over all lines, since no more parts will come.
    pub(super) async fn finish(&mut self) -> Result<(), ConnectionEnd> {
        let mut joined = Vec::new();
        self.parts.close_all(&mut joined);
        self.submit_joined(joined).await
    }

    async fn take(&mut self, found: &FoundFrame) -> Result<(), ConnectionEnd> {
        let bytes = self.frames.at(found.place.clone());
        let frame = ForwardFrame::read(bytes, &found.span).map_err(|error| match error {
            NotForward::Shape if matches!(bytes, b"[" | b"{") => ConnectionEnd::Json,
            NotForward::Shape => ConnectionEnd::BadMessage("a value is no message of the forward protocol"),
            NotForward::ChunkId => ConnectionEnd::BadMessage("the id of a chunk is too long"),
        })?;
        let mut chunks = self.chunks.none();
        let is_new = frame.chunk.is_none_or(|id| {
            self.answer.clear();
            answer(id, &mut self.answer);
            self.context.ledger.add(&mut chunks, ChunkKey::new(bytes), &self.answer, &self.answers)
        });
        match frame.kind {
            ForwardKind::Entries if is_new => {
                if self.run.end != found.place.start {
                    self.flush().await?;
                    self.run = found.place.clone();
                }
                self.run.end = found.place.end;
                self.chunks.append(chunks);
                Ok(())
            }
            ForwardKind::Compressed if is_new => {
                self.flush().await?;
                (self.run, self.chunks) = (found.place.clone(), chunks);
                self.flush().await
            }
            ForwardKind::Part if is_new => {
                let mut joined = Vec::new();
                let whole = self.parts.take(bytes, &found.span, chunks, &mut joined);
                self.flush().await?;
                if let Some(chunks) = whole {
                    (self.run, self.chunks) = (found.place.clone(), chunks);
                }
                self.submit_joined(joined).await
            }
            ForwardKind::OtherSignal => {
                // It would come again and again otherwise.
                self.context.intake.metrics.error("signal");
                self.context.ledger.open(chunks, &self.answers, Instant::now()).settle();
                Ok(())
            }
            ForwardKind::Entries | ForwardKind::Compressed | ForwardKind::Part | ForwardKind::Heartbeat => {
                Ok(())
            }
        }
    }

    /// Hands over the run.
    async fn flush(&mut self) -> Result<(), ConnectionEnd> {
        if self.run.is_empty() {
            return Ok(());
        }
        let run = std::mem::replace(&mut self.run, 0..0);
        let payload = self.frames.take(run);
        let chunks = self.chunks.take();
        self.submit(payload, chunks).await
    }

    async fn submit_joined(&mut self, joined: Vec<JoinedLine>) -> Result<(), ConnectionEnd> {
        for JoinedLine { message, chunks } in joined {
            self.submit(Bytes::from(message), chunks).await?;
        }
        Ok(())
    }

    async fn submit(&self, payload: Bytes, chunks: PendingChunks) -> Result<(), ConnectionEnd> {
        let intake = &self.context.intake;
        let len = payload.len();
        let wanted = len.saturating_add(BATCH_OVERHEAD);
        // There was memory for what is larger before it was read.
        let held = if len > SMALL { intake.charge(wanted) } else { intake.admit(wanted).await };
        let ack = self.context.ledger.open(chunks, &self.answers, Instant::now());
        let chunk = Chunk {
            origin: Arc::clone(&self.context.origin),
            payload,
            piece: Piece::default(),
            read_at: Timestamp::now(),
            ack,
            held,
        };
        intake.submit(&self.lane, chunk).await.map_err(|_| ConnectionEnd::Closed)?;
        intake.metrics.bytes.inc_by(len as u64);
        Ok(())
    }
}
