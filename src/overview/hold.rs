//! A destination that holds a source up.

use serde::{Deserialize, Serialize};

use super::destination::DestinationState;
use super::is_zero;

/// What holds a source up.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SourceHold {
    /// The sink.
    pub sink: String,
    /// Its destination: the stream or folder.
    pub stream: String,
    /// How that is.
    pub state: DestinationState,
    /// Why it is held, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// How many more destinations of this source accept nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Whether it is so with every destination that is open for this source.
    pub is_everywhere: bool,
}

impl SourceHold {
    /// In words, without the fix.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { sink, stream, more, .. } = self;
        let (more, are) =
            if *more > 0 { (format!(" and {more} more"), "are") } else { (String::new(), "is") };
        let why = match &self.reason {
            Some(reason) => format!(": {reason}"),
            None => String::new(),
        };
        match (self.state, self.is_everywhere) {
            (DestinationState::Held, true) => format!("held by {sink} ({stream}){more}{why}"),
            (state, true) => format!("waits for {sink} ({stream}){more}: {}", state.word()),
            (state, false) => format!("{sink} ({stream}){more} {are} {}{why}", state.word()),
        }
    }
}
