//! What one destination is fed from: its open record, its buffer, and the gate that says whether it takes more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::batch::Packer;
use crate::buffer::MemoryBuffer;
use crate::config::Packing;
use crate::event::{Block, Budget, Gate, Origin, Receipt, Record, Supply};
use crate::limits::{MAX_REQUEST_RECORDS, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};
use crate::metrics::{SinkMetrics, gauge};

/// One destination's input.
#[derive(Debug)]
pub(super) struct Feed {
    /// The lock covers appends and takes, which move pieces without copying large ones.
    inner: Mutex<Inner>,
    changed: Notify,
    gate: Arc<Gate>,
    shares: Arc<Shares>,
    linger: Duration,
    metrics: SinkMetrics,
}

#[derive(Debug)]
struct Inner {
    packer: Packer,
    buffer: MemoryBuffer,
    /// Bytes accepted and not ended: in the open record, the buffer, and requests.
    held: usize,
    /// Of these, bytes not taken by the sink yet.
    waiting: usize,
    failing: bool,
    ended: bool,
    active: Instant,
}

/// How the memory is shared among destinations.
#[derive(Debug)]
pub(super) struct Shares {
    budget: Arc<Budget>,
    destinations: AtomicUsize,
    /// Drain: nothing lingers any more.
    flushing: AtomicBool,
}

/// The least that a destination may hold, however many there are.
const LEAST_SHARE: usize = 1024 * 1024;

/// The feed has ended; another one is to be made.
#[derive(Debug)]
pub(super) struct Ended;

impl Shares {
    /// Shares of a budget.
    #[must_use]
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, destinations: AtomicUsize::new(0), flushing: AtomicBool::new(false) })
    }

    /// Sends what there is from now on, without waiting for more.
    pub(super) fn flush(&self) {
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

impl Feed {
    /// A feed with nothing in it.
    #[must_use]
    pub(super) fn new(
        packing: Packing,
        linger: Duration,
        gate: Arc<Gate>,
        shares: Arc<Shares>,
        metrics: SinkMetrics,
    ) -> Arc<Self> {
        shares.destinations.fetch_add(1, Ordering::AcqRel);
        let inner = Inner {
            packer: Packer::new(packing),
            buffer: MemoryBuffer::default(),
            held: 0,
            waiting: 0,
            failing: false,
            ended: false,
            active: Instant::now(),
        };
        Arc::new(Self { inner: Mutex::new(inner), changed: Notify::new(), gate, shares, linger, metrics })
    }

    /// The destination's gate.
    #[must_use]
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Adds encoded events of one origin, in order.
    ///
    /// # Errors
    /// When the feed has ended; nothing was added.
    pub(super) fn push(
        &self,
        blocks: &[Block],
        origin: &Arc<Origin>,
        receipt: &Receipt,
    ) -> Result<(), Ended> {
        let now = Instant::now();
        let bytes: usize = blocks.iter().map(|block| block.data.len()).sum();
        self.with(|inner| {
            if inner.ended {
                return Err(Ended);
            }
            self.metrics.accept(blocks.iter().map(Block::events).sum());
            self.metrics.buffer_bytes.add(gauge(bytes));
            inner.held = inner.held.saturating_add(bytes);
            inner.waiting = inner.waiting.saturating_add(bytes);
            inner.active = now;
            for block in blocks {
                let buffer = &mut inner.buffer;
                inner.packer.push(block, origin, receipt.split(), now, &mut |record| buffer.push(record));
            }
            self.set_gate(inner);
            Ok(())
        })?;
        self.changed.notify_one();
        Ok(())
    }

    /// Adds a record that is whole already.
    ///
    /// # Errors
    /// When the feed has ended; the record is given back.
    pub(super) fn push_record(&self, record: Record) -> Result<(), Record> {
        self.with(|inner| {
            if inner.ended {
                return Err(record);
            }
            self.metrics.accept(record.events);
            self.metrics.buffer_bytes.add(gauge(record.len));
            inner.held = inner.held.saturating_add(record.payload);
            inner.waiting = inner.waiting.saturating_add(record.len);
            inner.active = Instant::now();
            inner.buffer.push(record);
            self.set_gate(inner);
            Ok(())
        })?;
        self.changed.notify_one();
        Ok(())
    }

    /// Ends the input: the sink takes what is left, and then ends.
    pub(super) fn end(&self) {
        self.with(|inner| inner.ended = true);
        self.changed.notify_one();
    }

    /// Ends the input if nothing was there for `idle`; whether it did.
    pub(super) fn end_if_idle(&self, idle: Duration) -> bool {
        let ended = self.with(|inner| {
            inner.ended |= inner.held == 0 && inner.active.elapsed() >= idle;
            inner.ended
        });
        if ended {
            self.changed.notify_one();
        }
        ended
    }

    /// Makes the sink look again, after [`Shares::flush`].
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// The age of the oldest record that waits.
    #[must_use]
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.with(|inner| inner.oldest().map(|since| since.elapsed()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shut above the share, open again well below it.
    fn set_gate(&self, inner: &Inner) {
        let share = self.shares.share(inner.failing);
        if inner.held > share {
            self.gate.set_shut(true);
        } else if inner.held < share / 4 * 3 {
            self.gate.set_shut(false);
        }
    }

    /// What is to be sent now, or when to look again.
    fn next(&self) -> Next {
        let now = Instant::now();
        self.with(|inner| {
            let linger = if self.hurries(inner) { Duration::ZERO } else { self.linger };
            inner.close_aged(now, if inner.ended { Duration::ZERO } else { linger });
            if inner.has_request(now, linger) {
                let taken = inner.buffer.take(MAX_REQUEST_RECORDS, TARGET_REQUEST_BYTES);
                return Next::Take(self.taken(inner, taken));
            }
            match inner.oldest() {
                Some(since) => Next::At(since + linger),
                None if inner.ended => Next::Ended,
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
        let bytes: usize = records.iter().map(|record| record.len).sum();
        inner.waiting = inner.waiting.saturating_sub(bytes);
        inner.active = Instant::now();
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
        self.buffer.oldest().or_else(|| self.packer.open_since())
    }

    fn close_aged(&mut self, now: Instant, linger: Duration) {
        if self.packer.open_since().is_some_and(|since| since + linger <= now) {
            let buffer = &mut self.buffer;
            self.packer.close(&mut |record| buffer.push(record));
        }
    }

    /// Whether a request is full, or its first record has waited long enough.
    fn has_request(&self, now: Instant, linger: Duration) -> bool {
        let full = self.buffer.bytes() > TARGET_REQUEST_BYTES.saturating_sub(TARGET_RECORD_BYTES);
        let aged = || self.buffer.oldest().is_some_and(|since| self.ended || since + linger <= now);
        full || self.buffer.len() >= MAX_REQUEST_RECORDS || aged()
    }
}

impl Supply for Feed {
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
            let taken = inner.buffer.take(more, room);
            self.taken(inner, taken)
        })
    }

    fn set_failing(&self, failing: bool) {
        self.with(|inner| {
            inner.failing = failing;
            self.set_gate(inner);
        });
    }

    fn release(&self, bytes: usize) {
        self.with(|inner| {
            inner.held = inner.held.saturating_sub(bytes);
            inner.active = Instant::now();
            self.set_gate(inner);
        });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shares.destinations.fetch_sub(1, Ordering::AcqRel);
        self.gate.set_shut(false);
    }
}
