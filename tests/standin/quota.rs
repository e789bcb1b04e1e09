//! A stream's quota: buckets of bytes, records and requests, each holding one second's worth, shared by all who put to it.

use std::time::Instant;

use super::faults::{Faults, QuotaMode};
use super::firehose::MAX_RECORD_BYTES;

/// What is left of the present second.
#[derive(Debug)]
pub(crate) struct Quota {
    bytes: f64,
    records: f64,
    requests: f64,
    filled: Instant,
}

/// A call's records under the quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Each record by itself.
    Each,
    /// The call is too much.
    None,
}

impl Quota {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bytes: f64::INFINITY, records: f64::INFINITY, requests: f64::INFINITY, filled: now }
    }

    /// Lets the buckets fill up to now. The one of bytes always has room for a largest record, or none would ever fit.
    #[expect(clippy::cast_precision_loss, reason = "a record's size")]
    pub(crate) fn fill(&mut self, faults: &Faults, now: Instant) {
        let seconds = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        let fill = |left: f64, rate: Option<f64>, least: f64| {
            rate.map_or(f64::INFINITY, |rate| rate.mul_add(seconds, left).min(rate.max(least)))
        };
        self.bytes = fill(self.bytes, faults.bytes_per_second, MAX_RECORD_BYTES as f64);
        self.records = fill(self.records, faults.records_per_second, 1.0);
        self.requests = fill(self.requests, faults.requests_per_second, 1.0);
    }

    /// Takes a request, and says whether its records may be looked at one by one. `chance` decides where the mode is mixed.
    #[expect(clippy::cast_precision_loss, reason = "a request is at most 4 MiB")]
    pub(crate) fn admit(&mut self, mode: QuotaMode, bytes: usize, records: usize, chance: bool) -> Verdict {
        let whole = mode == QuotaMode::Calls || (mode == QuotaMode::Mixed && chance);
        let fits = self.bytes >= bytes as f64 && self.records >= records as f64;
        if self.requests < 1.0 || (whole && !fits) {
            return Verdict::None;
        }
        self.requests -= 1.0;
        Verdict::Each
    }

    /// Takes a record if it fits.
    #[expect(clippy::cast_precision_loss, reason = "a record is at most 1,024,000 bytes")]
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes >= bytes as f64 && self.records >= 1.0;
        if fits {
            self.bytes -= bytes as f64;
            self.records -= 1.0;
        }
        fits
    }
}
