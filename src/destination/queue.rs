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

use super::shares::MemoryShares;
use super::storage::disk::ReadRequest;
use super::storage::{DiskStorage, Storage, StorageOptions};
use crate::batch::Packer;
use crate::buffer::RequestRoom;
use crate::buffer::disk::LogContents;
use crate::config::Packing;
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
    linger: Duration,
    /// A task waits for changes too, which stores what comes in and reads it back.
    is_on_disk: bool,
    metrics: SinkMetrics,
}

/// How a queue works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueOptions {
    /// How records are packed.
    pub(crate) packing: Packing,
    /// How long a record waits to be filled.
    pub(crate) linger: Duration,
    /// Where records are kept.
    pub(crate) storage: StorageOptions,
}

#[derive(Debug)]
struct QueueState {
    packer: Packer,
    storage: Storage,
    failing: bool,
    ended: bool,
    /// What is on disk is left there once nothing else is to be stored.
    hands_over: bool,
    active: Instant,
}

/// The queue has ended; another one is to be made.
#[derive(Debug)]
pub(crate) struct Ended;

/// What is to be stored on disk now, or when to look again.
#[derive(Debug)]
pub(crate) enum NextToStore {
    /// These.
    Records(Vec<Record>),
    /// The open record is due then.
    At(Instant),
    /// Nothing.
    Wait,
    /// Nothing ever again: the input has ended, and everything that was stored is delivered.
    Ended,
}

/// What is to be sent now, or when to look again.
enum NextRequest {
    Take(Vec<Record>),
    At(Instant),
    Wait,
    Ended,
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
        let state = QueueState {
            packer: Packer::new(options.packing),
            storage: Storage::new(options.storage, &shares, &metrics, &changed),
            failing: false,
            ended: false,
            hands_over: false,
            active: Instant::now(),
        };
        Arc::new(Self {
            is_on_disk: state.storage.disk().is_some(),
            state: Mutex::new(state),
            changed,
            backpressure,
            shares,
            linger: options.linger,
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
            // Who waits knows when the open record is due, and need not hear of what is added to it.
            let mut is_news = state.packer.open_since().is_none();
            self.metrics.accept(blocks.iter().map(Block::events).sum());
            state.storage.accept(bytes, bytes);
            state.active = now;
            let QueueState { packer, storage, .. } = state;
            for block in blocks {
                packer.push(block, origin, ack.split(), now, &mut |record| {
                    storage.push(record);
                    is_news = true;
                });
            }
            self.set_backpressure(state);
            Ok(is_news)
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
            state.storage.accept(record.len, record.payload);
            state.active = Instant::now();
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

    /// The age of the oldest record that waits.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.with(|state| state.oldest().map(|since| since.elapsed()))
    }
}

/// What the sink takes.
impl DestinationQueue {
    fn next_request(&self) -> NextRequest {
        let now = Instant::now();
        self.with(|state| {
            let linger = if self.hurries(state) { Duration::ZERO } else { self.linger };
            if state.storage.is_closed_by_sink() {
                state.close_aged(now, if state.ended { Duration::ZERO } else { linger });
            }
            if state.has_request(now, linger) {
                state.active = now;
                return NextRequest::Take(state.storage.take_request(RequestRoom::WHOLE));
            }
            match state.oldest() {
                // The request is to be filled with what is being read.
                Some(_) if state.storage.is_reading() => NextRequest::Wait,
                Some(since) => NextRequest::At(since + linger),
                None if state.ended && state.storage.is_taken() => NextRequest::Ended,
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
            let linger = if at_once { Duration::ZERO } else { self.linger };
            state.close_aged(now, linger);
            let batch = state.storage.disk_mut().map(DiskStorage::next_batch).unwrap_or_default();
            match state.packer.open_since() {
                _ if !batch.is_empty() => NextToStore::Records(batch),
                Some(since) => NextToStore::At(since + linger),
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
            let result = state.storage.disk_mut().map(change).unwrap_or_default();
            self.set_backpressure(state);
            result
        });
        self.wake();
        result
    }
}

impl QueueState {
    /// When the first event came of what is to be sent next.
    fn oldest(&self) -> Option<Instant> {
        let open = || self.packer.open_since().filter(|_| self.storage.is_closed_by_sink());
        self.storage.ready().oldest.or_else(open)
    }

    fn close_aged(&mut self, now: Instant, linger: Duration) {
        if self.packer.open_since().is_some_and(|since| since + linger <= now) {
            let storage = &mut self.storage;
            self.packer.close(&mut |record| storage.push(record));
        }
    }

    /// Whether a request is full, or its first record has waited long enough.
    fn has_request(&self, now: Instant, linger: Duration) -> bool {
        let ready = self.storage.ready();
        let is_aged = ready.oldest.is_some_and(|since| self.ended || since + linger <= now);
        ready.fill_a_request() || (is_aged && !self.storage.is_reading())
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

    fn release(&self, bytes: usize) {
        self.with(|state| {
            state.active = Instant::now();
            state.storage.release(bytes);
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
