//! How far log groups were read, as the checkpoint file keeps it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::plan::{Floors, PlanStart, TIERS};
use super::seen::EventKey;
use crate::ack::LocalPosition;
use crate::event::Timestamp;

/// What is remembered of one log group; ids of its events are beside it, in files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupPosition {
    /// Its ARN.
    pub group: String,
    /// When it was created, in milliseconds since 1970: one that is deleted and created again is another.
    pub created: i64,
    /// Where reading goes on.
    pub(super) start: PlanStart,
    /// When it was found to be gone.
    pub(super) gone: Option<i64>,
}

impl GroupPosition {
    /// Where the ids of its events are, below the state directory.
    #[must_use]
    pub fn ids(&self, state: &Path, source: &str) -> PathBuf {
        ids_of(state, source).join(ids_folder(&self.group, self.created))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.group.splitn(7, ':').nth(6).unwrap_or(&self.group)
    }

    /// Everything before this was read, however late it came.
    #[must_use]
    pub fn floor(&self) -> Timestamp {
        Timestamp(self.start.floors.last())
    }

    /// Everything before this was read once.
    #[must_use]
    pub fn read_to(&self) -> Timestamp {
        Timestamp(self.start.floors.0.iter().copied().max().unwrap_or(0))
    }
}

/// Where the ids of a source's events are.
pub(super) fn ids_of(state: &Path, source: &str) -> PathBuf {
    state.join("cloudwatch_logs").join(source)
}

/// The folder of one log group below that.
pub(super) fn ids_folder(group: &str, created: i64) -> String {
    format!("{:016x}", EventKey::of(created, group.as_bytes()).hash)
}

/// What is remembered of the list of log groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListingPosition {
    /// When the first list was made: from there on, or from `start` before it, every log group is read.
    pub(super) started: i64,
    /// When the last whole list was made.
    pub(super) listed: i64,
}

#[derive(Deserialize, Serialize)]
struct WrittenGroup<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    group: Cow<'a, str>,
    created: i64,
    begin: i64,
    floors: [i64; TIERS],
    clock: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct WrittenListing<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    started: i64,
    listed: i64,
}

impl LocalPosition for GroupPosition {
    const KIND: &'static str = "log_group";

    type Mark = ();

    fn advance(&mut self, (): (), _: Timestamp) {}

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&WrittenGroup {
            source: source.into(),
            group: self.group.as_str().into(),
            created: self.created,
            begin: self.start.begin,
            floors: self.start.floors.0,
            clock: self.start.clock,
            gone: self.gone,
        })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenGroup<'_> = serde_json::from_str(json.get()).ok()?;
        let start = PlanStart { begin: written.begin, floors: Floors(written.floors), clock: written.clock };
        let group = written.group.into_owned();
        Some(Self { group, created: written.created, start, gone: written.gone })
    }
}

impl LocalPosition for ListingPosition {
    const KIND: &'static str = "log_groups";

    type Mark = ();

    fn advance(&mut self, (): (), _: Timestamp) {}

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        let (started, listed) = (self.started, self.listed);
        to_raw_value(&WrittenListing { source: source.into(), started, listed })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenListing<'_> = serde_json::from_str(json.get()).ok()?;
        Some(Self { started: written.started, listed: written.listed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let start = PlanStart { begin: 1, floors: Floors([9, 7, 5, 3]), clock: 10 };
        let position = GroupPosition { group: "a\"b".into(), created: 2, start, gone: Some(4) };
        assert_eq!(GroupPosition::from_json(&position.to_json("s\"").unwrap()), Some(position.clone()));
        let named =
            GroupPosition { group: "arn:aws:logs:us-east-1:1:log-group:/a:b".into(), ..position.clone() };
        assert_eq!((named.name(), position.name()), ("/a:b", "a\"b"));
        assert_eq!((position.floor(), position.read_to()), (Timestamp(3), Timestamp(9)));
        let listing = ListingPosition { started: 1, listed: 2 };
        assert_eq!(ListingPosition::from_json(&listing.to_json("s").unwrap()), Some(listing));
    }
}
