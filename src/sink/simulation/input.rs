//! What is written for a sender of the simulation, at a steady rate.

use crate::limits::{TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};
use crate::sink::step::RequestLoad;

/// What is written for a sender at a steady rate, and waits to be sent.
#[derive(Clone, Copy)]
pub(super) struct SimInput {
    /// Bytes a second.
    pub(super) rate: f64,
    /// When it began.
    pub(super) starts: f64,
    /// Bytes that were taken.
    pub(super) taken: f64,
}

/// How long a record waits to be filled, in seconds.
const LINGER: f64 = 1.0;

impl SimInput {
    /// When a request is full, or its first byte has waited long enough.
    pub(super) fn ready(&self) -> f64 {
        let full = RequestLoad::new(TARGET_REQUEST_BYTES, 1).bytes / self.rate;
        self.starts + self.taken / self.rate + full.min(LINGER)
    }

    /// The records of a request, once they are ready.
    pub(super) fn take(&mut self, now: f64) -> Vec<usize> {
        if now + 1e-6 < self.ready() {
            return Vec::new();
        }
        let mut left = whole(self.rate * (now - self.starts) - self.taken).min(TARGET_REQUEST_BYTES);
        let mut records = Vec::new();
        while left > 0 {
            records.push(left.min(TARGET_RECORD_BYTES));
            left = left.saturating_sub(TARGET_RECORD_BYTES);
        }
        self.taken += RequestLoad::new(records.iter().sum(), 1).bytes;
        records
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, and not negative")]
fn whole(bytes: f64) -> usize {
    bytes as usize
}
