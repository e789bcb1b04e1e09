//! Where a shard was read to, as lease tables have it. Pure.

use std::cmp::Ordering;
use std::sync::Arc;

/// A sequence number: a decimal number of up to 56 digits, in the order of the records of a shard.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// None where it is no number.
    pub(super) fn new(text: &str) -> Option<Self> {
        Self::is_one(text).then(|| {
            let plain = text.trim_start_matches('0');
            Self(if plain.is_empty() { "0".into() } else { plain.into() })
        })
    }

    /// Whether the text is a number.
    pub(super) fn is_one(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Before every record.
    pub(super) fn zero() -> Self {
        Self("0".into())
    }

    pub(super) const fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A record of a shard; several that a producer put into one are told apart by their index in it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RecordPlace {
    pub(super) sequence: SequenceNumber,
    pub(super) index: u64,
}

/// How far a shard was read. The order is that of lease tables.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum ShardMark {
    /// Nothing was; it begins at a time.
    AtTimestamp,
    /// Nothing was; it begins with the oldest record.
    TrimHorizon,
    /// Nothing was; it begins with what comes.
    Latest,
    /// This record is done, and all before it.
    Record(RecordPlace),
    /// All of it is done: no record will come.
    ShardEnd,
}

impl ShardMark {
    /// As a lease table has it: the text, and the index within an aggregate.
    pub(super) fn written(&self) -> (&str, u64) {
        match self {
            Self::AtTimestamp => (AT_TIMESTAMP, 0),
            Self::TrimHorizon => (TRIM_HORIZON, 0),
            Self::Latest => (LATEST, 0),
            Self::Record(place) => (place.sequence.text(), place.index),
            Self::ShardEnd => (SHARD_END, 0),
        }
    }

    /// Reads what [`Self::written`] gave.
    pub(super) fn read(text: &str, index: u64) -> Option<Self> {
        Some(match text {
            AT_TIMESTAMP => Self::AtTimestamp,
            TRIM_HORIZON => Self::TrimHorizon,
            LATEST => Self::Latest,
            SHARD_END => Self::ShardEnd,
            _ => Self::Record(RecordPlace { sequence: SequenceNumber::new(text)?, index }),
        })
    }

    /// Whether some record was read.
    pub(super) fn is_begun(&self) -> bool {
        *self > Self::Latest
    }
}

const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const SHARD_END: &str = "SHARD_END";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(text: &str, index: u64) -> ShardMark {
        ShardMark::read(text, index).unwrap()
    }

    #[test]
    fn marks_are_in_the_order_of_the_lease_table() {
        let large = "49590338271490256608559692538361571095921575989136588898";
        let ascending = [
            mark("AT_TIMESTAMP", 0),
            mark("TRIM_HORIZON", 0),
            mark("LATEST", 0),
            mark("9", 0),
            mark("10", 0),
            mark("10", 1),
            mark(large, 0),
            mark(large, 7),
            mark("SHARD_END", 0),
        ];
        assert!(ascending.is_sorted(), "{ascending:?}");
        let begun: Vec<bool> = ascending.iter().map(ShardMark::is_begun).collect();
        assert_eq!(begun, [false, false, false, true, true, true, true, true, true]);
        for mark in &ascending {
            let (text, index) = mark.written();
            assert_eq!(ShardMark::read(text, index).as_ref(), Some(mark));
        }
        for text in ["", "12a", "-1", "trim_horizon", " 1"] {
            assert_eq!(ShardMark::read(text, 0), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn sequence_numbers_are_numbers(a: u128, b: u128, zeros in 0_usize..4) {
            let number = |value: u128| SequenceNumber::new(&format!("{}{value}", "0".repeat(zeros))).unwrap();
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }
    }
}
