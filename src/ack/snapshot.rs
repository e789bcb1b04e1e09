//! The checkpoint file: one JSON document, written whole and put in place by a rename.
//!
//! ```text
//! {"version":1,"generation":7,"units":[[0,2]],"files":[
//! {"sum":"0b2c..","file":{"source":"app","path":"/var/log/app.log",..}},
//! {"sum":"77aa..","file":{..}}
//! ]}
//! ```
//!
//! The document is JSON as a whole, can be read with `jq`, and each line can be checked alone: what a bad disk leaves is kept, line by
//! line. `units` are the numbers of the lines, which the journal refers to by them: here two, from 0 on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Deserialize;
use tracing::warn;

use super::entry::CheckpointEntry;

/// What a checkpoint file holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its whole entries.
    pub entries: Vec<CheckpointEntry>,
    /// How many lines were torn or changed, or are missing at the end.
    pub damaged: usize,
}

/// A checkpoint file as it was read.
#[derive(Debug, Default)]
pub(super) struct CheckpointSnapshot {
    /// Tells which journal goes on from here; none: no journal does.
    pub(super) generation: Option<u64>,
    /// Its whole entries, by number.
    pub(super) units: BTreeMap<u64, CheckpointEntry>,
    /// The first number that none ever had.
    pub(super) next: u64,
    /// How many lines were torn or changed, or are missing at the end.
    pub(super) damaged: usize,
    /// Its size.
    pub(super) bytes: u64,
}

/// The first line of the file, with the document closed behind it.
#[derive(Deserialize)]
struct SnapshotHeader {
    version: u64,
    generation: Option<u64>,
    /// Runs of numbers: the first, and how many.
    #[serde(default)]
    units: Vec<(u64, u64)>,
}

/// The version that is written, and the highest that is read.
pub(super) const VERSION: u64 = 1;
const FOOTER: &str = "]}";

/// The file's name in the state directory.
pub(super) const NAME: &str = "checkpoints.json";
const TEMPORARY: &str = "checkpoints.json.new";
pub(super) const CORRUPT: &str = "checkpoints.json.corrupt";

impl Listing {
    /// The whole entries of a file.
    ///
    /// # Errors
    /// The file's version, when it was written by a later one.
    pub fn read(bytes: &[u8]) -> Result<Self, u64> {
        let CheckpointSnapshot { units, damaged, .. } = CheckpointSnapshot::read(bytes)?;
        Ok(Self { entries: units.into_values().collect(), damaged })
    }
}

impl CheckpointSnapshot {
    /// Reads a file.
    ///
    /// # Errors
    /// The file's version, when it was written by a later one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, u64> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if let Some(version) = later_version(first) {
            return Err(version);
        }
        let header = SnapshotHeader::read(first);
        let mut damaged = usize::from(header.is_none());
        let (mut entries, mut is_closed) = (Vec::new(), false);
        for line in lines {
            is_closed = line == FOOTER;
            if !is_closed && !line.is_empty() {
                let entry = CheckpointEntry::from_line(line.strip_suffix(',').unwrap_or(line));
                damaged = damaged.saturating_add(usize::from(entry.is_none()));
                entries.push(entry);
            }
        }
        if !is_closed {
            damaged = damaged.max(1);
        }
        let generation = header.as_ref().and_then(|header| header.generation);
        let (units, next) = number(entries, header.as_ref());
        Ok(Self { generation, units, next, damaged, bytes: bytes.len() as u64 })
    }
}

impl SnapshotHeader {
    fn read(line: &str) -> Option<Self> {
        let header: Self = serde_json::from_str(&format!("{line}{FOOTER}")).ok()?;
        (header.version == VERSION).then_some(header)
    }

    /// The numbers of so many lines, in ascending order; none when they are those of other lines.
    fn numbers(&self, lines: usize) -> Option<Vec<u64>> {
        let (mut count, mut end) = (0u64, 0u64);
        for (first, run) in &self.units {
            count = count.checked_add(*run)?;
            end = (*first >= end).then(|| first.checked_add(*run))??;
        }
        let run = |(first, count): &(u64, u64)| *first..first.saturating_add(*count);
        (count == lines as u64).then(|| self.units.iter().flat_map(run).collect())
    }
}

/// Gives the lines of a file their numbers; where they are not known, numbers that no journal refers to.
fn number(
    entries: Vec<Option<CheckpointEntry>>,
    header: Option<&SnapshotHeader>,
) -> (BTreeMap<u64, CheckpointEntry>, u64) {
    let ends = header.into_iter().flat_map(|header| &header.units);
    let next = ends.map(|(first, count)| first.saturating_add(*count)).max().unwrap_or(0);
    let lines = entries.len();
    let known = header.and_then(|header| header.numbers(lines));
    let unknown = || (0..lines as u64).map(|line| next.saturating_add(line)).collect();
    let numbers = known.unwrap_or_else(unknown);
    let next = numbers.iter().map(|number| number.saturating_add(1)).max().unwrap_or(0).max(next);
    let units = numbers.into_iter().zip(entries).filter_map(|(number, entry)| Some((number, entry?)));
    (units.collect(), next)
}

/// The version at the front of a document, if it is later than what is known: whatever stands behind it.
fn later_version(line: &str) -> Option<u64> {
    let rest = line.trim_start().strip_prefix(r#"{"version":"#)?.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, behind) = rest.split_at_checked(end)?;
    let version = digits.parse().ok()?;
    (version > VERSION && behind.trim_start().starts_with([',', '}'])).then_some(version)
}

/// Makes the file that is to take the old one's place, durably, with the units of these numbers, in ascending order. Returns its size.
///
/// An entry is made when it is written: all at once would take as much memory as the file has.
pub(super) fn prepare(
    dir: &Path,
    generation: u64,
    numbers: impl Iterator<Item = u64>,
    entries: impl Iterator<Item = io::Result<CheckpointEntry>>,
) -> io::Result<u64> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(dir.join(TEMPORARY))?;
    let mut text = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
    let units = serde_json::to_string(&runs(numbers))?;
    write!(text, r#"{{"version":{VERSION},"generation":{generation},"units":{units},"files":["#)?;
    let mut separator = "\n";
    for entry in entries {
        write!(text, "{separator}{}", entry?.to_line())?;
        separator = ",\n";
    }
    writeln!(text, "\n{FOOTER}")?;
    let file = text.into_inner().map_err(IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Ascending numbers as runs: the first, and how many.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs = Vec::<(u64, u64)>::new();
    for number in numbers {
        match runs.last_mut() {
            Some((first, count)) if first.saturating_add(*count) == number => {
                *count = count.saturating_add(1);
            }
            _ => runs.push((number, 1)),
        }
    }
    runs
}

const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// Puts it there, durably: either is whole after a crash.
pub(super) fn put_in_place(dir: &Path) -> io::Result<()> {
    fs::rename(dir.join(TEMPORARY), dir.join(NAME))?;
    sync_dir(dir)
}

/// Returns when the names of the directory's files are on disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A copy is kept, so that the whole entries stay in place if standpipe ends before its first save. That the copy cannot be
/// made is no reason not to start.
pub(super) fn keep_aside(dir: &Path) {
    let (path, aside) = (dir.join(NAME), dir.join(CORRUPT));
    match fs::copy(&path, &aside) {
        Ok(_) => {
            warn!(path = %path.display(), kept = %aside.display(), "checkpoints are damaged; intact entries are used");
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "checkpoints are damaged, and the file cannot be set aside; intact entries are used");
        }
    }
}
