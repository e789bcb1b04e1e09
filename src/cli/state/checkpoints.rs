//! Checkpoints, shown: how far each file was delivered, and how much is left.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::journals::{self, ShownJournal};
use super::log_groups::{self, ShownGroup};
use super::objects::ShownObjects;
use super::rows::table_or_none;
use super::shards::{self, ShownShard};
use crate::ack::{CheckpointEntry, Checkpoints};
use crate::cli::table;
use crate::event::Timestamp;
use crate::source::file::{FilePosition, is_compressed_name};

/// One file's checkpoint, and the file as it is now.
pub(super) struct ShownCheckpoint {
    pub(super) source: Arc<str>,
    position: FilePosition,
    now: FileNow,
}

/// The file as it is now.
enum FileNow {
    /// It has so many bytes.
    There(u64),
    /// Offsets of a compressed file are of its plain text: what is left cannot be told without decompressing it.
    Compressed,
    /// No file of that inode is at the path; it may have been renamed since.
    Elsewhere,
}

impl ShownCheckpoint {
    fn new(source: Arc<str>, position: FilePosition) -> Self {
        let place = &position.location;
        let now = match fs::metadata(&place.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) != (place.device, place.inode) => {
                FileNow::Elsewhere
            }
            Ok(_) if is_compressed_name(&place.path) => FileNow::Compressed,
            Ok(metadata) => FileNow::There(metadata.len()),
            Err(_) => FileNow::Elsewhere,
        };
        Self { source, position, now }
    }

    fn left(&self) -> Option<u64> {
        match self.now {
            FileNow::There(size) => Some(size.saturating_sub(self.position.mark.offset)),
            FileNow::Compressed | FileNow::Elsewhere => None,
        }
    }

    pub(super) fn json(&self) -> Value {
        let position = &self.position;
        json!({
            "source": &*self.source,
            "file": position.location.path.to_string_lossy(),
            "first_seen_as": &*position.origin,
            "device": position.location.device,
            "inode": position.location.inode,
            "offset": position.mark.offset,
            "left": self.left(),
            "moved": position.time.to_rfc3339(),
        })
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let position = &self.position;
        let left = match self.now {
            FileNow::There(_) => table::size(self.left().unwrap_or_default()),
            FileNow::Compressed => "compressed".to_owned(),
            FileNow::Elsewhere => "moved or gone".to_owned(),
        };
        vec![
            self.source.to_string(),
            position.location.path.display().to_string(),
            position.mark.offset.to_string(),
            left,
            table::age(position.time, now),
        ]
    }
}

/// The checkpoints of all sources, or of one.
pub(super) fn read(dir: &Path, source: Option<&str>) -> Result<Vec<ShownCheckpoint>, StateCommandError> {
    let entries = Checkpoints::list(dir)?.entries.into_iter();
    let of_file =
        |entry: CheckpointEntry| Some((Arc::clone(&entry.source), entry.position::<FilePosition>()?));
    let mut found: Vec<_> = entries.filter_map(of_file).collect();
    found.retain(|(name, _)| source.is_none_or(|source| **name == *source));
    found.sort_by(|(a, first), (b, second)| (a, &first.location.path).cmp(&(b, &second.location.path)));
    Ok(found.into_iter().map(|(source, position)| ShownCheckpoint::new(source, position)).collect())
}

pub(super) fn table(checkpoints: &[ShownCheckpoint], out: &mut impl Write) -> Result<(), StateCommandError> {
    let now = Timestamp::now();
    let mut rows = vec![table::row(["source", "file", "delivered to byte", "left", "moved ago"])];
    rows.extend(checkpoints.iter().map(|checkpoint| checkpoint.row(now)));
    table_or_none(&rows, out)
}

pub(super) fn show(
    dir: &Path,
    source: Option<&str>,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), StateCommandError> {
    let (checkpoints, groups) = (read(dir, source)?, log_groups::read(dir, source)?);
    let (objects, shards) = (ShownObjects::read(dir, source)?, shards::read(dir, source)?);
    let journals = journals::read(dir, source)?;
    let is_other = !groups.is_empty() || !objects.is_empty() || !shards.is_empty() || !journals.is_empty();
    if let Some(name) = source.filter(|_| checkpoints.is_empty() && !is_other) {
        return Err(unknown(dir, name)?);
    }
    if as_json {
        let shown = checkpoints.iter().map(ShownCheckpoint::json).chain(groups.iter().map(ShownGroup::json));
        let shown = shown.chain(objects.objects_json()).chain(objects.buckets_json());
        let shown = shown.chain(shards.iter().map(ShownShard::json));
        let mut shown = shown.chain(journals.iter().map(ShownJournal::json));
        return shown.try_for_each(|shown| {
            writeln!(out, "{shown}")?;
            Ok(())
        });
    }
    if !checkpoints.is_empty() || !is_other {
        table(&checkpoints, out)?;
    }
    if !groups.is_empty() {
        log_groups::table(&groups, out)?;
    }
    objects.tables(out)?;
    shards::table(&shards, out)?;
    journals::table(&journals, out)
}

/// The error about a source that has no checkpoints.
pub(super) fn unknown(dir: &Path, name: &str) -> Result<StateCommandError, StateCommandError> {
    let mut known: Vec<String> = read(dir, None)?.iter().map(|found| found.source.to_string()).collect();
    known.extend(log_groups::read(dir, None)?.iter().map(|found| found.source.to_string()));
    known.extend(ShownObjects::read(dir, None)?.sources());
    known.extend(shards::read(dir, None)?.iter().map(|found| found.source.to_string()));
    known.extend(journals::read(dir, None)?.iter().map(|found| found.source.to_string()));
    known.dedup();
    Ok(StateCommandError::Unknown {
        what: "checkpoint of a source",
        name: name.to_owned(),
        dir: dir.to_owned(),
        known,
    })
}
