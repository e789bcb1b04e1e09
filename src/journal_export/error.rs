//! What bytes are that are no entries.

/// What bytes are that are no entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExportError {
    /// An entry does not begin with its cursor.
    #[error("an entry begins with something else than its cursor")]
    NoCursor,
    /// A line is neither a field nor a field's name.
    #[error("a line is no field")]
    Name,
    /// A length that no value has.
    #[error("a value claims to be longer than any is")]
    Length,
    /// No newline follows a value.
    #[error("a value does not end where its length says")]
    Value,
    /// They end too soon.
    #[error("an entry is cut off")]
    Truncated,
}
