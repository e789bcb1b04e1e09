//! The loop over all files of a source.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::decompression::{self, DecompressionTurn};
use super::discovery::Discovery;
use super::gauges::{self, FileGauges};
use super::gone::GoneFiles;
use super::inspect::{NextStep, ReadPlan, Readiness, next_step, readiness};
use super::opening::{self, OpenOutcome};
use super::outcome::ReadOutcome;
use super::placement::Placement;
use super::reader::{AfterBlock, BlockRead, BlockReader, ReadBlock};
use super::removal::FileRemoval;
use super::rotation::Rotation;
use super::setup::FileSetup;
use super::stored::{find_stored, seek_copies_of_rewritten};
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};
use super::watch::DirWatcher;
use crate::event::{Closed, Held};
use crate::source::SourceError;
use crate::source::Stop;
use crate::source::framer::Upcoming;

/// Reads until a stop is asked for, or until everything was handed over.
///
/// It blocks on files: run it on a thread of its own.
pub(super) async fn run(setup: FileSetup, stop: Stop) -> Result<(), SourceError> {
    let watcher = if setup.once { DirWatcher::blind() } else { DirWatcher::start() };
    run_with(setup, watcher, stop).await
}

pub(super) async fn run_with(setup: FileSetup, watcher: DirWatcher, stop: Stop) -> Result<(), SourceError> {
    let mut follower = Follower::new(setup, watcher, stop)?;
    // A closed pipeline is a stop: what was not taken is read again at the next start.
    follower.run().await.ok();
    Ok(())
}

/// Joins the parts: what is discovered is read in turns.
struct Follower {
    setup: Arc<FileSetup>,
    stop: Stop,
    files: FileTable,
    discovery: Discovery,
    reader: BlockReader,
    gauges: FileGauges,
    removal: FileRemoval,
    turn: DecompressionTurn,
    /// Files that wait for a destination, or for what was read before to arrive.
    blocked: Vec<FileNo>,
    last_discovery: Instant,
    /// What is known of the files takes this much.
    kept: Held,
}

impl Follower {
    fn new(setup: FileSetup, watcher: DirWatcher, stop: Stop) -> Result<Self, SourceError> {
        let setup = Arc::new(setup);
        Ok(Self {
            stop,
            files: FileTable::default(),
            discovery: Discovery::new(Arc::clone(&setup), watcher)?,
            reader: BlockReader::new(Arc::clone(&setup)),
            gauges: FileGauges::new(),
            removal: FileRemoval::new(&setup),
            turn: DecompressionTurn::new(&setup),
            blocked: Vec::new(),
            last_discovery: Instant::now(),
            kept: setup.intake.standing(),
            setup,
        })
    }

    /// Charges what is known of the files: as far as something is left for what they hold.
    fn charge(&mut self) {
        let known = self.files.len().saturating_mul(FILE_BYTES) as u64;
        let kept = known.min(self.setup.intake.memory() / 2);
        if kept != self.kept.bytes() {
            self.kept.resize(kept);
        }
    }

    /// Reads until a stop, or with `once` until nothing is left.
    async fn run(&mut self) -> Result<(), Closed> {
        let setup = Arc::clone(&self.setup);
        self.start();
        while !self.stop.is_requested() {
            // Taken before it is seen who is blocked: what opens after that is not missed.
            let room_freed = setup.intake.room_freed();
            self.discover();
            self.round().await?;
            self.removal.run(&setup, &mut self.files, &mut self.discovery);
            self.gauges.set(&self.setup, &self.files);
            self.charge();
            if self.files.ready() > 0 {
                continue;
            }
            if self.setup.once && self.blocked.is_empty() {
                self.files.gone.count_lost(&self.setup, Instant::now());
                gauges::set_behind(self.setup.metrics(), &self.files);
                break;
            }
            self.rest(room_freed).await;
        }
        Ok(())
    }

    fn start(&mut self) {
        let now = Instant::now();
        self.files.gone = GoneFiles::stored(&self.setup, now);
        self.discovery.walk(&mut self.files, now);
        find_stored(&self.setup, &mut self.files, &mut self.discovery);
        self.discovery.set_started(&mut self.files);
        self.files.queue_unhurried();
        self.charge();
    }

    /// Takes in what changed since the last time.
    fn discover(&mut self) {
        let now = Instant::now();
        self.last_discovery = now;
        if self.discovery.discover(&mut self.files, now) {
            self.files.gone.forget_old(now);
        }
        self.rotation().find_nameless();
        self.files.queue_due(now);
        self.files.gone.count_lost(&self.setup, now);
    }

    /// One turn for each file that stands in the queue now.
    async fn round(&mut self) -> Result<(), Closed> {
        for _ in 0..self.files.ready() {
            let Some(no) = self.files.next_ready() else { break };
            if self.stop.is_requested() {
                break;
            }
            self.setup.activity.begin();
            // A round over many files takes long, and files are renamed meanwhile.
            if self.last_discovery.elapsed() >= GATHER {
                self.last_discovery = Instant::now();
                if self.discovery.watcher.has_new_names() {
                    self.discover();
                }
            }
            match self.read(no).await? {
                ReadOutcome::More => self.files.queue(no),
                ReadOutcome::Idle => {}
                ReadOutcome::Blocked => self.blocked.push(no),
            }
            self.turn.charge(&mut self.files);
        }
        self.hand_in().await?;
        seek_copies_of_rewritten(&self.setup, &mut self.files, &self.discovery);
        self.unblock();
        Ok(())
    }

    /// Does what is next for a file: reads a block of it, where it has one.
    async fn read(&mut self, no: FileNo) -> Result<ReadOutcome, Closed> {
        let now = Instant::now();
        match readiness(&self.setup, &mut self.files, no, now) {
            Readiness::Ready => {}
            Readiness::Waits => return Ok(ReadOutcome::Idle),
            Readiness::Blocked => return Ok(ReadOutcome::Blocked),
            Readiness::Gone => {
                self.rotation().depart(no, 0);
                return Ok(ReadOutcome::Idle);
            }
        }
        if !self.turn.may_read(&mut self.files, no) {
            return Ok(self.turn.later(&self.files, no));
        }
        if !self.open(no, now) {
            return Ok(ReadOutcome::Idle);
        }
        // That it is compressed may have shown only now.
        if !self.turn.may_read(&mut self.files, no) {
            return Ok(self.turn.later(&self.files, no));
        }
        if let Some(block) = self.reader.quick_read(&mut self.files, no, now) {
            return self.take(no, now, block).await;
        }
        let mut step = next_step(&self.setup, &mut self.files, no, now);
        if let Ok(NextStep::FileLocation) = step {
            let placed = Placement { setup: &self.setup, files: &mut self.files, no, now }.resume_at();
            match placed {
                // It is read at once, while it is open.
                Ok(ReadOutcome::More) if self.files.is_open(no) => {
                    step = next_step(&self.setup, &mut self.files, no, now);
                }
                Ok(other) => return Ok(other),
                Err(error) => return Ok(self.fail(no, &error)),
            }
        }
        match step {
            Ok(step) => self.act(no, now, step).await,
            Err(error) => Ok(self.fail(no, &error)),
        }
    }

    async fn act(&mut self, no: FileNo, now: Instant, step: NextStep) -> Result<ReadOutcome, Closed> {
        Ok(match step {
            NextStep::Read(plan) => return self.read_block(no, now, &plan).await,
            NextStep::Wait => ReadOutcome::Idle,
            // It was looked for, and is to be looked for again.
            NextStep::FileLocation => ReadOutcome::More,
            NextStep::Emptied { at_risk } => {
                self.rotation().empty(no, at_risk);
                ReadOutcome::More
            }
            NextStep::Park(upcoming) => self.park(no, now, upcoming),
            NextStep::PassOver { unread } => {
                if let Some(file) = self.files.get_mut(no) {
                    self.reader.pass_over(file, unread);
                }
                ReadOutcome::Idle
            }
        })
    }

    async fn read_block(&mut self, no: FileNo, now: Instant, plan: &ReadPlan) -> Result<ReadOutcome, Closed> {
        let len = usize::from(plan.mark.tail.len).saturating_add(plan.len);
        let Some(held) = self.admit(len).await? else { return Ok(ReadOutcome::Idle) };
        match self.reader.read(&mut self.files, no, plan, held) {
            Ok(BlockRead::Block(block)) => self.take(no, now, block).await,
            Ok(BlockRead::Nothing) => Ok(ReadOutcome::More),
            Ok(BlockRead::Emptied) => {
                self.rotation().empty(no, plan.at_risk);
                Ok(ReadOutcome::More)
            }
            Err(error) => Ok(self.fail(no, &error)),
        }
    }

    async fn take(&mut self, no: FileNo, now: Instant, block: ReadBlock) -> Result<ReadOutcome, Closed> {
        let Some(file) = self.files.get_mut(no) else { return Ok(ReadOutcome::Idle) };
        let after = self.reader.take(file, block);
        self.files.index(no);
        if self.reader.batch.is_enough() {
            self.hand_in().await?;
        }
        Ok(match after {
            AfterBlock::ReadOn => ReadOutcome::More,
            AfterBlock::Park(upcoming) => self.park(no, now, upcoming),
        })
    }

    /// Nothing is to be read of a file now: sees to when it is read again, or ends it.
    fn park(&mut self, no: FileNo, now: Instant, upcoming: Upcoming) -> ReadOutcome {
        let Some(file) = self.files.get_mut(no) else { return ReadOutcome::Idle };
        decompression::rest(&self.setup, file, upcoming);
        let next = file.next_read(now, &self.setup.timeouts());
        if upcoming == Upcoming::Nothing && file.unread() == 0 && file.name != NameState::Present {
            self.rotation().finish(no);
        } else {
            self.files.wake_at(no, next);
        }
        ReadOutcome::Idle
    }

    /// Opens a file unless it is open. Whether it is open now.
    fn open(&mut self, no: FileNo, now: Instant) -> bool {
        match self.discovery.open(&mut self.files, no, now) {
            OpenOutcome::Open => true,
            OpenOutcome::Later | OpenOutcome::NameLost(_) => false,
            OpenOutcome::Nameless => {
                let unread = self.files.get(no).map_or(0, TrackedFile::unread);
                self.rotation().depart(no, unread);
                false
            }
        }
    }

    fn fail(&mut self, no: FileNo, error: &io::Error) -> ReadOutcome {
        opening::fail(&self.setup, &mut self.files, no, "read", error);
        ReadOutcome::Idle
    }

    fn rotation(&mut self) -> Rotation<'_> {
        Rotation { setup: &self.setup, files: &mut self.files, discovery: &self.discovery }
    }

    /// Gives the workers what is ready for them.
    async fn hand_in(&mut self) -> Result<(), Closed> {
        let chunks = self.reader.batch.take();
        if chunks.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            taken = self.setup.intake.submit_together(chunks.into_iter()) => taken,
            // The chunks are given up with their ack guards: they are read again at the next start.
            () = self.stop.requested() => Ok(()),
        }
    }

    /// Waits for memory; files that come, are renamed or go meanwhile are noticed. None at a stop.
    async fn admit(&mut self, bytes: usize) -> Result<Option<Held>, Closed> {
        if let Some(held) = self.setup.intake.try_admit(bytes) {
            return Ok(Some(held));
        }
        // What is ready may hold the very memory that is waited for.
        self.hand_in().await?;
        let setup = Arc::clone(&self.setup);
        let admitted = setup.intake.admit(bytes);
        tokio::pin!(admitted);
        loop {
            tokio::select! {
                biased;
                held = &mut admitted => return Ok(Some(held)),
                () = self.stop.requested() => return Ok(None),
                () = tokio::time::sleep(GATHER) => {}
            }
            if self.discovery.watcher.has_changed() || Instant::now() >= self.discovery.next_walk() {
                self.discover();
            }
            self.gauges.set(&self.setup, &self.files);
        }
    }

    /// Puts back what no longer waits for a destination.
    fn unblock(&mut self) {
        for no in std::mem::take(&mut self.blocked) {
            let progress = self.files.get(no).and_then(TrackedFile::progress);
            let is_blocked = progress.is_some_and(|progress| progress.lane.is_blocked());
            if is_blocked || self.turn.waits(&self.files, no) {
                self.blocked.push(no);
            } else {
                self.files.queue(no);
            }
        }
    }

    /// Waits for anything to do.
    async fn rest(&mut self, room_freed: Notified<'_>) {
        let now = Instant::now();
        // A run with `--once` does not walk again: it waits for destinations alone.
        let walk =
            if self.setup.once { now.checked_add(gauges::PERIOD) } else { Some(self.discovery.next_walk()) };
        let report = self.gauges.wake(&self.setup, !self.blocked.is_empty());
        let until = [walk, self.files.next_wake(), report, self.removal.next()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now);
        let small_reads = self.reader.take_small_reads();
        let is_changed = tokio::select! {
            () = self.stop.requested() => return,
            () = room_freed => false,
            () = tokio::time::sleep_until(until) => false,
            () = self.discovery.watcher.changed() => true,
        };
        if is_changed {
            self.gather(gathering(small_reads, self.setup.linger)).await;
        }
    }

    /// Writers write line by line: a short wait makes one block of many. Names do not wait for long, since a file may be gone.
    async fn gather(&mut self, how_long: Duration) {
        let begun = Instant::now();
        loop {
            let left = how_long.saturating_sub(begun.elapsed());
            if left.is_zero() || begun.elapsed() >= GATHER && self.discovery.watcher.has_new_names() {
                return;
            }
            tokio::select! {
                () = self.stop.requested() => return,
                () = tokio::time::sleep(left.min(GATHER)) => {}
            }
        }
    }
}

/// What is known of a file takes about so much, with its position, its lane, and its place in every index.
const FILE_BYTES: usize = 2_560;

/// How long to gather changes after the first one; a tenth of what events wait for at a sink, if that is less.
const GATHER: Duration = Duration::from_millis(20);

/// Changes are gathered for so long, however little events wait for at a sink.
const LEAST_GATHER: Duration = Duration::from_millis(5);

/// Where many files give a little each, a longer wait lets them give more: a look at a file costs some 10 µs of CPU, whatever it
/// gives.
const GATHER_FOR_EACH: Duration = Duration::from_micros(300);

/// The longest wait is a quarter of what events wait for at a sink, between these.
const LONGEST_GATHER: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(300);

/// How long to gather after so many reads that gave little, where sinks let events wait for `linger`.
fn gathering(small_reads: u32, linger: Duration) -> Duration {
    let longest = (linger / 4).clamp(*LONGEST_GATHER.start(), *LONGEST_GATHER.end());
    let least = (linger / 10).clamp(LEAST_GATHER, GATHER);
    least.saturating_add(GATHER_FOR_EACH.saturating_mul(small_reads)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_files_give_little_the_longer_changes_are_gathered_as_far_as_sinks_wait_anyway() {
        #[track_caller]
        fn check(small_reads: u32, linger_ms: u64, expected_ms: u64) {
            let gathered = gathering(small_reads, Duration::from_millis(linger_ms));
            assert_eq!(gathered, Duration::from_millis(expected_ms), "{small_reads} reads, {linger_ms} ms");
        }
        check(0, 1_000, 20);
        check(100, 1_000, 50);
        check(500, 1_000, 170);
        check(1_000, 1_000, 250);
        check(5_000, 60_000, 300);
        check(5_000, 100, 50);
        check(0, 100, 10);
        check(0, 200, 20);
        check(0, 1, 5);
        check(u32::MAX, 0, 50);
    }
}
