//! What a fleet's calls are, and what they cost.

/// Calls since the counting began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    /// Of `Scan`, in units of reading.
    pub(super) scanned: f64,
    pub(super) scans: u64,
    /// Single items that were read, consistently.
    pub(super) items: u64,
    /// Writes to the table, whatever came of them.
    pub(super) writes: u64,
    pub(super) lists: u64,
    pub(super) records: u64,
}

/// Calls a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallRates {
    pub(super) calls: Calls,
    pub(super) seconds: f64,
    pub(super) shards: usize,
}

/// Dollars for a million units in us-east-1, on demand. Source: <https://aws.amazon.com/dynamodb/pricing/on-demand/>.
const WRITES: f64 = 0.625;
const READS: f64 = 0.125;
/// Dollars an hour. Source: <https://aws.amazon.com/kinesis/data-streams/pricing/>, provisioned.
const SHARD: f64 = 0.015;
const HOURS_A_MONTH: f64 = 730.0;

/// An item of a lease has about so many bytes: names and values of ten attributes.
const ITEM: usize = 400;

/// Units of an eventually consistent scan of so many items.
#[expect(clippy::cast_precision_loss, reason = "a figure that is told")]
pub(super) fn scan_units(items: usize) -> f64 {
    (items * ITEM).div_ceil(4_096) as f64 / 2.0
}

impl CallRates {
    #[expect(clippy::cast_precision_loss, reason = "a figure that is told")]
    fn each(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    /// Writes to the table a second.
    pub(super) fn writes(&self) -> f64 {
        self.each(self.calls.writes)
    }

    /// Calls for records a second.
    pub(super) fn records(&self) -> f64 {
        self.each(self.calls.records)
    }

    /// Pages of lists of shards a second.
    pub(super) fn lists(&self) -> f64 {
        self.each(self.calls.lists)
    }

    /// Scans of the table a second.
    pub(super) fn scans(&self) -> f64 {
        self.each(self.calls.scans)
    }

    /// Dollars a month: the table, and the shards.
    #[expect(clippy::cast_precision_loss, reason = "a figure that is told")]
    pub(super) fn bill(&self) -> (f64, f64) {
        let a_month = HOURS_A_MONTH * 3_600.0 / 1e6;
        let read = (self.calls.scanned + self.calls.items as f64) / self.seconds * READS;
        let table = (self.writes() * WRITES + read) * a_month;
        (table, self.shards as f64 * SHARD * HOURS_A_MONTH)
    }
}
