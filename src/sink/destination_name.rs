//! What a destination is called: in the log by two fields, which are the same wherever it is spoken of, and in sentences by one name.

use std::fmt;

/// A destination's name.
#[derive(Clone, Debug)]
pub struct DestinationName {
    /// The sink's name.
    pub sink: String,
    /// The stream's.
    pub stream: String,
}

impl fmt::Display for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sink, self.stream)
    }
}
