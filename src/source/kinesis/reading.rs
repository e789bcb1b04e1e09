//! What the shards of a stream are read with, and how their records go to the workers.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::aggregate::Aggregate;
use super::client::KinesisClient;
use super::consumer::FanOutConsumer;
use super::held_lease::HeldLease;
use super::lease_store::LeaseStore;
use super::place::{RecordPlace, SequenceNumber, ShardMark};
use super::records::RecordsPage;
use crate::ack::PositionTracker;
use crate::config::StreamStart;
use crate::event::{Chunk, EventPlace, Field, Held, Origin, Piece, Timestamp};
use crate::pipeline::{Intake, OrderedLane};
use crate::source::holds::Holds;

/// What every shard of a source is read with.
pub(super) struct StreamReading {
    pub(super) intake: Intake,
    pub(super) client: KinesisClient,
    /// Who is subscribed to shards; none: they are polled.
    pub(super) consumer: Option<FanOutConsumer>,
    pub(super) store: Arc<LeaseStore>,
    pub(super) holds: Arc<Holds>,
    /// Of the source.
    pub(super) origin: Origin,
    pub(super) start: StreamStart,
    pub(super) is_once: bool,
    /// When the run began.
    pub(super) began: Timestamp,
    /// Memory of answers that are at hand, one permit a KiB.
    pub(super) at_hand: Arc<Semaphore>,
    /// Told when a shard has ended.
    pub(super) ended: Arc<Notify>,
}

/// Why records were not handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotHandedOver {
    /// The pipeline takes nothing more.
    Closed,
    /// The lease is another's.
    Lost,
}

/// Records go to the workers in groups of so many, or so many bytes.
const GROUP: usize = 512;
const GROUP_BYTES: usize = 256 << 10;

/// Memory that a record takes beside its payload.
const PER_RECORD: usize = 768;

/// A record on its way to the workers.
struct GroupRecord {
    place: RecordPlace,
    payload: Bytes,
    partition_key: Option<Arc<str>>,
}

/// Records of one shard, in order.
pub(super) struct RecordGroups<'r> {
    reading: &'r StreamReading,
    held: &'r HeldLease,
    tracker: &'r Arc<PositionTracker<ShardMark>>,
    lane: &'r Arc<OrderedLane>,
    /// Of the shard.
    origin: &'r Origin,
    /// The shard, as a unit that events stand in.
    unit: Arc<str>,
    group: Vec<GroupRecord>,
    bytes: usize,
}

impl<'r> RecordGroups<'r> {
    pub(super) fn new(
        reading: &'r StreamReading,
        held: &'r HeldLease,
        tracker: &'r Arc<PositionTracker<ShardMark>>,
        lane: &'r Arc<OrderedLane>,
        origin: &'r Origin,
    ) -> Self {
        let unit = unit_of(origin);
        Self { reading, held, tracker, lane, origin, unit, group: Vec::new(), bytes: 0 }
    }

    /// Hands the records of a page over, but for those up to `done`; `memory` is given back as they go.
    pub(super) async fn hand_over(
        mut self,
        page: &RecordsPage<'_>,
        done: Option<&RecordPlace>,
        memory: &mut Held,
    ) -> Result<(), NotHandedOver> {
        for record in &page.records {
            // A page with a record that has none is not taken for one.
            let Some(sequence) = record.sequence() else { continue };
            let data = record.data();
            let freed = memory.bytes().saturating_sub(record.len() as u64);
            if let Some(aggregate) = Aggregate::open(&data) {
                self.of_aggregate(&sequence, &aggregate, done).await?;
            } else {
                let partition_key = record.partition_key().map(Arc::from);
                let place = RecordPlace { sequence, index: 0 };
                self.push(GroupRecord { place, payload: Bytes::from(data), partition_key }, done).await?;
            }
            memory.resize(freed);
        }
        self.flush().await
    }

    /// Each of its records goes by itself.
    async fn of_aggregate(
        &mut self,
        sequence: &SequenceNumber,
        aggregate: &Aggregate<'_>,
        done: Option<&RecordPlace>,
    ) -> Result<(), NotHandedOver> {
        for (index, record) in (0..).zip(aggregate.records()) {
            let place = RecordPlace { sequence: sequence.clone(), index };
            let payload = Bytes::copy_from_slice(record.data);
            let partition_key = record.partition_key.map(Arc::from);
            self.push(GroupRecord { place, payload, partition_key }, done).await?;
        }
        Ok(())
    }

    async fn push(&mut self, record: GroupRecord, done: Option<&RecordPlace>) -> Result<(), NotHandedOver> {
        if done.is_some_and(|done| record.place <= *done) {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(record.payload.len());
        self.group.push(record);
        if self.group.len() >= GROUP || self.bytes >= GROUP_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), NotHandedOver> {
        let records = std::mem::take(&mut self.group);
        let bytes = std::mem::take(&mut self.bytes);
        if records.is_empty() {
            return Ok(());
        }
        let intake = &self.reading.intake;
        let mut held = intake.admit(bytes.saturating_add(records.len() * PER_RECORD)).await;
        if !self.held.is_ours().await {
            return Err(NotHandedOver::Lost);
        }
        intake.metrics.bytes.inc_by(bytes as u64);
        let read_at = Timestamp::now();
        let chunks: Vec<_> =
            records.into_iter().filter_map(|record| self.chunk(record, read_at, &mut held)).collect();
        if chunks.is_empty() {
            return Ok(());
        }
        let lane = |chunk| (Arc::clone(self.lane), chunk);
        intake.submit_together(chunks.into_iter().map(lane)).await.map_err(|_| NotHandedOver::Closed)
    }

    /// None: there is nothing in it.
    fn chunk(&self, record: GroupRecord, read_at: Timestamp, memory: &mut Held) -> Option<Chunk> {
        let GroupRecord { place, payload, partition_key } = record;
        let sequence = Some(Arc::clone(place.sequence.text()));
        let origin =
            self.origin.with_all([(Field::SequenceNumber, sequence), (Field::PartitionKey, partition_key)]);
        let held = memory.split((payload.len() + PER_RECORD) as u64);
        let event_place = event_place(&self.unit, &place);
        let ack = self.tracker.begin(ShardMark::Record(place), read_at).placed(event_place);
        if payload.is_empty() {
            ack.settle();
            return None;
        }
        Some(Chunk { origin: Arc::new(origin), payload, piece: Piece::default(), read_at, ack, held })
    }
}

/// Records of an aggregate are so far apart, as an exponent: further than any is long.
const INDEX_BITS: u32 = 32;

/// A shard, which no other of any stream is named like.
fn unit_of(shard: &Origin) -> Arc<str> {
    format!("{} {}", shard.text(Field::StreamArn), shard.text(Field::Shard)).into()
}

/// Where a record's first byte stands, the same however often it is read.
fn event_place(shard: &Arc<str>, place: &RecordPlace) -> EventPlace {
    EventPlace {
        part: Some(Arc::clone(place.sequence.text())),
        ..EventPlace::new(Arc::clone(shard), place.index << INDEX_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_same_place_whenever_it_is_read_and_no_other_has_it() {
        let shard = |shard: &str| {
            let arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/s";
            Origin::default().with(Field::StreamArn, Arc::from(arn)).with(Field::Shard, Arc::from(shard))
        };
        let place = |id: &str, sequence: &str, index| {
            let sequence = SequenceNumber::new(sequence).unwrap();
            let EventPlace { unit, part, offset } =
                event_place(&unit_of(&shard(id)), &RecordPlace { sequence, index });
            (format!("{unit} {}", part.unwrap()), offset)
        };
        let arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/s";
        assert_eq!(place("shard-0", "495", 0), (format!("{arn} shard-0 495"), 0));
        assert_eq!(place("shard-0", "495", 2), (format!("{arn} shard-0 495"), 2 << 32));
        for other in [place("shard-1", "495", 0), place("shard-0", "496", 0), place("shard-0", "495", 1)] {
            assert_ne!(place("shard-0", "495", 0), other);
        }
    }
}
