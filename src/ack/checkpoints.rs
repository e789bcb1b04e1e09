//! The positions that the state directory keeps, in two files: a checkpoint file that is written whole and synced, and a journal of
//! what moved since.
//!
//! A line of the journal is written as soon as a position has moved, without waiting for the disk: that survives a kill. Once a second the
//! journal is synced: that survives a power cut. Both cost in proportion to what moved. When the journal has become larger than the
//! checkpoint file, and at a stop, that file is written anew. At a start the journal is believed as far as its lines are whole.
//!
//! Plain files were chosen over an embedded store because the whole state is small and is only ever read at start: about 330 bytes a
//! file, so 10,000 files are 3.3 MB (a test holds the figure). They can be read with `jq`, and need no repair tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::account::{LocalAccount, LocalUnits, NumberedChange};
use super::entry::{CheckpointEntry, LocalPosition};
use super::fault::CheckpointError;
use super::journal::{self, JournalFile, ReadJournal};
use super::snapshot::{self, CheckpointSnapshot, Listing, NAME};

/// The positions that the state directory keeps for all sources, and the files they are kept in.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    units: Arc<LocalUnits>,
    /// Held while the checkpoint file is written, so that two never write the same temporary file.
    saving: Mutex<()>,
    /// The lock covers an append, which does not wait for the disk.
    journal: Mutex<JournalState>,
    /// Whether the last save failed, so that it is said once and not every second.
    failing: AtomicBool,
}

/// What the checkpoint file and the journal have to do with one another.
#[derive(Debug, Default)]
struct JournalState {
    /// The latest generation of either file.
    generation: u64,
    /// A checkpoint file is in place that the journal goes on from, maybe with the journal of the generation before between them.
    has_base: bool,
    /// The checkpoint file of this generation is not in place yet.
    is_begun: bool,
    /// It is to be written anew: one file or the other is of no use.
    is_due: bool,
    /// None: nothing has moved since the checkpoint file was written.
    open: Option<JournalFile>,
    /// The checkpoint file's size.
    snapshot_bytes: u64,
    unsynced: UnsyncedPart,
    /// Lines that were appended since the checkpoint file began to be written anew are for these units.
    since: BTreeSet<u64>,
}

/// What of a journal is not synced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum UnsyncedPart {
    #[default]
    Nothing,
    /// Lines.
    Lines,
    /// Lines, and its name.
    File,
}

/// A journal with lines that are not on disk.
struct UnsyncedJournal {
    file: File,
    is_new: bool,
}

/// A journal may become so large before the checkpoint file is written anew, and always as large as that file.
const SMALL_JOURNAL: u64 = 1024 * 1024;

/// So many times as large, since the checkpoint file cannot be written, and nothing is appended any more.
const MOST_TIMES: u64 = 8;

impl Checkpoints {
    /// Reads the checkpoints in a state directory, which is made if it is missing.
    ///
    /// A torn or corrupt file is kept aside as `checkpoints.json.corrupt`; its whole entries are used.
    pub fn open(dir: &Path) -> Result<Arc<Self>, CheckpointError> {
        fs::create_dir_all(dir).map_err(|source| CheckpointError::io("make", dir, source))?;
        let (snapshot, mut journals) = read(dir)?;
        // Not that of any journal: the first new one is not to be taken for it.
        let newest = journals.last().map_or(0, |journal| journal.generation);
        keep_those_of(&snapshot, &mut journals);
        let mut state = JournalState {
            generation: snapshot.generation.unwrap_or(0).max(newest),
            snapshot_bytes: snapshot.bytes,
            ..JournalState::default()
        };
        let is_damaged = snapshot.damaged > 0;
        if let Some(generation) = snapshot.generation.filter(|_| !is_damaged) {
            state.go_on(generation, journals.last());
        }
        let (units, next) = merge(snapshot, journals);
        if is_damaged {
            snapshot::keep_aside(dir);
            state.is_due = true;
        }
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            units: Arc::new(LocalUnits::of_earlier_run(units, next)),
            saving: Mutex::new(()),
            journal: Mutex::new(state),
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
        let (snapshot, mut journals) = read(dir)?;
        keep_those_of(&snapshot, &mut journals);
        let damaged = snapshot.damaged;
        let (units, _) = merge(snapshot, journals);
        Ok(Listing { entries: units.into_values().collect(), damaged })
    }

    /// Makes everything as it is after a start: what sources had under way is to be read again, and may end unnoticed.
    pub fn renew(&self) {
        self.units.renew();
    }

    /// Resolves when there is something to record. Cancel-safe.
    pub async fn changed(&self) {
        self.units.changed().await;
    }

    /// Writes down what moved, without waiting for the disk: a kill takes nothing of it, a power cut may. Blocks on the file system.
    ///
    /// # Errors
    /// When it cannot be written; all of it is still to be written down then.
    pub fn record(&self) -> io::Result<()> {
        if !self.units.have_changed() {
            return Ok(());
        }
        let mut journal = self.journal();
        if !journal.has_base || journal.is_large(MOST_TIMES) {
            drop(journal);
            return self.write_snapshot();
        }
        self.append(&mut journal, BTreeSet::new())
    }

    /// Returns when what was recorded is on disk, and so survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses; all of it is still to be saved then.
    pub fn sync(&self) -> io::Result<()> {
        let unsynced = self.journal().take_unsynced()?;
        if let Some(journal) = unsynced {
            let synced = journal.sync(&self.dir);
            if synced.is_err() || !self.is_in_place(&journal.file) {
                self.journal().leave();
            }
        }
        if self.journal().needs_snapshot() { self.write_snapshot() } else { Ok(()) }
    }

    /// Writes the checkpoint file anew, if anything moved since it was written. Blocks on the disk.
    ///
    /// # Errors
    /// When neither that nor the journal is on disk; everything is still to be saved then.
    pub fn save(&self) -> io::Result<()> {
        let is_saved = {
            let journal = self.journal();
            !self.units.have_changed() && journal.open.is_none() && !journal.needs_snapshot()
        };
        if is_saved {
            return Ok(());
        }
        self.write_snapshot().or_else(|failed| if self.save_journal() { Ok(()) } else { Err(failed) })
    }

    /// Whether everything is on disk by the journal.
    fn save_journal(&self) -> bool {
        let unsynced = {
            let mut journal = self.journal();
            if !journal.has_base || self.append(&mut journal, BTreeSet::new()).is_err() {
                return false;
            }
            journal.take_unsynced()
        };
        match unsynced {
            Ok(Some(journal)) => journal.sync(&self.dir).is_ok() && self.is_in_place(&journal.file),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn write_snapshot(&self) -> io::Result<()> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = self.replace();
        let failed_before = self.failing.swap(saved.is_err(), Ordering::AcqRel);
        if let Err(error) = &saved
            && !failed_before
        {
            warn!(dir = %self.dir.display(), %error, "cannot save checkpoints; trying again later");
        }
        saved
    }

    /// Puts a new checkpoint file in place, and a new journal beside it for what moves meanwhile.
    ///
    /// Whatever the moment of a crash, one of the files stands with the journals that go on from it: each line of the new journal is
    /// as new as the new file or newer, and until that is in place, both journals go on from the old one.
    fn replace(&self) -> io::Result<()> {
        let (generation, drained) = self.begin_snapshot()?;
        self.write_generation(generation).inspect_err(|_| self.units.put_back(&drained))
    }

    fn write_generation(&self, generation: u64) -> io::Result<()> {
        let unsynced = self.journal().take_unsynced()?;
        unsynced.map_or(Ok(()), |journal| journal.sync(&self.dir))?;
        let units = self.units.all();
        let numbers = units.iter().map(|(number, _)| *number);
        let entries = units.iter().map(|(_, unit)| Ok(unit.entry()?));
        let bytes = snapshot::prepare(&self.dir, generation, numbers, entries)?;
        let unsynced = self.begin_generation(generation)?;
        unsynced.map_or(Ok(()), |journal| journal.sync(&self.dir))?;
        snapshot::put_in_place(&self.dir)?;
        let mut journal = self.journal();
        (journal.has_base, journal.is_begun, journal.is_due) = (true, false, false);
        journal.snapshot_bytes = bytes;
        journal::remove_others(&self.dir, generation, journal.open.is_some());
        Ok(())
    }

    /// The generation to write, and the units that are not written down if it is not.
    fn begin_snapshot(&self) -> io::Result<(u64, BTreeSet<u64>)> {
        let mut journal = self.journal();
        let mut drained = BTreeSet::new();
        if journal.has_base {
            // Where it cannot be appended, it comes with the new journal.
            self.append(&mut journal, BTreeSet::new()).ok();
        } else {
            drained = self.units.drop_changes()?;
        }
        journal.since.clear();
        let later = u64::from(!journal.is_begun);
        let generation = journal.generation.saturating_add(later);
        Ok((generation, drained))
    }

    /// From here on, lines go to the journal of this generation: first what moved since the file began to be written. Returns
    /// what of it is to be synced before the file is put in place.
    fn begin_generation(&self, generation: u64) -> io::Result<Option<UnsyncedJournal>> {
        let mut journal = self.journal();
        if !journal.is_begun {
            (journal.generation, journal.is_begun, journal.open) = (generation, true, None);
            journal.unsynced = UnsyncedPart::Nothing;
        }
        let since = std::mem::take(&mut journal.since);
        self.append(&mut journal, since)?;
        journal.take_unsynced()
    }

    /// Appends what changed, and all of these units.
    fn append(&self, journal: &mut JournalState, units: BTreeSet<u64>) -> io::Result<()> {
        let changes = self.units.take_changes(units)?;
        let appended = journal.append(&self.dir, &changes);
        match &appended {
            Ok(()) => journal.since.append(&mut numbers(&changes)),
            Err(_) => self.units.put_back(&numbers(&changes)),
        }
        appended
    }

    /// Whether the checkpoint file and this journal are still there: somebody may have removed them.
    fn is_in_place(&self, journal: &File) -> bool {
        let is_linked = journal.metadata().is_ok_and(|journal| journal.nlink() > 0);
        is_linked && self.dir.join(NAME).exists()
    }

    fn journal(&self) -> MutexGuard<'_, JournalState> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalState {
    /// Goes on where the run before stopped, with the checkpoint file of this generation in place.
    fn go_on(&mut self, generation: u64, newest: Option<&ReadJournal>) {
        (self.has_base, self.generation) = (true, generation);
        let Some(newest) = newest else { return };
        (self.generation, self.is_begun) = (newest.generation, newest.generation > generation);
        match JournalFile::go_on(newest) {
            Ok(open) => (self.open, self.unsynced) = (Some(open), UnsyncedPart::File),
            Err(_) => self.leave(),
        }
    }

    /// Leaves a journal that somebody removed, or whose sync failed: nobody knows what of it is on disk.
    fn leave(&mut self) {
        (self.has_base, self.is_due, self.open) = (false, true, None);
        self.unsynced = UnsyncedPart::Nothing;
    }

    fn append(&mut self, dir: &Path, changes: &[NumberedChange]) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let lines = journal::lines(changes);
        if let Some(open) = &mut self.open {
            open.append(&lines)?;
            if self.unsynced == UnsyncedPart::Nothing {
                self.unsynced = UnsyncedPart::Lines;
            }
        } else {
            self.open = Some(JournalFile::begin(dir, self.generation, &lines)?);
            self.unsynced = UnsyncedPart::File;
        }
        Ok(())
    }

    fn take_unsynced(&mut self) -> io::Result<Option<UnsyncedJournal>> {
        let Some(open) = self.open.as_ref().filter(|_| self.unsynced != UnsyncedPart::Nothing) else {
            return Ok(None);
        };
        let unsynced = UnsyncedJournal { file: open.to_sync()?, is_new: self.unsynced == UnsyncedPart::File };
        self.unsynced = UnsyncedPart::Nothing;
        Ok(Some(unsynced))
    }

    fn needs_snapshot(&self) -> bool {
        self.is_due || self.is_begun || self.is_large(1)
    }

    fn is_large(&self, times: u64) -> bool {
        let most = self.snapshot_bytes.max(SMALL_JOURNAL).saturating_mul(times);
        self.open.as_ref().is_some_and(|open| open.bytes() >= most)
    }
}

impl UnsyncedJournal {
    fn sync(&self, dir: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        if self.is_new { snapshot::sync_dir(dir) } else { Ok(()) }
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

fn numbers(changes: &[NumberedChange]) -> BTreeSet<u64> {
    changes.iter().map(|change| change.number).collect()
}

/// The checkpoint file, and all journals, the oldest first.
fn read(dir: &Path) -> Result<(CheckpointSnapshot, Vec<ReadJournal>), CheckpointError> {
    // In this order: beside a daemon that writes both anew, the file may be newer than the journals, but not older.
    let journals = ReadJournal::all(dir)?;
    let path = dir.join(NAME);
    let snapshot = match fs::read(&path) {
        Ok(bytes) => CheckpointSnapshot::read(&bytes).map_err(|version| CheckpointError::Version {
            path,
            version,
            known: snapshot::VERSION,
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => CheckpointSnapshot::default(),
        Err(source) => return Err(CheckpointError::io("read", &path, source)),
    };
    Ok((snapshot, journals))
}

/// Keeps the journals that go on from the checkpoint file.
fn keep_those_of(snapshot: &CheckpointSnapshot, journals: &mut Vec<ReadJournal>) {
    let goes_on = |journal: &ReadJournal| {
        let later = snapshot.generation.and_then(|generation| journal.generation.checked_sub(generation));
        later.is_some_and(|later| later <= 1)
    };
    journals.retain(goes_on);
}

/// What became of the units, and the first number that none ever had.
fn merge(snapshot: CheckpointSnapshot, journals: Vec<ReadJournal>) -> (BTreeMap<u64, CheckpointEntry>, u64) {
    let CheckpointSnapshot { mut units, mut next, .. } = snapshot;
    for journal in journals {
        next = journal::apply(journal.changes, &mut units).max(next);
    }
    (units, next)
}

#[cfg(test)]
#[path = "checkpoints_tests.rs"]
mod tests;
