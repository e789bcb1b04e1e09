//! What every part of a disk task knows, and how it reports what goes wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::quota::DiskQuota;
use crate::buffer::disk::Damage;
use crate::causes::with_causes;
use crate::deadletter::DeadLetters;
use crate::destination::queue::DestinationQueue;
use crate::event::Buffers;
use crate::health::Status;
use crate::metrics::SinkMetrics;
use crate::sink::DestinationName;

/// One destination whose records are kept on disk.
#[derive(Debug)]
pub(crate) struct DiskContext {
    /// Whose records they are.
    pub(crate) queue: Arc<DestinationQueue>,
    /// The log's directory.
    pub(crate) dir: PathBuf,
    /// The names of the fields that the destination is made from.
    pub(crate) fields: Arc<[Box<str>]>,
    /// The sink's and the destination's name, for people.
    pub(crate) label: DestinationName,
    /// The sink's room.
    pub(crate) quota: Arc<DiskQuota>,
    /// What is counted.
    pub(crate) metrics: SinkMetrics,
    /// Where the oldest go, if they go there.
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// Where issues are shown.
    pub(crate) status: Arc<Status>,
    /// What records are read into.
    pub(crate) buffers: Arc<Buffers>,
}

/// When an issue that comes again was logged last.
#[derive(Debug, Default)]
pub(super) struct LastLogged(Option<Instant>);

/// The thread for blocking work was taken away: the process ends.
#[derive(Debug)]
pub(super) struct RuntimeGone;

/// After something failed, it is tried again so much later.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The same issue is logged no more often than this.
const LOG_AGAIN: Duration = Duration::from_mins(1);

/// Runs work that blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RuntimeGone> {
    tokio::task::spawn_blocking(work).await.map_err(|_cancelled| RuntimeGone)
}

impl DiskContext {
    /// Something failed, and is tried again: counted, shown, and logged unless it was just now.
    pub(super) fn failed(
        &self,
        reason: &str,
        failure: &(dyn std::error::Error + 'static),
        last: &mut LastLogged,
    ) {
        let message = with_causes(failure);
        self.metrics.buffer_error(reason);
        self.status.report_issue(&self.issue(), Some(message.clone()));
        if last.0.is_none_or(|last| last.elapsed() >= LOG_AGAIN) {
            last.0 = Some(Instant::now());
            error!(
                sink = self.label.sink, stream = self.label.stream,
                dir = %self.dir.display(),
                error = message,
                "the disk buffer does not work; new records stay in memory: make room, or make the folder writable"
            );
        }
    }

    /// It works, again if it failed before.
    pub(super) fn works(&self, last: &mut LastLogged) {
        if last.0.take().is_some() {
            self.clear_issue();
            info!(sink = self.label.sink, stream = self.label.stream, "the disk buffer works again");
        }
    }

    /// Nothing is wrong, or nobody is concerned any more.
    pub(super) fn clear_issue(&self) {
        self.status.report_issue(&self.issue(), None);
    }

    /// Counts and logs what was found damaged.
    pub(super) fn report_damage(&self, damage: &[Damage]) {
        for Damage { flaw, file, kept } in damage {
            self.metrics.corrupt(flaw.reason());
            let kept = kept.as_ref().map_or_else(|| "nowhere".to_owned(), |kept| kept.display().to_string());
            warn!(
                sink = self.label.sink, stream = self.label.stream,
                reason = flaw.reason(),
                file = %file.display(),
                kept,
                "the disk buffer is damaged; intact records are delivered"
            );
        }
    }

    /// Counts and logs events whose bytes are damaged.
    pub(super) fn count_lost(&self, events: u64) {
        if events > 0 {
            error!(
                sink = self.label.sink,
                stream = self.label.stream,
                events,
                "events are lost: their bytes on disk are damaged"
            );
            self.metrics.dropped("corrupt", events);
        }
    }

    fn issue(&self) -> String {
        format!("disk buffer of {}", self.label)
    }
}
