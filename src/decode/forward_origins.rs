//! The origins of the records of Forward messages: one for each tag, container and stream.

use std::sync::Arc;

use super::forward_record::RecordFields;
use super::recent_origins::RecentOrigins;
use crate::event::{Field, Origin};

/// Origins that were made of late.
#[derive(Debug, Default)]
pub(crate) struct ForwardOrigins(RecentOrigins);

/// Most bytes of a tag, and of a container's name; what is longer is cut.
const MOST_TAG: usize = 1_024;
const MOST_NAME: usize = 256;

impl ForwardOrigins {
    /// From now on, records come from this source.
    pub(super) fn set(&mut self, source: &Arc<Origin>) {
        self.0.set(source);
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
        self.0.of("", &wanted)
    }
}
