//! Origins that were made of late, each for one set of fields that a payload tells.

use std::sync::Arc;

use crate::event::{Field, Origin};

/// Origins that were made of late.
#[derive(Debug, Default)]
pub(crate) struct RecentOrigins {
    /// What is known of the source.
    source: Arc<Origin>,
    made: Vec<Arc<Origin>>,
    /// The last one that was asked for.
    last: usize,
}

/// Most that are kept.
const MOST: usize = 64;

impl RecentOrigins {
    /// From now on, events come from this source.
    pub(super) fn set(&mut self, source: &Arc<Origin>) {
        if !Arc::ptr_eq(&self.source, source) {
            *self = Self { source: Arc::clone(source), ..Self::default() };
        }
    }

    /// The origin with these fields, and no others but the source's own; an empty one is not there. The host is the source's where it is
    /// empty.
    pub(super) fn of(&mut self, host: &str, wanted: &[(Field, &str)]) -> &Arc<Origin> {
        let host = if host.is_empty() { &*self.source.host } else { host };
        let is_it = |origin: &Arc<Origin>| {
            *origin.host == *host && wanted.iter().all(|(field, value)| origin.text(*field) == *value)
        };
        if !self.made.get(self.last).is_some_and(is_it) {
            self.last = self.made.iter().position(is_it).unwrap_or_else(|| {
                if self.made.len() >= MOST {
                    self.made.clear();
                }
                let fields = wanted.iter().filter(|(_, value)| !value.is_empty());
                let mut origin = Origin::clone(&self.source);
                if *origin.host != *host {
                    origin.host = host.into();
                }
                let origin = fields.fold(origin, |origin, (field, value)| origin.with(*field, *value));
                self.made.push(Arc::new(origin));
                self.made.len() - 1
            });
        }
        self.made.get(self.last).unwrap_or(&self.source)
    }
}
