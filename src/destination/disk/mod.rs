//! One destination's records to disk and back: group commit, the cursor, and room.
//!
//! A task waits; what blocks runs on threads for blocking work, one write and one read at a time. While a sync is under way,
//! records gather, and the next one covers them all.

pub(crate) mod queue;
mod room;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use self::write::Writer;
use crate::buffer::disk::{self, Backlog, Disk, Finding, Layout, Loaded, Log, Opened, Reader, Tracker};
use crate::causes::with_causes;
use crate::deadletter::DeadLetters;
use crate::destination::queue::DestinationQueue;
use crate::destination::quota::Quota;
use crate::event::Buffers;
use crate::health::Status;
use crate::metrics::SinkMetrics;

/// What keeps one destination's records on disk.
#[derive(Debug)]
pub(crate) struct DiskWriter {
    /// Whose records they are.
    pub(crate) queue: Arc<DestinationQueue>,
    /// The log's directory.
    pub(crate) dir: PathBuf,
    /// The names of the fields that the destination is made from.
    pub(crate) fields: Arc<[Box<str>]>,
    /// The sink's and the destination's name, for people.
    pub(crate) label: String,
    /// The sink's room.
    pub(crate) quota: Arc<Quota>,
    /// One permit: no two tasks have the directory.
    pub(crate) turn: Arc<Semaphore>,
    /// What is counted.
    pub(crate) metrics: SinkMetrics,
    /// Where the oldest go, if they go there.
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// Where issues are shown.
    pub(crate) status: Arc<Status>,
    /// What records are read into.
    pub(crate) buffers: Arc<Buffers>,
}

/// After something failed, it is tried again so much later.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The same issue is said no more often than this.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// A part of a file that cannot be read so often is given up.
const READ_TRIES: u32 = 5;

impl DiskWriter {
    /// Runs until the queue has ended and everything is delivered, or the process is about to end.
    pub(crate) async fn run(self) {
        // Nobody closes the semaphore.
        let Ok(_turn) = Arc::clone(&self.turn).acquire_owned().await else { return };
        let Some((log, tracker)) = self.open().await else { return };
        let reader = Reader::new(Disk, &self.dir, Arc::clone(&self.buffers));
        self.quota.joined();
        let writer = Writer::new(&self, log, tracker);
        tokio::select! {
            () = writer.run() => {}
            () = self.read(reader) => {}
        }
        self.quota.left();
        self.status.report_issue(&self.issue(), None);
    }

    async fn open(&self) -> Option<(Log<Disk>, Arc<Tracker>)> {
        let mut said = None;
        loop {
            if self.queue.is_closing() {
                return None;
            }
            let (dir, layout) = (self.dir.clone(), self.layout());
            match blocking(move || disk::open(Disk, &dir, layout)).await? {
                Ok(opened) => return Some(self.opened(opened)),
                Err(error) => self.trouble("open", &error, &mut said),
            }
            sleep(TRY_AGAIN).await;
        }
    }

    fn layout(&self) -> Layout {
        Layout { segment_bytes: self.quota.segment_bytes(), shared: Arc::clone(&self.fields) }
    }

    fn opened(&self, opened: Opened<Disk>) -> (Log<Disk>, Arc<Tracker>) {
        let Opened { log, segments, delivered, ahead, findings } = opened;
        self.report(&findings);
        self.status.report_issue(&self.issue(), None);
        let backlog = Backlog::new(&segments, delivered, &ahead);
        let (events, tracker) = (backlog.unread_events(), Arc::clone(backlog.tracker()));
        if events > 0 {
            info!(
                destination = self.label,
                events,
                bytes = log.bytes(),
                "delivering what is on disk from before"
            );
        }
        // What a run before took is this run's now.
        self.metrics.accept(events);
        self.queue.opened(backlog);
        (log, tracker)
    }

    /// Reads what memory let go of, for as long as it is polled.
    async fn read(&self, mut reader: Reader<Disk>) {
        let (mut failures, mut said) = (0u32, None);
        loop {
            let Some((part, bytes)) = self.queue.to_read() else {
                self.queue.may_read().await;
                continue;
            };
            let give_up = failures >= READ_TRIES;
            let read = move || {
                let read = if give_up { Ok(reader.give_up(part)) } else { reader.read(part, bytes) };
                (reader, read)
            };
            let Some((again, read)) = blocking(read).await else { return };
            reader = again;
            match read {
                Ok(loaded) => {
                    failures = 0;
                    self.loaded(loaded);
                }
                // It was evicted, and is gone.
                Err(_) if !self.queue.not_read(part) => {}
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.trouble("read", &error, &mut said);
                    sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    fn loaded(&self, loaded: Loaded) {
        self.report(&loaded.findings);
        self.count_lost(self.queue.loaded(loaded));
    }

    fn count_lost(&self, events: u64) {
        if events > 0 {
            error!(destination = self.label, events, "events are lost: their bytes on disk are damaged");
            self.metrics.dropped("corrupt", events);
        }
    }

    fn report(&self, findings: &[Finding]) {
        for Finding { flaw, file, kept } in findings {
            self.metrics.corrupt(flaw.reason());
            let kept = kept.as_ref().map_or_else(|| "nowhere".to_owned(), |kept| kept.display().to_string());
            warn!(
                destination = self.label,
                reason = flaw.reason(),
                file = %file.display(),
                kept,
                "the disk buffer is damaged here; what is whole is delivered"
            );
        }
    }

    fn trouble(&self, reason: &str, failure: &(dyn std::error::Error + 'static), said: &mut Option<Instant>) {
        let message = with_causes(failure);
        self.metrics.buffer_error(reason);
        self.status.report_issue(&self.issue(), Some(message.clone()));
        if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            *said = Some(Instant::now());
            error!(
                destination = self.label,
                dir = %self.dir.display(),
                error = message,
                "the disk buffer does not work; what is not on disk is held: make room, or make it writable"
            );
        }
    }

    fn issue(&self) -> String {
        format!("disk buffer of {}", self.label)
    }
}

/// Runs work that blocks; none when it was cut short by the end of the process.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
