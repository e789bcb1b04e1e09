//! Positions in memory, moved by what is acknowledged, and what of them is to be written to the checkpoint file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::entry::{CheckpointEntry, LocalPosition};
use super::watermark::Watermark;
use crate::event::{Acknowledge, Outcome, Timestamp};

/// All units, and whether they differ from what is on disk.
#[derive(Debug, Default)]
pub(super) struct LocalUnits {
    /// Set by every change, cleared by a save.
    pub(super) dirty: AtomicBool,
    /// Units by number. The lock covers looking up, adding and removing.
    units: Mutex<NumberedUnits>,
}

#[derive(Debug, Default)]
struct NumberedUnits {
    next: u64,
    all: BTreeMap<u64, Arc<dyn LocalUnit>>,
}

/// A unit that has a line in the checkpoint file.
pub(super) trait LocalUnit: fmt::Debug + Send + Sync {
    /// The entry as it stands.
    fn entry(&self) -> serde_json::Result<CheckpointEntry>;

    /// The entry as one line.
    fn line(&self) -> serde_json::Result<Arc<str>>;

    /// The entry, if no source of this run has the unit.
    fn unclaimed(&self) -> Option<&CheckpointEntry> {
        None
    }
}

/// What an earlier run left, and no source has asked for yet.
#[derive(Debug)]
struct UnclaimedUnit {
    entry: CheckpointEntry,
    line: Arc<str>,
}

impl LocalUnit for UnclaimedUnit {
    fn entry(&self) -> serde_json::Result<CheckpointEntry> {
        Ok(self.entry.clone())
    }

    fn line(&self) -> serde_json::Result<Arc<str>> {
        Ok(Arc::clone(&self.line))
    }

    fn unclaimed(&self) -> Option<&CheckpointEntry> {
        Some(&self.entry)
    }
}

impl LocalUnits {
    /// Adds what an earlier run left.
    pub(super) fn add(&self, entry: CheckpointEntry) {
        let line = entry.to_line().into();
        let mut units = self.lock();
        let number = units.take_number();
        units.all.insert(number, Arc::new(UnclaimedUnit { entry, line }));
    }

    /// Gives a source the units of one kind that an earlier run left.
    pub(super) fn claim<P: LocalPosition>(self: &Arc<Self>, source: &str) -> Vec<Arc<LocalAccount<P>>> {
        let mut units = self.lock();
        let claimed = |(number, unit): (&u64, &mut Arc<dyn LocalUnit>)| {
            let entry = unit.unclaimed().filter(|entry| &*entry.source == source)?;
            let position = entry.position::<P>()?;
            let account = self.account(*number, &entry.source, position);
            *unit = Arc::clone(&account) as Arc<dyn LocalUnit>;
            Some(account)
        };
        units.all.iter_mut().filter_map(claimed).collect()
    }

    /// Begins a unit.
    pub(super) fn open<P: LocalPosition>(
        self: &Arc<Self>,
        source: &str,
        position: P,
    ) -> Arc<LocalAccount<P>> {
        let mut units = self.lock();
        let number = units.take_number();
        let account = self.account(number, &source.into(), position);
        units.all.insert(number, Arc::clone(&account) as Arc<dyn LocalUnit>);
        drop(units);
        self.dirty.store(true, Ordering::Release);
        account
    }

    fn account<P: LocalPosition>(
        self: &Arc<Self>,
        number: u64,
        source: &Arc<str>,
        position: P,
    ) -> Arc<LocalAccount<P>> {
        let state = AccountState { position, watermark: Watermark::default(), line: None };
        let (units, source) = (Arc::downgrade(self), Arc::clone(source));
        Arc::new(LocalAccount { number, source, units, state: Mutex::new(state) })
    }

    /// Makes everything as it is after a start: units are to be claimed anew, where they stand. Accounts that were handed out move
    /// nothing any more.
    pub(super) fn renew(&self) {
        let entries: Vec<CheckpointEntry> = self.all().iter().filter_map(|unit| unit.entry().ok()).collect();
        self.lock().all.clear();
        for entry in entries {
            self.add(entry);
        }
        self.dirty.store(true, Ordering::Release);
    }

    /// Every unit, in the order they were begun.
    pub(super) fn all(&self) -> Vec<Arc<dyn LocalUnit>> {
        self.lock().all.values().map(Arc::clone).collect()
    }

    fn remove(&self, number: u64) {
        self.lock().all.remove(&number);
        self.dirty.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, NumberedUnits> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NumberedUnits {
    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// One unit's position, moved by what is acknowledged. Its methods are short and never block on I/O.
#[derive(Debug)]
pub struct LocalAccount<P: LocalPosition> {
    number: u64,
    source: Arc<str>,
    units: Weak<LocalUnits>,
    /// The lock covers moves of the watermark, and writing one line.
    state: Mutex<AccountState<P>>,
}

#[derive(Debug)]
struct AccountState<P: LocalPosition> {
    position: P,
    watermark: Watermark<P::Mark>,
    /// The entry as it is written; kept, since of many files only few move between two saves.
    line: Option<Arc<str>>,
}

impl<P: LocalPosition> LocalAccount<P> {
    /// What is remembered at present.
    #[must_use]
    pub fn position(&self) -> P {
        self.state().position.clone()
    }

    /// Notes that what comes before `mark` goes into the pipeline, after what was noted before, and returns the number to
    /// acknowledge it by.
    pub fn begin(&self, mark: P::Mark, read_at: Timestamp) -> u64 {
        self.state().watermark.begin(mark, read_at)
    }

    /// When the oldest bytes that are not acknowledged were read.
    #[must_use]
    pub fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.state().watermark.oldest()
    }

    /// Changes what is remembered beside the mark.
    pub fn change(&self, change: impl FnOnce(&mut P)) {
        let mut state = self.state();
        change(&mut state.position);
        state.line = None;
        drop(state);
        self.is_to_be_saved();
    }

    /// Drops the unit: it is gone, and will not come back.
    pub fn forget(&self) {
        if let Some(units) = self.units.upgrade() {
            units.remove(self.number);
        }
    }

    fn state(&self) -> MutexGuard<'_, AccountState<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_to_be_saved(&self) {
        if let Some(units) = self.units.upgrade() {
            units.dirty.store(true, Ordering::Release);
        }
    }
}

impl<P: LocalPosition> LocalUnit for LocalAccount<P> {
    fn entry(&self) -> serde_json::Result<CheckpointEntry> {
        CheckpointEntry::new(&self.source, &self.state().position)
    }

    fn line(&self) -> serde_json::Result<Arc<str>> {
        let mut state = self.state();
        if let Some(line) = &state.line {
            return Ok(Arc::clone(line));
        }
        let line: Arc<str> = CheckpointEntry::new(&self.source, &state.position)?.to_line().into();
        state.line = Some(Arc::clone(&line));
        Ok(line)
    }
}

impl<P: LocalPosition> Acknowledge for LocalAccount<P> {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        let Some((mark, read_at)) = state.watermark.end(number, outcome) else { return };
        state.position.advance(mark, read_at);
        state.line = None;
        drop(state);
        self.is_to_be_saved();
    }
}
