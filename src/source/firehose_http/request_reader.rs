//! Reads one delivery: body to records, records to chunks, each waiting for its memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;

use super::body::{BodyError, BodyScanner, MAX_DATA};
use super::context::HttpContext;
use super::gunzip::{Gunzip, NotGzip};
use super::large_records::LargeRecord;
use super::limits::{MAX_BODY, RECORD_OVERHEAD, SMALL_RECORD};
use super::pace::{BodyEnd, BodyPace};
use super::request_state::{BodyMismatch, DeliveryReader};
use crate::event::{AckGuard, Chunk, Closed, Held, Origin, Piece, Timestamp};
use crate::pipeline::{OrderedLane, WhenFullDestination};

/// Why a delivery was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Gzip(#[from] NotGzip),
    #[error("the body is longer than 64 MiB")]
    TooLong,
    #[error("the body has more than {0} records")]
    TooManyRecords(u64),
    #[error("the body ended too early")]
    Aborted,
    #[error("the body comes too slowly; send it again")]
    TooSlow,
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

impl From<BodyEnd> for ReadError {
    fn from(end: BodyEnd) -> Self {
        match end {
            BodyEnd::Aborted => Self::Aborted,
            BodyEnd::TooSlow => Self::TooSlow,
        }
    }
}

/// What a delivery is read with.
pub(super) struct RequestReader<'a> {
    gunzip: Option<Gunzip>,
    records: RecordIntake<'a>,
}

/// The record in the making, and where records go.
struct RecordIntake<'a> {
    context: &'a HttpContext,
    scanner: BodyScanner,
    text_bytes: u64,
    large: Option<LargeRecord<'a>>,
    /// Memory for a large record in the making.
    memory: Option<Held>,
    /// For so long the sender has let others wait for `large`.
    lets_wait: Duration,
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
        let records = RecordIntake {
            context,
            scanner: BodyScanner::default(),
            text_bytes: 0,
            large: None,
            memory: None,
            lets_wait: Duration::ZERO,
            origin,
            lane: context.intake.lane(WhenFullDestination::Reject),
            reader,
        };
        Self { gunzip: is_gzip.then(Gunzip::new), records }
    }

    /// Reads the body; the body's own request id is left in `request_id` if there is none yet.
    pub(super) async fn read(
        mut self,
        body: &mut Incoming,
        request_id: &mut Option<String>,
    ) -> Result<(), ReadError> {
        let mut pace = BodyPace::new(self.records.context.limits);
        while let Some(piece) = pace.next_piece(body, |waited| self.records.wait(waited)).await? {
            self.piece(&piece).await?;
        }
        if let Some(gunzip) = &self.gunzip {
            gunzip.finish()?;
        }
        let RecordIntake { scanner, reader, .. } = self.records;
        if request_id.is_none() {
            *request_id = scanner.request_id().map(str::to_owned);
        }
        scanner.finish()?;
        reader.complete()?;
        Ok(())
    }

    async fn piece(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        let Self { gunzip, records } = self;
        let Some(gunzip) = gunzip else { return records.scan(piece).await };
        let mut input = piece;
        loop {
            let text = gunzip.step(&mut input)?;
            if text.is_empty() {
                return Ok(());
            }
            records.scan(text).await?;
            tokio::task::consume_budget().await;
        }
    }
}

impl RecordIntake<'_> {
    /// The sender has let us wait for so long. Who holds much of a record, and others back, has to bring the rest of it.
    fn wait(&mut self, waited: Duration) -> Result<(), BodyEnd> {
        let limits = self.context.limits;
        let Some(large) = &mut self.large else { return Ok(()) };
        if self.scanner.gathered() <= SMALL_RECORD {
            if waited >= limits.look || large.is_wanted() {
                self.scanner.shrink();
                (self.large, self.memory) = (None, None);
            }
            return Ok(());
        }
        self.lets_wait = self.lets_wait.saturating_add(waited);
        if self.lets_wait >= limits.large_record_wait && large.is_wanted() {
            return Err(BodyEnd::TooSlow);
        }
        Ok(())
    }

    async fn scan(&mut self, text: &[u8]) -> Result<(), ReadError> {
        self.text_bytes = self.text_bytes.saturating_add(text.len() as u64);
        if self.text_bytes > MAX_BODY {
            return Err(ReadError::TooLong);
        }
        let mut input = text;
        self.make_room(text.len()).await;
        while let Some(data) = self.scanner.next(&mut input)? {
            self.lets_wait = Duration::ZERO;
            let most = self.context.limits.max_records;
            if self.reader.records() >= most {
                return Err(ReadError::TooManyRecords(most));
            }
            if let Some(ack) = self.reader.take(data)? {
                let payload = self.context.decode(data);
                self.submit(payload, ack).await?;
                self.make_room(input.len()).await;
            }
        }
        Ok(())
    }

    /// Before so much more of a record is gathered that it is large. Nobody holds one while it waits for another.
    async fn make_room(&mut self, more: usize) {
        if self.memory.is_some() || self.scanner.gathered().saturating_add(more) <= SMALL_RECORD {
            return;
        }
        if self.large.is_none() {
            self.large = Some(self.context.large_records.acquire().await);
            self.lets_wait = Duration::ZERO;
        }
        self.memory = Some(self.context.intake.admit(MAX_DATA).await);
    }

    /// One record's `data` becomes one chunk.
    async fn submit(&mut self, payload: Vec<u8>, ack: AckGuard) -> Result<(), ReadError> {
        if payload.is_empty() {
            ack.settle();
            return Ok(());
        }
        let intake = &self.context.intake;
        let len = payload.len() as u64;
        let wanted = self.context.estimate(&payload).saturating_add(RECORD_OVERHEAD);
        let held = if let Some(held) = intake.try_admit(wanted) {
            held
        } else {
            // Nobody waits for memory and holds more than what it is for.
            self.scanner.shrink();
            self.memory = None;
            intake.admit(wanted).await
        };
        let chunk = Chunk {
            origin: Arc::clone(&self.origin),
            payload: Bytes::from(payload),
            piece: Piece::default(),
            read_at: Timestamp::now(),
            ack,
            held,
        };
        intake.submit(&self.lane, chunk).await?;
        intake.metrics.bytes.inc_by(len);
        Ok(())
    }
}

impl HttpContext {
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
