//! What is said of a stream and its lease table between the stand-in and a harness in another process.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// An owner of a lease that is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LeaseTake {
    pub(crate) shard: String,
    /// Who had it; nobody, where it was given back.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// How far it was read by then.
    pub(crate) checkpoint: String,
}

/// A lease as it is in the table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LeaseRow {
    pub(crate) shard: String,
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint: String,
}

/// Lines of a run that become records, each of so many lines, to the open shards in turn.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NewRecords {
    pub(crate) run: u32,
    pub(crate) lines: Range<u64>,
    pub(crate) each: u64,
}

/// Where a record was put.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PlacedRecord {
    pub(crate) shard: String,
    pub(crate) sequence: String,
}

/// Shards that are split, or merged in pairs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Reshard {
    pub(crate) is_split: bool,
    /// So many times, as long as there are from `fewest` to `most` shards.
    pub(crate) times: usize,
    pub(crate) fewest: usize,
    pub(crate) most: usize,
    /// Which shards it befalls.
    pub(crate) draw: usize,
}

/// What goes wrong next in reading the stream.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StreamTrouble {
    pub(crate) throttles: u32,
    pub(crate) expired: u32,
    pub(crate) empty_pages: u32,
    pub(crate) failures: u32,
    /// Records a page; 0: as many as are asked for.
    pub(crate) page: usize,
}

/// What goes wrong next with the table.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TableTrouble {
    /// So many writes are done, and then answered 500.
    pub(crate) lost_answers: u32,
    pub(crate) throttles: u32,
    pub(crate) stale_scans: u32,
}

/// Takes from this number on, and how all is now.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FleetView {
    pub(crate) takes: Vec<LeaseTake>,
    pub(crate) rows: Vec<LeaseRow>,
    /// The open shards.
    pub(crate) open: Vec<String>,
    /// What nobody should do.
    pub(crate) violations: Vec<String>,
}

/// Where a position stands among those of a lease table.
pub(crate) fn rank(checkpoint: &str) -> (u8, usize, &str) {
    match checkpoint {
        "AT_TIMESTAMP" => (0, 0, ""),
        "TRIM_HORIZON" => (1, 0, ""),
        "LATEST" => (2, 0, ""),
        "SHARD_END" => (4, 0, ""),
        number => (3, number.len(), number),
    }
}
