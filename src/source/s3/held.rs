//! The messages that are hidden for this process: what of each is read, and whether it is still ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::progress::ObjectProgress;
use super::queue::QueueMessage;
use crate::event::Timestamp;
use crate::sync::Lock;

/// All of them, by number.
#[derive(Default)]
pub(super) struct HeldMessages {
    /// The lock covers a look or a change.
    table: Lock<HeldTable>,
}

#[derive(Default)]
struct HeldTable {
    next: u64,
    messages: BTreeMap<u64, HeldMessage>,
}

/// One message.
#[derive(Clone)]
pub(super) struct HeldMessage {
    /// Without its body.
    pub(super) message: QueueMessage,
    /// What was handed over for it.
    objects: Vec<Arc<ObjectProgress>>,
    /// All of it was handed over.
    pub(super) is_read: bool,
    is_lost: bool,
}

impl HeldMessage {
    /// Whether all that it announces is done, and it may be deleted.
    pub(super) fn is_done(&self) -> bool {
        self.is_read && !self.is_lost && self.objects.iter().all(|object| object.is_settled() == Some(true))
    }

    /// Drops what is remembered of its objects for another run.
    pub(super) fn forget_objects(&self) {
        self.objects.iter().for_each(|object| object.forget());
    }
}

impl HeldMessages {
    /// A message is ours from now on, under this number.
    pub(super) fn add(&self, message: &QueueMessage) -> u64 {
        let mut table = self.table.lock();
        let number = table.next;
        table.next = number.saturating_add(1);
        let message = QueueMessage { body: String::new(), ..message.clone() };
        let held = HeldMessage { message, objects: Vec::new(), is_read: false, is_lost: false };
        table.messages.insert(number, held);
        number
    }

    /// Something of an object is handed over for it.
    pub(super) fn hand_over(&self, number: u64, object: &Arc<ObjectProgress>) {
        self.change(number, |held| held.objects.push(Arc::clone(object)));
    }

    /// All of it was handed over.
    pub(super) fn set_read(&self, number: u64) {
        self.change(number, |held| held.is_read = true);
    }

    /// It is another's from now on.
    pub(super) fn set_lost(&self, number: u64) {
        self.change(number, |held| held.is_lost = true);
    }

    pub(super) fn is_lost(&self, number: u64) -> bool {
        self.table.lock().messages.get(&number).is_none_or(|held| held.is_lost)
    }

    pub(super) fn handle(&self, number: u64) -> Option<String> {
        self.table.lock().messages.get(&number).map(|held| held.message.handle.clone())
    }

    /// It is no concern of ours any more.
    pub(super) fn remove(&self, number: u64) {
        self.table.lock().messages.remove(&number);
    }

    /// Takes those out that `is_wanted`, but for those that are another's.
    pub(super) fn take(&self, is_wanted: impl Fn(&HeldMessage) -> bool) -> Vec<HeldMessage> {
        let mut table = self.table.lock();
        let taken: Vec<u64> =
            table.messages.iter().filter(|(_, held)| is_wanted(held)).map(|(number, _)| *number).collect();
        let taken = taken.into_iter().filter_map(|number| table.messages.remove(&number));
        taken.filter(|held| !held.is_lost).collect()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.table.lock().messages.is_empty()
    }

    /// Those of which all was handed over.
    pub(super) fn read(&self) -> Vec<HeldMessage> {
        self.table.lock().messages.values().filter(|held| held.is_read && !held.is_lost).cloned().collect()
    }

    /// When the oldest chunk was read that is not done.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let table = self.table.lock();
        table.messages.values().flat_map(|held| &held.objects).filter_map(|object| object.oldest()).min()
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut HeldMessage)) {
        if let Some(held) = self.table.lock().messages.get_mut(&number) {
            change(held);
        }
    }
}
