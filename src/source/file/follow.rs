//! The loop over all files of a source.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::FileSource;
use super::globs::Patterns;
use super::table::{Departed, FileNo, Table};
use super::tail::{Owner, Patience, Progress, Recent, Stage, Tail};
use super::watch::Watch;
use crate::config::Start;
use crate::event::Closed;
use crate::event::{Buffers, Chunk, FileAccount, Fingerprint, Held, Mark, Origin, Timestamp};
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};
use crate::source::SourceError;
use crate::source::Stop;
use crate::source::framer::{Framer, FramerState};

/// Everything that following files takes.
pub(super) struct Follower {
    pub(super) source: FileSource,
    pub(super) stop: Stop,
    pub(super) patterns: Patterns,
    pub(super) watch: Watch,
    pub(super) table: Table,
    /// What full blocks are read into.
    pub(super) buffers: Arc<Buffers>,
    pub(super) patience: Patience,
    /// Where symbolic links lead to, and the links.
    pub(super) links: HashMap<PathBuf, PathBuf>,
    /// Files that lost their name and may have another.
    pub(super) nameless: Vec<FileNo>,
    /// Files that wait for a destination.
    blocked: Vec<FileNo>,
    /// How many files gave only a little since the last rest.
    pub(super) morsels: u32,
    /// Chunks that are to go to one worker together.
    pub(super) parcel: Parcel,
    /// What files are read into that may give little.
    pub(super) scratch: Vec<u8>,
    /// Whether the first walk is over.
    pub(super) started: bool,
    /// Directories that could not be read, as was said.
    pub(super) refused: HashSet<PathBuf>,
    pub(super) next_walk: Instant,
    /// The next walk may not be before, however much happens.
    pub(super) soonest_walk: Instant,
    last_look: Instant,
    next_report: Instant,
}

/// What a look at one file led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// There is more to do at once.
    More,
    /// Nothing, until it changes or its time comes.
    Idle,
    /// Its destination takes nothing.
    Blocked,
}

impl Follower {
    pub(super) fn new(source: FileSource, watch: Watch, stop: Stop) -> Result<Self, SourceError> {
        let now = Instant::now();
        let config = &source.config;
        let patience = Patience {
            rotated: if source.once { Duration::ZERO } else { config.rotate_wait },
            event: source.intake.framing().patience(),
            once: source.once,
        };
        Ok(Self {
            stop,
            patterns: Patterns::new(&config.include, &config.exclude)?,
            watch,
            table: Table::default(),
            buffers: Arc::clone(&source.buffers),
            patience,
            links: HashMap::new(),
            nameless: Vec::new(),
            blocked: Vec::new(),
            morsels: 0,
            parcel: Parcel::default(),
            scratch: Vec::new(),
            started: false,
            refused: HashSet::new(),
            next_walk: now,
            soonest_walk: now,
            last_look: now,
            next_report: now,
            source,
        })
    }

    pub(super) const fn intake(&self) -> &Intake {
        &self.source.intake
    }

    /// Reads until a stop, or with `once` until nothing is left.
    pub(super) async fn run(&mut self) -> Result<(), Closed> {
        self.start();
        let intake = self.source.intake.clone();
        while !self.stop.is_requested() {
            // Before the look at who is blocked: what opens after it is not missed.
            let room_freed = intake.room_freed();
            self.look_around();
            self.round().await?;
            self.report();
            if self.table.ready() > 0 {
                continue;
            }
            if self.source.once && self.blocked.is_empty() {
                self.give_up_departed(Instant::now());
                self.source.intake.metrics.behind_bytes.set(self.behind());
                break;
            }
            self.rest(room_freed).await;
        }
        Ok(())
    }

    fn start(&mut self) {
        let now = Instant::now();
        let stored = self.source.positions.stored(&self.source.name);
        self.table.departed = stored.into_iter().map(|account| Departed::stored(account, now)).collect();
        self.walk(now);
        self.place_stored();
        self.started = true;
    }

    /// Takes in what changed since the last time.
    fn look_around(&mut self) {
        let now = Instant::now();
        self.last_look = now;
        let changes = self.watch.take();
        let walk_due = now >= self.next_walk || changes.overflow;
        self.look_at(&changes);
        if walk_due && !self.source.once {
            self.walk(now);
            self.forget_departed(now);
        }
        self.find_nameless();
        self.table.queue_due(now);
        self.give_up_departed(now);
    }

    /// One turn for each file that stands in the queue now.
    async fn round(&mut self) -> Result<(), Closed> {
        for _ in 0..self.table.ready() {
            let Some(no) = self.table.next_ready() else { break };
            if self.stop.is_requested() {
                break;
            }
            // A round over many files takes long, and files are renamed meanwhile.
            if self.last_look.elapsed() >= GATHER {
                self.last_look = Instant::now();
                if self.watch.has_new_names() {
                    self.look_around();
                }
            }
            match self.turn(no).await? {
                After::More => self.table.queue(no),
                After::Idle => {}
                After::Blocked => self.blocked.push(no),
            }
        }
        self.hand_in().await?;
        self.unblock();
        Ok(())
    }

    /// Gives the workers what is ready for them.
    pub(super) async fn hand_in(&mut self) -> Result<(), Closed> {
        let chunks = self.parcel.take();
        if chunks.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            taken = self.source.intake.submit_together(chunks.into_iter()) => taken,
            // The chunks are given up with their ack guards: they are read again at the next start.
            () = self.stop.requested() => Ok(()),
        }
    }

    /// Waits for memory; files that come, are renamed or go meanwhile are noticed. None at a stop.
    pub(super) async fn admit(&mut self, bytes: usize) -> Result<Option<Held>, Closed> {
        if let Some(held) = self.intake().try_admit(bytes) {
            return Ok(Some(held));
        }
        // What is ready may hold the very memory that is waited for.
        self.hand_in().await?;
        let intake = self.source.intake.clone();
        let admitted = intake.admit(bytes);
        tokio::pin!(admitted);
        loop {
            tokio::select! {
                biased;
                held = &mut admitted => return Ok(Some(held)),
                () = self.stop.requested() => return Ok(None),
                () = tokio::time::sleep(GATHER) => {}
            }
            if self.watch.has_changed() || Instant::now() >= self.next_walk {
                self.look_around();
            }
            self.report();
        }
    }

    /// Puts back what no longer waits for a destination.
    fn unblock(&mut self) {
        for no in std::mem::take(&mut self.blocked) {
            let progress = self.table.get(no).and_then(Tail::progress);
            if progress.is_some_and(|progress| progress.lane.is_blocked()) {
                self.blocked.push(no);
            } else {
                self.table.queue(no);
            }
        }
    }

    /// Waits for anything to do.
    async fn rest(&mut self, room_freed: Notified<'_>) {
        let now = Instant::now();
        // A run with `--once` does not walk again: it waits for destinations alone.
        let mut until =
            if self.source.once { now.checked_add(REPORT).unwrap_or(now) } else { self.next_walk };
        if let Some(wake) = self.table.next_wake() {
            until = until.min(wake);
        }
        if self.is_reporting() {
            until = until.min(self.next_report);
        }
        let morsels = std::mem::take(&mut self.morsels);
        let is_changed = tokio::select! {
            () = self.stop.requested() => return,
            () = room_freed => false,
            () = tokio::time::sleep_until(until) => false,
            () = self.watch.changed() => true,
        };
        if is_changed {
            self.gather(gathering(morsels)).await;
        }
    }

    /// Writers write line by line: a short wait makes one block of many. Names do not wait for long, since a file may be gone.
    async fn gather(&mut self, how_long: Duration) {
        let begun = Instant::now();
        loop {
            let left = how_long.saturating_sub(begun.elapsed());
            if left.is_zero() || begun.elapsed() >= GATHER && self.watch.has_new_names() {
                return;
            }
            tokio::select! {
                () = self.stop.requested() => return,
                () = tokio::time::sleep(left.min(GATHER)) => {}
            }
        }
    }

    /// Whether the gauges change by themselves.
    fn is_reporting(&self) -> bool {
        let metrics = &self.source.intake.metrics;
        metrics.behind_bytes.get() != 0 || metrics.lag_seconds.get() > 0.0 || !self.blocked.is_empty()
    }

    fn report(&mut self) {
        let now = Instant::now();
        if now < self.next_report {
            return;
        }
        self.next_report = now.checked_add(REPORT).unwrap_or(now);
        let departed = self.table.departed.iter().map(|departed| &departed.account);
        let followed = self.table.iter().filter_map(|(_, tail)| Some(&tail.progress()?.owner.account));
        let oldest = departed.chain(followed).filter_map(|account| account.oldest_unacknowledged()).min();
        let age = oldest.map_or(0, |oldest| Timestamp::now().0.saturating_sub(oldest.0).max(1));
        let metrics = &self.source.intake.metrics;
        metrics.lag_seconds.set(Duration::from_millis(u64::try_from(age).unwrap_or(0)).as_secs_f64());
        metrics.behind_bytes.set(self.behind());
    }

    fn behind(&self) -> i64 {
        let behind = self.table.iter().map(|(_, tail)| tail.unread()).fold(0, u64::saturating_add);
        i64::try_from(behind).unwrap_or(i64::MAX)
    }

    /// Follows a file of which nothing is known, from `start`.
    pub(super) fn begin(&mut self, no: FileNo, first: &[u8], start: Mark) {
        let Some(tail) = self.table.get(no) else { return };
        let origin: Arc<str> = tail.origin.as_ref().unwrap_or(&tail.path).to_string_lossy().into();
        let head = Fingerprint::of_start(first);
        let position = super::tail::position_of(tail, Arc::clone(&origin), head, start);
        let account = self.source.positions.open(&self.source.name, position);
        self.follow(no, account, origin, head, start);
    }

    /// Follows a file from where an account stands.
    pub(super) fn follow(
        &mut self,
        no: FileNo,
        account: Arc<dyn FileAccount>,
        origin: Arc<str>,
        head: Fingerprint,
        mark: Mark,
    ) {
        let owner = Arc::new(Owner { account, metrics: self.intake().metrics.clone() });
        let origin = Arc::new(Origin {
            source: Arc::clone(&self.source.name),
            host: Arc::clone(&self.source.host),
            file: Some(origin),
            ..Origin::default()
        });
        let lane = self.intake().lane(WhenFullDestination::Wait);
        let mut framer = Framer::new(&self.source.config.decoding, self.intake().framing());
        framer.resume(FramerState::resumed(mark.skipping));
        let Some(tail) = self.table.get_mut(no) else { return };
        (tail.vain, tail.reach) = (None, 0);
        let recent = Recent::default();
        let progress = Progress { owner, origin, lane, head, mark, sum: None, framer, recent };
        tail.stage = Stage::Followed(Box::new(progress));
    }

    /// Where a file is read from that was never seen before.
    pub(super) fn start_of_new(&self, size: u64, was_known: impl FnOnce() -> bool) -> u64 {
        match self.source.config.start {
            // A file that comes into being while it is watched for, or takes another's place, is new from its first byte.
            Start::End if !self.started && !was_known() => size,
            Start::End | Start::Beginning => 0,
        }
    }
}

/// Small chunks that are ready, to be handed in together: waking a worker costs more than decoding a few lines.
#[derive(Default)]
pub(super) struct Parcel {
    chunks: Vec<(Arc<OrderedLane>, Chunk)>,
    bytes: usize,
}

impl Parcel {
    /// Adds a chunk. Whether it is enough for a worker now.
    pub(super) fn add(&mut self, lane: Arc<OrderedLane>, chunk: Chunk) -> bool {
        self.bytes = self.bytes.saturating_add(chunk.payload.len());
        self.chunks.push((lane, chunk));
        self.bytes >= ENOUGH_BYTES || self.chunks.len() >= ENOUGH_CHUNKS
    }

    fn take(&mut self) -> Vec<(Arc<OrderedLane>, Chunk)> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

/// Work for a worker is at least so much, where there is more.
const ENOUGH_BYTES: usize = 128 * 1024;
const ENOUGH_CHUNKS: usize = 64;

/// How long to gather changes after the first one, at the least and at the most.
const GATHER: Duration = Duration::from_millis(20);
const GATHER_AT_MOST: Duration = Duration::from_millis(150);

/// Where many files give a little each, a longer wait lets them give more: a look at a file costs some 10 µs of CPU, whatever it
/// gives.
const GATHER_FOR_EACH: Duration = Duration::from_micros(150);

fn gathering(morsels: u32) -> Duration {
    GATHER.saturating_add(GATHER_FOR_EACH.saturating_mul(morsels)).min(GATHER_AT_MOST)
}

/// How often gauges are set.
const REPORT: Duration = Duration::from_secs(1);
