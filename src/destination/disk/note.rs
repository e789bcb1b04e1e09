//! The loop that notes how far delivery has come: as it goes on, and without waiting for the disk, so that a kill repeats little.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::context::{DiskContext, TRY_AGAIN, blocking};
use crate::buffer::disk::{CursorDraft, CursorPlace, OsFileSystem};
use crate::destination::storage::DiskStorage;

/// It is noted no more often than this.
const NOTE_EVERY: Duration = Duration::from_millis(50);

/// The draft of a log's cursor, until the log is removed. The lock covers a write of one page.
#[derive(Clone, Debug)]
pub(super) struct SharedDraft(Arc<Mutex<Option<CursorDraft<OsFileSystem>>>>);

impl SharedDraft {
    pub(super) fn new(draft: CursorDraft<OsFileSystem>) -> Self {
        Self(Arc::new(Mutex::new(Some(draft))))
    }

    /// Nothing is written any more.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn write(&self, place: &CursorPlace) -> io::Result<()> {
        let mut draft = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        draft.as_mut().map_or(Ok(()), |draft| draft.write(place))
    }
}

/// Notes it for as long as it is polled, or until the process ends.
pub(super) async fn note_often(context: &DiskContext, draft: SharedDraft) {
    let mut noted = context.queue.look_at_disk(place);
    loop {
        let changed = context.queue.changed();
        let now = context.queue.look_at_disk(place);
        // Within a segment, where it ends is of no use.
        let is_as_noted = now.stored_last.segment == noted.stored_last.segment
            && (now.delivered, &now.out_of_order) == (noted.delivered, &noted.out_of_order);
        if is_as_noted {
            changed.await;
            continue;
        }
        let (shared, writing) = (draft.clone(), now.clone());
        let Ok(written) = blocking(move || shared.write(&writing)).await else { return };
        match written {
            Ok(()) => {
                noted = now;
                sleep(NOTE_EVERY).await;
            }
            // The cursor itself is saved all the same.
            Err(error) => {
                debug!(sink = context.label.sink, stream = context.label.stream, %error, "cannot note how far delivery has come");
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

fn place(disk: &DiskStorage) -> CursorPlace {
    CursorPlace {
        delivered: disk.delivered(),
        out_of_order: disk.out_of_order(),
        stored_last: disk.stored_last().unwrap_or_default(),
    }
}
