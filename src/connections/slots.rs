//! Slots for connections: so many at once, and who gives way when all are taken.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::sync::Lock;

/// So many connections at once.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    most: usize,
    /// The lock covers a look-up.
    table: Lock<SlotTable>,
}

#[derive(Debug, Default)]
struct SlotTable {
    next: u64,
    taken: HashMap<u64, TakenSlot>,
    /// Those that may be dropped; the first one first.
    idle: BTreeSet<DropOrder>,
}

#[derive(Debug)]
struct TakenSlot {
    peer: SocketAddr,
    is_known: bool,
    /// None: it is at work, and stays.
    idle_since: Option<Instant>,
    evict: oneshot::Sender<()>,
}

/// Who has proved nothing yet goes before who has, and who was idle longest goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct DropOrder {
    is_known: bool,
    idle_since: Instant,
    id: u64,
}

/// One connection's slot, given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
}

/// What a newcomer got.
#[derive(Debug)]
pub(crate) struct Seating {
    /// A slot, and what resolves when it has to be given up. None: every connection is at work.
    pub(crate) seat: Option<(ConnectionSlot, oneshot::Receiver<()>)>,
    /// Who was dropped for it.
    pub(crate) dropped: Option<SocketAddr>,
}

impl ConnectionSlots {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), table: Lock::default() })
    }

    /// A slot for a newcomer, if need be that of the connection that was idle longest.
    pub(crate) fn take(self: &Arc<Self>, peer: SocketAddr, now: Instant) -> Seating {
        let mut table = self.table.lock();
        let mut dropped = None;
        if table.taken.len() >= self.most {
            dropped = table.drop_longest_idle();
            if dropped.is_none() {
                return Seating { seat: None, dropped };
            }
        }
        let id = table.next;
        table.next = id.wrapping_add(1);
        let (evict, evicted) = oneshot::channel();
        table.taken.insert(id, TakenSlot { peer, is_known: false, idle_since: Some(now), evict });
        table.idle.insert(DropOrder { is_known: false, idle_since: now, id });
        Seating { seat: Some((ConnectionSlot { slots: Arc::clone(self), id }, evicted)), dropped }
    }

    /// Drops the connection that was idle longest, for want of something else than slots.
    pub(crate) fn drop_longest_idle(&self) -> Option<SocketAddr> {
        self.table.lock().drop_longest_idle()
    }

    /// How many connections there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl SlotTable {
    fn drop_longest_idle(&mut self) -> Option<SocketAddr> {
        let first = self.idle.pop_first()?;
        let TakenSlot { peer, evict, .. } = self.taken.remove(&first.id)?;
        // It may have ended just now.
        evict.send(()).ok();
        Some(peer)
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut TakenSlot)) {
        // One that is to give way has no slot any more.
        let Some(slot) = self.taken.get_mut(&id) else { return };
        let order = |slot: &TakenSlot| {
            slot.idle_since.map(|idle_since| DropOrder { is_known: slot.is_known, idle_since, id })
        };
        if let Some(order) = order(slot) {
            self.idle.remove(&order);
        }
        change(slot);
        if let Some(order) = order(slot) {
            self.idle.insert(order);
        }
    }
}

impl ConnectionSlot {
    /// Its peer may do what it asks for, and is at work until [`ConnectionSlot::rest`].
    pub(crate) fn work(&self) {
        self.change(|slot| (slot.is_known, slot.idle_since) = (true, None));
    }

    /// It is idle from now on.
    pub(crate) fn rest(&self, now: Instant) {
        self.change(|slot| slot.idle_since = Some(now));
    }

    fn change(&self, change: impl FnOnce(&mut TakenSlot)) {
        self.slots.table.lock().change(self.id, change);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.slots.table.lock();
        table.change(self.id, |slot| slot.idle_since = None);
        table.taken.remove(&self.id);
    }
}
