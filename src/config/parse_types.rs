//! What messages are, as the rest of the program uses it.

/// What the messages of a source are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageParse {
    /// JSON objects.
    Json,
    /// `name=value` pairs.
    Logfmt,
    /// Lines of access logs, in the common or the combined format.
    Clf,
}

impl MessageParse {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Clf => "clf",
        }
    }
}

/// `timestamp = { field, format }`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParsedTime {
    /// The field's name.
    pub field: String,
    /// How the time is written.
    pub format: TimeFormat,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeFormat {
    /// `2026-11-22T01:02:03.004Z`
    Rfc3339,
    /// Seconds since 1970, with a fraction or without.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// `22/Nov/2026:01:02:03 +0000`
    Clf,
}
