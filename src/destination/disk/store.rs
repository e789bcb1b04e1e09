//! The loop that writes: what waits is stored, a batch with one sync, and what is delivered is written down.

use tokio::time::{Instant, sleep_until};

use super::context::{DiskContext, RuntimeGone, TRY_AGAIN};
use super::evict::Evictor;
use super::note::SharedDraft;
use super::quota::Reservation;
use super::writer::LogWriter;
use crate::buffer::disk::{Log, OsFileSystem};
use crate::config::WhenFull;
use crate::destination::next::NextToStore;
use crate::destination::storage::DiskStorage;
use crate::event::{AckGuard, Record};

/// The loop.
pub(super) struct StoreLoop<'c> {
    context: &'c DiskContext,
    writer: LogWriter<'c>,
    evictor: Evictor<'c>,
    /// Nothing is stored before this.
    retry_at: Option<Instant>,
    /// Since there is no room, rather than since something failed.
    waits_for_room: bool,
    /// The last append failed.
    is_broken: bool,
}

impl<'c> StoreLoop<'c> {
    pub(super) fn new(context: &'c DiskContext, log: Log<OsFileSystem>, draft: SharedDraft) -> Self {
        Self {
            context,
            writer: LogWriter::new(context, log, draft),
            evictor: Evictor::new(context),
            retry_at: None,
            waits_for_room: false,
            is_broken: false,
        }
    }

    /// Stores until the queue has ended and everything is delivered, or the process is about to end.
    pub(super) async fn run(mut self) {
        // Only the end of the process leads to an error.
        self.work().await.ok();
    }

    async fn work(&mut self) -> Result<(), RuntimeGone> {
        let DiskContext { queue, quota, .. } = self.context;
        loop {
            let (changed, spent, freed) = (queue.changed(), queue.shares().budget().spent(), quota.freed());
            if queue.shares().is_closing() {
                return self.close().await;
            }
            // Who waits for room does not wait for the cursor's time as well.
            let save_at = self.writer.save_if_due(self.waits_for_room).await?;
            self.note_room();
            let now = Instant::now();
            let next = match self.retry_at.filter(|at| *at > now) {
                Some(at) => Some(at),
                None => match queue.next_to_store() {
                    NextToStore::Records(records) => {
                        self.store(records).await?;
                        continue;
                    }
                    // What could not be stored was delivered from memory, and nothing else came.
                    NextToStore::At(_) | NextToStore::Wait if self.is_broken => {
                        self.try_out().await?;
                        continue;
                    }
                    NextToStore::At(when) => Some(when),
                    NextToStore::Wait => None,
                    NextToStore::Ended => return self.writer.remove().await,
                },
            };
            let wake = next.into_iter().chain(save_at).min();
            tokio::select! {
                () = changed => {}
                () = spent => {}
                () = freed, if self.waits_for_room => self.retry_at = None,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    async fn store(&mut self, mut records: Vec<Record>) -> Result<(), RuntimeGone> {
        let queue = &self.context.queue;
        let reserved = self.reserve(&records).await?;
        let mut left = records.split_off(reserved.records);
        if records.is_empty() {
            self.retry_at = Some(Instant::now() + TRY_AGAIN);
            self.waits_for_room = true;
            queue.change_disk(|disk| {
                disk.put_back(left);
                disk.set_full(true);
            });
            return Ok(());
        }
        self.waits_for_room = false;
        let appended = self.writer.append(records).await;
        self.context.quota.give_back(reserved);
        let (mut records, appended) = appended?;
        let mut again = records.split_off(appended.stored.len().min(records.len()));
        again.append(&mut left);
        let is_broken = appended.failed.is_some();
        self.is_broken = is_broken;
        let acks = queue.change_disk(|disk| {
            disk.put_back(again);
            disk.set_full(false);
            // What does not get there is delivered from memory meanwhile.
            disk.set_broken(is_broken);
            disk.stored(records.into_iter().zip(appended.stored))
        });
        acks.into_iter().for_each(AckGuard::settle);
        self.retry_at = None;
        if is_broken && !self.writer.free_delivered().await? {
            self.retry_at = Some(Instant::now() + TRY_AGAIN);
        }
        Ok(())
    }

    /// Finds out whether the log can be written again, with nothing to store.
    async fn try_out(&mut self) -> Result<(), RuntimeGone> {
        self.is_broken = !self.writer.try_out().await?;
        let is_broken = self.is_broken;
        self.context.queue.change_disk(|disk| disk.set_broken(is_broken));
        self.retry_at = is_broken.then(|| Instant::now() + TRY_AGAIN);
        Ok(())
    }

    /// Reserves room for as many of the records as there is, and makes some if there is none.
    async fn reserve(&mut self, records: &[Record]) -> Result<Reservation, RuntimeGone> {
        let sizes = self.writer.sizes(records)?;
        loop {
            let reserved = self.context.quota.reserve(self.writer.bytes(), &sizes);
            if reserved.records > 0 || !self.make_room().await? {
                return Ok(reserved);
            }
        }
    }

    /// Frees room if the sink's `when_full` allows it, or what is delivered takes some. Returns whether it did.
    async fn make_room(&mut self) -> Result<bool, RuntimeGone> {
        if self.writer.free_delivered().await? {
            return Ok(true);
        }
        match self.context.quota.when_full() {
            WhenFull::Block => Ok(false),
            WhenFull::DropOldest | WhenFull::DeadLetter => self.evictor.evict(&mut self.writer).await,
        }
    }

    /// Lets sources go on once there is room.
    fn note_room(&self) {
        let DiskContext { queue, quota, .. } = self.context;
        let is_full = || queue.look_at_disk(DiskStorage::is_full);
        if self.waits_for_room && quota.has_room(self.writer.bytes()) && is_full() {
            queue.change_disk(|disk| disk.set_full(false));
        }
    }

    /// Stores what is still in memory, once, and leaves the rest for the next start.
    async fn close(&mut self) -> Result<(), RuntimeGone> {
        let queue = &self.context.queue;
        if let NextToStore::Records(records) = queue.next_to_store() {
            self.store(records).await?;
        }
        self.writer.save().await?;
        self.writer.save_out_of_order().await?;
        if queue.is_drained() { self.writer.remove().await } else { self.writer.note().await }
    }
}
