//! Receives messages for as long as there is room for them, and deletes those that are done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tracing::warn;

use super::held::HeldMessages;
use super::message::{MessageSlot, MessageWorker};
use super::queue::{LONGEST_WAIT, MOST_MESSAGES, QueueMessage, SqsQueue};
use crate::aws::CallError;
use crate::event::Timestamp;
use crate::metrics::SourceMetrics;
use crate::source::Stop;
use crate::source::holds::{HoldPatience, Holds};

/// A message that is done waits so long for others to be deleted with it.
const GATHER: Duration = Duration::from_millis(100);

/// A run that reads what is there waits so long for a message.
const ONCE_WAIT: Duration = Duration::from_secs(2);

/// It ends when none came so many times in a row: an answer may leave out what is there.
const ONCE_EMPTY: u32 = 2;

/// A call that waits for messages may bring some at a stop: they are waited for so long, and given back.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Messages beyond those that are read at once.
const AHEAD: usize = 2;

/// Memory for a message, of which S3 makes none that is larger.
const MESSAGE: usize = 64 << 10;

/// Most messages that are ours, most of which wait for delivery.
const MOST_HELD: usize = 2_000;

/// Receives messages until a stop, or until nothing more comes.
pub(super) struct Receiver {
    pub(super) worker: Arc<MessageWorker>,
    pub(super) holds: Arc<Holds>,
    pub(super) concurrency: usize,
    pub(super) is_once: bool,
    pub(super) stop: Stop,
}

impl Receiver {
    /// Works on what comes. Gives what it failed by, in a run that reads once.
    pub(super) async fn run(mut self, tasks: &mut JoinSet<()>) -> Result<(), String> {
        let slots = Arc::new(Semaphore::new(self.concurrency.saturating_mul(AHEAD)));
        let mut empty = 0;
        while !self.stop.is_requested() {
            while tasks.try_join_next().is_some() {}
            let Some(messages) = self.next(&slots, tasks).await? else { break };
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            for (number, message) in messages {
                // So many were asked for as there were slots.
                let Ok(permit) = Arc::clone(&slots).acquire_owned().await else { break };
                // Its body, and what is read from it. It is kept while the message waits for others, and so must not let them wait.
                let mut held = self.worker.reading.intake.standing();
                held.resize(message.body.len().saturating_mul(2) as u64);
                let slot = MessageSlot { _permit: permit, _held: held };
                tasks.spawn(Arc::clone(&self.worker).carry_out(number, message, slot));
            }
            if self.is_once && empty >= ONCE_EMPTY && self.worker.held.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The next messages, which are held from now on under these numbers; none at a stop.
    async fn next(
        &mut self,
        slots: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Option<Vec<(u64, QueueMessage)>>, String> {
        let mut patience = self.holds.patience();
        loop {
            while tasks.len() >= MOST_HELD {
                tokio::select! {
                    () = self.stop.requested() => return Ok(None),
                    _ = tasks.join_next() => {}
                }
            }
            let free = tokio::select! {
                () = self.stop.requested() => return Ok(None),
                failed = self.holds.failed() => return Err(failed),
                free = slots.acquire() => free.map_or(0, |_free| slots.available_permits() + 1),
            };
            // What comes is hidden from others, so that nothing is asked for while there is no memory for it.
            tokio::select! {
                () = self.stop.requested() => return Ok(None),
                failed = self.holds.failed() => return Err(failed),
                room = self.worker.reading.intake.admit(MESSAGE) => drop(room),
            }
            let wait = if self.is_once { ONCE_WAIT } else { LONGEST_WAIT };
            let queue = Arc::clone(&self.worker.queue);
            let received = queue.receive(free.min(MOST_MESSAGES), wait);
            tokio::pin!(received);
            let ended = tokio::select! {
                answer = received.as_mut() => Err(answer),
                failed = self.holds.failed() => Ok(Err(failed)),
                () = self.stop.requested() => Ok(Ok(None)),
            };
            let answer = match ended {
                Err(answer) => answer,
                Ok(end) => {
                    // What it still brings is hidden for us, and is given back with the rest.
                    let late = timeout(LAST_ANSWER, received).await;
                    for message in late.into_iter().flatten().flatten() {
                        self.worker.held.add(&message);
                    }
                    return end;
                }
            };
            let refused = match answer {
                Ok(messages) => {
                    let held = &self.worker.held;
                    return Ok(Some(
                        messages.into_iter().map(|message| (held.add(&message), message)).collect(),
                    ));
                }
                Err(refused) => refused,
            };
            self.worker.reading.intake.metrics.error("queue");
            tokio::select! {
                () = self.stop.requested() => return Ok(None),
                failed = self.holds.failed() => return Err(failed),
                () = wait_after(&refused, &queue, &mut patience) => {}
            }
        }
    }
}

async fn wait_after(refused: &CallError, queue: &SqsQueue, patience: &mut HoldPatience) {
    let url = queue.url();
    let reason = format!("sqs:ReceiveMessage from `{url}`: {refused}");
    match refused.code() {
        // There are as many as a queue hides at once.
        Some("OverLimit") => patience.pause(&reason).await,
        Some(code) if code.contains("AccessDenied") || code == "403" => {
            let needed = "allow `sqs:ReceiveMessage`, `sqs:DeleteMessage`, `sqs:ChangeMessageVisibility` and `sqs:GetQueueAttributes` on it, and `kms:Decrypt` if a key of KMS encrypts it";
            patience.hold(&format!("{reason}; {needed}")).await;
        }
        _ if refused.may_pass() => patience.pause(&reason).await,
        _ => patience.hold(&reason).await,
    }
}

/// Deletes messages as they are done, many with one call.
pub(super) async fn delete_done(
    queue: Arc<SqsQueue>,
    held: Arc<HeldMessages>,
    metrics: SourceMetrics,
    mut done: mpsc::Receiver<u64>,
) {
    while let Some(first) = done.recv().await {
        let mut numbers = vec![first];
        let deadline = Instant::now() + GATHER;
        while numbers.len() < MOST_MESSAGES
            && let Ok(Some(number)) = timeout_at(deadline, done.recv()).await
        {
            numbers.push(number);
        }
        let (numbers, handles): (Vec<u64>, Vec<String>) =
            numbers.into_iter().filter_map(|number| Some((number, held.handle(number)?))).unzip();
        delete(&queue, &metrics, &handles).await;
        for number in numbers {
            held.remove(number);
        }
    }
}

/// Deletes messages, and counts them.
pub(super) async fn delete(queue: &SqsQueue, metrics: &SourceMetrics, handles: &[String]) {
    for handles in handles.chunks(MOST_MESSAGES) {
        let failed = queue.delete(handles).await.len();
        metrics.messages("deleted", handles.len().saturating_sub(failed) as u64);
        if failed > 0 {
            metrics.messages("lost", failed as u64);
            metrics.error("queue");
            warn!(
                source = metrics.name(),
                messages = failed,
                "messages could not be deleted; they come again, and what they announce is delivered twice"
            );
        }
    }
}

/// Shows how old the oldest event is that is not done.
pub(super) async fn gauge_lag(held: Arc<HeldMessages>, metrics: SourceMetrics) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let age = held.oldest().map_or(0, |oldest| Timestamp::now().0.saturating_sub(oldest.0).max(0));
        metrics.lag_seconds.set(Duration::from_millis(age.unsigned_abs()).as_secs_f64());
    }
}
