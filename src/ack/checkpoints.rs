//! The checkpoint file: one JSON document, written whole and put in place by a rename.
//!
//! A plain file was chosen over an embedded store because the whole state is small and is only ever read at start: about
//! 330 bytes a file, so 10,000 files are 3.3 MB (a test holds the figure). Lines that did not change are not written anew
//! but copied from memory, so a save is one write and one fsync: 22 ms when all of 10,000 files moved, 10 ms when one did,
//! in a debug build on two shared cores. At one save a second, and none while nothing moves, that is less than an embedded
//! store's log and compaction would bring along; and it cannot be torn by a kill, can be read with `jq`, and needs no
//! repair tool.
//!
//! ```text
//! {"version":1,"files":[
//! {"sum":"0b2c..","file":{"source":"app","path":"/var/log/app.log",..}},
//! {"sum":"77aa..","file":{..}}
//! ]}
//! ```
//!
//! The document is JSON as a whole, and each line can be checked alone: what a bad disk leaves is kept, line by line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tracing::warn;

use super::account::{LocalAccount, LocalUnits};
use super::entry::{CheckpointEntry, LocalPosition};

/// The positions that the state directory keeps for all sources, and the file they are kept in.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    units: Arc<LocalUnits>,
    /// Held through a save, so that two never write the same temporary file.
    saving: Mutex<()>,
    /// Whether the last save failed, so that it is said once and not every second.
    failing: AtomicBool,
}

/// Why the checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The directory or the file cannot be used.
    #[error("cannot {action} `{}`: check that it belongs to standpipe's user", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file was written by a later version.
    #[error("`{}` has version {version}, this standpipe reads version {VERSION}: use the newer one, or move the file away to start over", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
}

/// What a checkpoint file holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its whole entries.
    pub entries: Vec<CheckpointEntry>,
    /// How many lines were torn or changed, or are missing at the end.
    pub damaged: usize,
}

impl Listing {
    /// The whole entries of a file.
    ///
    /// # Errors
    /// The file's version, when it was written by a later one.
    pub fn read(bytes: &[u8]) -> Result<Self, u64> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let mut listing = Self::default();
        match lines.next().and_then(version) {
            Some(VERSION) => {}
            Some(other) if other > VERSION => return Err(other),
            _ => listing.damaged = 1,
        }
        let mut closed = false;
        for line in lines {
            closed = line == "]}";
            if closed || line.is_empty() {
                continue;
            }
            match CheckpointEntry::from_line(line.strip_suffix(',').unwrap_or(line)) {
                Some(entry) => listing.entries.push(entry),
                None => listing.damaged = listing.damaged.saturating_add(1),
            }
        }
        if !closed {
            listing.damaged = listing.damaged.max(1);
        }
        Ok(listing)
    }
}

impl Checkpoints {
    /// Reads the checkpoints in a state directory, which is made if it is missing.
    ///
    /// A torn or corrupt file is kept aside as `checkpoints.json.corrupt`; its whole entries are used.
    pub fn open(dir: &Path) -> Result<Arc<Self>, CheckpointError> {
        fs::create_dir_all(dir).map_err(|source| io_error("make", dir, source))?;
        let listing = Self::list(dir)?;
        let units = Arc::new(LocalUnits::default());
        for entry in listing.entries {
            units.add(entry);
        }
        if listing.damaged > 0 {
            keep_aside(dir);
            units.dirty.store(true, Ordering::Release);
        }
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            units,
            saving: Mutex::new(()),
            failing: AtomicBool::new(false),
        }))
    }

    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the checkpoints in a state directory and changes nothing, also while a daemon runs.
    pub fn list(dir: &Path) -> Result<Listing, CheckpointError> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => Listing::read(&bytes).map_err(|version| CheckpointError::Version { path, version }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Listing::default()),
            Err(error) => Err(io_error("read", &path, error)),
        }
    }

    /// Makes everything as it is after a start: what sources had under way is to be read again, and may end unnoticed.
    pub fn renew(&self) {
        self.units.renew();
    }

    /// Writes the checkpoints if anything changed since the last save. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk refuses; everything is still to be saved then.
    pub fn save(&self) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.units.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let saved = self.text().and_then(|text| replace(&self.dir, &text));
        self.report(&saved);
        saved
    }

    fn report(&self, saved: &io::Result<()>) {
        let failed_before = self.failing.swap(saved.is_err(), Ordering::AcqRel);
        if let Err(error) = saved {
            self.units.dirty.store(true, Ordering::Release);
            if !failed_before {
                warn!(dir = %self.dir.display(), %error, "cannot save checkpoints; trying again later");
            }
        }
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let units = self.units.all();
        let mut text = Vec::with_capacity(units.len().saturating_mul(384).saturating_add(64));
        text.extend_from_slice(HEADER.as_bytes());
        for (index, unit) in units.iter().enumerate() {
            text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
            text.extend_from_slice(unit.line()?.as_bytes());
        }
        text.extend_from_slice(FOOTER.as_bytes());
        Ok(text)
    }
}

impl Checkpoints {
    /// What an earlier run left of a source, of one kind. Each unit is given once.
    #[must_use]
    pub fn stored<P: LocalPosition>(&self, source: &str) -> Vec<Arc<LocalAccount<P>>> {
        self.units.claim(source)
    }

    /// Begins to keep a unit's position.
    pub fn begin<P: LocalPosition>(&self, source: &str, position: P) -> Arc<LocalAccount<P>> {
        self.units.open(source, position)
    }
}

/// Puts a new file in the old one's place, durably: either is whole after a crash.
fn replace(dir: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = dir.join(TEMPORARY);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

/// A copy is kept, so that the whole entries stay in place if standpipe ends before its first save. That the copy cannot be
/// made is no reason not to start.
fn keep_aside(dir: &Path) {
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

fn version(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Header {
        version: u64,
    }
    let header: Header = serde_json::from_str(&format!("{line}]}}")).ok()?;
    Some(header.version)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { action, path: path.to_owned(), source }
}

const VERSION: u64 = 1;
const HEADER: &str = r#"{"version":1,"files":["#;
const FOOTER: &str = "\n]}\n";
const NAME: &str = "checkpoints.json";
const TEMPORARY: &str = "checkpoints.json.new";
const CORRUPT: &str = "checkpoints.json.corrupt";

#[cfg(test)]
#[path = "checkpoints_tests.rs"]
mod tests;
