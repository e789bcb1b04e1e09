//! What one destination is fed from: its open record, its buffer, and the backpressure that says whether it takes more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::store::{OnDisk, Store};
use crate::batch::Packer;
use crate::buffer::MemoryBuffer;
use crate::config::Packing;
use crate::event::{AckGuard, Backpressure, Block, Budget, Origin, Record};
use crate::limits::{MAX_REQUEST_RECORDS, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};
use crate::metrics::{SinkMetrics, gauge};
use crate::sink::RecordQueue;

/// One destination's input.
#[derive(Debug)]
pub(crate) struct DestinationQueue {
    /// The lock covers appends and takes, which move pieces without copying large ones.
    inner: Mutex<Inner>,
    /// Told when the sink may find something to take.
    pub(crate) changed: Notify,
    /// Told when there may be something to store on disk, or to read from there.
    pub(crate) to_write: Notify,
    pub(crate) to_read: Notify,
    /// Told when what is left may all be on disk.
    pub(crate) left: Notify,
    pub(crate) backpressure: Arc<Backpressure>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) linger: Duration,
    /// Most bytes in memory of records that are on disk.
    pub(crate) disk_memory: usize,
    metrics: SinkMetrics,
}

/// Where a queue keeps its records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Storage {
    /// In memory.
    Memory,
    /// On disk, with at most so many bytes of them in memory as well.
    Disk(usize),
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) packer: Packer,
    pub(crate) store: Store,
    /// Bytes whose sources wait for them: in memory, those accepted and not ended, in the open record, the buffer, and
    /// requests; with records on disk, those that are not there yet.
    pub(crate) held: usize,
    /// In memory: of these, bytes not taken by the sink yet.
    pub(crate) waiting: usize,
    pub(crate) failing: bool,
    pub(crate) ended: bool,
    /// What is on disk is left there once nothing else is to be stored.
    pub(crate) hands_over: bool,
    pub(crate) active: Instant,
}

/// How the memory is shared among destinations.
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) budget: Arc<Budget>,
    pub(crate) destinations: AtomicUsize,
    /// Drain: nothing lingers any more.
    pub(crate) flushing: AtomicBool,
    /// The process is about to end: what is on disk stays there.
    pub(crate) closing: AtomicBool,
}

/// The least that a destination may hold, however many there are.
const LEAST_SHARE: usize = 1024 * 1024;

/// The queue has ended; another one is to be made.
#[derive(Debug)]
pub(crate) struct Ended;

impl Shares {
    /// Shares of a budget.
    #[must_use]
    pub(crate) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            destinations: AtomicUsize::new(0),
            flushing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        })
    }

    /// Leaves what is on disk there from now on.
    pub(crate) fn close(&self) {
        self.flush();
        self.closing.store(true, Ordering::Release);
    }

    /// Sends what there is from now on, without waiting for more.
    pub(crate) fn flush(&self) {
        self.flushing.store(true, Ordering::Release);
    }

    /// A single destination may hold everything; several leave room for one more, and failing ones for twice as many.
    fn share(&self, failing: bool) -> usize {
        let destinations = self.destinations.load(Ordering::Acquire);
        let total = usize::try_from(self.budget.limit()).unwrap_or(usize::MAX);
        if destinations <= 1 {
            return total;
        }
        let parts = destinations.saturating_add(1).saturating_mul(if failing { 2 } else { 1 });
        (total / parts).max(LEAST_SHARE)
    }
}

impl DestinationQueue {
    /// A queue with nothing in it.
    #[must_use]
    pub(crate) fn new(
        (packing, linger): (Packing, Duration),
        storage: Storage,
        backpressure: Arc<Backpressure>,
        shares: Arc<Shares>,
        metrics: SinkMetrics,
    ) -> Arc<Self> {
        shares.destinations.fetch_add(1, Ordering::AcqRel);
        let (store, disk_memory) = match storage {
            Storage::Memory => (Store::Memory(MemoryBuffer::default()), 0),
            Storage::Disk(memory) => (Store::Disk(Box::<OnDisk>::default()), memory),
        };
        let inner = Inner {
            packer: Packer::new(packing),
            store,
            held: 0,
            waiting: 0,
            failing: false,
            ended: false,
            hands_over: false,
            active: Instant::now(),
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            to_write: Notify::new(),
            to_read: Notify::new(),
            left: Notify::new(),
            backpressure,
            shares,
            linger,
            disk_memory,
            metrics,
        })
    }

    /// The destination's backpressure.
    #[must_use]
    pub(crate) fn backpressure(&self) -> &Arc<Backpressure> {
        &self.backpressure
    }

    /// Adds encoded events of one origin, in order.
    ///
    /// # Errors
    /// When the queue has ended; nothing was added.
    pub(crate) fn push(&self, blocks: &[Block], origin: &Arc<Origin>, ack: &AckGuard) -> Result<(), Ended> {
        let now = Instant::now();
        let bytes: usize = blocks.iter().map(|block| block.data.len()).sum();
        let is_news = self.with(|inner| {
            if inner.ended {
                return Err(Ended);
            }
            // Who waits knows when the open record is due, and need not hear of what is added to it.
            let mut is_news = inner.packer.open_since().is_none();
            self.metrics.accept(blocks.iter().map(Block::events).sum());
            if !inner.store.is_on_disk() {
                self.metrics.buffer_bytes.add(gauge(bytes));
                inner.waiting = inner.waiting.saturating_add(bytes);
            }
            inner.held = inner.held.saturating_add(bytes);
            inner.active = now;
            for block in blocks {
                let store = &mut inner.store;
                inner.packer.push(block, origin, ack.split(), now, &mut |record| {
                    store.push(record);
                    is_news = true;
                });
            }
            self.set_backpressure(inner);
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
        self.with(|inner| {
            if inner.ended {
                return Err(record);
            }
            self.metrics.accept(record.events);
            if !inner.store.is_on_disk() {
                self.metrics.buffer_bytes.add(gauge(record.len));
                inner.waiting = inner.waiting.saturating_add(record.len);
            }
            inner.held = inner.held.saturating_add(record.payload);
            inner.active = Instant::now();
            inner.store.push(record);
            self.set_backpressure(inner);
            Ok(())
        })?;
        self.wake();
        Ok(())
    }

    /// Ends the input: the sink takes what is left, and then ends.
    pub(crate) fn end(&self) {
        self.with(|inner| inner.ended = true);
        self.wake();
    }

    /// Ends the input if nothing was there for `idle`; whether it did.
    pub(crate) fn end_if_idle(&self, idle: Duration) -> bool {
        let ended = self.with(|inner| {
            let is_idle = inner.held == 0 && inner.store.is_drained();
            inner.ended |= is_idle && inner.active.elapsed() >= idle;
            inner.ended
        });
        if ended {
            self.wake();
        }
        ended
    }

    /// Makes everybody look again, such as after [`Shares::flush`].
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
        self.to_write.notify_one();
    }

    /// The age of the oldest record that waits.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.with(|inner| inner.oldest().map(|since| since.elapsed()))
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shut above the share, open again well below it.
    pub(crate) fn set_backpressure(&self, inner: &Inner) {
        let (share, full) = match &inner.store {
            Store::Memory(_) => (self.shares.share(inner.failing), false),
            Store::Disk(disk) => (self.shares.share(false), disk.full),
        };
        if inner.held > share || full {
            self.backpressure.set_full(true);
        } else if inner.held < share / 4 * 3 {
            self.backpressure.set_full(false);
        }
        self.set_throttled(inner);
    }

    /// What is to be sent now, or when to look again.
    fn next(&self) -> Next {
        let now = Instant::now();
        self.with(|inner| {
            let linger = if self.hurries(inner) { Duration::ZERO } else { self.linger };
            if !inner.store.is_on_disk() {
                inner.close_aged(now, if inner.ended { Duration::ZERO } else { linger });
            }
            if inner.has_request(now, linger) {
                let taken = inner.store.take(MAX_REQUEST_RECORDS, TARGET_REQUEST_BYTES);
                return Next::Take(self.taken(inner, taken));
            }
            match inner.oldest() {
                // The request is to be filled with what is being read.
                Some(_) if inner.store.is_reading() => Next::Wait,
                Some(since) => Next::At(since + linger),
                None if inner.ended && inner.is_handed_out() => Next::Ended,
                None => Next::Wait,
            }
        })
    }

    /// Whether to wait for fuller records is of no use: in a drain, or when sources wait for memory that only this can free.
    fn hurries(&self, inner: &Inner) -> bool {
        let nothing_under_way = inner.held <= inner.waiting;
        self.shares.flushing.load(Ordering::Acquire) || (nothing_under_way && self.shares.budget.is_spent())
    }

    fn taken(&self, inner: &mut Inner, records: Vec<Record>) -> Vec<Record> {
        inner.active = Instant::now();
        if inner.store.is_on_disk() {
            self.to_read.notify_one();
            return records;
        }
        let bytes: usize = records.iter().map(|record| record.len).sum();
        inner.waiting = inner.waiting.saturating_sub(bytes);
        self.metrics.buffer_bytes.sub(gauge(bytes));
        records
    }
}

/// What a sink finds.
enum Next {
    Take(Vec<Record>),
    At(Instant),
    Wait,
    Ended,
}

impl Inner {
    fn oldest(&self) -> Option<Instant> {
        let open = || if self.store.is_on_disk() { None } else { self.packer.open_since() };
        self.store.oldest().or_else(open)
    }

    /// Whether the sink has taken everything there is.
    fn is_handed_out(&self) -> bool {
        let unstored = self.store.is_on_disk() && self.held > 0;
        !unstored && self.store.is_handed_out()
    }

    pub(crate) fn close_aged(&mut self, now: Instant, linger: Duration) {
        if self.packer.open_since().is_some_and(|since| since + linger <= now) {
            let store = &mut self.store;
            self.packer.close(&mut |record| store.push(record));
        }
    }

    /// Whether a request is full, or its first record has waited long enough.
    fn has_request(&self, now: Instant, linger: Duration) -> bool {
        let (bytes, records) = self.store.ready();
        let full = bytes > TARGET_REQUEST_BYTES.saturating_sub(TARGET_RECORD_BYTES);
        let aged = || self.store.oldest().is_some_and(|since| self.ended || since + linger <= now);
        full || records >= MAX_REQUEST_RECORDS || (aged() && !self.store.is_reading())
    }
}

impl RecordQueue for DestinationQueue {
    async fn take(&self) -> Option<Vec<Record>> {
        loop {
            // A permit that `notify_one` left behind is found here, so no change is missed.
            let changed = self.changed.notified();
            let spent = self.shares.budget.spent();
            match self.next() {
                Next::Take(records) => return Some(records),
                Next::Ended => return None,
                Next::Wait => changed.await,
                Next::At(when) => tokio::select! {
                    () = changed => {}
                    () = spent => {}
                    () = sleep_until(when) => {}
                },
            }
        }
    }

    fn top_up(&self, records: usize, bytes: usize) -> Vec<Record> {
        let more = MAX_REQUEST_RECORDS.saturating_sub(records);
        let room = TARGET_REQUEST_BYTES.saturating_sub(bytes);
        self.with(|inner| {
            let taken = inner.store.take(more, room);
            self.taken(inner, taken)
        })
    }

    async fn handed_over(&self) {
        while !self.is_handed_over() {
            self.left.notified().await;
        }
    }

    fn set_failing(&self, failing: bool) {
        self.with(|inner| {
            inner.failing = failing;
            self.set_backpressure(inner);
        });
    }

    fn release(&self, bytes: usize) {
        self.with(|inner| {
            inner.active = Instant::now();
            match &mut inner.store {
                Store::Memory(_) => inner.held = inner.held.saturating_sub(bytes),
                Store::Disk(disk) => {
                    disk.taken = disk.taken.saturating_sub(bytes);
                    self.to_read.notify_one();
                }
            }
            self.set_backpressure(inner);
        });
    }
}

impl Drop for DestinationQueue {
    fn drop(&mut self) {
        self.shares.destinations.fetch_sub(1, Ordering::AcqRel);
        self.backpressure.set_full(false);
        self.backpressure.set_throttled(false);
    }
}
