//! Reads one delivery: body to records, records to chunks, each waiting for its memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::{BodyError, BodyScanner};
use super::context::HttpContext;
use super::gunzip::{Gunzip, NotGzip};
use super::request_state::{BodyMismatch, DeliveryReader};
use crate::event::Closed;
use crate::event::{Chunk, Origin, Piece, Timestamp};
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};

/// Why a delivery was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Gzip(#[from] NotGzip),
    #[error("the body is longer than 64 MiB")]
    TooLong,
    #[error("the body was broken off")]
    Aborted,
    #[error("another request had the same request id; send this one again")]
    Mismatch,
    #[error("standpipe is stopping; send the request again")]
    Closed,
}

impl From<BodyMismatch> for ReadError {
    fn from(_: BodyMismatch) -> Self {
        Self::Mismatch
    }
}

impl From<Closed> for ReadError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Firehose's own limit, before compression, and a margin.
pub(super) const MAX_BODY: u64 = (64 << 20) + (1 << 20);

/// A sender that is silent for so long in the middle of a body is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// What a delivery is read with.
pub(super) struct RequestReader<'a> {
    context: &'a HttpContext,
    scanner: BodyScanner,
    gunzip: Option<Gunzip>,
    text_bytes: u64,
    records: RecordIntake<'a>,
}

/// Where records go.
struct RecordIntake<'a> {
    intake: &'a Intake,
    max_inflated: usize,
    origin: Arc<Origin>,
    lane: Arc<OrderedLane>,
    reader: DeliveryReader,
}

impl<'a> RequestReader<'a> {
    pub(super) fn new(
        context: &'a HttpContext,
        origin: Arc<Origin>,
        is_gzip: bool,
        reader: DeliveryReader,
    ) -> Self {
        let intake = &context.intake;
        let lane = intake.lane(WhenFullDestination::Reject);
        Self {
            context,
            scanner: BodyScanner::default(),
            gunzip: is_gzip.then(Gunzip::new),
            text_bytes: 0,
            records: RecordIntake { intake, max_inflated: context.max_inflated, origin, lane, reader },
        }
    }

    /// Reads the body; the body's own request id is left in `request_id` if there is none yet.
    pub(super) async fn read(
        mut self,
        body: &mut Incoming,
        request_id: &mut Option<String>,
    ) -> Result<(), ReadError> {
        // The permits bound what bodies hold before their memory is admitted. They never close.
        let _permit =
            if self.records.reader.has_all() { None } else { self.context.readers.acquire().await.ok() };
        while let Some(piece) = next_piece(body).await? {
            self.piece(&piece).await?;
        }
        if let Some(gunzip) = &self.gunzip {
            gunzip.finish()?;
        }
        if request_id.is_none() {
            *request_id = self.scanner.request_id().map(str::to_owned);
        }
        self.scanner.finish()?;
        self.records.reader.complete()?;
        Ok(())
    }

    async fn piece(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        let Self { gunzip, scanner, records, text_bytes, .. } = self;
        let Some(gunzip) = gunzip else { return records.scan(scanner, text_bytes, piece).await };
        let mut input = piece;
        loop {
            let text = gunzip.step(&mut input)?;
            if text.is_empty() {
                return Ok(());
            }
            records.scan(scanner, text_bytes, text).await?;
            tokio::task::consume_budget().await;
        }
    }
}

impl RecordIntake<'_> {
    async fn scan(
        &mut self,
        scanner: &mut BodyScanner,
        total: &mut u64,
        text: &[u8],
    ) -> Result<(), ReadError> {
        *total = total.saturating_add(text.len() as u64);
        if *total > MAX_BODY {
            return Err(ReadError::TooLong);
        }
        let mut input = text;
        while let Some(data) = scanner.next(&mut input)? {
            self.take(data).await?;
        }
        Ok(())
    }

    /// One record's `data` becomes one chunk.
    async fn take(&mut self, data: &[u8]) -> Result<(), ReadError> {
        let Some(ack) = self.reader.take(data)? else { return Ok(()) };
        let payload = self.decode(data);
        if payload.is_empty() {
            ack.settle();
            return Ok(());
        }
        let len = payload.len() as u64;
        let held = self.intake.admit(self.estimate(&payload)).await;
        let origin = Arc::clone(&self.origin);
        let chunk = Chunk {
            origin,
            payload: Bytes::from(payload),
            piece: Piece::default(),
            read_at: Timestamp::now(),
            ack,
            held,
        };
        self.intake.submit(&self.lane, chunk).await?;
        self.intake.metrics.bytes.inc_by(len);
        Ok(())
    }

    /// The record's bytes. What is not base64 goes on as it is: the decoder finds it undecodable, and it is kept.
    fn decode(&self, data: &[u8]) -> Vec<u8> {
        let strict = base64_simd::STANDARD.decode_to_vec(data);
        strict.or_else(|_| base64_simd::forgiving_decode_to_vec(data)).unwrap_or_else(|_| {
            self.intake.metrics.error("base64");
            data.to_vec()
        })
    }

    /// The memory that a record will take: itself, and what is made of it.
    fn estimate(&self, payload: &[u8]) -> usize {
        if !payload.starts_with(&[0x1f, 0x8b]) {
            return payload.len();
        }
        // The last four bytes of gzip tell the inflated length.
        let told = payload.last_chunk::<4>().map_or(0, |told| u32::from_le_bytes(*told));
        let inflated = usize::try_from(told).unwrap_or(usize::MAX).min(self.max_inflated);
        inflated.saturating_add(inflated / 2).saturating_add(payload.len())
    }
}

/// The next piece of a body; none at its end.
async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, ReadError> {
    loop {
        match timeout(SILENCE, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Ok(Some(Err(_))) | Err(_) => return Err(ReadError::Aborted),
        }
    }
}

/// Reads a body for nothing.
pub(super) async fn discard(body: &mut Incoming) {
    let mut left = MAX_BODY;
    while let Ok(Some(piece)) = next_piece(body).await {
        left = left.saturating_sub(piece.len() as u64);
        if left == 0 {
            return;
        }
    }
}
