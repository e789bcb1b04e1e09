//! Yes, no, or not to be known from here.

/// The truth of a test; in order, so that the least of several is their conjunction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Truth {
    /// It does not hold.
    No,
    /// It depends on what is not known.
    Maybe,
    /// It holds.
    Yes,
}

impl Truth {
    /// All of them hold; so they do when there are none.
    pub(super) fn all(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().min().unwrap_or(Self::Yes)
    }

    /// One of them holds; not so when there are none.
    pub(super) fn any(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().max().unwrap_or(Self::No)
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}
