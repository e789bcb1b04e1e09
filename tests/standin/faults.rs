//! What goes wrong on demand, drawn from a seeded generator.

use serde::{Deserialize, Serialize};

/// The faults of a stream. Rates are from 0 to 1.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Faults {
    /// Records refused one by one inside a 200.
    pub(crate) record_failures: f64,
    /// Calls answered 500 `ServiceUnavailableException`.
    pub(crate) throttles: f64,
    /// Calls answered 500 `InternalFailure`.
    pub(crate) internal: f64,
    /// Calls whose connection is cut before anything is accepted.
    pub(crate) cut_before: f64,
    /// Calls that are accepted, but whose connection is cut instead of an answer.
    pub(crate) cut_after: f64,
    /// Milliseconds before each call is worked on.
    pub(crate) delay_ms: u64,
    /// Nothing is accepted or answered until this is false again.
    pub(crate) hang: bool,
    /// A call that holds a record with these bytes is refused whole, with `InvalidArgumentException`.
    pub(crate) poison: Option<String>,
    /// A proxy on the way answers calls itself.
    pub(crate) proxy: Option<ProxyFault>,
    /// Every call is refused with this.
    pub(crate) refusal: Option<Refusal>,
    /// Quota in bytes a second.
    pub(crate) bytes_per_second: Option<f64>,
    /// Quota in records a second.
    pub(crate) records_per_second: Option<f64>,
    /// Quota in requests a second.
    pub(crate) requests_per_second: Option<f64>,
    /// How a quota says that it is spent.
    pub(crate) quota_mode: QuotaMode,
    /// How far the service's clock is ahead, in seconds. Of all streams, and of STS.
    pub(crate) clock_ahead: i64,
}

/// A proxy that answers with a page of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct ProxyFault {
    /// The status.
    pub(crate) status: u16,
    /// Only calls that are longer than this many bytes.
    pub(crate) over: usize,
}

/// How a quota says that it is spent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuotaMode {
    /// `ServiceUnavailableException` for each record that is too much, in a 200.
    #[default]
    Records,
    /// 500 `ServiceUnavailableException` for a call that holds too much.
    Calls,
    /// One or the other by chance.
    Mixed,
}

/// A refusal of every call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// 403 `AccessDeniedException`
    AccessDenied,
    /// 403 `ExpiredTokenException`
    Expired,
    /// 400 `InvalidKMSResourceException`
    InvalidKms,
    /// 400 `InvalidSourceException`
    InvalidSource,
    /// 413 `RequestEntityTooLargeException`
    TooLarge,
    /// 400 `ResourceNotFoundException`
    NotFound,
}

/// What befalls one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It is worked on.
    Served,
    /// It is worked on, and the answer is lost.
    CutAfter,
    /// The connection is cut.
    CutBefore,
    /// 500, throttled.
    Throttled,
    /// 500, broken.
    Internal,
}

impl Faults {
    /// Draws one call's fate.
    pub(crate) fn fate(&self, rng: &mut fastrand::Rng) -> Fate {
        let mut draw = rng.f64();
        let cases = [
            (self.throttles, Fate::Throttled),
            (self.internal, Fate::Internal),
            (self.cut_before, Fate::CutBefore),
            (self.cut_after, Fate::CutAfter),
        ];
        for (rate, fate) in cases {
            if draw < rate {
                return fate;
            }
            draw -= rate;
        }
        Fate::Served
    }
}
