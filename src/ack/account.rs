//! Positions in memory, moved by what is acknowledged, and which of them are still to be written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::entry::{CheckpointEntry, LocalPosition};
use super::watermark::Watermark;
use crate::event::{Acknowledge, Outcome, Timestamp};

/// All units, and which of them differ from what is written down.
#[derive(Debug, Default)]
pub(super) struct LocalUnits {
    /// Units by number. The lock covers looking up, adding and removing.
    units: Mutex<NumberedUnits>,
    /// The numbers of units that changed, each about once, or are gone. The lock covers a push, and taking all.
    changed: Mutex<Vec<u64>>,
    /// Told when the first unit changes.
    changes: Notify,
}

#[derive(Debug, Default)]
struct NumberedUnits {
    /// Numbers are for good: what is written down refers to them.
    next: u64,
    all: BTreeMap<u64, Arc<dyn LocalUnit>>,
}

/// A unit whose position is kept in the state directory.
pub(super) trait LocalUnit: fmt::Debug + Send + Sync {
    /// The entry as it stands.
    fn entry(&self) -> serde_json::Result<CheckpointEntry>;

    /// What is to be written down of the unit; from then on it counts as written.
    fn take_change(&self) -> serde_json::Result<UnitChange>;

    /// All of the unit is to be written down: it is not known what was.
    fn is_unwritten(&self);

    /// The entry, if no source of this run has the unit.
    fn unclaimed(&self) -> Option<&CheckpointEntry> {
        None
    }
}

/// What is written down of a unit that changed.
#[derive(Debug)]
pub(super) enum UnitChange {
    /// All of it.
    Whole(CheckpointEntry),
    /// The fields that acknowledgements move.
    Moved(Box<RawValue>),
    /// It is no more.
    Gone,
}

/// The number of a unit, and what is written down of it.
#[derive(Debug)]
pub(super) struct NumberedChange {
    pub(super) number: u64,
    pub(super) change: UnitChange,
}

/// A unit by its number; none: it is gone.
type FoundUnit = (u64, Option<Arc<dyn LocalUnit>>);

/// What an earlier run left, and no source has asked for yet.
#[derive(Debug)]
struct UnclaimedUnit(CheckpointEntry);

impl LocalUnit for UnclaimedUnit {
    fn entry(&self) -> serde_json::Result<CheckpointEntry> {
        Ok(self.0.clone())
    }

    fn take_change(&self) -> serde_json::Result<UnitChange> {
        Ok(UnitChange::Whole(self.0.clone()))
    }

    fn is_unwritten(&self) {}

    fn unclaimed(&self) -> Option<&CheckpointEntry> {
        Some(&self.0)
    }
}

impl LocalUnits {
    /// What an earlier run left, by number; `next` is the first number that none ever had.
    pub(super) fn of_earlier_run(entries: BTreeMap<u64, CheckpointEntry>, next: u64) -> Self {
        let unit = |(number, entry)| (number, Arc::new(UnclaimedUnit(entry)) as Arc<dyn LocalUnit>);
        let units = NumberedUnits { next, all: entries.into_iter().map(unit).collect() };
        Self { units: Mutex::new(units), ..Self::default() }
    }

    /// Gives a source the units of one kind that an earlier run left.
    pub(super) fn claim<P: LocalPosition>(self: &Arc<Self>, source: &str) -> Vec<Arc<LocalAccount<P>>> {
        let mut units = self.lock();
        let changed: BTreeSet<u64> = self.changed_numbers().iter().copied().collect();
        let claimed = |(number, unit): (&u64, &mut Arc<dyn LocalUnit>)| {
            let entry = unit.unclaimed().filter(|entry| &*entry.source == source)?;
            let position = entry.position::<P>()?;
            // What the run before changed last may not be written down yet.
            let is_written = !changed.contains(number);
            let pending = if is_written { PendingChange::Nothing } else { PendingChange::Whole };
            let account = self.account(*number, &entry.source, position, pending);
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
        let number = units.next;
        units.next = number.saturating_add(1);
        let account = self.account(number, &source.into(), position, PendingChange::Whole);
        units.all.insert(number, Arc::clone(&account) as Arc<dyn LocalUnit>);
        drop(units);
        self.has_changed(number);
        account
    }

    fn account<P: LocalPosition>(
        self: &Arc<Self>,
        number: u64,
        source: &Arc<str>,
        position: P,
        pending: PendingChange,
    ) -> Arc<LocalAccount<P>> {
        let state = AccountState { position, watermark: Watermark::default(), pending };
        let (units, source) = (Arc::downgrade(self), Arc::clone(source));
        Arc::new(LocalAccount { number, source, units, state: Mutex::new(state) })
    }

    /// Makes everything as it is after a start: units are to be claimed anew, where they stand. Accounts that were handed out move
    /// nothing any more.
    pub(super) fn renew(&self) {
        let mut units = self.lock();
        for unit in units.all.values_mut() {
            if let Ok(entry) = unit.entry() {
                *unit = Arc::new(UnclaimedUnit(entry));
            }
        }
    }

    /// Every unit with its number, in the order they were begun.
    pub(super) fn all(&self) -> Vec<(u64, Arc<dyn LocalUnit>)> {
        self.lock().all.iter().map(|(number, unit)| (*number, Arc::clone(unit))).collect()
    }

    /// Resolves when a unit differs from what is written down. Cancel-safe.
    pub(super) async fn changed(&self) {
        while self.changed_numbers().is_empty() {
            self.changes.notified().await;
        }
    }

    /// Whether a unit differs from what is written down.
    pub(super) fn have_changed(&self) -> bool {
        !self.changed_numbers().is_empty()
    }

    /// What is to be written down: of the units that changed, and all of those whose numbers are `unwritten`.
    ///
    /// # Errors
    /// Never in practice; everything is still to be written down then.
    pub(super) fn take_changes(&self, unwritten: BTreeSet<u64>) -> serde_json::Result<Vec<NumberedChange>> {
        self.are_unwritten(&unwritten);
        let (numbers, found) = self.take_changed(unwritten);
        let change = |(number, unit): FoundUnit| {
            let change = unit.map_or(Ok(UnitChange::Gone), |unit| unit.take_change())?;
            Ok(NumberedChange { number, change })
        };
        let changes: serde_json::Result<Vec<_>> = found.into_iter().map(change).collect();
        changes.inspect_err(|_| self.put_back(&numbers))
    }

    /// What changed is written down otherwise; returns the numbers of the units. None of it is kept: it may be all there is.
    ///
    /// # Errors
    /// Never in practice; everything is still to be written down then.
    pub(super) fn drop_changes(&self) -> serde_json::Result<BTreeSet<u64>> {
        let (numbers, found) = self.take_changed(BTreeSet::new());
        let mut taken =
            found.into_iter().filter_map(|(_, unit)| unit).map(|unit| unit.take_change().map(drop));
        match taken.find(Result::is_err) {
            Some(Err(error)) => {
                self.put_back(&numbers);
                Err(error)
            }
            _ => Ok(numbers),
        }
    }

    /// It is not known what is written down of these units.
    pub(super) fn put_back(&self, numbers: &BTreeSet<u64>) {
        self.are_unwritten(numbers);
        self.changed_numbers().extend(numbers);
        self.changes.notify_one();
    }

    fn are_unwritten(&self, numbers: &BTreeSet<u64>) {
        let units = self.lock();
        numbers.iter().filter_map(|number| units.all.get(number)).for_each(|unit| unit.is_unwritten());
    }

    fn take_changed(&self, mut numbers: BTreeSet<u64>) -> (BTreeSet<u64>, Vec<FoundUnit>) {
        // In one step: a unit that a source claims meanwhile would be taken for written.
        let units = self.lock();
        numbers.extend(std::mem::take(&mut *self.changed_numbers()));
        let found = numbers.iter().map(|number| (*number, units.all.get(number).map(Arc::clone)));
        let found = found.collect();
        (numbers, found)
    }

    fn has_changed(&self, number: u64) {
        let mut changed = self.changed_numbers();
        let is_first = changed.is_empty();
        changed.push(number);
        drop(changed);
        if is_first {
            self.changes.notify_one();
        }
    }

    fn changed_numbers(&self) -> MutexGuard<'_, Vec<u64>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, NumberedUnits> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One unit's position, moved by what is acknowledged. Its methods are short and never block on I/O.
#[derive(Debug)]
pub struct LocalAccount<P: LocalPosition> {
    number: u64,
    source: Arc<str>,
    units: Weak<LocalUnits>,
    /// The lock covers moves of the watermark, and writing one entry.
    state: Mutex<AccountState<P>>,
}

#[derive(Debug)]
struct AccountState<P: LocalPosition> {
    position: P,
    watermark: Watermark<P::Mark>,
    pending: PendingChange,
}

/// What of a unit is still to be written down.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PendingChange {
    Nothing,
    /// What acknowledgements move.
    Moved,
    Whole,
}

impl<P: LocalPosition> LocalAccount<P> {
    /// What is remembered at present.
    #[must_use]
    pub fn position(&self) -> P {
        self.state().position.clone()
    }

    /// Looks at what is remembered at present.
    pub fn look<T>(&self, look: impl FnOnce(&P) -> T) -> T {
        look(&self.state().position)
    }

    /// Whether everything that was begun is acknowledged, and that is written down.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        let is_acknowledged = state.watermark.is_passed() && !state.watermark.is_stopped();
        is_acknowledged && state.pending == PendingChange::Nothing
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
        self.is_to_be_written(state, PendingChange::Whole);
    }

    /// Drops the unit: it is gone, and will not come back.
    pub fn forget(&self) {
        let Some(units) = self.units.upgrade() else { return };
        let removed = {
            let mut known = units.lock();
            // Another run may have the unit by now.
            let is_this =
                known.all.get(&self.number).is_some_and(|unit| ptr::addr_eq(Arc::as_ptr(unit), self));
            is_this.then(|| known.all.remove(&self.number))
        };
        if removed.is_some() {
            units.has_changed(self.number);
        }
    }

    fn state(&self) -> MutexGuard<'_, AccountState<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_to_be_written(&self, mut state: MutexGuard<'_, AccountState<P>>, change: PendingChange) {
        let is_noted = state.pending != PendingChange::Nothing;
        state.pending = state.pending.max(change);
        drop(state);
        if !is_noted && let Some(units) = self.units.upgrade() {
            units.has_changed(self.number);
        }
    }
}

impl<P: LocalPosition> LocalUnit for LocalAccount<P> {
    fn entry(&self) -> serde_json::Result<CheckpointEntry> {
        CheckpointEntry::new(&self.source, &self.state().position)
    }

    fn take_change(&self) -> serde_json::Result<UnitChange> {
        let mut state = self.state();
        let change = match state.pending {
            PendingChange::Moved => UnitChange::Moved(state.position.moved_to_json(&self.source)?),
            PendingChange::Nothing | PendingChange::Whole => {
                UnitChange::Whole(CheckpointEntry::new(&self.source, &state.position)?)
            }
        };
        state.pending = PendingChange::Nothing;
        Ok(change)
    }

    fn is_unwritten(&self) {
        self.state().pending = PendingChange::Whole;
    }
}

impl<P: LocalPosition> Acknowledge for LocalAccount<P> {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        let Some((mark, read_at)) = state.watermark.end(number, outcome) else { return };
        state.position.advance(mark, read_at);
        self.is_to_be_written(state, PendingChange::Moved);
    }
}
