//! A shard that is polled: an iterator, and pages at the pace that the service allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::answer::{AnswerAtHand, AnswerMemory, FeedAnswer};
use super::client::{IteratorStart, StreamFaultKind};
use super::reading::StreamReading;
use super::records::RecordsPage;
use super::shard_pace::ShardPace;

/// A service's iterators are good for five minutes.
const ITERATOR_AGE: Duration = Duration::from_mins(4);

/// One shard.
pub(super) struct PolledShard {
    reading: Arc<StreamReading>,
    shard: Arc<str>,
    pace: ShardPace,
    iterator: Option<ShardIterator>,
}

struct ShardIterator {
    text: String,
    got: Instant,
}

impl PolledShard {
    pub(super) fn new(reading: &Arc<StreamReading>, shard: &Arc<str>) -> Self {
        let (reading, shard) = (Arc::clone(reading), Arc::clone(shard));
        Self { reading, shard, pace: ShardPace::default(), iterator: None }
    }

    pub(super) fn begin_again(&mut self) {
        self.iterator = None;
    }

    pub(super) async fn next(&mut self, start: &IteratorStart) -> FeedAnswer {
        sleep_until(self.pace.due()).await;
        let memory = AnswerMemory::reserve(&self.reading, self.pace.expected()).await;
        // Of what failed, others may have the memory meanwhile.
        match self.ask(start).await {
            Ok(bytes) => FeedAnswer::Records(AnswerAtHand { bytes, memory }),
            Err(other) => other,
        }
    }

    pub(super) fn goes_on(&mut self, page: &RecordsPage<'_>) -> bool {
        self.pace.read(page.records.len(), page.payload(), page.is_at_tip());
        let next = page.next_iterator();
        self.iterator = next.map(|text| ShardIterator { text: text.to_owned(), got: Instant::now() });
        self.iterator.is_some()
    }

    /// Asks for a page, once.
    async fn ask(&mut self, start: &IteratorStart) -> Result<Bytes, FeedAnswer> {
        let fresh = self.iterator.take().filter(|iterator| iterator.got.elapsed() < ITERATOR_AGE);
        let iterator = if let Some(iterator) = fresh {
            iterator
        } else {
            let text = self.reading.client.iterator(&self.shard, start).await;
            ShardIterator { text: text.map_err(FeedAnswer::Unbegun)?, got: Instant::now() }
        };
        self.pace.asked();
        self.reading.client.records(&iterator.text, self.pace.limit()).await.map_err(|fault| {
            let is_good = matches!(fault.kind, StreamFaultKind::Throttled | StreamFaultKind::Passing);
            self.iterator = Some(iterator).filter(|_| is_good);
            if fault.kind == StreamFaultKind::Expired {
                // A page that had to wait: the next iterator begins where it stood.
                self.reading.intake.metrics.error(fault.kind.reason());
                return FeedAnswer::Later(None);
            }
            FeedAnswer::Later(Some(fault))
        })
    }
}
