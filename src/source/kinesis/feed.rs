//! How answers with a shard's records come: the shard is polled, or subscribed to. Whoever reads it need not know which.

use std::sync::Arc;

use super::answer::FeedAnswer;
use super::client::IteratorStart;
use super::polled::PolledShard;
use super::reading::StreamReading;
use super::records::RecordsPage;
use super::subscribed::SubscribedShard;

/// Where a shard's records come from.
pub(super) enum ShardFeed {
    Polled(PolledShard),
    Subscribed(Box<SubscribedShard>),
}

impl ShardFeed {
    pub(super) fn new(reading: &Arc<StreamReading>, shard: &Arc<str>) -> Self {
        if reading.consumer.is_some() {
            Self::Subscribed(Box::new(SubscribedShard::new(reading, shard)))
        } else {
            Self::Polled(PolledShard::new(reading, shard))
        }
    }

    /// What comes next is to begin anew.
    pub(super) fn begin_again(&mut self) {
        match self {
            Self::Polled(polled) => polled.begin_again(),
            Self::Subscribed(subscribed) => subscribed.begin_again(),
        }
    }

    /// Waits for an answer, or for about a second; one that begins anew begins at `start`.
    pub(super) async fn next(&mut self, start: &IteratorStart) -> FeedAnswer {
        match self {
            Self::Polled(polled) => polled.next(start).await,
            Self::Subscribed(subscribed) => subscribed.next(start).await,
        }
    }

    /// Takes note of an answer; whether more follows, or the shard has ended.
    pub(super) fn goes_on(&mut self, page: &RecordsPage<'_>) -> bool {
        match self {
            Self::Polled(polled) => polled.goes_on(page),
            Self::Subscribed(subscribed) => subscribed.goes_on(page),
        }
    }

    /// What is called for answers.
    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::Polled(_) => "GetRecords",
            Self::Subscribed(_) => "SubscribeToShard",
        }
    }
}
