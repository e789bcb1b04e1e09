//! A shard that is subscribed to: the service sends its records as they come, for five minutes at a time.
//!
//! A message is in memory only once there is memory for it; until then the connection holds no more than its window, and the service
//! waits. What a message said is handed over before the next one is read, so that a subscription that is cut, wherever it is cut, goes
//! on where the last whole message ended.

use std::sync::Arc;

use tokio::time::sleep_until;

use super::answer::{AnswerAtHand, AnswerMemory, FeedAnswer};
use super::client::{IteratorStart, KinesisClient, StreamFault, StreamFaultKind};
use super::reading::StreamReading;
use super::records::RecordsPage;
use super::shard_pace::SubscriptionPace;
use crate::aws::{CallError, EventStream, StreamMessage, StreamNext};

/// The event that has records.
const RECORDS: &str = "SubscribeToShardEvent";

/// One shard.
pub(super) struct SubscribedShard {
    reading: Arc<StreamReading>,
    shard: Arc<str>,
    pace: SubscriptionPace,
    subscription: Option<ShardSubscription>,
}

struct ShardSubscription {
    /// Of the consumer.
    arn: Arc<str>,
    events: EventStream,
}

impl SubscribedShard {
    pub(super) fn new(reading: &Arc<StreamReading>, shard: &Arc<str>) -> Self {
        let (reading, shard) = (Arc::clone(reading), Arc::clone(shard));
        Self { reading, shard, pace: SubscriptionPace::default(), subscription: None }
    }

    pub(super) fn begin_again(&mut self) {
        self.subscription = None;
    }

    pub(super) async fn next(&mut self, start: &IteratorStart) -> FeedAnswer {
        let Some(mut subscription) = self.subscription.take() else {
            return self.subscribe(start).await.unwrap_or_else(|other| other);
        };
        match subscription.next(&self.reading).await {
            Ok(answer) => {
                self.subscription = Some(subscription);
                answer
            }
            // The service ends each after five minutes.
            Err(None) => FeedAnswer::Later(None),
            Err(Some(error)) => {
                let arn = &subscription.arn;
                self.ended(arn, KinesisClient::cut_off(arn, error), true)
            }
        }
    }

    pub(super) fn goes_on(&mut self, page: &RecordsPage<'_>) -> bool {
        // Children are told at the end alone
        // (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShardEvent.html>).
        let goes_on = page.continuation().is_some() && page.children().is_empty();
        if !goes_on {
            self.subscription = None;
        }
        goes_on
    }

    async fn subscribe(&mut self, start: &IteratorStart) -> Result<FeedAnswer, FeedAnswer> {
        sleep_until(self.pace.due()).await;
        let client = &self.reading.client;
        // Without a consumer, a shard is not subscribed to.
        let Some(consumer) = &self.reading.consumer else { return Ok(FeedAnswer::Later(None)) };
        let arn = consumer.arn(client).await.map_err(|fault| FeedAnswer::Later(Some(fault)))?;
        self.pace.asked();
        match client.subscribe(&arn, &self.shard, start).await {
            Ok(events) => {
                self.pace.subscribed();
                self.subscription = Some(ShardSubscription { arn, events });
                Ok(FeedAnswer::Later(None))
            }
            Err(fault) => Err(self.ended(&arn, fault, false)),
        }
    }

    /// What follows from a subscription that was refused, or has ended with a fault.
    fn ended(&self, arn: &str, fault: StreamFault, was_subscribed: bool) -> FeedAnswer {
        match fault.kind {
            StreamFaultKind::Taken => FeedAnswer::Taken { fault, from_us: was_subscribed },
            StreamFaultKind::Gone => {
                // The shard, the consumer or the stream: the next try finds out which.
                self.reading.consumer.iter().for_each(|consumer| consumer.forget(arn));
                FeedAnswer::Unbegun(fault)
            }
            StreamFaultKind::Refused => FeedAnswer::Unbegun(fault),
            StreamFaultKind::Throttled
            | StreamFaultKind::Passing
            | StreamFaultKind::Expired
            | StreamFaultKind::Denied
            | StreamFaultKind::Key
            | StreamFaultKind::Credentials => FeedAnswer::Later(Some(fault)),
        }
    }
}

impl ShardSubscription {
    /// What comes next; an error without a reason is the end.
    async fn next(&mut self, reading: &StreamReading) -> Result<FeedAnswer, Option<CallError>> {
        let length = match self.events.next().await.map_err(Some)? {
            StreamNext::Begun(length) => length,
            StreamNext::Nothing => return Ok(FeedAnswer::Later(None)),
            StreamNext::End => return Err(None),
        };
        // As it comes and decoded.
        let memory = AnswerMemory::reserve(reading, length.saturating_mul(2)).await;
        match self.events.message().await.map_err(Some)? {
            StreamMessage::Event { kind, payload: bytes } if kind == RECORDS => {
                Ok(FeedAnswer::Records(AnswerAtHand { bytes, memory }))
            }
            // One that says that the stream begins, or a kind that is not known.
            StreamMessage::Event { .. } => Ok(FeedAnswer::Later(None)),
            StreamMessage::Refusal { code, message } => Err(Some(CallError::Answered { code, message })),
        }
    }
}
