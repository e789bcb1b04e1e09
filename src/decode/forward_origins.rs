//! The origins of the records of Forward messages: one for each tag, container and stream.

use std::sync::Arc;

use super::forward_record::RecordFields;
use crate::event::{Field, Origin};

/// Origins that were made of late.
#[derive(Debug, Default)]
pub(crate) struct ForwardOrigins {
    /// What is known of the source.
    source: Arc<Origin>,
    made: Vec<Arc<Origin>>,
    /// The last one that was asked for.
    last: usize,
}

/// Most that are kept.
const MOST: usize = 64;

/// Most bytes of a tag, and of a container's name; what is longer is cut.
const MOST_TAG: usize = 1_024;
const MOST_NAME: usize = 256;

impl ForwardOrigins {
    /// From now on, records come from this source.
    pub(super) fn set(&mut self, source: &Arc<Origin>) {
        if !Arc::ptr_eq(&self.source, source) {
            *self = Self { source: Arc::clone(source), ..Self::default() };
        }
    }

    /// The origin of a record.
    pub(super) fn of(&mut self, tag: &[u8], parts: &RecordFields<'_>) -> &Arc<Origin> {
        let tag = String::from_utf8_lossy(tag.get(..MOST_TAG).unwrap_or(tag));
        let name = parts.container().unwrap_or_default();
        let name = String::from_utf8_lossy(name.get(..MOST_NAME).unwrap_or(name));
        let wanted = [
            (Field::Tag, &*tag),
            (Field::Container, &*name),
            (Field::Stream, parts.stream.unwrap_or_default()),
        ];
        let is_it = |origin: &Arc<Origin>| wanted.iter().all(|(field, value)| origin.text(*field) == *value);
        if !self.made.get(self.last).is_some_and(is_it) {
            self.last = self.made.iter().position(is_it).unwrap_or_else(|| {
                if self.made.len() >= MOST {
                    self.made.clear();
                }
                let fields = wanted.iter().filter(|(_, value)| !value.is_empty());
                let origin = Origin::clone(&self.source);
                let origin = fields.fold(origin, |origin, (field, value)| origin.with(*field, *value));
                self.made.push(Arc::new(origin));
                self.made.len() - 1
            });
        }
        self.made.get(self.last).unwrap_or(&self.source)
    }
}
