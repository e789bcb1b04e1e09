//! How far an object was read, for a run that goes on with it: what was delivered is not delivered again.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::cut::CutState;
use crate::ack::LocalPosition;
use crate::event::Timestamp;

/// A place in an object.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ObjectMark {
    /// So many bytes of its contents come before, without what they were compressed by.
    pub offset: u64,
    /// Where the contents stand there.
    pub(super) state: CutState,
    /// Whether the object itself holds them so: bytes of it can then be asked for from here on.
    pub(super) is_plain: bool,
}

/// What is remembered of an object that is not done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ObjectPosition {
    /// Where it is.
    pub bucket: Box<str>,
    /// Its name there.
    pub key: Box<str>,
    /// Another content is read from its beginning.
    pub(super) etag: Box<str>,
    /// Everything before it was acknowledged.
    pub mark: ObjectMark,
    /// When it moved last, in milliseconds since 1970.
    pub time: i64,
}

/// As it stands in the checkpoint file.
#[derive(Serialize)]
struct StoredPosition<'a> {
    source: &'a str,
    #[serde(flatten)]
    position: &'a ObjectPosition,
}

impl LocalPosition for ObjectPosition {
    const KIND: &'static str = "object";

    /// None where reading cannot begin, such as within a line.
    type Mark = Option<ObjectMark>;

    fn advance(&mut self, mark: Option<ObjectMark>, read_at: Timestamp) {
        if let Some(mark) = mark {
            (self.mark, self.time) = (mark, read_at.0);
        }
    }

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&StoredPosition { source, position: self })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }
}
