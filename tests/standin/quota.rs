//! A stream's quota: a bucket of bytes and one of records, each holding one second's worth.

use std::time::Instant;

use super::faults::Faults;

/// What is left of the present second.
#[derive(Debug)]
pub(crate) struct Quota {
    bytes: f64,
    records: f64,
    filled: Instant,
}

impl Quota {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bytes: f64::INFINITY, records: f64::INFINITY, filled: now }
    }

    /// Lets the buckets fill up to now.
    pub(crate) fn fill(&mut self, faults: &Faults, now: Instant) {
        let seconds = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        let fill = |left: f64, rate: Option<f64>| {
            rate.map_or(f64::INFINITY, |rate| rate.mul_add(seconds, left).min(rate))
        };
        self.bytes = fill(self.bytes, faults.bytes_per_second);
        self.records = fill(self.records, faults.records_per_second);
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
