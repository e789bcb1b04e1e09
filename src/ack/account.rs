//! One file's position, moved by what is acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::entry::Entry;
use super::watermark::Watermark;
use crate::event::{Acknowledge, FileAccount, FilePosition, Fingerprint, Mark, Outcome, Place, Timestamp};

/// All accounts, and whether they differ from what is on disk.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Set by every change, cleared by a save.
    pub(super) dirty: AtomicBool,
    /// Accounts by number. The lock covers looking up, adding and removing.
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    next: u64,
    all: BTreeMap<u64, Arc<Account>>,
}

impl Ledger {
    /// Adds an account.
    pub(super) fn add(self: &Arc<Self>, entry: Entry) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let number = accounts.next;
        accounts.next = number.saturating_add(1);
        let state = State { entry, watermark: Watermark::default(), line: None };
        let account = Arc::new(Account { number, ledger: Arc::downgrade(self), state: Mutex::new(state) });
        accounts.all.insert(number, Arc::clone(&account));
        account
    }

    /// Puts a new account in the place of each, where it stands. Those that were handed out move nothing any more.
    pub(super) fn renew(self: &Arc<Self>) {
        let entries: Vec<Entry> = self.all().iter().map(|account| account.entry()).collect();
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).all.clear();
        for entry in entries {
            self.add(entry);
        }
        self.dirty.store(true, Ordering::Release);
    }

    /// Every account, in the order they were begun.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.all.values().map(Arc::clone).collect()
    }

    fn remove(&self, number: u64) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.all.remove(&number);
        drop(accounts);
        self.dirty.store(true, Ordering::Release);
    }
}

/// See [`FileAccount`].
#[derive(Debug)]
pub(super) struct Account {
    number: u64,
    ledger: Weak<Ledger>,
    /// The lock covers moves of the watermark, and writing one line.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entry: Entry,
    watermark: Watermark<Mark>,
    /// The entry as it is written; kept, since of many files only few move between two saves.
    line: Option<Arc<str>>,
}

impl Account {
    /// The entry as it stands.
    pub(super) fn entry(&self) -> Entry {
        self.state().entry.clone()
    }

    /// The entry as one line.
    pub(super) fn line(&self) -> serde_json::Result<Arc<str>> {
        let mut state = self.state();
        if let Some(line) = &state.line {
            return Ok(Arc::clone(line));
        }
        let line: Arc<str> = state.entry.to_line()?.into();
        state.line = Some(Arc::clone(&line));
        Ok(line)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut FilePosition)) {
        let mut state = self.state();
        change(&mut state.entry.position);
        state.line = None;
        drop(state);
        self.is_to_be_saved();
    }

    fn is_to_be_saved(&self) {
        if let Some(ledger) = self.ledger.upgrade() {
            ledger.dirty.store(true, Ordering::Release);
        }
    }
}

impl Acknowledge for Account {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        let Some((mark, time)) = state.watermark.end(number, outcome) else { return };
        state.entry.position.mark = mark;
        state.entry.position.time = time;
        state.line = None;
        drop(state);
        self.is_to_be_saved();
    }
}

impl FileAccount for Account {
    fn position(&self) -> FilePosition {
        self.state().entry.position.clone()
    }

    fn begin(&self, mark: Mark, read_at: Timestamp) -> u64 {
        self.state().watermark.begin(mark, read_at)
    }

    fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.state().watermark.oldest()
    }

    fn moved(&self, place: Place) {
        self.change(|position| position.place = place);
    }

    fn grown(&self, head: Fingerprint) {
        self.change(|position| position.head = head);
    }

    fn forget(&self) {
        if let Some(ledger) = self.ledger.upgrade() {
            ledger.remove(self.number);
        }
    }
}
