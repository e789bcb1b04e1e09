//! Places for connections: so many at once, and who gives way when all are taken.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::sync::Lock;

/// So many connections at once.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    /// The lock covers a look-up.
    table: Lock<PlaceTable>,
}

#[derive(Debug, Default)]
struct PlaceTable {
    next: u64,
    taken: HashMap<u64, TakenPlace>,
    /// Those that may be dropped; the first one first.
    idle: BTreeSet<DropOrder>,
}

#[derive(Debug)]
struct TakenPlace {
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

/// One connection's place, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
}

/// What a newcomer got.
#[derive(Debug)]
pub(crate) struct Seating {
    /// A place, and what resolves when it has to be given up. None: every connection is at work.
    pub(crate) seat: Option<(Place, oneshot::Receiver<()>)>,
    /// Who was dropped for it.
    pub(crate) dropped: Option<SocketAddr>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), table: Lock::default() })
    }

    /// A place for a newcomer, if need be that of the connection that was idle longest.
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
        table.taken.insert(id, TakenPlace { peer, is_known: false, idle_since: Some(now), evict });
        table.idle.insert(DropOrder { is_known: false, idle_since: now, id });
        Seating { seat: Some((Place { places: Arc::clone(self), id }, evicted)), dropped }
    }

    /// Drops the connection that was idle longest, for want of something else than places.
    pub(crate) fn drop_longest_idle(&self) -> Option<SocketAddr> {
        self.table.lock().drop_longest_idle()
    }

    /// How many connections there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl PlaceTable {
    fn drop_longest_idle(&mut self) -> Option<SocketAddr> {
        let first = self.idle.pop_first()?;
        let TakenPlace { peer, evict, .. } = self.taken.remove(&first.id)?;
        // It may have ended just now.
        evict.send(()).ok();
        Some(peer)
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut TakenPlace)) {
        // One that is to give way has no place any more.
        let Some(place) = self.taken.get_mut(&id) else { return };
        let order = |place: &TakenPlace| {
            place.idle_since.map(|idle_since| DropOrder { is_known: place.is_known, idle_since, id })
        };
        if let Some(order) = order(place) {
            self.idle.remove(&order);
        }
        change(place);
        if let Some(order) = order(place) {
            self.idle.insert(order);
        }
    }
}

impl Place {
    /// Its peer may do what it asks for, and is at work until [`Place::rest`].
    pub(crate) fn work(&self) {
        self.change(|place| (place.is_known, place.idle_since) = (true, None));
    }

    /// It is idle from now on.
    pub(crate) fn rest(&self, now: Instant) {
        self.change(|place| place.idle_since = Some(now));
    }

    fn change(&self, change: impl FnOnce(&mut TakenPlace)) {
        self.places.table.lock().change(self.id, change);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table.lock();
        table.change(self.id, |place| place.idle_since = None);
        table.taken.remove(&self.id);
    }
}
