//! The consumer that is subscribed to shards: registered once with the stream, and shared by all who read it under one name.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::info;

use super::client::{KinesisClient, StreamFault, StreamFaultKind};
use crate::sync::Lock;

/// A consumer by its name. It is never deregistered: others of a fleet, and the next run, go on with it.
pub(super) struct FanOutConsumer {
    name: Arc<str>,
    /// Readers of shards ask one at a time, and those behind need not.
    turn: Semaphore,
    /// Its ARN. The lock covers a clone.
    known: Lock<Option<Arc<str>>>,
}

/// The service makes a consumer within seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MOST_LOOKS: u32 = 30;

impl FanOutConsumer {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, turn: Semaphore::new(1), known: Lock::new(None) }
    }

    /// Its ARN, once it may subscribe; it is registered if it is not.
    pub(super) async fn arn(&self, client: &KinesisClient) -> Result<Arc<str>, StreamFault> {
        // It is never closed.
        let _turn = self.turn.acquire().await.ok();
        let known = self.known.lock().clone();
        if let Some(arn) = known {
            return Ok(arn);
        }
        let arn = self.found(client).await?;
        *self.known.lock() = Some(Arc::clone(&arn));
        Ok(arn)
    }

    /// The service does not know this one any more: somebody deregistered it, or the stream.
    pub(super) fn forget(&self, arn: &str) {
        let mut known = self.known.lock();
        if known.as_deref() == Some(arn) {
            *known = None;
        }
    }

    async fn found(&self, client: &KinesisClient) -> Result<Arc<str>, StreamFault> {
        for _ in 0..MOST_LOOKS {
            match client.consumer(&self.name).await? {
                Some(consumer) if consumer.is_active => return Ok(consumer.arn),
                Some(_) => sleep(LOOK_EVERY).await,
                None => {
                    client.register_consumer(&self.name).await?;
                    info!(
                        consumer = &*self.name,
                        stream = &**client.stream_arn(),
                        "a consumer was registered"
                    );
                }
            }
        }
        let (name, stream) = (&self.name, client.stream_arn());
        let message =
            format!("the consumer `{name}` of `{stream}` is still being made, or being deregistered");
        Err(StreamFault { kind: StreamFaultKind::Passing, message })
    }
}
