//! A disk task from its start to its end.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::info;

use super::context::{DiskContext, LastLogged, TRY_AGAIN, blocking};
use super::note::{SharedDraft, note_often};
use super::read::read_back;
use super::store::StoreLoop;
use crate::buffer::disk::{self, CursorDraft, Log, LogOptions, LogReader, OpenedLog, OsFileSystem};

/// Keeps the queue's records on disk until it has ended and everything is delivered, or the process is about to end. `dir_lock` has
/// one permit, for whoever has the directory.
pub(crate) async fn run(context: DiskContext, dir_lock: Arc<Semaphore>) {
    // Nobody closes the semaphore.
    let Ok(_permit) = dir_lock.acquire_owned().await else { return };
    let Some(log) = open(&context).await else { return };
    let reader = LogReader::new(OsFileSystem, &context.dir, Arc::clone(&context.buffers));
    let draft = SharedDraft::new(CursorDraft::new(OsFileSystem, &context.dir));
    context.quota.join();
    tokio::select! {
        () = StoreLoop::new(&context, log, draft.clone()).run() => {}
        () = read_back(&context, reader) => {}
        () = note_often(&context, draft) => {}
    }
    context.quota.leave();
    context.clear_issue();
}

/// Opens the log, however often it has to be tried; none when the process is about to end.
async fn open(context: &DiskContext) -> Option<Log<OsFileSystem>> {
    let mut last = LastLogged::default();
    while !context.queue.shares().is_closing() {
        let dir = context.dir.clone();
        let options =
            LogOptions { segment_bytes: context.quota.segment_bytes(), shared: Arc::clone(&context.fields) };
        match blocking(move || disk::open(OsFileSystem, &dir, options)).await.ok()? {
            Ok(opened) => return Some(take_up(context, opened)),
            Err(error) => {
                context.failed("open", &error, &mut last);
                context.queue.change_disk(|disk| disk.set_broken(true));
            }
        }
        sleep(TRY_AGAIN).await;
    }
    None
}

fn take_up(context: &DiskContext, opened: OpenedLog<OsFileSystem>) -> Log<OsFileSystem> {
    let OpenedLog { log, contents, damage } = opened;
    context.report_damage(&damage);
    context.clear_issue();
    let events = context.queue.opened(&contents);
    if events > 0 {
        info!(
            sink = context.label.sink,
            stream = context.label.stream,
            events,
            bytes = log.bytes(),
            "delivering the backlog on disk"
        );
    }
    log
}
