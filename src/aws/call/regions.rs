//! Which buckets are in another region than the one that is asked: S3's answers say it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most buckets that are remembered; beyond that all are forgotten, and each costs one more request.
const MOST: usize = 1_024;

/// Regions by bucket.
#[derive(Debug, Default)]
pub(super) struct BucketRegions(
    /// The lock covers a look or a change.
    Mutex<BTreeMap<String, String>>,
);

impl BucketRegions {
    pub(super) fn get(&self, bucket: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }

    pub(super) fn set(&self, bucket: &str, region: String) {
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= MOST {
            regions.clear();
        }
        regions.insert(bucket.to_owned(), region);
    }
}
