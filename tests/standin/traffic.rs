//! What was sent and accepted, second by second: goodput, refusals, and how long it took to become steady.

use serde::{Deserialize, Serialize};

/// What one access key sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Traffic {
    /// From the stand-in's start; the last may be unfinished.
    pub(crate) seconds: Vec<Second>,
}

/// What came in one second.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Second {
    pub(crate) calls: u64,
    pub(crate) sent_records: u64,
    pub(crate) refused_records: u64,
    pub(crate) accepted_bytes: u64,
}

impl Traffic {
    /// Adds to a second.
    pub(crate) fn add(&mut self, at: u64, more: &Second) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        self.seconds[at].add(more);
    }

    /// The sum of the seconds from one to before another.
    pub(crate) fn between(&self, from: usize, to: usize) -> Second {
        let mut sum = Second::default();
        self.seconds.iter().take(to).skip(from).for_each(|second| sum.add(second));
        sum
    }
}

impl Second {
    fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.sent_records += more.sent_records;
        self.refused_records += more.refused_records;
        self.accepted_bytes += more.accepted_bytes;
    }

    /// Refused records of those sent.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub(crate) fn refused(&self) -> f64 {
        self.refused_records as f64 / self.sent_records.max(1) as f64
    }
}
