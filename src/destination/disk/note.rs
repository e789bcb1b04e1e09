//! The loop that notes how far delivery has come: as it goes on, and without waiting for the disk, so that a kill repeats little.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::context::{DiskContext, TRY_AGAIN, blocking};
use crate::buffer::disk::{CursorDraft, LogPosition, OsFileSystem, OutOfOrderAck};

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

    fn write(&self, position: LogPosition, beyond: &[OutOfOrderAck]) -> io::Result<()> {
        let mut draft = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        draft.as_mut().map_or(Ok(()), |draft| draft.write(position, beyond))
    }
}

/// Notes it for as long as it is polled, or until the process ends.
pub(super) async fn note_often(context: &DiskContext, draft: SharedDraft) {
    let mut noted = None;
    loop {
        let changed = context.queue.changed();
        let now = Some(context.queue.look_at_disk(|disk| (disk.delivered(), disk.out_of_order())));
        // Where an earlier run stopped is written down.
        let Some((position, beyond)) = now.clone().filter(|_| noted.is_some() && now != noted) else {
            noted = now;
            changed.await;
            continue;
        };
        let write = {
            let draft = draft.clone();
            move || draft.write(position, &beyond)
        };
        let Ok(written) = blocking(write).await else { return };
        match written {
            Ok(()) => {
                noted = now;
                sleep(NOTE_EVERY).await;
            }
            // The cursor itself is saved all the same.
            Err(error) => {
                debug!(destination = context.label, %error, "cannot note how far delivery has come");
                sleep(TRY_AGAIN).await;
            }
        }
    }
}
