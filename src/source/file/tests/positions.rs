//! Positions in memory, which outlive a source as a checkpoint file does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::event::{
    Acknowledge, FileAccount, FilePosition, FilePositions, Fingerprint, Mark, Outcome, Place, Timestamp,
};

/// Accounts of one source.
#[derive(Debug, Default)]
pub(super) struct Positions(Mutex<Vec<Arc<Account>>>);

#[derive(Debug)]
struct Account(Mutex<State>);

#[derive(Debug)]
struct State {
    position: FilePosition,
    begun: u64,
    /// Ranges not acknowledged, or acknowledged out of order.
    ranges: BTreeMap<u64, (Mark, Timestamp, bool)>,
    is_forgotten: bool,
}

impl Positions {
    /// What a checkpoint file would hold now, for another run; what is acknowledged later does not reach it.
    pub(super) fn saved(&self) -> Arc<Self> {
        let saved = self.all().into_iter().map(account).collect();
        Arc::new(Self(Mutex::new(saved)))
    }

    /// The positions that are remembered.
    pub(super) fn all(&self) -> Vec<FilePosition> {
        let accounts = self.0.lock().unwrap();
        let states = accounts.iter().map(|account| account.0.lock().unwrap());
        states.filter(|state| !state.is_forgotten).map(|state| state.position.clone()).collect()
    }
}

fn account(position: FilePosition) -> Arc<Account> {
    let state = State { position, begun: 0, ranges: BTreeMap::new(), is_forgotten: false };
    Arc::new(Account(Mutex::new(state)))
}

impl FilePositions for Positions {
    fn stored(&self, _: &str) -> Vec<Arc<dyn FileAccount>> {
        self.0.lock().unwrap().iter().map(|account| Arc::clone(account) as Arc<dyn FileAccount>).collect()
    }

    fn open(&self, _: &str, position: FilePosition) -> Arc<dyn FileAccount> {
        let account = account(position);
        self.0.lock().unwrap().push(Arc::clone(&account));
        account
    }
}

impl Acknowledge for Account {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.0.lock().unwrap();
        if let Some(range) = state.ranges.get_mut(&number) {
            range.2 = outcome == Outcome::Done;
        }
        while let Some(first) = state.ranges.first_entry()
            && first.get().2
        {
            let (mark, time, _) = first.remove();
            (state.position.mark, state.position.time) = (mark, time);
        }
    }
}

impl FileAccount for Account {
    fn position(&self) -> FilePosition {
        self.0.lock().unwrap().position.clone()
    }

    fn begin(&self, mark: Mark, read_at: Timestamp) -> u64 {
        let mut state = self.0.lock().unwrap();
        let number = state.begun;
        state.begun += 1;
        state.ranges.insert(number, (mark, read_at, false));
        number
    }

    fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.0.lock().unwrap().ranges.values().map(|range| range.1).next()
    }

    fn moved(&self, place: Place) {
        self.0.lock().unwrap().position.place = place;
    }

    fn grown(&self, head: Fingerprint) {
        self.0.lock().unwrap().position.head = head;
    }

    fn forget(&self) {
        self.0.lock().unwrap().is_forgotten = true;
    }
}
