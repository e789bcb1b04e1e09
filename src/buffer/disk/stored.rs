//! A record's place in a log, as whoever stored it knows it.

/// Where a record was put.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct StoredAt {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Where its frame ends.
    pub(crate) end: u64,
}
