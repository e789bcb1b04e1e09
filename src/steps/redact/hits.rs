//! What was found in a text: ranges, put in order and joined where they overlap.

use std::ops::Range;

/// A place where a rule found something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The rule's place among all rules.
    pub(super) rule: usize,
}

impl Hit {
    pub(super) const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Puts hits in order. Those that overlap become one, of the rule that begins first, and reaches furthest of those that do.
pub(super) fn join(hits: &mut Vec<Hit>) {
    hits.sort_unstable_by_key(|hit| (hit.start, usize::MAX - hit.end, hit.rule));
    hits.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hits: &[(usize, usize, usize)], expected: &[(usize, usize, usize)]) {
        let hit = |(start, end, rule): &(usize, usize, usize)| Hit { start: *start, end: *end, rule: *rule };
        let mut joined: Vec<Hit> = hits.iter().map(hit).collect();
        join(&mut joined);
        assert_eq!(joined, expected.iter().map(hit).collect::<Vec<_>>());
    }

    #[test]
    fn every_byte_that_a_rule_found_is_in_one_range() {
        check(&[], &[]);
        check(&[(5, 7, 0), (1, 3, 1)], &[(1, 3, 1), (5, 7, 0)]);
        check(&[(1, 3, 0), (3, 5, 1)], &[(1, 3, 0), (3, 5, 1)]);
        check(&[(1, 4, 0), (3, 9, 1), (8, 10, 2)], &[(1, 10, 0)]);
        check(&[(1, 4, 0), (1, 6, 1), (2, 3, 2)], &[(1, 6, 1)]);
    }
}
