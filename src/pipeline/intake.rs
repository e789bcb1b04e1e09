//! What a source sees of everything after it: admission of memory, ordered lanes, and the queue to the workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use crate::event::{Backpressure, Budget, Chunk, Closed, CommitTurn, Framing, Held};
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
        let job =
            |(lane, chunk): (Arc<OrderedLane>, Chunk)| Job { chunk, slot: lane.next_slot(), undecodable };
        self.queue.jobs.send(chunks.map(job).collect()).map_err(|_| Closed)
    }

    /// Resolves when some destination's backpressure has opened since the call. Call it before looking whether a lane is blocked:
    /// what opens between the look and the wait is not missed.
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
    /// Nothing more is to come.
    has_ended: bool,
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
    /// Whether a destination that this lane feeds has no room, or enough to do.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
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

    fn next_slot(self: &Arc<Self>) -> CommitSlot {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let number = order.issued;
        order.issued = number.saturating_add(1);
        CommitSlot { lane: Arc::clone(self), number, taken: false }
    }

    /// Commits for a slot, and for those after it whose turn has come.
    fn commit(&self, number: u64, commit: Option<impl FnOnce() + Send + 'static>, has_ended: bool) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.next != number {
            let slot = order.parked.entry(number).or_default();
            slot.commits.extend(commit.map(|commit| Box::new(commit) as Commit));
            slot.has_ended = has_ended;
            return;
        }
        if let Some(commit) = commit {
            commit();
        }
        let mut goes_on = has_ended;
        while goes_on {
            order.next = order.next.saturating_add(1);
            let next = order.next;
            let Some(slot) = order.parked.remove(&next) else { return };
            slot.commits.into_iter().for_each(|commit| commit());
            goes_on = slot.has_ended;
        }
    }
}

/// A chunk's place in its lane: what is committed through it waits for the chunks before it.
///
/// A slot that is dropped commits nothing, and lets the next one go.
#[derive(Debug)]
pub struct CommitSlot {
    lane: Arc<OrderedLane>,
    number: u64,
    taken: bool,
}

impl CommitSlot {
    /// The lane.
    #[must_use]
    pub fn lane(&self) -> &Arc<OrderedLane> {
        &self.lane
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
        self.lane.commit(self.number, Some(commit), false);
    }

    /// The same for the last of it.
    pub fn commit(mut self, commit: impl FnOnce() + Send + 'static) {
        self.taken = true;
        self.lane.commit(self.number, Some(commit), true);
    }
}

impl Drop for CommitSlot {
    fn drop(&mut self) {
        if !self.taken {
            self.lane.commit(self.number, None::<fn()>, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> OrderedLane {
        OrderedLane {
            when_full: WhenFullDestination::Wait,
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
        let (first, second, third) = (lane.next_slot(), lane.next_slot(), lane.next_slot());
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
}
