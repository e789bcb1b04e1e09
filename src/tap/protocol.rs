//! What is said on the socket: one line of JSON to ask, and one line for each answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to be seen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct TapRequest {
    /// A source or a sink.
    pub(crate) name: String,
    /// Which of the two, where both have the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<TapTarget>,
    /// Only events that match this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<String>,
}

/// Where events are seen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TapTarget {
    /// As they come from a source, after redaction.
    Source,
    /// As they are written for a sink.
    Sink,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TapReply {
    /// It is looked at.
    Begun(TapTarget),
    /// An event.
    Event(Value),
    /// So many passed since the beginning, of which so many were looked at.
    Passed {
        /// Events that passed.
        events: u64,
        /// Of these, events that were looked at.
        looked_at: u64,
    },
    /// It cannot be done.
    Failed(String),
}
