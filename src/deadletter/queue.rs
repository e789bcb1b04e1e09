//! Letters on their way to the disk: many share one fsync, and nobody but their own sources waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::store::{LetterLimits, LetterStore};
use super::{DeadLetter, FOLDER, Letter};
use crate::event::Backpressure;
use crate::health::Status;
use crate::metrics::{Metrics, gauge};
use crate::sync::Lock;

/// Dead letters of one state directory.
#[derive(Debug)]
pub struct DeadLetters {
    store: LetterStore,
    /// The lock covers a push, or the taking of a batch.
    queues: Lock<BTreeMap<Arc<str>, FolderQueue>>,
    came: Notify,
    emptied: Notify,
    /// A folder whose waiting letters take so many bytes shuts its backpressure.
    share: usize,
    room_freed: Arc<Notify>,
    /// Letters written so far.
    kept: AtomicU64,
}

/// A letter, and what is to be done once it is on disk. What is dropped instead was given up.
pub struct PendingDeadLetter {
    /// The sink, or the source as `_SOURCE`.
    pub folder: Arc<str>,
    /// The letter.
    pub letter: DeadLetter,
    /// Settles ack guards, and counts.
    pub done: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for PendingDeadLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingDeadLetter").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct FolderQueue {
    waiting: VecDeque<PendingDeadLetter>,
    /// Of the letters that wait, and of those that are written at present.
    bytes: usize,
    letters: usize,
    backpressure: Arc<Backpressure>,
    /// After a failure.
    not_before: Option<Instant>,
    said: Option<Instant>,
}

impl FolderQueue {
    /// So many letters do not wait any more.
    fn forget(&mut self, letters: usize, bytes: usize) {
        debug_assert!(self.letters >= letters && self.bytes >= bytes, "fewer letters wait than have ended");
        self.letters = self.letters.saturating_sub(letters);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// So many letters, or bytes of them, are written and fsynced together at the most.
const BATCH_LETTERS: usize = 1000;
const BATCH_BYTES: usize = 8 << 20;

/// How long a letter that cannot be written waits.
const RETRY: Duration = Duration::from_secs(1);

/// The same issue is logged no more often than this.
const SAY_AGAIN: Duration = Duration::from_mins(1);

impl DeadLetters {
    /// The letters under a state directory; nothing is made before the first one.
    ///
    /// Letters that wait may take `share` bytes for each folder before their sources wait too; `room_freed` is told when
    /// they go on.
    #[must_use]
    pub fn new(state: &Path, limits: LetterLimits, share: usize, room_freed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            store: LetterStore::new(state.join(FOLDER), limits),
            queues: Lock::default(),
            came: Notify::new(),
            emptied: Notify::new(),
            share,
            room_freed,
            kept: AtomicU64::new(0),
        })
    }

    /// Keeps aside what a crash left torn. Blocks; for the daemon's start.
    pub fn recover(&self) {
        self.store.recover();
    }

    /// Writes letters of one sink, or of a source as `_SOURCE`, and returns once they are on disk. Blocks.
    ///
    /// # Errors
    /// When they are not on disk; they must then be written again.
    pub fn write(&self, folder: &str, letters: &[Letter<'_>]) -> io::Result<()> {
        self.store.write(folder, letters)
    }

    /// Queues a letter, without waiting: its bytes are in somebody's memory already.
    pub fn enqueue(&self, pending: PendingDeadLetter) {
        self.with_queue(&Arc::clone(&pending.folder), |queue, share| {
            queue.letters = queue.letters.saturating_add(1);
            queue.bytes = queue.bytes.saturating_add(pending.letter.bytes.len());
            queue.waiting.push_back(pending);
            queue.backpressure.set_full(queue.bytes > share);
        });
        self.came.notify_one();
    }

    /// The backpressure of a folder: shut while its letters cannot be written, or come faster than they are.
    #[must_use]
    pub fn backpressure(&self, folder: &Arc<str>) -> Arc<Backpressure> {
        self.with_queue(folder, |queue, _| Arc::clone(&queue.backpressure))
    }

    /// How many letters are not on disk yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues().values().map(|queue| queue.letters).sum()
    }

    /// Waits until every letter is on disk.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.waiting() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Gives up what is not on disk, but for what is being written.
    pub fn abandon(&self) {
        let take = |queue: &mut FolderQueue| {
            let waiting = std::mem::take(&mut queue.waiting);
            queue.forget(waiting.len(), waiting.iter().map(|pending| pending.letter.bytes.len()).sum());
            waiting
        };
        let abandoned: Vec<_> = self.queues().values_mut().map(take).collect();
        // Ack guards are dropped here, after the lock.
        drop(abandoned);
    }

    /// How many queued letters were written so far.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Acquire)
    }

    /// Writes what is queued, for ever.
    pub async fn run(self: Arc<Self>, metrics: Metrics, status: Arc<Status>) {
        let mut clock = interval(RETRY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ticked = tokio::select! {
                () = self.came.notified() => false,
                _ = clock.tick() => true,
            };
            if ticked {
                self.report(&metrics).await;
            }
            let folders: Vec<Arc<str>> = self.queues().keys().map(Arc::clone).collect();
            for folder in folders {
                while let Some(batch) = self.take(&folder, Instant::now()) {
                    self.write_batch(&folder, batch, &status).await;
                }
            }
            if self.waiting() == 0 {
                self.emptied.notify_waiters();
            }
        }
    }

    /// Closes quiet files, and keeps the gauges true.
    async fn report(self: &Arc<Self>, metrics: &Metrics) {
        let letters = Arc::clone(self);
        let look = move || letters.store.tick(std::time::Instant::now());
        // An error is the end of the runtime.
        for (folder, held) in tokio::task::spawn_blocking(look).await.unwrap_or_default() {
            metrics.dead_letters_held(&folder, held.files, held.bytes);
        }
        for (folder, queue) in &*self.queues() {
            metrics.dead_letters_waiting(folder, gauge(queue.letters));
        }
    }

    async fn write_batch(
        self: &Arc<Self>,
        folder: &Arc<str>,
        batch: Vec<PendingDeadLetter>,
        status: &Status,
    ) {
        let (letters, name) = (Arc::clone(self), Arc::clone(folder));
        let write = move || {
            let borrowed: Vec<Letter<'_>> = batch.iter().map(|pending| pending.letter.borrow()).collect();
            let written = letters.write(&name, &borrowed);
            (batch, written)
        };
        // An error is the end of the runtime: the letters were dropped, and are given up.
        let Ok((batch, written)) = tokio::task::spawn_blocking(write).await else { return };
        match written {
            Ok(()) => self.written(folder, batch, status),
            Err(error) => self.failed(folder, batch, &error, status),
        }
    }

    fn written(&self, folder: &Arc<str>, batch: Vec<PendingDeadLetter>, status: &Status) {
        let bytes: usize = batch.iter().map(|pending| pending.letter.bytes.len()).sum();
        if let Some(first) = batch.first() {
            let DeadLetter { reason, error, .. } = &first.letter;
            warn!(
                sink = &**folder,
                letters = batch.len(),
                bytes,
                reason,
                error,
                fix = super::fix(reason),
                "cannot be delivered; kept as dead letters"
            );
        }
        let letters = batch.len();
        self.kept.fetch_add(letters as u64, Ordering::AcqRel);
        for pending in batch {
            (pending.done)();
        }
        let failed_before = self.with_queue(folder, |queue, share| {
            queue.forget(letters, bytes);
            if queue.bytes <= share / 4 * 3 {
                queue.backpressure.set_full(false);
            }
            queue.said.take().is_some()
        });
        if failed_before {
            info!(sink = &**folder, "dead letters can be written again");
            status.report_issue(&issue_name(folder), None);
        }
    }

    fn failed(&self, folder: &Arc<str>, batch: Vec<PendingDeadLetter>, error: &io::Error, status: &Status) {
        let now = Instant::now();
        let say = self.with_queue(folder, |queue, _| {
            for pending in batch.into_iter().rev() {
                queue.waiting.push_front(pending);
            }
            queue.not_before = Some(now + RETRY);
            // Few letters may hold much memory: what was read together with them is given back together.
            queue.backpressure.set_full(true);
            let due = queue.said.is_none_or(|said| now.duration_since(said) >= SAY_AGAIN);
            if due {
                queue.said = Some(now);
            }
            due
        });
        status.report_issue(&issue_name(folder), Some(format!("cannot be written: {error}")));
        if say {
            error!(sink = &**folder, %error, "cannot write dead letters; they are kept in memory, and their sources wait");
        }
    }

    fn take(&self, folder: &Arc<str>, now: Instant) -> Option<Vec<PendingDeadLetter>> {
        self.with_queue(folder, |queue, _| {
            if queue.not_before.is_some_and(|until| now < until) {
                return None;
            }
            let mut batch = Vec::new();
            let mut bytes = 0_usize;
            while batch.len() < BATCH_LETTERS && bytes < BATCH_BYTES {
                let Some(pending) = queue.waiting.pop_front() else { break };
                bytes = bytes.saturating_add(pending.letter.bytes.len());
                batch.push(pending);
            }
            (!batch.is_empty()).then_some(batch)
        })
    }

    fn with_queue<T>(&self, folder: &Arc<str>, look: impl FnOnce(&mut FolderQueue, usize) -> T) -> T {
        let mut queues = self.queues();
        let queue = queues.entry(Arc::clone(folder)).or_insert_with(|| FolderQueue {
            waiting: VecDeque::new(),
            bytes: 0,
            letters: 0,
            backpressure: Backpressure::new(Arc::clone(&self.room_freed)),
            not_before: None,
            said: None,
        });
        look(queue, self.share)
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, FolderQueue>> {
        self.queues.lock()
    }
}

fn issue_name(folder: &str) -> String {
    format!("dead letters of {folder}")
}
