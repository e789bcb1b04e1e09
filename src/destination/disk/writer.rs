//! The log's files, for the loop that writes: each call blocks a thread for blocking work, and what the files take is counted.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::context::{DiskContext, LastLogged, RuntimeGone, TRY_AGAIN, blocking};
use super::note::SharedDraft;
use crate::buffer::disk::{Appended, Log, LogPosition, OsFileSystem};
use crate::destination::storage::DiskStorage;
use crate::event::{Record, Timestamp};
use crate::metrics::gauge;

/// The cursor is synced no more often than this: after a power cut, what was delivered since is delivered again.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Nor than this where a segment is delivered whole, and gives its room back.
const FREE_EVERY: Duration = Duration::from_millis(250);

/// A log that is written to, and its cursor.
#[derive(Debug)]
pub(super) struct LogWriter<'c> {
    context: &'c DiskContext,
    /// Away while a thread works with it.
    log: Option<Log<OsFileSystem>>,
    /// Bytes of the log that are counted in the quota and the metric.
    counted: u64,
    /// Where records had ended up to when the cursor was saved last.
    saved: LogPosition,
    saved_at: Instant,
    /// When the cursor is to be saved again, after it could not be.
    retry_at: Option<Instant>,
    /// What notes beside the log where delivery stands; it ends before the log is removed.
    draft: SharedDraft,
    last_logged: LastLogged,
}

impl<'c> LogWriter<'c> {
    pub(super) fn new(context: &'c DiskContext, log: Log<OsFileSystem>, draft: SharedDraft) -> Self {
        let saved = context.queue.look_at_disk(DiskStorage::ended);
        let mut writer = Self {
            context,
            log: Some(log),
            counted: 0,
            saved,
            saved_at: Instant::now(),
            retry_at: None,
            draft,
            last_logged: LastLogged::default(),
        };
        writer.count_bytes();
        writer
    }

    /// Bytes that the log takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.counted
    }

    /// The most bytes that storing each of the records takes.
    pub(super) fn sizes(&mut self, records: &[Record]) -> Result<Vec<u64>, RuntimeGone> {
        let log = self.log.as_mut().ok_or(RuntimeGone)?;
        Ok(records.iter().map(|record| log.size_of(record)).collect())
    }

    /// Appends records, and gives them back with what became of them.
    pub(super) async fn append(
        &mut self,
        records: Vec<Record>,
    ) -> Result<(Vec<Record>, Appended), RuntimeGone> {
        let append = |log: &mut Log<OsFileSystem>| {
            let appended = log.append(&records, Timestamp::now());
            (records, appended)
        };
        let (records, appended) = self.with_log(append).await?;
        self.report(&appended);
        Ok((records, appended))
    }

    /// Whether the log can be written, with nothing to store.
    pub(super) async fn try_out(&mut self) -> Result<bool, RuntimeGone> {
        let tried = self.with_log(|log| log.try_out(Timestamp::now())).await?;
        self.report(&tried);
        Ok(tried.failed.is_none())
    }

    fn report(&mut self, appended: &Appended) {
        appended.syncs.iter().for_each(|took| self.context.metrics.fsync(*took));
        match &appended.failed {
            Some(failure) => self.context.failed(failure.reason(), failure, &mut self.last_logged),
            None => self.context.works(&mut self.last_logged),
        }
    }

    /// Saves the cursor when it is due, and says when it will be. `at_once`: it is not to wait for its time.
    pub(super) async fn save_if_due(&mut self, at_once: bool) -> Result<Option<Instant>, RuntimeGone> {
        let due = self.retry_at.or_else(|| {
            let ended = self.context.queue.look_at_disk(DiskStorage::ended);
            let every = if ended.segment > self.saved.segment { FREE_EVERY } else { SAVE_EVERY };
            let due = if at_once { Instant::now() } else { self.saved_at + every };
            (ended != self.saved).then_some(due)
        });
        if due.is_none_or(|due| due > Instant::now()) {
            return Ok(due);
        }
        self.save().await?;
        Ok(self.retry_at)
    }

    /// Writes down what is delivered, and removes what is delivered whole.
    pub(super) async fn save(&mut self) -> Result<(), RuntimeGone> {
        self.retry_at = None;
        self.saved_at = Instant::now();
        let (ended, delivered) = self.context.queue.look_at_disk(|disk| (disk.ended(), disk.delivered()));
        self.saved = ended;
        match self.with_log(move |log| log.save(delivered)).await? {
            Ok(()) => self.context.queue.change_disk(|disk| disk.forget_before(delivered.segment)),
            Err(error) => {
                self.failed("cursor", &error);
                self.retry_at = Some(Instant::now() + TRY_AGAIN);
            }
        }
        Ok(())
    }

    /// Writes down what is delivered beyond the cursor, for the next start.
    pub(super) async fn save_out_of_order(&mut self) -> Result<(), RuntimeGone> {
        let acks = self.context.queue.look_at_disk(DiskStorage::out_of_order);
        if let Err(error) = self.with_log(move |log| log.save_out_of_order(&acks)).await? {
            self.failed("cursor", &error);
        }
        Ok(())
    }

    /// Frees the room that what is delivered takes. Returns whether there was any.
    ///
    /// A segment that is delivered is removed only once another is begun: on a full disk none can be before.
    pub(super) async fn free_delivered(&mut self) -> Result<bool, RuntimeGone> {
        let before = self.counted;
        self.save().await?;
        if self.context.queue.look_at_disk(DiskStorage::is_log_drained) {
            self.leave_segment().await?;
        }
        Ok(self.counted < before)
    }

    /// Ends the segment if it is the one that is written to.
    pub(super) async fn end_segment(&mut self, segment: u64) -> Result<(), RuntimeGone> {
        let rotate = move |log: &mut Log<OsFileSystem>| {
            if log.is_open(segment) {
                log.rotate();
            }
        };
        self.with_log(rotate).await
    }

    /// Frees a segment's bytes where earlier ones are still to be delivered.
    pub(super) async fn clear_segment(&mut self, segment: u64) -> Result<(), RuntimeGone> {
        if let Err(error) = self.with_log(move |log| log.clear_segment(segment)).await? {
            self.failed("write", &error);
        }
        Ok(())
    }

    /// Removes the log: everything in it is delivered, and nothing is left behind.
    pub(super) async fn remove(&mut self) -> Result<(), RuntimeGone> {
        self.leave_segment().await?;
        let log = self.log.take().ok_or(RuntimeGone)?;
        let draft = self.draft.clone();
        let remove = move || {
            draft.end();
            log.remove()
        };
        if let Err(error) = blocking(remove).await? {
            warn!(sink = self.context.label.sink, stream = self.context.label.stream, %error, "cannot remove an empty disk buffer");
        }
        Ok(())
    }

    /// Something else than the log failed, of what it takes to go on.
    pub(super) fn failed(&mut self, reason: &str, failure: &(dyn std::error::Error + 'static)) {
        self.context.failed(reason, failure, &mut self.last_logged);
    }

    /// Leaves the segment that is written to, since all of it is delivered.
    async fn leave_segment(&mut self) -> Result<(), RuntimeGone> {
        let leave = |log: &mut Log<OsFileSystem>| {
            let segment = log.rotate();
            log.save(LogPosition { segment, offset: 0, events: 0 })
        };
        if let Err(error) = self.with_log(leave).await? {
            self.failed("cursor", &error);
        }
        Ok(())
    }

    async fn with_log<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Log<OsFileSystem>) -> T + Send + 'static,
    ) -> Result<T, RuntimeGone> {
        let mut log = self.log.take().ok_or(RuntimeGone)?;
        let (log, result) = blocking(move || {
            let result = work(&mut log);
            (log, result)
        })
        .await?;
        self.log = Some(log);
        self.count_bytes();
        Ok(result)
    }

    fn count_bytes(&mut self) {
        self.count(self.log.as_ref().map_or(0, Log::bytes));
    }

    fn count(&mut self, bytes: u64) {
        let DiskContext { quota, metrics, .. } = self.context;
        quota.change(self.counted, bytes);
        metrics.buffer_bytes.add(gauge(bytes).saturating_sub(gauge(self.counted)));
        self.counted = bytes;
    }
}

impl Drop for LogWriter<'_> {
    /// Nobody counts the log's bytes any more.
    fn drop(&mut self) {
        self.count(0);
    }
}
