//! How a source learns that what it read is done.
//!
//! A source makes a [`Ticket`] for each chunk and hands out its first [`Receipt`]. Each part that the chunk is split into
//! carries a clone. Whoever ends the life of a part settles its receipt; a receipt that is dropped unsettled says that the part
//! was given up, so that no forgotten branch can move a checkpoint past data that was not delivered.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Held, Timestamp};

/// How a chunk ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every part was delivered, filtered, or stored as a dead letter.
    Done,
    /// At least one part was given up: the source must not move past the chunk.
    Abandoned,
}

/// Who is told when a ticket's last receipt is gone. Called from any thread; must not block.
pub trait Acknowledge: Send + Sync {
    /// The chunk with this number has ended.
    fn acknowledge(&self, number: u64, outcome: Outcome);
}

/// One chunk's account; see the module.
pub struct Ticket {
    owner: Arc<dyn Acknowledge>,
    number: u64,
    abandoned: AtomicBool,
    /// The chunk's memory, given back when the ticket ends. The lock covers only the exchange.
    held: Mutex<Option<Held>>,
    /// Of a dead letter that is delivered again: when it became one.
    buried: Option<Timestamp>,
}

impl Ticket {
    /// Opens a ticket: `owner` is told `number` when the receipt and all its clones are gone.
    pub fn open(owner: Arc<dyn Acknowledge>, number: u64) -> Receipt {
        Self::of(owner, number, None)
    }

    /// The same for a dead letter that is delivered again, which became one at `buried`.
    pub fn reopen(owner: Arc<dyn Acknowledge>, number: u64, buried: Timestamp) -> Receipt {
        Self::of(owner, number, Some(buried))
    }

    fn of(owner: Arc<dyn Acknowledge>, number: u64, buried: Option<Timestamp>) -> Receipt {
        let (abandoned, held) = (AtomicBool::new(false), Mutex::new(None));
        Receipt { ticket: Arc::new(Self { owner, number, abandoned, held, buried }), settled: false }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let outcome = if *self.abandoned.get_mut() { Outcome::Abandoned } else { Outcome::Done };
        self.owner.acknowledge(self.number, outcome);
    }
}

/// The right to say that a part of a chunk is done.
#[must_use = "a receipt that is dropped unsettled gives the chunk up"]
pub struct Receipt {
    ticket: Arc<Ticket>,
    settled: bool,
}

impl Receipt {
    /// The part is done: delivered, filtered, or a dead letter on disk.
    pub fn settle(mut self) {
        self.settled = true;
    }

    /// Another part of the same chunk.
    pub fn split(&self) -> Self {
        Self { ticket: Arc::clone(&self.ticket), settled: false }
    }

    /// Whether both belong to one chunk.
    #[must_use]
    pub fn same_chunk(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ticket, &other.ticket)
    }

    /// When what it is about became a dead letter before; none: it never did.
    #[must_use]
    pub fn buried(&self) -> Option<Timestamp> {
        self.ticket.buried
    }

    /// Gives the chunk's memory to the ticket, to be freed with it.
    pub fn hold(&self, held: Held) {
        let mut slot = self.ticket.held.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(held);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.ticket.abandoned.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("number", &self.ticket.number).finish_non_exhaustive()
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
        let first = Ticket::open(Arc::clone(&seen) as Arc<dyn Acknowledge>, 7);
        let parts: Vec<Receipt> = ends.iter().map(|_| first.split()).collect();
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
}
