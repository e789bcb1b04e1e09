//! The end of the unbroken prefix of what is done. Pure.

use std::collections::VecDeque;

use crate::event::{Outcome, Timestamp};

/// Takes ranges in the order they were read, lets them end in any order, and moves over an unbroken prefix only.
///
/// A range that was given up stops it for good: nothing after the range is worth remembering, since reading has to begin
/// again before it.
#[derive(Debug)]
pub struct Watermark<P> {
    /// The number of the first range in `ranges`.
    first: u64,
    /// Ranges begun and not yet passed, in order.
    ranges: VecDeque<BegunRange<P>>,
    /// How many ranges were begun.
    begun: u64,
    /// The first number that was given up.
    stopped: Option<u64>,
}

#[derive(Debug)]
struct BegunRange<P> {
    end: P,
    read_at: Timestamp,
    done: bool,
}

impl<P> Default for Watermark<P> {
    fn default() -> Self {
        Self { first: 0, ranges: VecDeque::new(), begun: 0, stopped: None }
    }
}

impl<P> Watermark<P> {
    /// Begins the range from the end of the one before up to `end`, and numbers it.
    pub fn begin(&mut self, end: P, read_at: Timestamp) -> u64 {
        let number = self.begun;
        self.begun = number.saturating_add(1);
        if self.stopped.is_none() {
            self.ranges.push_back(BegunRange { end, read_at, done: false });
        }
        number
    }

    /// Ends a range. Returns the place and the time of reading that the watermark moved to, if it moved.
    ///
    /// A number that is unknown, or was ended before, changes nothing.
    pub fn end(&mut self, number: u64, outcome: Outcome) -> Option<(P, Timestamp)> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let range = self.ranges.get_mut(index)?;
        match outcome {
            Outcome::Done => range.done = true,
            Outcome::Abandoned if range.done => {}
            Outcome::Abandoned => {
                self.ranges.truncate(index);
                self.stopped = Some(number);
            }
        }
        self.advance()
    }

    /// When the oldest range that is not passed was read.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.ranges.front().map(|range| range.read_at)
    }

    /// Whether a range was given up: nothing after it will be passed.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether every range that was begun was passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.ranges.is_empty()
    }

    fn advance(&mut self) -> Option<(P, Timestamp)> {
        let mut moved = None;
        while let Some(range) = self.ranges.pop_front_if(|range| range.done) {
            self.first = self.first.saturating_add(1);
            moved = Some((range.end, range.read_at));
        }
        if self.ranges.is_empty() {
            // A file that was read and left is remembered for an hour, and there may be many.
            self.ranges.shrink_to(FEW);
        }
        moved
    }
}

/// Room that is kept for ranges while there are none.
const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Begins ranges of ten bytes each, ends them as told, and looks where the watermark stands.
    #[track_caller]
    fn check(ranges: u64, ends: &[(u64, Outcome)], expected: u64) {
        let mut watermark = Watermark::<u64>::default();
        for number in 0..ranges {
            assert_eq!(watermark.begin((number + 1) * 10, Timestamp(0)), number);
        }
        let mut position = 0_u64;
        for (number, outcome) in ends {
            if let Some((moved, _)) = watermark.end(*number, *outcome) {
                position = moved;
            }
        }
        assert_eq!(position, expected);
    }

    #[test]
    fn a_gap_holds_the_watermark_back() {
        use Outcome::Done;
        check(3, &[(1, Done)], 0);
        check(3, &[(1, Done), (0, Done)], 20);
        check(3, &[(2, Done), (1, Done), (0, Done)], 30);
        check(3, &[(0, Done), (0, Done), (2, Done)], 10);
        check(1, &[(7, Done)], 0);
    }

    #[test]
    fn what_was_given_up_is_never_passed() {
        use Outcome::{Abandoned, Done};
        check(4, &[(1, Abandoned), (0, Done), (2, Done), (3, Done)], 10);
        check(4, &[(3, Done), (2, Abandoned), (0, Done), (1, Done)], 20);
        check(2, &[(0, Abandoned), (1, Done)], 0);
    }

    proptest! {
        /// The model: each range is open, done or given up; the watermark is the end of the leading run of done ones.
        #[test]
        fn it_agrees_with_a_model(steps in proptest::collection::vec((any::<bool>(), 0_usize..40, 0_u8..10), 1..200)) {
            let mut watermark = Watermark::<u64>::default();
            let mut model: Vec<Option<Outcome>> = Vec::new();
            let mut position = 0_u64;
            for (begin, pick, kind) in steps {
                if begin {
                    let number = watermark.begin(model.len() as u64 + 1, Timestamp(i64::try_from(model.len()).unwrap()));
                    prop_assert_eq!(number, model.len() as u64);
                    model.push(None);
                } else if let Some(state) = model.get_mut(pick) {
                    let outcome = if kind == 0 { Outcome::Abandoned } else { Outcome::Done };
                    if let Some((moved, _)) = watermark.end(pick as u64, outcome) {
                        prop_assert!(moved > position);
                        position = moved;
                    }
                    state.get_or_insert(outcome);
                }
                let prefix = model.iter().take_while(|state| **state == Some(Outcome::Done)).count();
                prop_assert_eq!(position, prefix as u64);
                let oldest = watermark.oldest().map(|time| time.0);
                let given_up = model.iter().position(|state| *state == Some(Outcome::Abandoned));
                let end = given_up.unwrap_or(model.len());
                prop_assert_eq!(oldest, (prefix < end).then_some(i64::try_from(prefix).unwrap()));
            }
        }
    }
}
