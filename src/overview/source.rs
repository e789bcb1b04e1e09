//! How a source and a route are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hold::SourceHold;
use super::is_zero;
use super::units::{UnitList, UnitState};

/// One source.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SourceOverview {
    /// Its name.
    pub name: String,
    /// What kind it is, such as `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong with it.
    pub issues: Vec<String>,
    /// Events read.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Events read in a second of late; absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// Bytes read in a second of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
    /// Bytes that are there and not read, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_bytes: Option<u64>,
    /// How far what was read is behind what there is, for shards and log groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<f64>,
    /// When it has caught up if it goes on as it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_seconds: Option<f64>,
    /// Age of the oldest event read and not acknowledged; 0: there is none.
    pub oldest_unacknowledged_seconds: f64,
    /// Which destination holds it up, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<SourceHold>,
    /// Bytes in disk buffers that its events go to, of all their sources.
    #[serde(skip_serializing_if = "is_zero")]
    pub buffered_bytes: u64,
    /// Whether it waits for memory at present: data of whatever destination takes it up.
    #[serde(skip_serializing_if = "is_false")]
    pub waits_for_memory: bool,
    /// How long it has waited for memory, all in all.
    pub waited_seconds: f64,
    /// Errors that lost nothing.
    pub errors: u64,
    /// Bytes that were gone before they could be read, or were cut off.
    pub lost_bytes: u64,
    /// Payloads that could not be decoded.
    pub undecodable: u64,
    /// Objects of S3 that are done, by what became of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, u64>,
    /// What it reads from, one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<UnitList>,
}

/// How a source is. What is worse stands first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SourceState<'a> {
    /// Something is wrong with it.
    InTrouble(&'a str),
    /// A destination accepts nothing.
    HeldUp(&'a SourceHold),
    /// There is something to be read, and a destination has no room.
    Waiting,
    /// There is something to be read, and no memory for it.
    Starved,
    /// What it read is not delivered for long.
    Late,
    /// What it read is under way.
    Delivering,
    /// What it read is in disk buffers, which keep so many bytes.
    Buffered(u64),
    /// Everything that it read is delivered.
    Delivered,
}

/// What is undelivered for so many seconds stands out.
const LATE: f64 = 60.0;

impl SourceOverview {
    /// Whether what it reads from waits for a destination: none where it does not tell.
    #[must_use]
    pub fn is_blocked(&self) -> Option<bool> {
        let units = self.units.as_ref()?;
        Some(units.listed.iter().any(|unit| unit.state == UnitState::Blocked))
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> SourceState<'_> {
        match (self.issues.first(), &self.held_by) {
            (Some(issue), _) => SourceState::InTrouble(issue),
            (None, Some(hold)) => SourceState::HeldUp(hold),
            (None, None) if self.waits_for_memory => SourceState::Starved,
            (None, None) if self.stands_still() => SourceState::Waiting,
            (None, None) if self.is_late() => SourceState::Late,
            (None, None) if self.oldest_unacknowledged_seconds > 0.0 => SourceState::Delivering,
            (None, None) if self.buffered_bytes > 0 && self.events > 0 => {
                SourceState::Buffered(self.buffered_bytes)
            }
            (None, None) => SourceState::Delivered,
        }
    }

    /// Whether something that it read is not delivered for long.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.oldest_unacknowledged_seconds >= LATE
    }

    /// Whether there is something to be read, and nothing was read of late: it waits until a destination has room.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        self.behind_bytes.is_some_and(|bytes| bytes > 0)
            && self.bytes_per_second.is_some_and(|rate| rate <= 0.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// One route.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RouteOverview {
    /// Its number, from 0.
    pub number: u64,
    /// The sources; none: all.
    pub from: Vec<String>,
    /// What it takes, in words; empty: everything.
    pub when: String,
    /// The sinks; none: it drops what it takes.
    pub to: Vec<String>,
    /// Events that it dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped: u64,
}
