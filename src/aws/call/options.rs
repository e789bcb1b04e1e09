//! How a call is made, and which refusals pass.

use std::time::Duration;

use crate::aws::probe::{CallError, NoAnswer};

/// How long a call may take, and how often it is made.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// Longest wait for an answer, and then for its body.
    pub deadline: Duration,
    /// How often it is made that is throttled or meets a fault of the service or the network.
    pub tries: u32,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), tries: 5 }
    }
}

impl CallOptions {
    /// Made once: for who has a pace of their own, or must not repeat what may have been done.
    #[must_use]
    pub const fn once(deadline: Duration) -> Self {
        Self { deadline, tries: 1 }
    }
}

impl CallError {
    /// Whether the same call may go through a moment later.
    ///
    /// Source: the codes that AWS's own clients take for throttling, and any status from 500 on.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Answered { code, .. } => {
                code.contains("Throttl")
                    || code.starts_with('5')
                    || matches!(
                        code.as_str(),
                        "TooManyRequestsException"
                            | "RequestLimitExceeded"
                            | "SlowDown"
                            | "PriorRequestNotComplete"
                            | "ServiceUnavailable"
                            | "ServiceUnavailableException"
                            | "InternalError"
                            | "InternalFailure"
                            | "RequestTimeout"
                    )
            }
            Self::Unanswered { how, .. } => {
                matches!(how, NoAnswer::Other | NoAnswer::Name | NoAnswer::ProxyName)
            }
            Self::Credentials { .. } | Self::Unreadable(_) | Self::Unusable(_) => false,
        }
    }

    /// The code of an answer that says no.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::Credentials { .. } | Self::Unanswered { .. } | Self::Unreadable(_) | Self::Unusable(_) => {
                None
            }
        }
    }
}
