//! Which batches are under way, and which chunks were delivered of late.
//!
//! A chunk is answered once everything in it is settled. A sender that waits too long for the answer sends the chunk again, with the
//! same id: what is under way is then answered to both, and what is delivered is answered at once, so that nothing is doubled.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use super::answers::AnswerQueue;
use crate::event::{AckGuard, Acknowledge, Held, Outcome};
use crate::sync::Lock;

/// What tells a chunk from others: a digest of its whole message, so that an id that is used twice loses nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct ChunkKey([u8; 16]);

impl ChunkKey {
    pub(super) fn new(message: &[u8]) -> Self {
        let digest = digest(&SHA256, message);
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// The account of one source.
#[derive(Debug)]
pub(super) struct ChunkLedger {
    /// The lock covers a few look-ups.
    state: Lock<LedgerState>,
}

#[derive(Debug)]
struct LedgerState {
    next: u64,
    open: BTreeMap<u64, OpenBatch>,
    known: HashMap<ChunkKey, KnownChunk>,
    /// Those that are delivered, the first one first.
    delivered: VecDeque<(Instant, ChunkKey)>,
    held: Held,
}

#[derive(Debug)]
struct OpenBatch {
    since: Instant,
    keys: Vec<ChunkKey>,
    answers: Vec<u8>,
    queue: Arc<AnswerQueue>,
}

#[derive(Debug)]
enum KnownChunk {
    /// It is under way, and these want to know of its end as well.
    Open(Vec<(Arc<AnswerQueue>, Vec<u8>)>),
    Delivered,
}

/// Most chunks that are known at once.
const MOST: usize = 16 << 10;

/// Memory for each of them.
const ENTRY_BYTES: usize = 128;

/// How long a chunk is known after it was delivered: senders wait for three minutes or less.
const MEMORY: Duration = Duration::from_mins(10);

/// Most repetitions of one chunk that are answered when it ends: the last ones, since senders that gave up are gone.
const MOST_WAITING: usize = 8;

/// Chunks that go on their way together, until [`ChunkLedger::open`]. Dropped before, they are forgotten.
#[derive(Debug)]
pub(super) struct PendingChunks {
    ledger: Arc<ChunkLedger>,
    keys: Vec<ChunkKey>,
    answers: Vec<u8>,
}

impl PendingChunks {
    /// Whether their sender waits for an answer.
    pub(super) fn are_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Adds what another has.
    pub(super) fn append(&mut self, mut other: Self) {
        self.keys.append(&mut other.keys);
        self.answers.append(&mut other.answers);
    }

    /// None, of the same source.
    pub(super) fn none(&self) -> Self {
        self.ledger.pending()
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> Self {
        let mut taken = self.none();
        std::mem::swap(self, &mut taken);
        taken
    }
}

impl Drop for PendingChunks {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            let mut state = self.ledger.state();
            self.keys.iter().for_each(|key| state.forget(key));
        }
    }
}

impl ChunkLedger {
    /// Knows nothing yet; `memory` is for what it will.
    pub(super) fn new(memory: Held) -> Arc<Self> {
        let (open, known, delivered) = (BTreeMap::new(), HashMap::new(), VecDeque::new());
        Arc::new(Self { state: Lock::new(LedgerState { next: 0, open, known, delivered, held: memory }) })
    }

    /// No chunks yet.
    pub(super) fn pending(self: &Arc<Self>) -> PendingChunks {
        PendingChunks { ledger: Arc::clone(self), keys: Vec::new(), answers: Vec::new() }
    }

    /// Adds a chunk with its answer. False: it is under way or delivered, will be answered, and is not to be taken again.
    pub(super) fn add(
        &self,
        chunks: &mut PendingChunks,
        key: ChunkKey,
        answer: &[u8],
        queue: &Arc<AnswerQueue>,
    ) -> bool {
        let mut state = self.state();
        match state.known.get_mut(&key) {
            Some(KnownChunk::Delivered) => {
                drop(state);
                queue.push(answer);
                return false;
            }
            Some(KnownChunk::Open(waiting)) => {
                if waiting.len() >= MOST_WAITING {
                    // Its sender has given it up for longer than any other.
                    waiting.remove(0).0.end(&[]);
                }
                waiting.push((Arc::clone(queue), answer.to_vec()));
                queue.expect();
                return false;
            }
            None => {}
        }
        // Where all that are known are under way, a new one is not remembered: a repetition of it is then a chunk of its own.
        if state.make_room() {
            state.known.insert(key, KnownChunk::Open(Vec::new()));
            state.charge();
            chunks.keys.push(key);
        }
        chunks.answers.extend_from_slice(answer);
        true
    }

    /// A batch goes on its way: what it holds of chunks is answered to `queue` when it is settled.
    pub(super) fn open(
        self: &Arc<Self>,
        mut chunks: PendingChunks,
        queue: &Arc<AnswerQueue>,
        now: Instant,
    ) -> AckGuard {
        let mut state = self.state();
        let number = state.next;
        state.next = number.wrapping_add(1);
        let (keys, answers) = (std::mem::take(&mut chunks.keys), std::mem::take(&mut chunks.answers));
        if !answers.is_empty() {
            queue.expect();
        }
        state.open.insert(number, OpenBatch { since: now, keys, answers, queue: Arc::clone(queue) });
        drop(state);
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number)
    }

    /// The age of the oldest batch under way. Forgets what is delivered for long.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let mut state = self.state();
        state.forget_old(now);
        let since = state.open.values().next().map(|batch| batch.since);
        since.map(|since| now.saturating_duration_since(since)).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock()
    }
}

impl Acknowledge for ChunkLedger {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        let Some(batch) = state.open.remove(&number) else { return };
        let (mut waiting, now) = (Vec::new(), Instant::now());
        for key in &batch.keys {
            match outcome {
                Outcome::Done => waiting.append(&mut state.deliver(*key, now)),
                Outcome::Abandoned => state.forget(key),
            }
        }
        drop(state);
        for (queue, answer) in waiting {
            queue.end(&answer);
        }
        if !batch.answers.is_empty() {
            batch.queue.end(if outcome == Outcome::Done { &batch.answers } else { &[] });
        }
    }
}

impl LedgerState {
    /// Notes that a chunk is delivered, and returns who else waits for that.
    fn deliver(&mut self, key: ChunkKey, now: Instant) -> Vec<(Arc<AnswerQueue>, Vec<u8>)> {
        self.delivered.push_back((now, key));
        match self.known.insert(key, KnownChunk::Delivered) {
            Some(KnownChunk::Open(waiting)) => waiting,
            Some(KnownChunk::Delivered) | None => Vec::new(),
        }
    }

    fn forget(&mut self, key: &ChunkKey) {
        if let Some(KnownChunk::Open(waiting)) = self.known.remove(key) {
            for (queue, _) in waiting {
                queue.end(&[]);
            }
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, key)) =
            self.delivered.pop_front_if(|(since, _)| now.saturating_duration_since(*since) > MEMORY)
        {
            self.known.remove(&key);
        }
        self.charge();
    }

    /// Whether one more may be known, at the cost of the one that was delivered first.
    fn make_room(&mut self) -> bool {
        if self.known.len() >= MOST
            && let Some((_, oldest)) = self.delivered.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.len() < MOST
    }

    /// Memory is charged for so many entries at a time.
    fn charge(&mut self) {
        const STEP: usize = 256;
        let bytes = self.known.len().div_ceil(STEP).saturating_mul(STEP).saturating_mul(ENTRY_BYTES) as u64;
        if self.held.bytes() != bytes {
            self.held.resize(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Budget;

    fn new() -> (Arc<ChunkLedger>, Arc<AnswerQueue>, Arc<Budget>) {
        let budget = Budget::new(1 << 20);
        (ChunkLedger::new(budget.keep()), Arc::default(), budget)
    }

    fn key(number: usize) -> ChunkKey {
        ChunkKey::new(&number.to_be_bytes())
    }

    /// Adds a chunk alone, and sends it on its way.
    fn take(ledger: &Arc<ChunkLedger>, number: usize, queue: &Arc<AnswerQueue>) -> Option<AckGuard> {
        let mut chunks = ledger.pending();
        let is_new = ledger.add(&mut chunks, key(number), number.to_string().as_bytes(), queue);
        is_new.then(|| ledger.open(chunks, queue, Instant::now()))
    }

    #[tokio::test]
    async fn a_chunk_is_answered_once_it_is_settled() {
        let (ledger, queue, _) = new();
        let ack = take(&ledger, 1, &queue).unwrap();
        assert!(queue.take().is_empty() && queue.has_open());
        ack.settle();
        queue.changed().await;
        assert!(queue.take() == b"1" && !queue.has_open());
    }

    #[test]
    fn a_chunk_that_comes_again_is_answered_and_not_taken() {
        let (ledger, queue, _) = new();
        let other = Arc::<AnswerQueue>::default();
        let ack = take(&ledger, 1, &queue).unwrap();
        assert!(take(&ledger, 1, &other).is_none() && other.has_open());
        ack.settle();
        assert_eq!((queue.take(), other.take()), (b"1".to_vec(), b"1".to_vec()));
        assert!(take(&ledger, 1, &other).is_none());
        assert_eq!(other.take(), b"1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_was_held_for_long_is_known_from_its_delivery_on() {
        let (ledger, queue, _) = new();
        let ack = take(&ledger, 1, &queue).unwrap();
        tokio::time::advance(MEMORY * 2).await;
        ack.settle();
        tokio::time::advance(MEMORY).await;
        ledger.lag(Instant::now());
        assert!(take(&ledger, 1, &queue).is_none(), "it is answered, and not taken again");
        tokio::time::advance(Duration::from_secs(1)).await;
        ledger.lag(Instant::now());
        assert!(take(&ledger, 1, &queue).is_some());
    }

    #[test]
    fn the_last_senders_of_a_chunk_are_answered_however_often_it_came() {
        let (ledger, queue, _) = new();
        let ack = take(&ledger, 1, &queue).unwrap();
        let queues: Vec<Arc<AnswerQueue>> = (0..MOST_WAITING + 2).map(|_| Arc::default()).collect();
        assert!(queues.iter().all(|again| take(&ledger, 1, again).is_none()));
        let waiting: Vec<bool> = queues.iter().map(|again| again.has_open()).collect();
        assert_eq!((&waiting[..2], waiting[2..].contains(&false)), (&[false, false][..], false));
        ack.settle();
        let answered: Vec<bool> = queues.iter().map(|again| again.take() == b"1").collect();
        assert_eq!(answered, waiting);
    }

    #[test]
    fn a_chunk_that_was_given_up_is_taken_when_it_comes_again() {
        let (ledger, queue, _) = new();
        let other = Arc::<AnswerQueue>::default();
        drop(take(&ledger, 1, &queue).unwrap());
        assert!(queue.take().is_empty() && !queue.has_open());
        let ack = take(&ledger, 1, &queue).unwrap();
        assert!(take(&ledger, 1, &other).is_none());
        drop(ack);
        assert!(other.take().is_empty() && !other.has_open());
        // What never went on its way is forgotten, too.
        let mut chunks = ledger.pending();
        assert!(ledger.add(&mut chunks, key(2), b"2", &queue));
        drop(chunks);
        take(&ledger, 2, &queue).unwrap().settle();
        assert_eq!(queue.take(), b"2");
    }

    #[test]
    fn what_is_known_is_charged_and_bounded() {
        let (ledger, queue, budget) = new();
        for number in 0..MOST * 2 {
            take(&ledger, number, &queue).unwrap().settle();
        }
        assert_eq!(ledger.state().known.len(), MOST);
        assert_eq!(budget.used(), (MOST * ENTRY_BYTES) as u64);
        assert!(take(&ledger, MOST * 2 - 1, &queue).is_none(), "the last ones are known");
        take(&ledger, 0, &queue).unwrap().settle();
        assert_eq!(ledger.lag(Instant::now() + MEMORY * 2), Duration::ZERO);
        assert_eq!((ledger.state().known.len(), budget.used()), (0, 0));
    }

    #[test]
    fn more_chunks_than_are_known_may_be_under_way() {
        let (ledger, queue, _) = new();
        let acks: Vec<_> = (0..=MOST).filter_map(|number| take(&ledger, number, &queue)).collect();
        assert_eq!(acks.len(), MOST + 1);
        acks.into_iter().for_each(AckGuard::settle);
        assert!(!queue.has_open() && ledger.lag(Instant::now()) == Duration::ZERO);
    }
}
