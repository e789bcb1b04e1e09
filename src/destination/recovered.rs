//! What a run before left on disk: found at the start, and delivered with the present configuration.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use tracing::{error, warn};

use crate::buffer::disk::{self, Disk, Layout, Meta};
use crate::destination::registry::{Key, RunningSink};
use crate::health::Status;

/// Where disk buffers are, below the state directory: `spool/SINK/DESTINATION`.
const SPOOL: &str = "spool";

/// A sink's disk buffers.
pub(crate) fn of_sink(state: &Path, sink: &str) -> PathBuf {
    state.join(SPOOL).join(sink)
}

/// The name of a destination's directory: its stream, for people, and a hash of all that tells it apart.
pub(crate) fn dir_name(key: &Key) -> String {
    let hash = digest(&SHA256, format!("{key:?}").as_bytes());
    let short = hash.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
    format!("{}-{short:016x}", key.stream)
}

/// A log that has something to deliver, and where it goes now.
struct Recovered {
    key: Key,
    dir: PathBuf,
}

/// Opens a destination for each log that an earlier run left. Blocks.
pub(crate) fn reopen(sink: &RunningSink, state: &Path, status: &Status) {
    let mut found = Vec::new();
    for dir in dirs(&of_sink(state, &sink.name)) {
        match disk::peek(&Disk, &dir) {
            Ok(None) => remove_empty(&dir),
            Ok(Some(meta)) => match key(sink, &meta) {
                Ok(key) => found.push(Recovered { key, dir }),
                Err(why) => keep(&dir, &why, status),
            },
            Err(failure) => keep(&dir, &format!("cannot be read: {failure}"), status),
        }
    }
    // Those that are where new records of their destination go come first, and take them.
    found.sort_by_key(|recovered| !has_own_name(recovered));
    let mut opened = BTreeSet::new();
    for recovered in found {
        let is_first = opened.insert(recovered.key.clone());
        let dir = if has_own_name(&recovered) { recovered.dir } else { move_over(&recovered, is_first) };
        sink.resume(recovered.key, dir, is_first);
    }
}

/// Says which disk buffers belong to no sink of the configuration. They are kept.
pub(crate) fn name_strangers(state: &Path, sinks: &[&str], status: &Status) {
    for dir in dirs(&state.join(SPOOL)) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if sinks.contains(&name.as_str()) {
            continue;
        }
        for log in dirs(&dir) {
            if !matches!(disk::peek(&Disk, &log), Ok(None)) {
                let why = format!(
                    "holds undelivered records of the sink `{name}`, which is not configured: configure it again to deliver them"
                );
                keep(&log, &why, status);
            }
        }
    }
}

fn keep(dir: &Path, why: &str, status: &Status) {
    warn!(dir = %dir.display(), why, "a disk buffer is kept and not delivered");
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
fn key(sink: &RunningSink, meta: &Meta) -> Result<Key, String> {
    let unknown: Vec<String> = sink
        .fields()
        .iter()
        .filter(|field| !meta.shared.contains(field))
        .map(|field| format!("`{{{field}}}`"))
        .collect();
    if !unknown.is_empty() {
        let fields = unknown.join(" and ");
        return Err(format!(
            "was packed for a destination that does not depend on {fields}, as the sink's names now do: change them back to deliver it"
        ));
    }
    sink.key(&meta.origin).ok_or_else(|| "lacks what the sink's names are made from".to_owned())
}

fn has_own_name(recovered: &Recovered) -> bool {
    recovered.dir.file_name().is_some_and(|name| name.to_string_lossy() == dir_name(&recovered.key))
}

/// Gives the directory of a log the name of where it goes now, so that no new destination takes the same one.
fn move_over(recovered: &Recovered, is_first: bool) -> PathBuf {
    let own = recovered.dir.with_file_name(dir_name(&recovered.key));
    let numbered = |number: u32| {
        let mut name = own.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let first = is_first.then(|| own.clone());
    let free = first.into_iter().chain((1..=u32::MAX).map(numbered)).find(|path| !path.exists());
    let Some(to) = free else { return recovered.dir.clone() };
    match fs::rename(&recovered.dir, &to) {
        Ok(()) => to,
        Err(failure) => {
            error!(dir = %recovered.dir.display(), error = %failure, "cannot rename a disk buffer; it is delivered from where it is");
            recovered.dir.clone()
        }
    }
}

/// Removes a log whose records were all delivered.
fn remove_empty(dir: &Path) {
    let remove = || -> io::Result<()> {
        let layout = Layout { segment_bytes: u64::MAX, shared: Arc::from([]) };
        let opened = disk::open(Disk, dir, layout)?;
        let backlog = disk::Backlog::new(&opened.segments, opened.delivered, &opened.ahead);
        if opened.findings.is_empty() && backlog.unread_events() == 0 { opened.log.remove() } else { Ok(()) }
    };
    if let Err(failure) = remove() {
        warn!(dir = %dir.display(), error = %failure, "cannot remove an empty disk buffer; it is left");
    }
}
