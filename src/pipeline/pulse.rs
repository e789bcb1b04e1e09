//! Whether what is to turn still turns: the workers, and the loop that looks after the destinations.
//!
//! A worker that waits for work has a pulse, and so has a destination that waits for a dead sink: only who is at the same piece
//! of work for long, or does not come round any more, has none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One thread's or loop's pulse.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Pulse {
    /// A piece of work begins, or a loop comes round.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// The piece of work has ended: until the next one nothing is expected.
    pub(super) fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What is begun and has not ended.
    fn at(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun != self.ended.load(Ordering::Relaxed)).then_some(begun)
    }
}

/// All pulses of the process.
#[derive(Debug, Default)]
pub(super) struct Pulses(
    /// With what each was at when it was last felt. The lock covers a look.
    Mutex<Vec<(Weak<Pulse>, Option<u64>)>>,
);

impl Pulses {
    /// A new pulse, felt for as long as it is kept.
    #[must_use]
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        let pulse = Arc::<Pulse>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((Arc::downgrade(&pulse), None));
        pulse
    }

    /// Whether none is still at what it was at when this was last asked.
    #[must_use]
    pub(super) fn beat(&self) -> bool {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut beat = true;
        pulses.retain_mut(|(pulse, before)| {
            let Some(pulse) = pulse.upgrade() else { return false };
            let at = pulse.at();
            beat &= at.is_none() || at != *before;
            *before = at;
            true
        });
        beat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_work_has_a_pulse() {
        let pulses = Pulses::default();
        let worker = pulses.pulse();
        assert!(pulses.beat() && pulses.beat());
        worker.begin();
        worker.end();
        assert!(pulses.beat() && pulses.beat());
    }

    #[test]
    fn who_is_at_the_same_work_twice_has_none_until_it_goes_on() {
        let pulses = Pulses::default();
        let (stuck, well) = (pulses.pulse(), pulses.pulse());
        stuck.begin();
        assert!(pulses.beat(), "it may just have begun");
        well.begin();
        assert!(!pulses.beat());
        well.end();
        assert!(!pulses.beat());
        stuck.end();
        stuck.begin();
        assert!(pulses.beat(), "it is at something else");
    }

    #[test]
    fn a_loop_has_to_come_round() {
        let pulses = Pulses::default();
        let round = pulses.pulse();
        for _ in 0..3 {
            round.begin();
            assert!(pulses.beat());
        }
        assert!(!pulses.beat());
        drop(round);
        assert!(pulses.beat(), "what has ended is not waited for");
    }
}
