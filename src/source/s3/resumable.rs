//! Objects that an earlier run had begun: where to go on with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::notification::ObjectName;
use super::position::{ObjectMark, ObjectPosition};
use crate::ack::{Checkpoints, LocalAccount};
use crate::event::Timestamp;
use crate::sync::Lock;

/// Positions that nobody asked for in so long belong to objects that others have read.
const LONGEST: Duration = Duration::from_hours(48);

/// Most positions of earlier runs that are kept.
const MOST: usize = 1_024;

/// An object's bucket and key.
type ObjectPlace = (Box<str>, Box<str>);

/// The positions of a source.
pub(super) struct ResumableObjects {
    source: Arc<str>,
    checkpoints: Arc<Checkpoints>,
    /// Those of earlier runs. The lock covers a look.
    earlier: Lock<HashMap<ObjectPlace, Arc<LocalAccount<ObjectPosition>>>>,
}

impl ResumableObjects {
    /// Takes what earlier runs left of `source`.
    pub(super) fn of(source: Arc<str>, checkpoints: Arc<Checkpoints>, now: Timestamp) -> Self {
        let mut stored = checkpoints.stored::<ObjectPosition>(&source);
        stored.sort_by_key(|account| std::cmp::Reverse(account.position().time));
        let mut earlier = HashMap::new();
        for account in stored {
            let ObjectPosition { bucket, key, time, .. } = account.position();
            let age = now.0.saturating_sub(time).unsigned_abs();
            let is_old = u128::from(age) > LONGEST.as_millis();
            if is_old || earlier.len() >= MOST || earlier.contains_key(&(bucket.clone(), key.clone())) {
                account.forget();
            } else {
                earlier.insert((bucket, key), account);
            }
        }
        Self { source, checkpoints, earlier: Lock::new(earlier) }
    }

    /// The position of an object with this content.
    pub(super) fn account(&self, name: &ObjectName, etag: &str) -> Arc<LocalAccount<ObjectPosition>> {
        let earlier = self.earlier.lock().remove(&(name.bucket.clone(), name.key.clone()));
        if let Some(account) = earlier {
            if &*account.position().etag == etag {
                return account;
            }
            account.forget();
        }
        let position = ObjectPosition {
            bucket: name.bucket.clone(),
            key: name.key.clone(),
            etag: etag.into(),
            mark: ObjectMark::default(),
            time: Timestamp::now().0,
        };
        self.checkpoints.begin(&self.source, position)
    }
}
