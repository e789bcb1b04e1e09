//! What becomes of the letters of a replay, and of their files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::error;

use crate::causes::with_causes;
use crate::deadletter::{FileSummary, ReplayProgress};

/// A file of letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplayFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is in the state directory, and is removed once everything in it was delivered.
    pub own: bool,
}

/// What became of the letters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Replayed {
    /// Letters that went on their way.
    pub sent: u64,
    /// Of these, letters that were delivered, or failed again and were kept anew.
    pub ended: u64,
    /// Dead letters written meanwhile.
    pub kept_anew: u64,
    /// Letters that are left in their files, those that this target cannot take among them.
    pub left: u64,
    /// Letters that this target cannot take.
    pub unfit: u64,
    /// Values that are no letters: torn or changed.
    pub damaged: u64,
    /// Files that another process writes or replays at present.
    pub taken: u64,
    /// Files that could not be read or cleared; the log says why.
    pub broken: u64,
    /// Events that destinations accepted; of several sinks, each counts.
    pub events: u64,
    /// Bytes that AWS bills for them.
    pub billed_bytes: u64,
}

impl Replayed {
    /// Whether every letter that was asked for was delivered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left == 0
            && self.ended == self.sent
            && self.kept_anew + self.unfit + self.damaged + self.taken + self.broken == 0
    }
}

/// What is counted on the way, and the files that are not done.
#[derive(Debug, Default)]
pub struct ReplayTotals {
    pub(super) sent: AtomicU64,
    pub(super) unfit: AtomicU64,
    pub(super) damaged: AtomicU64,
    /// The lock covers an addition.
    taken: Mutex<BTreeSet<PathBuf>>,
    pub(super) broken: AtomicU64,
    ended: AtomicU64,
    /// Bytes of the files, and of these, bytes that were read.
    pub(super) bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    /// The lock covers a push, or taking what has ended.
    open: Mutex<Vec<Arc<ReplayProgress>>>,
}

/// How often what was delivered is noted: as much is doubled by a kill, with what is under way.
const NOTE_EVERY: Duration = Duration::from_millis(50);

impl ReplayTotals {
    /// Adds a file that is being replayed.
    pub(super) fn open(&self, file: Arc<ReplayProgress>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }

    /// How many files are being replayed.
    pub(super) fn n_open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Notes a file that another process has.
    pub(super) fn set_taken(&self, path: PathBuf) {
        self.taken().insert(path);
    }

    /// How many letters with these reasons (none: all) are left in the files that no other process has. Blocks.
    pub(crate) fn left_in(&self, files: &[ReplayFile], reasons: &BTreeSet<String>) -> u64 {
        let taken = self.taken().clone();
        let ours = files.iter().filter(|file| !taken.contains(&file.path));
        let left = ours.filter_map(|file| FileSummary::read(file.path.clone(), reasons).ok());
        left.map(|file| file.letters).sum()
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replayed(&self, kept_anew: u64) -> Replayed {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Replayed {
            sent: count(&self.sent),
            ended: count(&self.ended),
            kept_anew,
            unfit: count(&self.unfit),
            damaged: count(&self.damaged),
            taken: self.taken().len() as u64,
            left: 0,
            broken: count(&self.broken),
            events: 0,
            billed_bytes: 0,
        }
    }

    /// How much of the files was read, by their bytes; none while that is not known.
    pub(crate) fn percent_read(&self) -> Option<u8> {
        let (read, all) = (self.read_bytes.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire));
        u8::try_from(read.saturating_mul(100).checked_div(all)?.min(100)).ok()
    }

    /// Resolves when nothing ended for so long.
    pub(crate) async fn standstill(&self, deadline: Duration) {
        let (mut before, mut since) = (self.moved(), Instant::now());
        while since.elapsed() < deadline {
            sleep(NOTE_EVERY).await;
            let now = self.moved();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    /// How many letters were delivered, or kept anew, so far.
    pub(crate) fn moved(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = open.iter().map(|file| file.ended_well()).sum();
        open.saturating_add(self.ended.load(Ordering::Acquire))
    }

    /// Takes out those files, with what they have come to.
    fn close(&self, is_done: impl Fn(&ReplayProgress) -> bool) -> Vec<Arc<ReplayProgress>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let closed: Vec<_> = open.extract_if(.., |file| is_done(file)).collect();
        let ended = closed.iter().map(|file| file.ended_well()).sum();
        self.ended.fetch_add(ended, Ordering::AcqRel);
        closed
    }

    /// The end: what was delivered is taken out of its file, what was not stays.
    pub(super) async fn finish(self: &Arc<Self>) {
        let progress = Arc::clone(self);
        let left = self.close(|_| true);
        let work = move || left.iter().for_each(|file| progress.clear(file));
        tokio::task::spawn_blocking(work).await.ok();
    }

    fn clear(&self, file: &ReplayProgress) {
        if let Err(failed) = file.finish() {
            self.broken.fetch_add(1, Ordering::AcqRel);
            error!(error = with_causes(&failed), "cannot remove delivered letters from their file");
        }
    }
}

fn note(file: &ReplayProgress) {
    if let Err(failed) = file.save() {
        error!(
            error = with_causes(&failed),
            "cannot record which letters were delivered; a kill would deliver them again"
        );
    }
}

/// Notes which letters were delivered, until `end` is dropped, and never left in the middle of a file.
pub(super) async fn note_often(progress: Arc<ReplayTotals>, mut end: oneshot::Receiver<()>) {
    let mut clock = interval(NOTE_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ended = &mut end => return,
        }
        let ended = progress.close(ReplayProgress::has_ended);
        let open = progress.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let noted = Arc::clone(&progress);
        let work = move || {
            for file in open {
                note(&file);
            }
            for file in ended {
                noted.clear(&file);
            }
        };
        // An error is the end of the runtime.
        tokio::task::spawn_blocking(work).await.ok();
    }
}
