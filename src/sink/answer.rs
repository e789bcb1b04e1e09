//! What a destination answers to a request, and what each answer means for its records.

/// The reason of a hold that new credentials may end by themselves.
pub(super) const EXPIRED_CREDENTIALS: &str = "expired_credentials";

/// The reason of a hold that a clock's correction may end by itself: the SDK learns the service's time from its answer.
pub(super) const SIGNATURE: &str = "signature";

/// The reason of a hold since the credentials are not known, or no longer.
pub(super) const UNRECOGNIZED_CREDENTIALS: &str = "unrecognized_credentials";

/// The outcome of a request that was too much at present.
pub(super) const THROTTLED: &str = "throttled";

/// What a destination said to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Accepted, but for these records.
    Accepted(Vec<Rejected>),
    /// Too much at present, or a fault of the service or the network: send again later.
    TryLater {
        /// `throttled` or `failed`, for the metric.
        outcome: &'static str,
        /// The service's or the system's words.
        message: String,
    },
    /// Nothing will be accepted until a person fixes something, or credentials are renewed.
    Held(Hold),
    /// The request itself is not acceptable: some record in it is at fault.
    Refused {
        /// The error's code.
        code: String,
        /// The service's words.
        message: String,
        /// Smaller requests may be accepted, and smaller records.
        is_too_large: bool,
    },
}

/// One record that was not accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Its place in the request.
    pub index: usize,
    /// The error's code.
    pub code: String,
}

/// Why a destination is held, and what ends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// The metric's label, such as `access_denied`.
    pub reason: &'static str,
    /// What happened: the AWS action, who asked for it, and the service's words.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Hold {
    /// Whether the next try may succeed without anybody's help: with new credentials, or by the service's clock.
    #[must_use]
    pub fn may_fix_itself(&self) -> bool {
        [EXPIRED_CREDENTIALS, SIGNATURE].contains(&self.reason)
    }

    /// Whether the credentials themselves were refused, rather than what was asked for with them.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        [EXPIRED_CREDENTIALS, SIGNATURE, UNRECOGNIZED_CREDENTIALS].contains(&self.reason)
    }
}
