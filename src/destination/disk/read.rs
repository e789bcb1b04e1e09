//! The loop that reads back what memory let go of, or what an earlier run left.

use tokio::time::sleep;

use super::context::{DiskContext, LastLogged, TRY_AGAIN, blocking};
use crate::buffer::disk::{LogReader, OsFileSystem};

/// A part of a file that cannot be read so often is given up.
const READ_TRIES: u32 = 5;

/// Reads for as long as it is polled, or until the process ends.
pub(super) async fn read_back(context: &DiskContext, mut reader: LogReader<OsFileSystem>) {
    let queue = &context.queue;
    let (mut failures, mut last) = (0u32, LastLogged::default());
    loop {
        let changed = queue.changed();
        let Some(request) = queue.next_to_read() else {
            changed.await;
            continue;
        };
        let give_up = failures >= READ_TRIES;
        let read = move || {
            let range = request.range;
            let loaded = if give_up { Ok(reader.give_up(range)) } else { reader.read(range, request.bytes) };
            (reader, loaded)
        };
        let Ok((again, loaded)) = blocking(read).await else { return };
        reader = again;
        match loaded {
            Ok(mut loaded) => {
                failures = 0;
                // What was evicted meanwhile was emptied while it was read.
                let is_damaged =
                    loaded.is_flawed() && queue.look_at_disk(|disk| disk.is_next_to_read(loaded.range));
                if is_damaged {
                    let keep = move || {
                        reader.keep_aside(&mut loaded);
                        (reader, loaded)
                    };
                    let Ok((again, kept)) = blocking(keep).await else { return };
                    (reader, loaded) = (again, kept);
                }
                context.report_damage(&loaded.damage);
                context.count_lost(queue.change_disk(|disk| disk.loaded(loaded)));
            }
            // It was evicted, and is gone.
            Err(_) if !queue.change_disk(|disk| disk.read_failed(request.range)) => {}
            Err(error) => {
                failures = failures.saturating_add(1);
                context.failed("read", &error, &mut last);
                sleep(TRY_AGAIN).await;
            }
        }
    }
}
