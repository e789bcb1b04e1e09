//! How a source learns that what it read is done.
//!
//! A source makes a first [`AckGuard`] for each chunk and hands it out. Each part that the chunk is split into
//! carries a clone. Whoever ends the life of a part settles its ack guard; an ack guard that is dropped unsettled says that the part
//! was given up, so that no forgotten branch can move a checkpoint past data that was not delivered.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{EventPlace, Held, Timestamp};

/// How a chunk ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every part was delivered, filtered, or stored as a dead letter.
    Done,
    /// At least one part was given up: the source must not move past the chunk.
    Abandoned,
}

/// Who is told when the chunk's last ack guard is gone. Called from any thread; must not block.
pub trait Acknowledge: Send + Sync {
    /// The chunk with this number has ended.
    fn acknowledge(&self, number: u64, outcome: Outcome);

    /// The request that brought the chunk, where it was one.
    fn request(&self) -> Option<Arc<RequestNames>> {
        None
    }

    /// Whether somebody waits for the chunk's end before he brings more.
    fn is_awaited(&self) -> bool {
        false
    }
}

/// What tells a request from others: for a person who reads a dead letter.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequestNames {
    /// The ARN of the delivery stream that sent it, as it says.
    pub source_arn: Box<str>,
    /// Its id.
    pub request_id: Box<str>,
}

/// One chunk's account; see the module.
struct SharedAck {
    owner: Arc<dyn Acknowledge>,
    number: u64,
    abandoned: AtomicBool,
    /// The chunk's memory, given back when the shared ends. The lock covers only the exchange.
    held: Mutex<Option<Held>>,
    /// Of a dead letter that is delivered again: when it became one.
    dead_lettered_at: Option<Timestamp>,
    /// Where the chunk begins, where that is known.
    place: Option<EventPlace>,
}

impl Drop for SharedAck {
    fn drop(&mut self) {
        drop(self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let outcome = if *self.abandoned.get_mut() { Outcome::Abandoned } else { Outcome::Done };
        self.owner.acknowledge(self.number, outcome);
    }
}

/// The right to say that a part of a chunk is done.
#[must_use = "a ack that is dropped unsettled gives the chunk up"]
pub struct AckGuard {
    shared: Arc<SharedAck>,
    settled: bool,
}

impl AckGuard {
    /// The first guard of a chunk: `owner` is told `number` when the ack guard and all its clones are gone.
    pub fn open(owner: Arc<dyn Acknowledge>, number: u64) -> Self {
        Self::of(owner, number, None)
    }

    /// The same for a dead letter that is delivered again, which became one at `dead_lettered_at`.
    pub fn reopen(owner: Arc<dyn Acknowledge>, number: u64, dead_lettered_at: Timestamp) -> Self {
        Self::of(owner, number, Some(dead_lettered_at))
    }

    fn of(owner: Arc<dyn Acknowledge>, number: u64, dead_lettered_at: Option<Timestamp>) -> Self {
        let (abandoned, held) = (AtomicBool::new(false), Mutex::new(None));
        Self {
            shared: Arc::new(SharedAck { owner, number, abandoned, held, dead_lettered_at, place: None }),
            settled: false,
        }
    }

    /// The same for a chunk that begins here. Said of the first guard, before it is split.
    pub fn placed(mut self, place: EventPlace) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.place = Some(place);
        }
        self
    }

    /// Where the chunk begins, where that is known.
    #[must_use]
    pub fn place(&self) -> Option<&EventPlace> {
        self.shared.place.as_ref()
    }

    /// The number of the chunk.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared.number
    }

    /// The part is done: delivered, filtered, or a dead letter on disk.
    pub fn settle(mut self) {
        self.settled = true;
    }

    /// Whether some part was given up: what is left of the chunk need not be done.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// Another part of the same chunk.
    pub fn split(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), settled: false }
    }

    /// A part that holds memory of its own, given back when its own clones are gone, before the chunk ends.
    pub fn part(&self, held: Held) -> Self {
        let owner = Arc::new(PartOwner(Mutex::new(Some(self.split()))));
        let part = Self::of(owner, 0, self.shared.dead_lettered_at);
        part.hold(held);
        part
    }

    /// Whether both belong to one chunk.
    #[must_use]
    pub fn same_chunk(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// When what it is about became a dead letter before; none: it never did.
    #[must_use]
    pub fn dead_lettered_at(&self) -> Option<Timestamp> {
        self.shared.dead_lettered_at
    }

    /// The request that brought the chunk, where it was one.
    #[must_use]
    pub fn request(&self) -> Option<Arc<RequestNames>> {
        self.shared.owner.request()
    }

    /// Whether somebody waits for the chunk's end before he brings more.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.shared.owner.is_awaited()
    }

    /// Gives the chunk's memory to the shared, to be freed with it.
    pub fn hold(&self, held: Held) {
        let mut slot = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(held);
    }
}

/// Settles its guard of the chunk when the part ends. The lock covers a look.
struct PartOwner(Mutex<Option<AckGuard>>);

impl Acknowledge for PartOwner {
    fn acknowledge(&self, _number: u64, outcome: Outcome) {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match outcome {
            Outcome::Done => guard.into_iter().for_each(AckGuard::settle),
            Outcome::Abandoned => drop(guard),
        }
    }

    fn request(&self) -> Option<Arc<RequestNames>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(AckGuard::request)
    }

    fn is_awaited(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(AckGuard::is_awaited)
    }
}

impl Drop for AckGuard {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.abandoned.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for AckGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckGuard").field("number", &self.shared.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(u64, Outcome)>>);

    impl Acknowledge for Seen {
        fn acknowledge(&self, number: u64, outcome: Outcome) {
            self.0.lock().unwrap().push((number, outcome));
        }
    }

    #[track_caller]
    fn check(ends: &[bool], expected: Outcome) {
        let seen = Arc::new(Seen::default());
        let first = AckGuard::open(Arc::clone(&seen) as Arc<dyn Acknowledge>, 7);
        let parts: Vec<AckGuard> = ends.iter().map(|_| first.split()).collect();
        first.settle();
        for (part, settle) in parts.into_iter().zip(ends) {
            assert!(seen.0.lock().unwrap().is_empty(), "told before the last part ended");
            if *settle { part.settle() } else { drop(part) }
        }
        assert_eq!(*seen.0.lock().unwrap(), [(7, expected)]);
    }

    #[test]
    fn a_chunk_is_done_when_every_part_is_settled() {
        check(&[true], Outcome::Done);
        check(&[true, true, true], Outcome::Done);
    }

    #[test]
    fn one_part_dropped_gives_the_chunk_up() {
        check(&[true, false, true], Outcome::Abandoned);
        check(&[false], Outcome::Abandoned);
    }

    #[test]
    fn a_part_gives_its_memory_back_before_its_chunk_ends() {
        for (settles, expected) in [(true, Outcome::Done), (false, Outcome::Abandoned)] {
            let (seen, budget) = (Arc::new(Seen::default()), crate::event::Budget::new(100));
            let chunk = AckGuard::open(Arc::clone(&seen) as Arc<dyn Acknowledge>, 7);
            chunk.hold(budget.charge(40));
            let part = chunk.part(budget.charge(50));
            let clone = part.split();
            part.settle();
            assert_eq!(budget.used(), 90);
            if settles {
                clone.settle();
            } else {
                drop(clone);
            }
            assert_eq!(budget.used(), 40);
            assert!(seen.0.lock().unwrap().is_empty(), "told before the chunk ended");
            chunk.settle();
            assert_eq!((&*seen.0.lock().unwrap(), budget.used()), (&vec![(7, expected)], 0));
        }
    }
}
