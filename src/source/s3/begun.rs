//! Objects of a listed bucket that were handed over and are not known to be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::sleep;

use super::progress::ObjectProgress;
use crate::event::Timestamp;
use crate::metrics::SourceMetrics;
use crate::sync::Lock;

/// Objects that were handed over and are not known to be done.
#[derive(Default)]
pub(super) struct BegunTable {
    pub(super) next: AtomicU64,
    /// The lock covers a look or a change.
    pub(super) objects: Lock<BTreeMap<u64, BegunObject>>,
}

#[derive(Default)]
pub(super) struct BegunObject {
    pub(super) day: i64,
    pub(super) hash: u64,
    /// The hash of what was found instead.
    pub(super) found: Option<u64>,
    pub(super) chunks: Vec<Arc<ObjectProgress>>,
    pub(super) is_read: bool,
}

impl BegunTable {
    pub(super) fn change(&self, number: u64, change: impl FnOnce(&mut BegunObject)) {
        if let Some(begun) = self.objects.lock().get_mut(&number) {
            change(begun);
        }
    }
}

/// Shows how old the oldest event is that is not done.
pub(super) async fn gauge_lag(begun: Arc<BegunTable>, metrics: SourceMetrics) {
    loop {
        sleep(Duration::from_secs(1)).await;
        let oldest = begun
            .objects
            .lock()
            .values()
            .flat_map(|object| &object.chunks)
            .filter_map(|chunks| chunks.oldest())
            .min();
        let age = oldest.map_or(0, |oldest| Timestamp::now().0.saturating_sub(oldest.0).max(0));
        metrics.lag_seconds.set(Duration::from_millis(age.unsigned_abs()).as_secs_f64());
    }
}
