//! What a source sees of everything after it: admission of memory, ordered lanes, and the queue to the workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use crate::event::{Backpressure, Budget, Chunk, Closed, CommitTurn, Framing, Held, OnItsWay};
use crate::metrics::SourceMetrics;

/// What a worker receives: one chunk, or several small ones that are not worth waking it for each.
pub type Jobs = Vec<Job>;

/// A chunk to be decoded.
#[derive(Debug)]
pub struct Job {
    /// The chunk to decode.
    pub chunk: Chunk,
    /// Its place in its lane's order.
    pub slot: CommitSlot,
    /// Why its source knows that it cannot be decoded; none: that is to be seen.
    pub undecodable: Option<&'static str>,
}

/// Backpressure is counted while it lasts, not only when it is over.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The sources' end of the queue to the workers.
#[derive(Clone, Debug)]
pub struct IntakeQueue {
    /// Chunks.
    pub jobs: crossbeam_channel::Sender<Jobs>,
    /// One permit a place in `jobs`, given back by the workers, so that a task never blocks on the channel.
    pub places: Arc<Semaphore>,
}

/// A source's way into the pipeline.
#[derive(Clone, Debug)]
pub struct Intake {
    budget: Arc<Budget>,
    queue: IntakeQueue,
    room_freed: Arc<Notify>,
    framing: Arc<dyn Framing>,
    /// The source's counters.
    pub metrics: SourceMetrics,
}

impl Intake {
    /// Joins the parts.
    #[must_use]
    pub fn new(
        budget: Arc<Budget>,
        queue: IntakeQueue,
        room_freed: Arc<Notify>,
        framing: Arc<dyn Framing>,
        metrics: SourceMetrics,
    ) -> Self {
        Self { budget, queue, room_freed, framing, metrics }
    }

    /// How the source's format cuts events.
    #[must_use]
    pub fn framing(&self) -> &dyn Framing {
        self.framing.as_ref()
    }

    /// All memory that sources may take, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.budget.limit()
    }

    /// How many bytes to read of a lane at once, where `most` would do. Where others share the memory, it is less with little memory, and
    /// with less of it free; and of a lane that is new, a little tells where its events go.
    #[must_use]
    pub fn block(&self, lane: Option<&OrderedLane>, most: usize) -> usize {
        let is_new = lane.is_some_and(OrderedLane::is_new);
        let free = self.budget.part(if is_new { NEW_SHARE } else { FREE_SHARE }, true);
        let (Some(free), Some(share)) = (free, self.budget.part(BLOCK_SHARE, false)) else { return most };
        let (free, share) = [free, share].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)).into();
        let least = if is_new { LEAST_OF_LANE } else { (share / 8).clamp(LEAST_OF_LANE, most / 4) };
        let most = if is_new { FIRST_OF_LANE } else { share.min(most) };
        free.clamp(least, most.max(least))
    }

    /// Takes `bytes` of memory if they are free and nobody waits for them.
    #[must_use]
    pub fn try_admit(&self, bytes: usize) -> Option<Held> {
        self.budget.try_admit(bytes as u64)
    }

    /// Waits until `bytes` of memory are free, and counts the wait as backpressure.
    pub async fn admit(&self, bytes: usize) -> Held {
        if let Some(held) = self.try_admit(bytes) {
            return held;
        }
        let admitted = self.budget.admit(bytes as u64);
        tokio::pin!(admitted);
        loop {
            let since = Instant::now();
            let waited = timeout(COUNT_EVERY, admitted.as_mut()).await;
            self.metrics.backpressure(since.elapsed());
            if let Ok(held) = waited {
                return held;
            }
        }
    }

    /// Charges what is in memory already, without waiting.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Held {
        self.budget.charge(bytes as u64)
    }

    /// Memory that is kept for long beside what flows, to be resized; without waiting.
    #[must_use]
    pub fn standing(&self) -> Held {
        self.budget.keep()
    }

    /// Opens an ordered lane: chunks of one lane reach each destination in the order they were submitted.
    #[must_use]
    pub fn lane(&self, when_full: WhenFullDestination) -> Arc<OrderedLane> {
        Arc::new(OrderedLane {
            when_full,
            window: self.budget.part(LANE_SHARE, false),
            room_freed: Arc::clone(&self.room_freed),
            on_its_way: AtomicU64::new(0),
            has_arrived: AtomicBool::new(false),
            order: Mutex::new(Order::default()),
            backpressures: Mutex::new(Vec::new()),
        })
    }

    /// Queues a chunk for the workers, waiting for a place.
    ///
    /// # Errors
    /// When the pipeline has stopped; the chunk is given up.
    pub async fn submit(&self, lane: &Arc<OrderedLane>, chunk: Chunk) -> Result<(), Closed> {
        self.submit_together(std::iter::once((Arc::clone(lane), chunk))).await
    }

    /// Queues chunks as work for one worker, which does them one after the other, waiting for one place.
    ///
    /// # Errors
    /// When the pipeline has stopped; the chunks are given up.
    pub async fn submit_together(
        &self,
        chunks: impl Iterator<Item = (Arc<OrderedLane>, Chunk)>,
    ) -> Result<(), Closed> {
        self.queue(chunks, None).await
    }

    /// Queues a chunk that cannot be decoded, as its source knows: it becomes a dead letter with this reason, in its lane's order.
    ///
    /// # Errors
    /// When the pipeline has stopped; the chunk is given up.
    pub async fn submit_undecodable(
        &self,
        lane: &Arc<OrderedLane>,
        chunk: Chunk,
        reason: &'static str,
    ) -> Result<(), Closed> {
        self.queue(std::iter::once((Arc::clone(lane), chunk)), Some(reason)).await
    }

    async fn queue(
        &self,
        chunks: impl Iterator<Item = (Arc<OrderedLane>, Chunk)>,
        undecodable: Option<&'static str>,
    ) -> Result<(), Closed> {
        let place = self.queue.places.acquire().await.map_err(|_| Closed)?;
        place.forget();
        let job = |(lane, chunk): (Arc<OrderedLane>, Chunk)| {
            let bytes = chunk.payload.len() as u64;
            let slot = lane.next_slot(bytes, Some(self.budget.on_its_way(bytes)));
            Job { chunk, slot, undecodable }
        };
        self.queue.jobs.send(chunks.map(job).collect()).map_err(|_| Closed)
    }

    /// Resolves when some destination's backpressure, or a lane, has opened since the call. Call it before looking whether a lane is
    /// blocked: what opens between the look and the wait is not missed.
    pub fn room_freed(&self) -> Notified<'_> {
        self.room_freed.notified()
    }
}

/// What becomes of events for a destination that holds its share of the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFullDestination {
    /// They are kept, and the source asks [`OrderedLane::is_blocked`] before it reads on: for what can wait where it is, such as files.
    Wait,
    /// They are given up at once, so that the sender is told to send again: for requests.
    Reject,
}

/// One ordered stream of chunks: a file, or a request.
#[derive(Debug)]
pub struct OrderedLane {
    when_full: WhenFullDestination,
    /// Once so many bytes are on their way to where the lane's events go, nothing more is to be read of it: where they go may take
    /// nothing, which shows only when they are there. None: nothing else needs the memory.
    window: Option<u64>,
    /// Told when the lane opens.
    room_freed: Arc<Notify>,
    /// Bytes of chunks whose slots have not ended.
    on_its_way: AtomicU64,
    /// The slot of a chunk has ended.
    has_arrived: AtomicBool,
    /// Who may commit next. The lock covers the commits themselves, which only append to queues.
    order: Mutex<Order>,
    /// The destinations that the lane's events went to, for as long as they live. The lock covers a look at a short list.
    backpressures: Mutex<Vec<Weak<Backpressure>>>,
}

#[derive(Default)]
struct Order {
    issued: u64,
    next: u64,
    parked: BTreeMap<u64, ParkedSlot>,
}

/// What a slot commits when its turn comes.
#[derive(Default)]
struct ParkedSlot {
    commits: Vec<Commit>,
    /// Nothing more is to come of a chunk of so many bytes.
    ended: Option<u64>,
}

type Commit = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("issued", &self.issued)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl OrderedLane {
    /// Whether nothing more is to be read of the lane now: enough of it is on its way, or waits for a destination.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.has_enough(self.on_its_way.load(Ordering::Acquire)) || self.waits_for_destination()
    }

    /// Whether nothing more is to be read of the lane only for enough of it is on its way, which will have arrived soon.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.has_enough(self.on_its_way.load(Ordering::Acquire)) && !self.waits_for_destination()
    }

    /// Whether nothing of the lane is known: what is read of it first tells where its events go, and had better be little.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).issued == 0
    }

    fn has_enough(&self, on_its_way: u64) -> bool {
        let has_arrived = self.has_arrived.load(Ordering::Acquire);
        self.window.is_some_and(|window| {
            on_its_way >= if has_arrived { window } else { window.min(LEAST_OF_LANE as u64) }
        })
    }

    /// Whether a destination that this lane feeds has no room, or enough to do.
    #[must_use]
    pub fn waits_for_destination(&self) -> bool {
        let backpressures = self.backpressures.lock().unwrap_or_else(PoisonError::into_inner);
        let mut living = backpressures.iter().filter_map(Weak::upgrade);
        living.any(|backpressure| backpressure.is_full() || backpressure.is_throttled())
    }

    /// Whether a destination that this lane feeds holds its share of the memory.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let backpressures = self.backpressures.lock().unwrap_or_else(PoisonError::into_inner);
        backpressures.iter().filter_map(Weak::upgrade).any(|backpressure| backpressure.is_full())
    }

    /// Remembers that the lane feeds a destination, and forgets those that ended.
    pub fn feeds(&self, backpressure: &Arc<Backpressure>) {
        let mut backpressures = self.backpressures.lock().unwrap_or_else(PoisonError::into_inner);
        if !backpressures.iter().any(|known| known.as_ptr() == Arc::as_ptr(backpressure)) {
            backpressures.retain(|known| known.strong_count() > 0);
            backpressures.push(Arc::downgrade(backpressure));
        }
    }

    /// Whether events are given up where there is no room for them.
    #[must_use]
    pub fn may_reject(&self) -> bool {
        self.when_full == WhenFullDestination::Reject
    }

    fn next_slot(self: &Arc<Self>, bytes: u64, way: Option<OnItsWay>) -> CommitSlot {
        self.on_its_way.fetch_add(bytes, Ordering::AcqRel);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let number = order.issued;
        order.issued = number.saturating_add(1);
        CommitSlot { lane: Arc::clone(self), number, bytes, way, taken: false }
    }

    /// Commits for a slot, and for those after it whose turn has come. `ended`: nothing more is to come of the slot's so many bytes.
    fn commit(&self, number: u64, commit: Option<impl FnOnce() + Send + 'static>, ended: Option<u64>) {
        let Some(arrived) = self.commit_in_order(number, commit, ended) else { return };
        let before = self.on_its_way.load(Ordering::Acquire);
        let had_enough = self.has_enough(before);
        self.has_arrived.store(true, Ordering::Release);
        let before = self.on_its_way.fetch_sub(arrived, Ordering::AcqRel);
        if (had_enough || self.has_enough(before)) && !self.has_enough(before.saturating_sub(arrived)) {
            self.room_freed.notify_waiters();
        }
    }

    /// Returns the bytes of the slots that have ended by it; none: no slot has.
    fn commit_in_order(
        &self,
        number: u64,
        commit: Option<impl FnOnce() + Send + 'static>,
        mut ended: Option<u64>,
    ) -> Option<u64> {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.next != number {
            let slot = order.parked.entry(number).or_default();
            slot.commits.extend(commit.map(|commit| Box::new(commit) as Commit));
            slot.ended = ended;
            return None;
        }
        if let Some(commit) = commit {
            commit();
        }
        let mut arrived: Option<u64> = None;
        while let Some(bytes) = ended {
            arrived = Some(arrived.unwrap_or_default().saturating_add(bytes));
            order.next = order.next.saturating_add(1);
            let next = order.next;
            let Some(slot) = order.parked.remove(&next) else { break };
            slot.commits.into_iter().for_each(|commit| commit());
            ended = slot.ended;
        }
        arrived
    }
}

/// A lane may have one of so many parts of the sources' memory on its way.
const LANE_SHARE: u64 = 8;

/// And be read by blocks of one of so many parts.
const BLOCK_SHARE: u64 = 16;

/// And of no more than one of so many parts of what is free.
const FREE_SHARE: u64 = 8;

/// The first block of a lane is one of so many parts of it.
const NEW_SHARE: u64 = 64;

/// Of a lane of which nothing was read, so many bytes are read at the most, or with little memory at least so many.
const FIRST_OF_LANE: usize = 64 << 10;

/// Nothing more is read of a lane of which so much is on its way, and nothing has arrived.
const LEAST_OF_LANE: usize = 16 << 10;

/// A chunk's place in its lane: what is committed through it waits for the chunks before it.
///
/// A slot that is dropped commits nothing, and lets the next one go.
#[derive(Debug)]
pub struct CommitSlot {
    lane: Arc<OrderedLane>,
    number: u64,
    /// Of the chunk.
    bytes: u64,
    /// Until it is known that the chunk has to wait.
    way: Option<OnItsWay>,
    taken: bool,
}

impl CommitSlot {
    /// The lane.
    #[must_use]
    pub fn lane(&self) -> &Arc<OrderedLane> {
        &self.lane
    }

    /// The chunk waits for a destination: it is not on its way for now, so that others may be.
    pub fn waits(&mut self) {
        self.way = None;
    }

    /// Whether everything before it in the lane was committed.
    #[must_use]
    pub fn turn(&self) -> CommitTurn {
        let order = self.lane.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.next == self.number { CommitTurn::Now } else { CommitTurn::Later }
    }

    /// Runs `commit` once everything before it in the lane was committed: here, or in the thread that closes the gap. More is to
    /// come through this slot.
    pub fn commit_part(&self, commit: impl FnOnce() + Send + 'static) {
        self.lane.commit(self.number, Some(commit), None);
    }

    /// The same for the last of it.
    pub fn commit(mut self, commit: impl FnOnce() + Send + 'static) {
        self.taken = true;
        self.lane.commit(self.number, Some(commit), Some(self.bytes));
    }
}

impl Drop for CommitSlot {
    fn drop(&mut self) {
        if !self.taken {
            self.lane.commit(self.number, None::<fn()>, Some(self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> OrderedLane {
        OrderedLane {
            when_full: WhenFullDestination::Wait,
            window: Some(20),
            room_freed: Arc::default(),
            on_its_way: AtomicU64::default(),
            has_arrived: AtomicBool::new(true),
            order: Mutex::default(),
            backpressures: Mutex::default(),
        }
    }

    #[test]
    fn a_lane_remembers_the_destinations_that_live_and_no_more() {
        let lane = lane();
        let living = Backpressure::new(Arc::default());
        for _ in 0..1000 {
            lane.feeds(&living);
            lane.feeds(&Backpressure::new(Arc::default()));
        }
        let remembered = lane.backpressures.lock().unwrap().len();
        assert!(remembered <= 2, "{remembered} of 1000 destinations that ended are remembered");
        living.set_full(true);
        assert!(lane.is_blocked(), "the one that lives is asked");
    }

    #[tokio::test]
    async fn a_full_destination_that_ends_blocks_its_lanes_no_more_and_tells_them() {
        let (lane, opened) = (lane(), Arc::<Notify>::default());
        let backpressure = Backpressure::new(Arc::clone(&opened));
        lane.feeds(&backpressure);
        backpressure.set_full(true);
        assert!(lane.is_blocked());
        let told = opened.notified();
        drop(backpressure);
        assert!(!lane.is_blocked());
        told.await;
    }

    #[test]
    fn parts_of_chunks_are_committed_in_the_order_of_their_lane() {
        let lane = Arc::new(lane());
        let seen: Arc<Mutex<Vec<&str>>> = Arc::default();
        let note = |text: &'static str| {
            let seen = Arc::clone(&seen);
            move || seen.lock().unwrap().push(text)
        };
        let (first, second, third) =
            (lane.next_slot(1, None), lane.next_slot(1, None), lane.next_slot(1, None));
        assert_eq!((first.turn(), second.turn()), (CommitTurn::Now, CommitTurn::Later));
        second.commit_part(note("2a"));
        third.commit(note("3"));
        first.commit_part(note("1a"));
        assert_eq!(*seen.lock().unwrap(), ["1a"]);
        first.commit(note("1b"));
        assert_eq!(*seen.lock().unwrap(), ["1a", "1b", "2a"]);
        assert_eq!(second.turn(), CommitTurn::Now);
        second.commit_part(note("2b"));
        drop(second);
        assert_eq!(*seen.lock().unwrap(), ["1a", "1b", "2a", "2b", "3"]);
    }

    #[tokio::test]
    async fn a_lane_that_has_enough_on_its_way_is_blocked_until_less_is() {
        let lane = Arc::new(lane());
        assert!(lane.is_new());
        let (first, second) = (lane.next_slot(15, None), lane.next_slot(15, None));
        assert!(lane.is_blocked() && !lane.waits_for_destination());
        let opened = lane.room_freed.notified();
        second.commit(|| ());
        assert!(lane.is_blocked(), "the second waits for the first");
        first.commit_part(|| ());
        assert!(lane.is_blocked(), "more of it is to come");
        drop(first);
        assert!(!lane.is_blocked());
        opened.await;
        let large = lane.next_slot(100, None);
        assert!(lane.is_blocked(), "one chunk may be larger");
        drop(large);
        assert_eq!(lane.on_its_way.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn of_a_lane_that_is_new_little_is_read_until_it_is_known_where_it_goes() {
        let lane = OrderedLane { window: Some(1 << 20), has_arrived: AtomicBool::new(false), ..lane() };
        let lane = Arc::new(lane);
        let first = lane.next_slot(FIRST_OF_LANE as u64, None);
        assert!(!lane.is_new() && lane.is_blocked());
        let opened = lane.room_freed.notified();
        first.commit(|| ());
        opened.await;
        let _next = lane.next_slot(FIRST_OF_LANE as u64, None);
        assert!(!lane.is_blocked());
    }
}
