//! What there is: folders, files, and what is in them. Reads only, also while a daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{files_in, folders_in, is_gone, open as open_file};
use super::progress::delivered_in;
use super::{FOLDER, LetterReader};
use crate::event::Timestamp;

/// What is in one folder.
#[derive(Debug, Default)]
pub struct FolderSummary {
    /// The sink, or `_SOURCE`.
    pub name: String,
    /// Its files, oldest first.
    pub files: Vec<FileSummary>,
    /// What cannot be read of it.
    pub unreadable: Vec<UnreadableFile>,
}

/// A file, or a folder, that is there and cannot be read.
#[derive(Debug)]
pub struct UnreadableFile {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// What is in one file.
#[derive(Clone, Debug, Default)]
pub struct FileSummary {
    /// Where it is.
    pub path: PathBuf,
    /// How large it is, in bytes.
    pub bytes: u64,
    /// Letters that are still to be delivered.
    pub letters: u64,
    /// The events in them.
    pub events: u64,
    /// Values that are no letters: torn or changed.
    pub damaged: u64,
    /// When the first of its letters was given up.
    pub oldest: Option<Timestamp>,
    /// How many letters there are for each reason.
    pub reasons: BTreeMap<String, u64>,
}

/// The names of the folders in a state directory: sinks, and sources with `_` before them.
///
/// # Errors
/// When the directory cannot be read; that there is none is no error.
pub fn folders(state: &Path) -> io::Result<Vec<String>> {
    folders_in(&state.join(FOLDER))
}

/// The files of one folder, oldest first.
///
/// # Errors
/// When the folder cannot be read; that there is none is no error.
pub fn files(state: &Path, folder: &str) -> io::Result<Vec<PathBuf>> {
    files_in(&state.join(FOLDER).join(folder))
}

/// Reads every letter of a folder that can be read. That a file was replayed and removed meanwhile is no matter.
#[must_use]
pub fn summary(state: &Path, folder: &str) -> FolderSummary {
    let mut summary = FolderSummary { name: folder.to_owned(), ..FolderSummary::default() };
    let paths = files(state, folder).unwrap_or_else(|error| {
        summary.unreadable.push(UnreadableFile { path: state.join(FOLDER).join(folder), error });
        Vec::new()
    });
    for path in paths {
        match FileSummary::read(path.clone(), &BTreeSet::new()) {
            Ok(file) => summary.files.push(file),
            Err(_) if is_gone(&path) => {}
            Err(error) => summary.unreadable.push(UnreadableFile { path, error }),
        }
    }
    summary
}

/// Opens a file of letters; none when it was replayed and removed meanwhile.
///
/// # Errors
/// When it is there and cannot be read.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    match open_file(path) {
        Err(_) if is_gone(path) => Ok(None),
        opened => opened.map(Some),
    }
}

/// The numbers of a file's letters that a replay has delivered already.
///
/// # Errors
/// When the notes about it cannot be read.
pub fn delivered(path: &Path) -> io::Result<BTreeSet<u64>> {
    delivered_in(path, fs::metadata(path)?.len())
}

impl FolderSummary {
    /// All of its files together.
    #[must_use]
    pub fn total(&self) -> FileSummary {
        self.files.iter().fold(FileSummary::default(), |mut total, file| {
            total.add(file);
            total
        })
    }
}

impl FileSummary {
    /// Adds what is in another file.
    pub fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.letters = self.letters.saturating_add(other.letters);
        self.events = self.events.saturating_add(other.events);
        self.damaged = self.damaged.saturating_add(other.damaged);
        self.oldest = match (self.oldest, other.oldest) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        for (reason, letters) in &other.reasons {
            let count = self.reasons.entry(reason.clone()).or_default();
            *count = count.saturating_add(*letters);
        }
    }

    /// Reads the letters of a file that have one of these reasons (none: all), also of a file outside a state directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: PathBuf, reasons: &BTreeSet<String>) -> io::Result<Self> {
        let file = open_file(&path)?;
        let bytes = file.metadata()?.len();
        let done = delivered_in(&path, bytes)?;
        let mut summary = Self { path, bytes, ..Self::default() };
        let mut reader = LetterReader::new(file)?;
        while let Some(entry) = reader.next_entry()? {
            if done.contains(&entry.number) {
                continue;
            }
            let Some(letter) = entry.letter else {
                summary.damaged = summary.damaged.saturating_add(1);
                continue;
            };
            if !reasons.is_empty() && !reasons.contains(&letter.reason) {
                continue;
            }
            summary.letters = summary.letters.saturating_add(1);
            summary.events = summary.events.saturating_add(letter.events);
            summary.oldest = Some(summary.oldest.map_or(letter.time, |oldest| oldest.min(letter.time)));
            let count = summary.reasons.entry(letter.reason).or_default();
            *count = count.saturating_add(1);
        }
        Ok(summary)
    }
}
