//! What one turn of a file led to.

/// What a look at one file led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadOutcome {
    /// There is more to do at once.
    More,
    /// Nothing, until it changes or its time comes.
    Idle,
    /// Its destination takes nothing.
    Blocked,
}
