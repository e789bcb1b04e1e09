//! The service of the simulation: a quota of bytes and one of records, and what refuses whatever the rate.

use super::{SimCase, SimMode, seconds_of};
use crate::limits::MAX_RECORD_BYTES;
use crate::sink::step::{RefusedBy, RequestLoad};

/// The service: two buckets.
pub(super) struct SimService {
    case: SimCase,
    bytes: f64,
    records: f64,
    filled: f64,
    rng: fastrand::Rng,
}

impl SimService {
    pub(super) fn new(case: SimCase) -> Self {
        let rng = fastrand::Rng::with_seed(case.seed);
        Self { case, bytes: Self::room(case.bytes), records: case.records, filled: 0.0, rng }
    }

    /// A second's worth, but never less than a record needs.
    fn room(rate: f64) -> f64 {
        rate.max(RequestLoad::new(MAX_RECORD_BYTES, 1).bytes)
    }

    pub(super) fn put(&mut self, now: f64, request: &[usize]) -> SimAnswer {
        let seconds = now - self.filled;
        self.filled = now;
        let SimCase { bytes, records, faults, outage, mode, .. } = self.case;
        self.bytes = (self.bytes + bytes * seconds).min(Self::room(bytes));
        self.records = (self.records + records * seconds).min(records);
        let total = RequestLoad::new(request.iter().sum(), request.len());
        let whole = mode == SimMode::Calls || (mode == SimMode::Mixed && self.rng.bool());
        let out = now >= seconds_of(outage.0) && now < seconds_of(outage.1);
        let broken = out || self.rng.f64() < faults.1;
        if broken || (whole && (self.bytes < total.bytes || self.records < total.records)) {
            return SimAnswer { accepted: Vec::new(), refused: request.to_vec(), by: RefusedBy::Call };
        }
        let mut answer = SimAnswer { accepted: Vec::new(), refused: Vec::new(), by: RefusedBy::Records };
        for record in request {
            let load = RequestLoad::new(*record, 1);
            let faulty = self.rng.f64() < faults.0;
            if !faulty && self.bytes >= load.bytes && self.records >= 1.0 {
                self.bytes -= load.bytes;
                self.records -= 1.0;
                answer.accepted.push(*record);
            } else {
                answer.refused.push(*record);
            }
        }
        answer
    }
}

/// What became of a request.
pub(super) struct SimAnswer {
    pub(super) accepted: Vec<usize>,
    pub(super) refused: Vec<usize>,
    pub(super) by: RefusedBy,
}
