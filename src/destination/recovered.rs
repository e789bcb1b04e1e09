//! What a run before left on disk: found at the start, and delivered with the present configuration.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, warn};

use super::key::{DestinationKey, spool_dir};
use super::registry::RunningSink;
use crate::buffer::disk::{self, LogOptions, OsFileSystem, RecordMeta};
use crate::health::Status;

/// A log that has something to deliver, and where it goes now.
struct EarlierLog {
    key: DestinationKey,
    dir: PathBuf,
}

/// Opens a destination for each log that an earlier run left. Blocks.
pub(crate) fn reopen(sink: &RunningSink, state: &Path, status: &Status) {
    let mut found = Vec::new();
    for dir in dirs(&spool_dir(state).join(&sink.name)) {
        match disk::peek(&OsFileSystem, &dir) {
            Ok(None) => remove_empty(&dir),
            Ok(Some(meta)) => match key(sink, &meta) {
                Ok(key) => found.push(EarlierLog { key, dir }),
                Err(why) => keep(&dir, &why, status),
            },
            Err(failure) => keep(&dir, &format!("cannot be read: {failure}"), status),
        }
    }
    // Those that are where new records of their destination go come first, and take them.
    found.sort_by_key(|log| !has_own_name(log));
    let mut opened = BTreeSet::new();
    for log in found {
        let is_first = opened.insert(log.key.clone());
        let dir = if has_own_name(&log) { log.dir } else { move_over(&log, is_first) };
        sink.resume(log.key, dir, is_first);
    }
}

/// Says which disk buffers belong to no sink of the configuration. They are kept.
pub(crate) fn name_strangers(state: &Path, sinks: &[&str], status: &Status) {
    for dir in dirs(&spool_dir(state)) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if sinks.contains(&name.as_str()) {
            continue;
        }
        for log in dirs(&dir) {
            if !matches!(disk::peek(&OsFileSystem, &log), Ok(None)) {
                let why = format!(
                    "holds undelivered records of the sink `{name}`, which is not configured: configure it again to deliver them"
                );
                keep(&log, &why, status);
            }
        }
    }
}

fn keep(dir: &Path, why: &str, status: &Status) {
    warn!(dir = %dir.display(), why, "a disk buffer is kept but not delivered");
    let dir = dir.display().to_string();
    status.note(&dir, format!("disk buffer `{dir}` is kept and not delivered: {why}"));
}

/// The directories in a directory, in order; none when it is not there.
fn dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

/// Where the records of a log go now.
fn key(sink: &RunningSink, meta: &RecordMeta) -> Result<DestinationKey, String> {
    let unknown: Vec<String> = sink
        .fields()
        .iter()
        .filter(|field| !meta.shared.contains(field))
        .map(|field| format!("`{{{field}}}`"))
        .collect();
    if !unknown.is_empty() {
        let fields = unknown.join(" and ");
        return Err(format!(
            "was packed for a destination that does not depend on {fields}, but the sink's names now do: change them back to deliver it"
        ));
    }
    sink.key(&meta.origin).ok_or_else(|| "lacks the metadata that the sink's names use".to_owned())
}

fn has_own_name(log: &EarlierLog) -> bool {
    log.dir.file_name().is_some_and(|name| name.to_string_lossy() == log.key.dir_name())
}

/// Gives the directory of a log the name of where it goes now, so that no new destination takes the same one.
fn move_over(log: &EarlierLog, is_first: bool) -> PathBuf {
    let own = log.dir.with_file_name(log.key.dir_name());
    let numbered = |number: u32| {
        let mut name = own.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let first = is_first.then(|| own.clone());
    let free = first.into_iter().chain((1..=u32::MAX).map(numbered)).find(|path| !path.exists());
    let Some(to) = free else { return log.dir.clone() };
    match fs::rename(&log.dir, &to) {
        Ok(()) => to,
        Err(failure) => {
            error!(dir = %log.dir.display(), error = %failure, "cannot rename a disk buffer; delivering it from its old folder");
            log.dir.clone()
        }
    }
}

/// Removes a log whose records were all delivered.
fn remove_empty(dir: &Path) {
    let remove = || -> io::Result<()> {
        let options = LogOptions { segment_bytes: u64::MAX, shared: Arc::from([]) };
        let opened = disk::open(OsFileSystem, dir, options)?;
        let backlog = disk::Backlog::new(&opened.contents, Arc::default());
        if opened.damage.is_empty() && backlog.unread_events() == 0 { opened.log.remove() } else { Ok(()) }
    };
    if let Err(failure) = remove() {
        warn!(dir = %dir.display(), error = %failure, "cannot remove an empty disk buffer");
    }
}
