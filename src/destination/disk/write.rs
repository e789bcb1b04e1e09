//! The writing half of a spool: what waits is stored, and what is delivered is written down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::queue::ToStore;
use super::{DiskWriter, TRY_AGAIN, blocking};
use crate::buffer::disk::{Disk, Evicted, Log, Position, Tracker};
use crate::event::{Record, Timestamp};
use crate::metrics::gauge;

/// The cursor is saved no more often than this: after a kill, what was delivered since is delivered again.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// The writing half.
pub(crate) struct Writer<'s> {
    pub(crate) spool: &'s DiskWriter,
    /// Away while a thread works with it.
    pub(crate) log: Option<Log<Disk>>,
    pub(crate) tracker: Arc<Tracker>,
    /// The cursor is to be saved then; none: it has not moved.
    save_at: Option<Instant>,
    saved: Instant,
    /// Nothing is stored before this.
    retry_at: Option<Instant>,
    /// Since there is no room, rather than since something failed.
    waits_for_room: bool,
    pub(crate) said: Option<Instant>,
    pub(crate) evicting: Option<Evicted>,
    /// Bytes of the log that are counted in the quota and the metric.
    pub(crate) accounted: u64,
}

/// The thread for blocking work was taken away: the process ends.
#[derive(Debug)]
pub(crate) struct Gone;

impl<'s> Writer<'s> {
    pub(crate) fn new(spool: &'s DiskWriter, log: Log<Disk>, tracker: Arc<Tracker>) -> Self {
        Self {
            spool,
            log: Some(log),
            tracker,
            save_at: None,
            saved: Instant::now(),
            retry_at: None,
            waits_for_room: false,
            said: None,
            evicting: None,
            accounted: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        self.account();
        // Only the end of the process leads to an error.
        self.work().await.ok();
        self.accounted_for(0);
    }

    async fn work(&mut self) -> Result<(), Gone> {
        loop {
            let spent = self.spool.queue.memory_spent();
            let room = self.spool.quota.freed();
            let now = Instant::now();
            if self.spool.queue.is_closing() {
                return self.close().await;
            }
            if self.save_at.is_some_and(|at| at <= now) {
                self.save().await?;
            }
            let next = match self.retry_at.filter(|at| *at > now) {
                Some(at) => Some(at),
                None => match self.spool.queue.to_store() {
                    ToStore::Records(records) => {
                        self.store(records).await?;
                        continue;
                    }
                    ToStore::At(when) => Some(when),
                    ToStore::Wait => None,
                    ToStore::Ended => return self.finish().await,
                },
            };
            let wake = [next, self.save_at].into_iter().flatten().min();
            tokio::select! {
                () = self.spool.queue.may_store() => {}
                () = self.tracker.moved(), if self.save_at.is_none() => {
                    // Who waits for room does not wait for the cursor's turn as well.
                    let due = if self.waits_for_room { now } else { self.saved + SAVE_EVERY };
                    self.save_at = Some(due);
                }
                () = spent => {}
                () = room, if self.waits_for_room => self.retry_at = None,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Runs blocking work with the log.
    pub(crate) async fn with_log<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Log<Disk>) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let mut log = self.log.take().ok_or(Gone)?;
        let (log, result) = blocking(move || {
            let result = work(&mut log);
            (log, result)
        })
        .await
        .ok_or(Gone)?;
        self.log = Some(log);
        self.account();
        Ok(result)
    }

    async fn store(&mut self, mut records: Vec<Record>) -> Result<(), Gone> {
        let (count, reserved) = self.reserve(&records).await?;
        let rest = records.split_off(count);
        if records.is_empty() {
            self.retry_at = Some(Instant::now() + TRY_AGAIN);
            self.waits_for_room = true;
            self.spool.queue.not_stored(rest, true);
            return Ok(());
        }
        self.waits_for_room = false;
        let append = move |log: &mut Log<Disk>| {
            let appended = log.append(&records, Timestamp::now());
            (appended, records)
        };
        let appended = self.with_log(append).await;
        self.spool.quota.give_back(reserved);
        let (appended, mut records) = appended?;
        appended.syncs.iter().for_each(|took| self.spool.metrics.fsync(*took));
        let mut again = records.split_off(appended.stored.len().min(records.len()));
        again.extend(rest);
        self.spool.queue.not_stored(again, false);
        self.spool.queue.stored(records.into_iter().zip(appended.stored).collect());
        match appended.failed {
            Some(failure) => {
                self.spool.trouble(failure.reason(), &failure, &mut self.said);
                // A segment that is delivered is removed only once another is begun: on a full disk none can be before.
                let is_freed = self.free_delivered().await?;
                self.retry_at = (!is_freed).then(|| Instant::now() + TRY_AGAIN);
            }
            None => self.works(),
        }
        // While there is always something to store, nothing else looks at the cursor.
        if self.saved.elapsed() >= SAVE_EVERY { self.save().await } else { Ok(()) }
    }

    /// It works, again.
    fn works(&mut self) {
        self.retry_at = None;
        if self.said.take().is_some() {
            self.spool.status.report_issue(&self.spool.issue(), None);
            info!(destination = self.spool.label, "the disk buffer works again");
        }
    }

    /// Leaves the segment that is written to, since all of it is delivered.
    pub(crate) async fn retire(&mut self) -> Result<(), Gone> {
        let retire = |log: &mut Log<Disk>| {
            let segment = log.rotate();
            log.save(Position { segment, offset: 0, events: 0 })
        };
        if let Err(error) = self.with_log(retire).await? {
            self.spool.trouble("cursor", &error, &mut self.said);
        }
        Ok(())
    }

    /// Writes down what is delivered, and removes what is delivered whole.
    pub(crate) async fn save(&mut self) -> Result<(), Gone> {
        self.save_at = None;
        self.saved = Instant::now();
        let delivered = self.spool.queue.delivered();
        match self.with_log(move |log| log.save(delivered)).await? {
            Ok(()) => self.spool.queue.forget_before(delivered.segment),
            Err(error) => {
                self.spool.trouble("cursor", &error, &mut self.said);
                self.save_at = Some(Instant::now() + TRY_AGAIN);
            }
        }
        Ok(())
    }

    /// Stores what is still in memory, once, and leaves the rest for the next start.
    async fn close(&mut self) -> Result<(), Gone> {
        if let ToStore::Records(records) = self.spool.queue.to_store() {
            self.store(records).await?;
        }
        self.save().await?;
        let ahead = self.spool.queue.ahead();
        if let Err(error) = self.with_log(move |log| log.save_ahead(&ahead)).await? {
            self.spool.trouble("cursor", &error, &mut self.said);
        }
        if self.spool.queue.is_drained() { self.finish().await } else { Ok(()) }
    }

    /// Everything is delivered: nothing is left behind.
    async fn finish(&mut self) -> Result<(), Gone> {
        self.retire().await?;
        let Some(log) = self.log.take() else { return Err(Gone) };
        if let Err(error) = blocking(move || log.remove()).await.ok_or(Gone)? {
            warn!(destination = self.spool.label, %error, "cannot remove an empty disk buffer; it is left");
        }
        Ok(())
    }

    fn account(&mut self) {
        let bytes = self.log.as_ref().map_or(0, Log::bytes);
        self.accounted_for(bytes);
    }

    fn accounted_for(&mut self, bytes: u64) {
        self.spool.quota.change(self.accounted, bytes);
        self.spool.metrics.buffer_bytes.add(gauge(bytes).saturating_sub(gauge(self.accounted)));
        self.accounted = bytes;
        if self.waits_for_room && self.spool.quota.has_room(self.accounted) {
            self.spool.queue.has_room();
        }
    }
}
