//! What moved since the checkpoint file was written: a file that is only appended to, each line with a checksum.
//!
//! ```text
//! 5b1f0c22 {"version":1,"generation":7}
//! 01c2a3d4 {"unit":1,"moved":{"offset":4711,"size":4711,..}}
//! 9a0b17ee {"unit":2,"entry":{"sum":"77aa..","file":{..}}}
//! 77e0aa01 {"unit":0}
//! ```
//!
//! The journal of a generation goes on from the checkpoint file of that generation. The first line that is torn ends it: what is
//! behind was not synced either. Of two files, which are used in turn, one is the present generation's; while the checkpoint file of
//! the next one is being put in place, both are.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::account::{NumberedChange, UnitChange};
use super::entry::CheckpointEntry;
use super::fault::CheckpointError;

/// The version that is written, and the highest that is read.
const VERSION: u64 = 1;

/// The files' names in the state directory, used in turn.
const NAMES: [&str; 2] = ["checkpoints.journal-0", "checkpoints.journal-1"];

/// A journal as it was read.
#[derive(Debug)]
pub(super) struct ReadJournal {
    path: PathBuf,
    /// The checkpoint file that it goes on from.
    pub(super) generation: u64,
    /// Its whole lines, in order.
    pub(super) changes: Vec<NumberedChange>,
    /// Up to where they go.
    whole: u64,
}

#[derive(Deserialize)]
struct JournalHeader {
    version: u64,
    generation: u64,
}

#[derive(Deserialize)]
struct JournalLine<'a> {
    unit: u64,
    #[serde(borrow, default)]
    entry: Option<&'a RawValue>,
    #[serde(borrow, default)]
    moved: Option<&'a RawValue>,
}

impl ReadJournal {
    /// The journals in a state directory, the oldest first.
    pub(super) fn all(dir: &Path) -> Result<Vec<Self>, CheckpointError> {
        let mut found = Vec::new();
        for path in NAMES.map(|name| dir.join(name)) {
            match fs::read(&path) {
                Ok(bytes) => match Self::read(&path, &bytes) {
                    Ok(journal) => found.extend(journal),
                    Err(version) => return Err(CheckpointError::Version { path, version, known: VERSION }),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(CheckpointError::io("read", &path, source)),
            }
        }
        found.sort_unstable_by_key(|journal| journal.generation);
        Ok(found)
    }

    /// Reads the bytes of a file; none when not even its first line is whole.
    fn read(path: &Path, bytes: &[u8]) -> Result<Option<Self>, u64> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().and_then(checked);
        let header = first.and_then(|json| serde_json::from_str::<JournalHeader>(json).ok());
        let Some(JournalHeader { version, generation }) = header else { return Ok(None) };
        if version > VERSION {
            return Err(version);
        }
        let mut whole = bytes.split_inclusive(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
        let mut changes = Vec::new();
        for line in lines {
            let Some(change) = checked(line).and_then(change) else { break };
            changes.push(change);
            whole = whole.saturating_add(line.len());
        }
        Ok(Some(Self { path: path.to_owned(), generation, changes, whole: whole as u64 }))
    }
}

/// What a line says, without its checksum; none when it is torn.
fn checked(line: &[u8]) -> Option<&str> {
    let text = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, json) = text.split_once(' ')?;
    (sum == sum_of(json)).then_some(json)
}

fn sum_of(json: &str) -> String {
    format!("{:08x}", crc32c::crc32c(json.as_bytes()))
}

fn change(json: &str) -> Option<NumberedChange> {
    let JournalLine { unit, entry, moved } = serde_json::from_str(json).ok()?;
    let change = match (entry, moved) {
        (Some(entry), _) => UnitChange::Whole(CheckpointEntry::from_line(entry.get())?),
        (None, Some(moved)) => UnitChange::Moved(moved.to_owned()),
        (None, None) => UnitChange::Gone,
    };
    Some(NumberedChange { number: unit, change })
}

/// Makes units what they became. Returns the first number that none of the changes has.
pub(super) fn apply(changes: Vec<NumberedChange>, units: &mut BTreeMap<u64, CheckpointEntry>) -> u64 {
    let mut next = 0;
    for NumberedChange { number, change } in changes {
        next = number.saturating_add(1).max(next);
        match change {
            UnitChange::Whole(entry) => drop(units.insert(number, entry)),
            UnitChange::Moved(fields) => {
                if let Some(entry) = units.get_mut(&number)
                    && let Some(moved) = entry.with_fields(&fields)
                {
                    *entry = moved;
                }
            }
            UnitChange::Gone => drop(units.remove(&number)),
        }
    }
    next
}

/// A journal that is appended to.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    /// Where the next line goes: what is torn is written over.
    at: u64,
}

impl JournalFile {
    /// Goes on with a journal that was read. What is torn at its end is cut off.
    pub(super) fn go_on(read: &ReadJournal) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(&read.path)?;
        file.set_len(read.whole)?;
        Ok(Self { file, at: read.whole })
    }

    /// Begins the journal of a generation with these lines.
    pub(super) fn begin(dir: &Path, generation: u64, lines: &[u8]) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path(dir, generation))?;
        let mut text = Vec::with_capacity(lines.len().saturating_add(64));
        push(&format!(r#"{{"version":{VERSION},"generation":{generation}}}"#), &mut text);
        text.extend_from_slice(lines);
        let mut journal = Self { file, at: 0 };
        journal.append(&text)?;
        Ok(journal)
    }

    /// Appends lines, without waiting for the disk.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all_at(lines, self.at)?;
        self.at = self.at.saturating_add(lines.len() as u64);
        Ok(())
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.at
    }

    /// The same file, to be synced beside what is appended.
    pub(super) fn to_sync(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Where the journal of a generation is.
fn path(dir: &Path, generation: u64) -> PathBuf {
    let [even, odd] = NAMES;
    dir.join(if generation.is_multiple_of(2) { even } else { odd })
}

/// Removes journals that go on from no checkpoint file any more: all but that of this generation, if that is begun.
///
/// One that stays is not believed. It is removed the next time.
pub(super) fn remove_others(dir: &Path, generation: u64, is_begun: bool) {
    fs::remove_file(path(dir, generation.wrapping_add(1))).ok();
    if !is_begun {
        fs::remove_file(path(dir, generation)).ok();
    }
}

/// The lines that say what changed.
pub(super) fn lines(changes: &[NumberedChange]) -> Vec<u8> {
    let mut text = Vec::with_capacity(changes.len().saturating_mul(160));
    for NumberedChange { number, change } in changes {
        let json = match change {
            UnitChange::Whole(entry) => format!(r#"{{"unit":{number},"entry":{}}}"#, entry.to_line()),
            UnitChange::Moved(fields) => format!(r#"{{"unit":{number},"moved":{}}}"#, fields.get()),
            UnitChange::Gone => format!(r#"{{"unit":{number}}}"#),
        };
        push(&json, &mut text);
    }
    text
}

fn push(json: &str, text: &mut Vec<u8>) {
    for part in [&sum_of(json), " ", json, "\n"] {
        text.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moved(number: u64, offset: u64) -> NumberedChange {
        let fields = RawValue::from_string(format!(r#"{{"offset":{offset}}}"#)).unwrap();
        NumberedChange { number, change: UnitChange::Moved(fields) }
    }

    fn read(bytes: &[u8]) -> Option<ReadJournal> {
        ReadJournal::read(Path::new("journal"), bytes).unwrap()
    }

    fn written() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let changes = [moved(3, 1), moved(4, 22), NumberedChange { number: 3, change: UnitChange::Gone }];
        JournalFile::begin(folder.path(), 8, &lines(&changes)).unwrap();
        fs::read(path(folder.path(), 8)).unwrap()
    }

    #[test]
    fn a_later_version_is_refused() {
        let mut bytes = Vec::new();
        push(r#"{"version":2,"generation":1}"#, &mut bytes);
        assert_eq!(ReadJournal::read(Path::new("journal"), &bytes).unwrap_err(), 2);
    }

    proptest! {
        #[test]
        fn what_is_cut_off_or_changed_ends_it_and_costs_nothing_before(
            cut in any::<prop::sample::Index>(), bit in 0_u8..8, cuts: bool,
        ) {
            let whole = written();
            let mut bytes = whole.clone();
            let at = cut.index(bytes.len());
            if cuts {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            let before = whole[..at].iter().filter(|byte| **byte == b'\n').count();
            let found = read(&bytes);
            prop_assert_eq!(found.is_some(), before > 0);
            if let Some(found) = found {
                prop_assert_eq!(found.changes.len(), before - 1);
                prop_assert!(whole.starts_with(&bytes[..usize::try_from(found.whole).unwrap()]));
            }
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).is_none());
        }
    }
}
