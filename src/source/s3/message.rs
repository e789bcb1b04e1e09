//! What becomes of one message: its objects are read, it is kept hidden meanwhile, and it is deleted once all of them are done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use globset::GlobSet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::held::HeldMessages;
use super::notification::{self, Announcement, ObjectName};
use super::object::{ObjectEnd, ObjectReader};
use super::progress::ObjectProgress;
use super::queue::{Extension, QueueMessage, SqsQueue};
use super::reading::ObjectReading;
use super::seen::{Reading, SeenObjects, Turn};
use crate::event::{Chunk, Closed, Held, Piece, Timestamp};
use crate::pipeline::WhenFullDestination;

/// A message that nobody can make sense of, and that came so often, becomes a dead letter where its queue takes none aside.
const MOST_RECEIVES: u64 = 5;

/// Works on the messages of a queue.
pub(super) struct MessageWorker {
    pub(super) queue: Arc<SqsQueue>,
    pub(super) reading: ObjectReading,
    pub(super) held: Arc<HeldMessages>,
    pub(super) seen: Arc<SeenObjects>,
    /// One permit for each object that is read.
    pub(super) objects: Semaphore,
    /// Keys that are passed over.
    pub(super) exclude: GlobSet,
    /// Whether the queue takes messages aside that come back too often.
    pub(super) has_redrive: bool,
    /// Takes the numbers of messages that are done.
    pub(super) deletions: mpsc::Sender<u64>,
    pub(super) visibility: Duration,
}

/// A place for a message until its objects are read, with the memory that it takes.
pub(super) struct MessageSlot {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _held: Held,
}

/// How the work on a message ended.
enum MessageEnd {
    /// All that it announces is done.
    Done,
    /// It is left where it is.
    Left,
    /// Something of it was given up: it is to come again.
    GivenUp,
    /// The pipeline takes nothing more.
    Stopped,
}

/// Objects of a message that are read, and the right to say so.
type BegunObjects = Vec<(Vec<Reading>, Arc<ObjectProgress>)>;

/// An object that somebody else reads, and who tells its end.
type OthersObject = (ObjectName, watch::Receiver<bool>);

impl MessageWorker {
    /// Does all that a message asks for, which is held under this number. `slot` is given back as soon as another message may be
    /// received.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        number: u64,
        mut message: QueueMessage,
        slot: MessageSlot,
    ) {
        let body = std::mem::take(&mut message.body);
        let end = tokio::select! {
            end = self.work(number, body, message.receives, slot) => end,
            () = self.keep_hidden(number, &message) => return,
        };
        let metrics = &self.reading.intake.metrics;
        match end.unwrap_or(MessageEnd::Stopped) {
            MessageEnd::Done if self.held.is_lost(number) => self.held.remove(number),
            // Nobody receives any more at a stop: then the message is still held, and deleted at the end.
            MessageEnd::Done => drop(self.deletions.send(number).await),
            MessageEnd::Left => {
                metrics.messages("left", 1);
                self.held.remove(number);
            }
            MessageEnd::GivenUp => {
                metrics.error("abandoned");
                self.held.remove(number);
                self.queue.give_back(std::slice::from_ref(&message.handle)).await;
                metrics.messages("returned", 1);
            }
            MessageEnd::Stopped => {}
        }
    }

    async fn work(
        &self,
        number: u64,
        body: String,
        receives: u64,
        slot: MessageSlot,
    ) -> Result<MessageEnd, Closed> {
        let names = match notification::read(&body) {
            Announcement::Test => return Ok(MessageEnd::Done),
            Announcement::Foreign => return self.put_aside(number, body, receives).await,
            Announcement::Objects(names, passed) => {
                (0..passed).for_each(|_| self.reading.intake.metrics.object("skipped"));
                names
            }
        };
        drop(body);
        let mut slot = Some(slot);
        let mut names: Vec<ObjectName> = names.into_iter().filter(|name| self.is_wanted(name)).collect();
        names.dedup();
        let mut is_settled = true;
        while !names.is_empty() {
            let (begun, others) = self.read_all(number, names).await?;
            if others.is_empty() {
                self.held.set_read(number);
            }
            drop(slot.take());
            is_settled &= self.settle(begun).await;
            names = self.wait_for(others).await;
        }
        self.held.set_read(number);
        Ok(if is_settled { MessageEnd::Done } else { MessageEnd::GivenUp })
    }

    fn is_wanted(&self, name: &ObjectName) -> bool {
        let is_wanted = !notification::is_passed_over(name) && !self.exclude.is_match(&*name.key);
        if !is_wanted {
            self.reading.intake.metrics.object("skipped");
        }
        is_wanted
    }

    /// Reads those objects that nobody else reads; gives those that somebody does, with who tells their end.
    async fn read_all(
        &self,
        number: u64,
        names: Vec<ObjectName>,
    ) -> Result<(BegunObjects, Vec<OthersObject>), Closed> {
        let (mut begun, mut others) = (Vec::new(), Vec::new());
        let metrics = &self.reading.intake.metrics;
        for name in names {
            match self.seen.turn(&name) {
                Turn::Done => metrics.object("repeated"),
                Turn::Wait(end) => others.push((name, end)),
                Turn::Read(reading) => {
                    let rights = vec![reading];
                    begun.extend(self.read_one(number, &name, rights, &mut others).await?);
                }
            }
        }
        Ok((begun, others))
    }

    /// Reads one object. Where another content is found than was announced, or none was, somebody else may read that already.
    async fn read_one(
        &self,
        number: u64,
        name: &ObjectName,
        mut rights: Vec<Reading>,
        others: &mut Vec<OthersObject>,
    ) -> Result<Option<(Vec<Reading>, Arc<ObjectProgress>)>, Closed> {
        // The semaphore is never closed.
        let _permit = self.objects.acquire().await;
        let metrics = &self.reading.intake.metrics;
        let note = |object: &Arc<ObjectProgress>| self.held.hand_over(number, object);
        let mut reader = ObjectReader::new(&self.reading, name);
        let end = match reader.open(&note).await? {
            Err(end) => end,
            Ok(body) => {
                let found = name.with_content(body.etag.as_deref());
                match found.as_ref().map(|found| self.seen.turn(found)) {
                    None => {}
                    Some(Turn::Read(of_found)) => rights.push(of_found),
                    Some(Turn::Done) => {
                        metrics.object("repeated");
                        rights.into_iter().for_each(Reading::done);
                        return Ok(None);
                    }
                    Some(Turn::Wait(end)) => {
                        others.extend(found.map(|found| (found, end)));
                        return Ok(None);
                    }
                }
                reader.read(body, &note).await?
            }
        };
        match end {
            ObjectEnd::Vanished => metrics.object("vanished"),
            ObjectEnd::Archived => metrics.object("archived"),
            ObjectEnd::Read(progress, etag) => {
                // It may have changed once more while it was read.
                if let Some(found) = name.with_content(etag.as_deref())
                    && let Turn::Read(of_found) = self.seen.turn(&found)
                {
                    rights.push(of_found);
                }
                return Ok(Some((rights, progress)));
            }
        }
        Ok(None)
    }

    /// Waits until objects are done; whether they are.
    async fn settle(&self, begun: BegunObjects) -> bool {
        let mut are_settled = true;
        for (rights, progress) in begun {
            if progress.settled().await {
                self.reading.intake.metrics.object("read");
                progress.forget();
                rights.into_iter().for_each(Reading::done);
            } else {
                are_settled = false;
            }
        }
        are_settled
    }

    /// Waits for objects that others read; gives those that they did not get done.
    async fn wait_for(&self, others: Vec<OthersObject>) -> Vec<ObjectName> {
        let mut failed = Vec::new();
        for (name, mut end) in others {
            if end.wait_for(|is_done| *is_done).await.is_ok() {
                self.reading.intake.metrics.object("repeated");
            } else {
                failed.push(name);
            }
        }
        failed
    }

    /// A message that is no announcement is left to the queue, or becomes a dead letter where the queue would show it for ever.
    async fn put_aside(&self, number: u64, body: String, receives: u64) -> Result<MessageEnd, Closed> {
        let source = &*self.reading.origin.source;
        self.reading.intake.metrics.error("queue");
        if self.has_redrive || receives < MOST_RECEIVES {
            debug!(source, receives, "a message announces no object; it is left in the queue");
            return Ok(MessageEnd::Left);
        }
        warn!(
            source,
            receives,
            "a message announces no object, and its queue has no redrive policy; it goes to the dead letters"
        );
        let progress = ObjectProgress::new(None);
        self.held.hand_over(number, &progress);
        let intake = &self.reading.intake;
        let payload = Bytes::from(body);
        let (held, read_at) = (intake.admit(payload.len()).await, Timestamp::now());
        let ack = progress.begin(None, read_at);
        let origin = Arc::new(self.reading.origin.clone());
        let chunk = Chunk { origin, payload, piece: Piece::default(), read_at, ack, held };
        let lane = intake.lane(WhenFullDestination::Wait);
        intake.submit_undecodable(&lane, chunk, "notification").await?;
        self.held.set_read(number);
        if !progress.settled().await {
            return Ok(MessageEnd::GivenUp);
        }
        intake.metrics.messages("dead_lettered", 1);
        Ok(MessageEnd::Done)
    }

    /// Extends a message's time again and again, for as long as it is ours; ends never.
    async fn keep_hidden(&self, number: u64, message: &QueueMessage) {
        let mut hidden = self.visibility;
        loop {
            sleep(hidden / 2).await;
            match self.queue.extend(message).await {
                Ok(Extension::Hidden(longer)) => hidden = longer,
                Ok(Extension::Lost) => {
                    self.held.set_lost(number);
                    self.reading.intake.metrics.messages("lost", 1);
                    let source = &*self.reading.origin.source;
                    warn!(
                        source,
                        "a message was hidden for too long, and comes again; what it announces may be delivered twice"
                    );
                    return std::future::pending().await;
                }
                Err(refused) => {
                    let source = &*self.reading.origin.source;
                    debug!(source, error = %refused, "a message's time could not be extended; trying again");
                    self.reading.intake.metrics.error("queue");
                    hidden = self.visibility / 10;
                }
            }
        }
    }
}
