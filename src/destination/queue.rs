//! One destination's queue, as those see it who push and who take: an open record that is being filled, closed records in their
//! storage, and the backpressure that says whether there is room for more.
//!
//! Everything that changes is under one lock, and whoever waits for a change waits for one signal, `changed`: it takes the signal
//! first, then looks, and then awaits it, so that no change is missed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, sleep_until};

use super::next::{NextRequest, NextToStore, QueueOptions};
use super::shares::MemoryShares;
use super::state::QueueState;
use super::storage::disk::ReadRequest;
use super::storage::{DiskStorage, Storage};
use crate::buffer::RequestRoom;
use crate::buffer::disk::LogContents;
use crate::event::{AckGuard, Backpressure, Block, Origin, Record};
use crate::metrics::SinkMetrics;
use crate::sink::RecordQueue;

/// One destination's input.
#[derive(Debug)]
pub(crate) struct DestinationQueue {
    /// The lock covers appends and takes, which move pieces without copying large ones.
    state: Mutex<QueueState>,
    /// Told when whoever waits for the queue may find something to do.
    changed: Arc<Notify>,
    backpressure: Arc<Backpressure>,
    shares: Arc<MemoryShares>,
    /// A task waits for changes too, which stores what comes in and reads it back.
    is_on_disk: bool,
    metrics: SinkMetrics,
}

/// The queue has ended; another one is to be made.
#[derive(Debug)]
pub(crate) struct Ended;

/// How a queue gets on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLook {
    /// The age of the oldest record that waits.
    pub(crate) age: Duration,
    /// The same beyond the longest wait for more.
    pub(crate) oldest: Duration,
    /// For so long, beyond that wait, nothing has ended although there is something.
    pub(crate) still: Duration,
    /// It has its share of the memory, or as much as it can take at once.
    pub(crate) keeps_sources_waiting: bool,
    /// What waits does so for the sink's own rate alone.
    pub(crate) is_capped: bool,
    /// Bytes that have not ended.
    pub(crate) pending: u64,
    /// Of these, bytes on disk that are not in memory.
    pub(crate) pending_on_disk: u64,
}

impl DestinationQueue {
    /// A queue with nothing in it.
    #[must_use]
    pub(crate) fn new(
        options: QueueOptions,
        backpressure: Arc<Backpressure>,
        shares: Arc<MemoryShares>,
        metrics: SinkMetrics,
    ) -> Arc<Self> {
        shares.join();
        let changed = Arc::new(Notify::new());
        let storage = Storage::new(options.storage, &shares, &metrics, &changed);
        let state = QueueState::new(options, storage, Instant::now());
        Arc::new(Self {
            is_on_disk: state.storage.disk().is_some(),
            state: Mutex::new(state),
            changed,
            backpressure,
            shares,
            metrics,
        })
    }

    /// The destination's backpressure.
    #[must_use]
    pub(crate) fn backpressure(&self) -> &Arc<Backpressure> {
        &self.backpressure
    }

    /// How memory is shared among destinations.
    pub(crate) fn shares(&self) -> &MemoryShares {
        &self.shares
    }

    /// Resolves when something has changed after the call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Makes everybody look again, such as after [`MemoryShares::flush`].
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    fn with<T>(&self, look: impl FnOnce(&mut QueueState) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shut above the share, open again well below it.
    fn set_backpressure(&self, state: &QueueState) {
        let (storage, held) = (&state.storage, state.storage.held());
        let most = storage.most_held(&self.shares, state.failing);
        if held > most || storage.is_full() {
            self.backpressure.set_full(true);
        } else if held < most / 4 * 3 {
            self.backpressure.set_full(false);
        }
        if let Some(throttled) = storage.throttles(!state.failing && !state.ended) {
            self.backpressure.set_throttled(throttled);
        }
    }
}

/// What comes in.
impl DestinationQueue {
    /// Adds encoded events of one origin, in order.
    ///
    /// # Errors
    /// When the queue has ended; nothing was added.
    pub(crate) fn push(&self, blocks: &[Block], origin: &Arc<Origin>, ack: &AckGuard) -> Result<(), Ended> {
        let now = Instant::now();
        let bytes: usize = blocks.iter().map(|block| block.data.len()).sum();
        let is_news = self.with(|state| {
            if state.ended {
                return Err(Ended);
            }
            // Who waits knows when the open record is due, and need not hear of what is added to it, unless it is due sooner by that.
            let before = state.due();
            let mut is_news = false;
            self.metrics.accept(blocks.iter().map(Block::events).sum());
            state.note_arrival(ack.is_awaited(), now);
            state.storage.accept(bytes, bytes);
            let QueueState { packer, storage, .. } = state;
            for block in blocks {
                packer.push(block, origin, ack.split(), now, &mut |record| {
                    storage.push(record);
                    is_news = true;
                });
            }
            is_news |= state.due().is_some_and(|due| before.is_none_or(|before| due < before));
            let was_full = self.backpressure.is_full();
            self.set_backpressure(state);
            Ok(is_news || self.backpressure.is_full() && !was_full)
        })?;
        if is_news {
            self.wake();
        }
        Ok(())
    }

    /// Adds a record that is whole already.
    ///
    /// # Errors
    /// When the queue has ended; the record is given back.
    pub(crate) fn push_record(&self, record: Record) -> Result<(), Record> {
        self.with(|state| {
            if state.ended {
                return Err(record);
            }
            self.metrics.accept(record.events);
            state.note_arrival(record.acks.iter().any(AckGuard::is_awaited), Instant::now());
            state.storage.accept(record.len, record.payload);
            state.storage.push(record);
            self.set_backpressure(state);
            Ok(())
        })?;
        self.wake();
        Ok(())
    }

    /// Ends the input: the sink takes what is left, and then ends.
    pub(crate) fn end(&self) {
        self.with(|state| state.ended = true);
        self.wake();
    }

    /// Ends the input, and leaves what is on disk there once everything is: another queue is to take it up.
    pub(crate) fn end_and_hand_over(&self) {
        self.with(|state| (state.ended, state.hands_over) = (true, true));
        self.wake();
    }

    /// Ends the input if nothing was there for `idle`; whether it did.
    pub(crate) fn end_if_idle(&self, idle: Duration) -> bool {
        let ended = self.with(|state| {
            state.ended |= state.storage.is_drained() && state.active.elapsed() >= idle;
            state.ended
        });
        if ended {
            self.wake();
        }
        ended
    }

    /// Whether everything that was accepted has ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.with(|state| state.storage.is_drained())
    }

    /// Whether what there is still to deliver is on disk, and stays there.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.with(|state| {
            let is_stored = self.is_on_disk && state.storage.held() == 0;
            state.hands_over && state.ended && is_stored
        })
    }

    /// How it gets on.
    #[must_use]
    pub(crate) fn look(&self) -> QueueLook {
        self.with(|state| {
            let oldest = state.oldest().map(|since| since.elapsed()).unwrap_or_default();
            let (pending, pending_on_disk) = state.storage.pending();
            QueueLook {
                age: oldest,
                oldest: oldest.saturating_sub(state.linger.longest()),
                still: state.still(),
                keeps_sources_waiting: self.backpressure.is_full() || self.backpressure.is_throttled(),
                is_capped: state.is_capped(),
                pending,
                pending_on_disk,
            }
        })
    }
}

/// What the sink takes.
impl DestinationQueue {
    fn next_request(&self) -> NextRequest {
        let now = Instant::now();
        self.with(|state| {
            let hurries = self.hurries(state);
            if state.storage.is_closed_by_sink() {
                let due = if hurries || state.ended { Some(now) } else { state.due() };
                state.close_due(due, now);
            }
            // To what is full, nothing comes that a request could be filled with.
            let is_all = hurries || self.backpressure.is_full() && state.storage.nothing_under_way();
            let linger = if is_all { Duration::ZERO } else { state.linger.longest() };
            if state.has_request(now, linger) {
                state.active = now;
                return NextRequest::Take(state.storage.take_request(RequestRoom::WHOLE));
            }
            match state.storage.ready().oldest {
                // The request is to be filled with what is being read.
                Some(_) if state.storage.is_reading() => NextRequest::Wait,
                Some(since) => NextRequest::At(since + linger),
                None if state.ended && state.storage.is_taken() => NextRequest::Ended,
                None if state.storage.is_closed_by_sink() => {
                    state.due().map_or(NextRequest::Wait, NextRequest::At)
                }
                None => NextRequest::Wait,
            }
        })
    }

    /// Whether to wait for fuller records is of no use: in a drain, or when sources wait for memory that only this can free.
    fn hurries(&self, state: &QueueState) -> bool {
        self.shares.is_flushing() || (state.storage.nothing_under_way() && self.shares.budget().is_spent())
    }

    /// What was taken makes room for what is read from disk.
    fn wake_reader(&self) {
        if self.is_on_disk {
            self.wake();
        }
    }
}

/// What the task asks and tells that keeps the records on disk.
impl DestinationQueue {
    /// The log is open, and this is in it. Returns how many events it still has to deliver: what a run before accepted is this run's.
    pub(crate) fn opened(&self, contents: &LogContents) -> u64 {
        self.change_disk(|disk| {
            let events = disk.opened(contents);
            self.metrics.accept(events);
            events
        })
    }

    /// Takes the records that are to be stored now.
    pub(crate) fn next_to_store(&self) -> NextToStore {
        let now = Instant::now();
        self.with(|state| {
            let at_once = state.ended || self.stores_at_once(state);
            let due = if at_once { Some(now) } else { state.due() };
            state.close_due(due, now);
            let batch = state.storage.disk_mut().map(DiskStorage::next_batch).unwrap_or_default();
            match state.due() {
                _ if !batch.is_empty() => NextToStore::Records(batch),
                Some(due) => NextToStore::At(due),
                None if state.ended && state.storage.is_drained() => NextToStore::Ended,
                None => NextToStore::Wait,
            }
        })
    }

    /// Whether to wait for a fuller record is of no use: in a drain, or when sources wait for memory that only this can free.
    fn stores_at_once(&self, state: &QueueState) -> bool {
        let alone = state.storage.disk().is_some_and(DiskStorage::has_no_pending);
        self.shares.is_flushing() || (alone && self.shares.budget().is_spent())
    }

    /// What is to be read now.
    pub(crate) fn next_to_read(&self) -> Option<ReadRequest> {
        self.with(|state| state.storage.disk_mut().and_then(DiskStorage::next_read))
    }

    /// Looks at what is on disk; without a disk, there is nothing.
    pub(crate) fn look_at_disk<T: Default>(&self, look: impl FnOnce(&DiskStorage) -> T) -> T {
        self.with(|state| state.storage.disk().map(look).unwrap_or_default())
    }

    /// Changes what is on disk, and tells whoever waits for that; without a disk, there is nothing.
    pub(crate) fn change_disk<T: Default>(&self, change: impl FnOnce(&mut DiskStorage) -> T) -> T {
        let result = self.with(|state| {
            let held = state.storage.held();
            let result = state.storage.disk_mut().map(change).unwrap_or_default();
            if state.storage.held() < held {
                state.note_end();
            }
            self.set_backpressure(state);
            result
        });
        self.wake();
        result
    }
}

impl RecordQueue for DestinationQueue {
    async fn take(&self) -> Option<Vec<Record>> {
        loop {
            let changed = self.changed();
            let spent = self.shares.budget().spent();
            match self.next_request() {
                NextRequest::Take(records) => {
                    self.wake_reader();
                    return Some(records);
                }
                NextRequest::Ended => return None,
                NextRequest::Wait => changed.await,
                NextRequest::At(when) => tokio::select! {
                    () = changed => {}
                    () = spent => {}
                    () = sleep_until(when) => {}
                },
            }
        }
    }

    fn top_up(&self, records: usize, bytes: usize) -> Vec<Record> {
        let room = RequestRoom::beside(records, bytes);
        let taken = self.with(|state| {
            state.active = Instant::now();
            state.storage.take_fitting(room)
        });
        self.wake_reader();
        taken
    }

    async fn handed_over(&self) {
        loop {
            let changed = self.changed();
            if self.is_handed_over() {
                return;
            }
            changed.await;
        }
    }

    fn put_back(&self, piece: Record) {
        self.with(|state| {
            state.storage.release(piece.payload);
            state.storage.accept(piece.len, piece.payload);
            state.storage.push(Record { is_piece: false, ..piece });
            self.set_backpressure(state);
        });
        self.wake();
    }

    fn set_failing(&self, failing: bool) {
        self.with(|state| {
            state.failing = failing;
            self.set_backpressure(state);
        });
    }

    fn set_capped(&self, capped: bool) -> bool {
        self.with(|state| {
            state.set_capped(capped, Instant::now());
            !state.storage.is_drained()
        })
    }

    fn release(&self, bytes: usize) {
        self.with(|state| {
            state.note_departure();
            state.storage.release(bytes);
            if state.storage.is_closed_by_sink() {
                state.note_end();
            }
            self.set_backpressure(state);
        });
        self.wake_reader();
    }
}

impl Drop for DestinationQueue {
    fn drop(&mut self) {
        self.shares.leave();
    }
}
