//! What a source reads from, one by one: files, shards, log groups, objects.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Some of what a source reads from, and how much there is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct UnitList {
    /// What they are, such as `files`.
    pub what: String,
    /// Those that matter most, first.
    pub listed: Vec<SourceUnit>,
    /// How many more there are.
    pub more: u64,
}

/// One of what a source reads from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SourceUnit {
    /// A file's path, a shard's id, a log group's or an object's name.
    pub name: String,
    /// What is done with it.
    pub state: UnitState,
    /// Bytes that were read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Bytes that were delivered, without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was written to last, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    /// Bytes that are there and not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_bytes: Option<u64>,
    /// How far what was read is behind what there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_seconds: Option<f64>,
}

/// What is done with a unit. What matters more stands first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// It cannot be read, and is tried again.
    Unreadable,
    /// It is not read: it is compressed in a way that nobody here reads.
    Foreign,
    /// It waits until its destinations have room.
    Blocked,
    /// It may be a copy of one that is there, and waits until that is known.
    Held,
    /// It waits for another to be done.
    Waiting,
    /// It is gone, or renamed, and read to its end.
    Rotated,
    /// Nothing of it was read yet.
    New,
    /// It is read.
    #[default]
    Reading,
    /// All of it is done.
    Finished,
}

impl UnitState {
    /// In a word, as it is written in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Rotated => "rotated",
            Self::New => "new",
            Self::Reading => "reading",
            Self::Finished => "finished",
        }
    }
}

/// Most units of one source that are kept at hand.
const MOST_UNITS: usize = 50;

impl UnitList {
    /// Those that matter most of all there are: what is in trouble, and what is furthest behind. Each is made only if it is listed:
    /// `importance` is asked of all.
    #[must_use]
    pub fn of<T>(
        what: &str,
        mut all: Vec<T>,
        importance: impl Fn(&T) -> UnitRank,
        make: impl Fn(&T) -> SourceUnit,
    ) -> Self {
        let more = all.len().saturating_sub(MOST_UNITS);
        if more > 0 {
            all.select_nth_unstable_by(MOST_UNITS, |a, b| importance(a).cmp(&importance(b)));
            all.truncate(MOST_UNITS);
        }
        let mut list =
            Self { what: what.to_owned(), listed: all.iter().map(make).collect(), more: more as u64 };
        list.cut(MOST_UNITS);
        list
    }

    /// Leaves out all but the first `most`.
    pub fn cut(&mut self, most: usize) {
        let rank = |unit: &SourceUnit| UnitRank::of(unit.state, unit.behind_bytes, unit.behind_seconds);
        self.listed.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        let left_out = self.listed.len().saturating_sub(most);
        self.listed.truncate(most);
        self.more = self.more.saturating_add(left_out as u64);
    }
}

/// How much a unit matters: what matters more comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnitRank(UnitState, Reverse<u64>, Reverse<u64>);

impl UnitRank {
    /// What is in trouble stands before what is not, and of those what is further behind.
    #[must_use]
    pub fn of(state: UnitState, behind_bytes: Option<u64>, behind_seconds: Option<f64>) -> Self {
        let in_trouble = if state < UnitState::Waiting { state } else { UnitState::Reading };
        let behind = Duration::try_from_secs_f64(behind_seconds.unwrap_or(0.0)).unwrap_or_default();
        Self(in_trouble, Reverse(behind_bytes.unwrap_or(0)), Reverse(behind.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_and_what_is_furthest_behind_is_listed_of_however_many() {
        let file = |number: u64| SourceUnit {
            name: format!("/{number:05}"),
            state: if number == 3 { UnitState::Unreadable } else { UnitState::Reading },
            behind_bytes: Some(if number == 7_777 { 9 } else { 0 }),
            ..SourceUnit::default()
        };
        let rank = |unit: &SourceUnit| UnitRank::of(unit.state, unit.behind_bytes, None);
        let list = UnitList::of("files", (0..10_000).map(file).collect(), rank, Clone::clone);
        let names: Vec<&str> = list.listed.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names[..2], ["/00003", "/07777"]);
        assert_eq!((list.listed.len() as u64, list.more), (50, 9_950));
    }
}
