//! How far a file of letters was delivered again: noted beside it while it is replayed, so that a kill doubles little.
//!
//! `FILE.delivered` holds the size of the file that it belongs to, and ranges of the letters that are done:
//!
//! ```text
//! delivered 1048576
//! 0 117
//! 118 120
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::files;
use super::store::{self, LockOutcome};
use super::{LetterEntry, LetterReader};
use crate::event::{Acknowledge, Outcome};
use crate::sync::Lock;

/// One file while it is replayed. It is locked for as long as this lives.
#[derive(Debug)]
pub struct ReplayProgress {
    path: PathBuf,
    _lock: File,
    size: u64,
    /// Whether it is a file of standpipe's own, which is removed once everything in it was delivered.
    own: bool,
    /// The lock covers a change of the sets; a save writes outside of it.
    state: Lock<ReplayedLetters>,
    /// Where it is noted, once it is. The lock covers a write.
    notes: Lock<Option<File>>,
}

#[derive(Debug, Default)]
struct ReplayedLetters {
    done: BTreeSet<u64>,
    /// Of these, those that are not on disk yet.
    fresh: BTreeSet<u64>,
    under_way: u64,
    /// How many ended well since [`ReplayProgress::begin`].
    ended_well: u64,
    read: bool,
    /// Not all of it can be read: what is left of it cannot be told.
    is_unreadable: bool,
}

/// A file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The file, or what is noted about it, cannot be used.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The notes are about another content.
    #[error("`{}` belongs to other content of that file: remove it to deliver the whole file", path.display())]
    Changed {
        /// The file with the notes.
        path: PathBuf,
    },
}

impl ReplayProgress {
    /// Takes a file, if no other process has it. `own` says that it belongs to a state directory.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn begin(path: &Path, own: bool) -> Result<Option<Self>, ProgressError> {
        let failed = |action| move |source| ProgressError::Io { action, path: path.to_owned(), source };
        let file = match files::open(path) {
            Err(_) if own && files::is_gone(path) => return Ok(None),
            opened => opened.map_err(failed("read"))?,
        };
        if store::lock(&file).map_err(failed("lock"))? != LockOutcome::Ours {
            return Ok(None);
        }
        let size = file.metadata().map_err(failed("read"))?.len();
        let done = match notes_in(path).map_err(failed("read the notes of"))? {
            // Of an own file they are left over: it was replaced by what was left of it, and the notes were not removed yet.
            Some(notes) if notes.size != size && !own => {
                return Err(ProgressError::Changed { path: notes_path(path) });
            }
            Some(notes) if notes.size == size => notes.done,
            Some(_) | None => BTreeSet::new(),
        };
        let state = Lock::new(ReplayedLetters { done, ..ReplayedLetters::default() });
        Ok(Some(Self { path: path.to_owned(), _lock: file, size, own, state, notes: Lock::new(None) }))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How large the file is, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the file from its beginning.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn reader(&self) -> io::Result<LetterReader> {
        LetterReader::new(File::open(&self.path)?)
    }

    /// Notes that a letter goes on its way; false when it was delivered before.
    #[must_use]
    pub fn set_out(&self, number: u64) -> bool {
        let mut state = self.state();
        let goes = !state.done.contains(&number);
        state.under_way = state.under_way.saturating_add(u64::from(goes));
        goes
    }

    /// Notes that every letter that is to go has gone.
    pub fn set_read(&self) {
        self.state().read = true;
    }

    /// Notes that the rest of the file cannot be read: it stays as it is.
    pub fn set_unreadable(&self) {
        self.state().is_unreadable = true;
    }

    /// Whether every letter that went has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let state = self.state();
        state.read && state.under_way == 0
    }

    /// How many letters were delivered, or kept anew, since this began.
    #[must_use]
    pub fn ended_well(&self) -> u64 {
        self.state().ended_well
    }

    /// Writes what was delivered since the last time, and returns once it is on disk. Blocks.
    ///
    /// # Errors
    /// When it is not; it is written again next time.
    pub fn save(&self) -> Result<(), ProgressError> {
        let path = notes_path(&self.path);
        let failed = |source| ProgressError::Io { action: "write", path: path.clone(), source };
        let mut notes = self.notes.lock();
        let (fresh, all) = {
            let mut state = self.state();
            if state.fresh.is_empty() {
                return Ok(());
            }
            (
                std::mem::take(&mut state.fresh),
                if notes.is_none() { state.done.clone() } else { BTreeSet::new() },
            )
        };
        let written = match notes.take() {
            Some(mut file) => append(&mut file, &ranges(&fresh)).map(|()| file),
            // Written anew, since the end of the old ones may be torn.
            None => self.write_anew(&path, &all),
        };
        match written {
            Ok(file) => {
                *notes = Some(file);
                Ok(())
            }
            Err(error) => {
                self.state().fresh.extend(fresh);
                Err(failed(error))
            }
        }
    }

    fn write_anew(&self, path: &Path, done: &BTreeSet<u64>) -> io::Result<File> {
        let text = format!("{HEADER}{}\n{}", self.size, ranges(done));
        store::replace(path, |file| file.write_all(text.as_bytes()))?;
        OpenOptions::new().append(true).open(path)
    }

    /// Takes out of the file what was delivered, and removes it when nothing is left. Blocks.
    ///
    /// A file that is not standpipe's own is left as it is, with the notes beside it.
    ///
    /// # Errors
    /// When the disk refuses; what was delivered is noted or delivered again.
    pub fn finish(&self) -> Result<(), ProgressError> {
        self.save()?;
        if !self.own || self.state().is_unreadable {
            return Ok(());
        }
        let failed = |source| ProgressError::Io { action: "clear", path: self.path.clone(), source };
        let done = self.state().done.clone();
        let mut left = 0;
        let mut damaged = Vec::new();
        for_each_left(&self.path, &done, |entry| {
            match entry.letter {
                Some(_) => left += 1,
                None => damaged.extend([entry.raw.as_slice(), b"\n"].concat()),
            }
            Ok(())
        })
        .map_err(failed)?;
        if !damaged.is_empty() {
            store::keep_aside(&self.path.with_extension("corrupt"), &damaged).map_err(failed)?;
        }
        if left == 0 {
            fs::remove_file(&self.path).map_err(failed)?;
        } else if !done.is_empty() || !damaged.is_empty() {
            self.keep_what_is_left(&done).map_err(failed)?;
        }
        match fs::remove_file(notes_path(&self.path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Err(_) | Ok(()) => {}
        }
        store::sync_folder(&self.path).map_err(failed)
    }

    fn keep_what_is_left(&self, done: &BTreeSet<u64>) -> io::Result<()> {
        store::replace(&self.path, |file| {
            let mut out = io::BufWriter::new(file);
            for_each_left(&self.path, done, |entry| {
                if entry.letter.is_none() {
                    return Ok(());
                }
                out.write_all(&entry.raw)?;
                out.write_all(b"\n")
            })?;
            out.flush()
        })
    }

    fn state(&self) -> MutexGuard<'_, ReplayedLetters> {
        self.state.lock()
    }
}

impl Acknowledge for ReplayProgress {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        debug_assert!(state.under_way > 0, "more letters ended than went");
        state.under_way = state.under_way.saturating_sub(1);
        if outcome == Outcome::Done {
            state.ended_well = state.ended_well.saturating_add(1);
            state.done.insert(number);
            state.fresh.insert(number);
        }
    }
}

/// The letters of a file that a replay has delivered already.
pub(super) fn delivered_in(path: &Path, size: u64) -> io::Result<BTreeSet<u64>> {
    let notes = notes_in(path)?.filter(|notes| notes.size == size);
    Ok(notes.map(|notes| notes.done).unwrap_or_default())
}

struct DeliveredNotes {
    size: u64,
    done: BTreeSet<u64>,
}

const HEADER: &str = "delivered ";

fn notes_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".delivered");
    name.into()
}

fn notes_in(path: &Path) -> io::Result<Option<DeliveredNotes>> {
    match fs::read(notes_path(path)) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads notes; a torn last line says nothing.
fn parse(text: &str) -> Option<DeliveredNotes> {
    let (whole, _torn) = text.rsplit_once('\n')?;
    let mut lines = whole.lines();
    let size = lines.next()?.strip_prefix(HEADER)?.parse().ok()?;
    let mut done = BTreeSet::new();
    for line in lines {
        if let Some((from, to)) = range(line) {
            done.extend(from..to);
        }
    }
    Some(DeliveredNotes { size, done })
}

/// A range that a file can have; a longer one was not written by us.
fn range(line: &str) -> Option<(u64, u64)> {
    const MOST: u64 = 1 << 32;
    let (from, to) = line.split_once(' ')?;
    let range = (from.parse().ok()?, to.parse().ok()?);
    (range.1 < MOST).then_some(range)
}

/// Numbers as ranges, one a line.
fn ranges(numbers: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        let next = number.saturating_add(1);
        match ranges.last_mut() {
            Some((_, to)) if *to == *number => *to = next,
            Some(_) | None => ranges.push((*number, next)),
        }
    }
    let lines: Vec<String> = ranges.iter().map(|(from, to)| format!("{from} {to}\n")).collect();
    lines.concat()
}

fn append(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn for_each_left(
    path: &Path,
    done: &BTreeSet<u64>,
    mut each: impl FnMut(LetterEntry) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = LetterReader::new(File::open(path)?)?;
    while let Some(entry) = reader.next_entry()? {
        if !done.contains(&entry.number) {
            each(entry)?;
        }
    }
    Ok(())
}
