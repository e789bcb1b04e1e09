//! Why an event goes to no sink.

/// Why an event goes to no sink, or a route keeps it from its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FilterReason {
    /// A route drops it.
    Dropped,
    /// No route matches it.
    Unrouted,
    /// It is not of a route's sample.
    Sampled,
    /// Its key has used up a route's limit for now.
    Throttled,
    /// It is older than its source takes.
    TooOld,
}

impl FilterReason {
    /// The reason as a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Unrouted => "unrouted",
            Self::Sampled => "sampled",
            Self::Throttled => "throttled",
            Self::TooOld => "too_old",
        }
    }
}

/// That an event goes to no sink: the route that decided it, by its number, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Filtered {
    /// None: no route did.
    pub route: Option<usize>,
    /// Why.
    pub reason: FilterReason,
}

impl Filtered {
    /// No route matches.
    pub const UNROUTED: Self = Self { route: None, reason: FilterReason::Unrouted };

    /// It is older than its source takes.
    pub const TOO_OLD: Self = Self { route: None, reason: FilterReason::TooOld };

    /// The route with this number drops it.
    #[must_use]
    pub const fn dropped_by(route: usize) -> Self {
        Self { route: Some(route), reason: FilterReason::Dropped }
    }
}
