//! A queue as its sink, its disk task and its sources see it, without any file.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::next::{NextToStore, QueueOptions};
use super::queue::DestinationQueue;
use super::shares::MemoryShares;
use super::storage::{DiskStorage, StorageOptions};
use crate::buffer::disk::{LogContents, LogSegment, StoredAt};
use crate::config::Packing;
use crate::event::{AckGuard, Acknowledge, Backpressure, Block, Borders, Budget, Outcome, Record};
use crate::limits::TARGET_REQUEST_BYTES;
use crate::metrics::{Metrics, SinkMetrics};
use crate::sink::RecordQueue;

const MIB: usize = 1024 * 1024;

/// How chunks ended.
#[derive(Default)]
struct SeenOutcomes(Mutex<Vec<Outcome>>);

/// The same, of senders that wait.
struct AwaitedOutcomes(Arc<SeenOutcomes>);

impl Acknowledge for AwaitedOutcomes {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        self.0.acknowledge(number, outcome);
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

impl Acknowledge for SeenOutcomes {
    fn acknowledge(&self, _: u64, outcome: Outcome) {
        self.0.lock().unwrap().push(outcome);
    }
}

struct TestQueue {
    queue: Arc<DestinationQueue>,
    shares: Arc<MemoryShares>,
    metrics: SinkMetrics,
    outcomes: Arc<SeenOutcomes>,
}

fn test(storage: StorageOptions) -> TestQueue {
    let shares = MemoryShares::new(Budget::new(64 * MIB as u64));
    let metrics = Metrics::new().sink("archive");
    let options = QueueOptions {
        packing: Packing::Lines,
        linger: Duration::from_secs(1),
        is_billed_as_packed: true,
        storage,
    };
    let backpressure = Backpressure::new(Arc::new(Notify::new()));
    let queue = DestinationQueue::new(options, backpressure, Arc::clone(&shares), metrics.clone());
    TestQueue { queue, shares, metrics, outcomes: Arc::default() }
}

fn in_memory() -> TestQueue {
    test(StorageOptions::Memory)
}

/// With a log that is open and empty.
fn on_disk() -> TestQueue {
    let test = test(StorageOptions::Disk { most_in_memory: 16 * MIB });
    assert_eq!(test.queue.opened(&LogContents::default()), 0);
    test
}

impl TestQueue {
    fn push(&self, len: usize) {
        let record = Record {
            parts: vec![Bytes::from(vec![b'x'; len])],
            len,
            payload: len,
            compressed: false,
            events: 1,
            is_piece: false,
            acks: vec![AckGuard::open(Arc::clone(&self.outcomes) as Arc<dyn Acknowledge>, 0)],
            origin: Arc::default(),
            since: Instant::now(),
        };
        self.queue.push_record(record).unwrap();
    }

    /// Adds lines of so many bytes in all, of a sender that waits for their end, or of a file.
    fn write(&self, len: usize, is_awaited: bool) {
        let mut data = vec![b'x'; len];
        data[len - 1] = b'\n';
        let block = Block { data: data.into(), borders: Borders::Newlines(1) };
        let outcomes = Arc::clone(&self.outcomes);
        let owner: Arc<dyn Acknowledge> =
            if is_awaited { Arc::new(AwaitedOutcomes(outcomes)) } else { outcomes };
        let ack = AckGuard::open(owner, 0);
        self.queue.push(&[block], &Arc::default(), &ack).unwrap();
        ack.settle();
    }

    /// What the disk task does with a batch, but for the disk.
    fn store(&self) -> usize {
        let NextToStore::Records(records) = self.queue.next_to_store() else { return 0 };
        let count = records.len();
        let ends = (1..).map(|index| StoredAt { segment: 1, end: index * MIB as u64 });
        let acks = self.queue.change_disk(|disk| disk.stored(records.into_iter().zip(ends)));
        acks.into_iter().for_each(AckGuard::settle);
        count
    }

    /// What the sink gets; none: nothing, for as long as it cares to wait.
    async fn take(&self) -> Option<Vec<usize>> {
        let taken = timeout(Duration::from_mins(1), self.queue.take()).await.ok()??;
        Some(self.deliver(taken))
    }

    fn deliver(&self, records: Vec<Record>) -> Vec<usize> {
        let deliver = |record: Record| {
            self.metrics.deliver(record.events);
            self.queue.release(record.payload);
            record.acks.into_iter().for_each(AckGuard::settle);
            record.len
        };
        records.into_iter().map(deliver).collect()
    }

    fn outcomes(&self) -> usize {
        let outcomes = self.outcomes.0.lock().unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
        outcomes.len()
    }
}

const LARGE: usize = TARGET_REQUEST_BYTES + 1;

/// A record larger than a request, between two that are not.
async fn a_large_record_is_taken_alone(test: &TestQueue, store: impl Fn()) {
    for len in [10, LARGE, 20] {
        test.push(len);
    }
    store();
    for expected in [10, LARGE, 20] {
        assert_eq!(test.queue.top_up(1, TARGET_REQUEST_BYTES - 5).len(), 0, "it does not fit");
        assert_eq!(test.take().await, Some(vec![expected]));
    }
    test.queue.end();
    assert!(test.queue.take().await.is_none());
    assert_eq!((test.outcomes(), test.metrics.in_flight()), (3, 0));
    assert!(test.queue.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_request_does_not_stop_its_destination_in_memory() {
    a_large_record_is_taken_alone(&in_memory(), || ()).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_request_does_not_stop_its_destination_on_disk() {
    let test = on_disk();
    a_large_record_is_taken_alone(&test, || assert_eq!(test.store(), 3)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_on_disk_is_acknowledged_before_it_is_delivered() {
    let test = on_disk();
    test.push(10);
    assert_eq!((test.outcomes(), test.queue.look_at_disk(DiskStorage::held)), (0, 10));
    assert_eq!(test.store(), 1);
    assert_eq!((test.outcomes(), test.metrics.in_flight()), (1, 1));
    assert!(!test.queue.is_drained());
    assert_eq!(test.take().await, Some(vec![10]));
    assert!(test.queue.is_drained());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_delivered_from_memory_after_what_could() {
    let test = on_disk();
    test.push(10);
    assert_eq!(test.store(), 1);
    test.push(20);
    let NextToStore::Records(records) = test.queue.next_to_store() else { panic!("a record waits") };
    test.queue.change_disk(|disk| {
        disk.put_back(records);
        disk.set_broken(true);
    });
    assert_eq!(test.take().await, Some(vec![10]));
    assert_eq!(test.outcomes(), 1, "nobody is told that it is stored");
    assert_eq!(test.take().await, Some(vec![20]));
    assert_eq!((test.outcomes(), test.queue.look_at_disk(DiskStorage::held)), (2, 0));
    assert!(test.queue.is_drained());
    test.queue.change_disk(|disk| disk.set_broken(false));
    test.push(30);
    assert!(test.take().await.is_none(), "it is to be stored again");
    assert_eq!(test.store(), 1);
    test.queue.end();
    assert_eq!((test.outcomes(), test.metrics.in_flight()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_stored_is_the_next_to_be() {
    let test = on_disk();
    for len in [1, 2, 3] {
        test.push(len);
    }
    let NextToStore::Records(records) = test.queue.next_to_store() else { panic!("nothing to store") };
    test.push(4);
    test.queue.change_disk(|disk| disk.put_back(records));
    assert_eq!(test.store(), 4);
    assert_eq!(test.take().await, Some(vec![1, 2, 3, 4]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_before_the_log_is_open_and_the_queue_does_not_end() {
    let test = test(StorageOptions::Disk { most_in_memory: 16 * MIB });
    test.push(10);
    test.queue.end();
    assert_eq!(test.store(), 0);
    assert_eq!(test.take().await, None, "it waits");
    assert!(!test.queue.is_drained() && !test.queue.is_handed_over());
    assert_eq!(test.queue.opened(&LogContents::default()), 0);
    assert_eq!(test.store(), 1);
    assert_eq!(test.take().await, Some(vec![10]));
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_handed_over_once_all_of_it_is_on_disk() {
    let test = on_disk();
    test.push(10);
    test.queue.end_and_hand_over();
    assert!(
        timeout(Duration::from_mins(1), test.queue.handed_over()).await.is_err(),
        "10 bytes are not stored"
    );
    let (left, stored) = tokio::join!(timeout(Duration::from_mins(1), test.queue.handed_over()), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        test.store()
    });
    assert!(left.is_ok() && stored == 1);
    assert!(!test.queue.is_drained(), "it is left to be delivered");
    let test = in_memory();
    test.queue.end_and_hand_over();
    assert!(!test.queue.is_handed_over(), "memory cannot be");
}

#[tokio::test(start_paused = true)]
async fn of_a_record_that_is_partly_delivered_only_the_rest_is_handed_over() {
    let test = on_disk();
    test.push(10);
    assert_eq!(test.store(), 1);
    let whole = test.queue.take().await.unwrap().pop().unwrap();
    let piece = |len| Record {
        parts: vec![Bytes::from(vec![b'x'; len])],
        len,
        payload: len,
        is_piece: true,
        acks: whole.acks.iter().map(AckGuard::split).collect(),
        origin: Arc::clone(&whole.origin),
        ..whole
    };
    let (delivered, left) = (piece(4), piece(6));
    whole.acks.into_iter().for_each(AckGuard::settle);
    test.deliver(vec![delivered]);
    test.queue.end_and_hand_over();
    assert!(test.queue.is_handed_over());

    test.queue.put_back(left);
    assert!(!test.queue.is_handed_over(), "a piece is not on disk");
    assert_eq!(test.queue.look_at_disk(DiskStorage::ended).offset, 0);
    assert_eq!(test.store(), 1);
    assert!(test.queue.is_handed_over());
    assert_eq!(test.queue.look_at_disk(DiskStorage::ended).offset, MIB as u64, "the record has ended");
    assert_eq!(test.queue.look_at_disk(|disk| disk.ready().bytes), 6, "the piece is still to be delivered");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_buffer_lets_sources_wait_and_go_on() {
    let test = on_disk();
    test.queue.change_disk(|disk| disk.set_full(true));
    assert!(test.queue.backpressure().is_full());
    test.queue.change_disk(|disk| disk.set_full(false));
    assert!(!test.queue.backpressure().is_full());
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_works_is_not_read_for_faster_than_it_delivers() {
    let test = on_disk();
    for _ in 0..9 {
        test.push(MIB);
    }
    test.store();
    assert!(test.queue.backpressure().is_throttled(), "half of its part of the memory is taken");
    test.queue.set_failing(true);
    assert!(!test.queue.backpressure().is_throttled(), "a failing one takes all there is to disk");
    test.queue.set_failing(false);
    while test.queue.backpressure().is_throttled() {
        assert!(test.take().await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_read_back_when_it_is_needed() {
    let test = test(StorageOptions::Disk { most_in_memory: 2 * MIB });
    let segment = LogSegment { number: 1, end: 8 * MIB as u64, events: 7 };
    let contents = LogContents { segments: vec![segment], ..LogContents::default() };
    assert_eq!((test.queue.opened(&contents), test.metrics.in_flight()), (7, 7));
    let request = test.queue.next_to_read().unwrap();
    assert_eq!((request.range.segment, request.range.end), (1, 8 * MIB as u64));
    assert!(test.queue.look_at_disk(DiskStorage::is_reading));
    assert!(test.queue.change_disk(|disk| disk.read_failed(request.range)), "it is still to be read");
    let evicted = test.queue.change_disk(DiskStorage::evict).unwrap().unread.unwrap();
    assert_eq!(evicted.events, 7);
    assert!(!test.queue.change_disk(|disk| disk.read_failed(request.range)), "it is gone");
    assert!(test.queue.next_to_read().is_none());
}

#[tokio::test(start_paused = true)]
async fn in_a_drain_nothing_lingers() {
    let test = in_memory();
    test.push(10);
    test.shares.flush();
    let since = Instant::now();
    assert_eq!(test.take().await, Some(vec![10]));
    assert_eq!(since.elapsed(), Duration::ZERO);
}

/// How long a first record of lines of so many bytes waits to be filled, where nothing else is under way.
async fn check_wait(len: usize, is_awaited: bool, is_long: bool) {
    let test = in_memory();
    let since = Instant::now();
    test.write(len, is_awaited);
    assert_eq!(test.take().await, Some(vec![len]));
    let waited = since.elapsed();
    assert_eq!(waited >= Duration::from_secs(1), is_long, "{len} bytes waited {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_sender_that_waits_is_filled_only_where_that_makes_it_cheaper() {
    for len in [100, 1_024, 4_900, 25_000, 100_000] {
        check_wait(len, true, true).await;
    }
    for len in [5_120, 25_600, 300_000, 900_000] {
        check_wait(len, true, false).await;
        check_wait(len, false, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_small_event_now_and_then_is_not_billed_by_itself() {
    let test = in_memory();
    let writes = async {
        for _ in 0..9 {
            test.write(100, true);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (taken, ()) = tokio::join!(test.take(), writes);
    assert_eq!(taken, Some(vec![900]));
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_at_once_when_none_is_under_way_and_else_waits_for_more() {
    let test = in_memory();
    let since = Instant::now();
    test.write(990_000, true);
    test.write(300_000, true);
    let under_way = test.queue.take().await.unwrap();
    assert_eq!((under_way.len(), since.elapsed()), (1, Duration::ZERO));
    test.write(600_000, true);
    let early = timeout(Duration::from_millis(800), test.queue.take()).await;
    assert!(early.is_err(), "another request is under way");
    test.deliver(under_way);
    assert_eq!(test.take().await, Some(vec![900_000]));
    assert!(since.elapsed() < Duration::from_millis(810), "{:?}", since.elapsed());
}

/// Senders that each wait for the answer before they send again: how many rounds of theirs a minute has.
async fn rounds(test: &TestQueue, senders: usize, len: usize) -> usize {
    let (since, mut rounds, mut records) = (Instant::now(), 0, 0);
    while since.elapsed() < Duration::from_mins(1) {
        let writes = async {
            for _ in 0..senders {
                test.write(len, true);
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        };
        let (taken, ()) = tokio::join!(test.queue.take(), writes);
        tokio::time::sleep(Duration::from_millis(20)).await;
        records += taken.iter().flatten().count();
        test.deliver(taken.unwrap());
        rounds += 1;
    }
    assert_eq!(records, rounds, "each round is one record");
    rounds
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_their_answers_do_not_wait_for_linger() {
    for (senders, len, least) in [(1, 500, 2_000), (8, 25_000, 1_200), (32, 25_000, 800), (4, 100, 1_500)] {
        let rounds = rounds(&in_memory(), senders, len).await;
        assert!(rounds >= least, "{rounds} rounds of {senders} senders of {len} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_disk_does_not_wait_for_linger() {
    let test = on_disk();
    let since = Instant::now();
    test.write(300_000, true);
    let NextToStore::At(due) = test.queue.next_to_store() else { panic!("it is being filled") };
    assert!(due.duration_since(since) < Duration::from_millis(10));
    tokio::time::sleep_until(due).await;
    assert_eq!((test.store(), test.outcomes()), (1, 1));
    let early = timeout(Duration::from_millis(900), test.queue.take()).await;
    assert!(early.is_err(), "nobody waits any more");
    assert_eq!(test.take().await, Some(vec![300_000]));
    test.write(300_000, false);
    let NextToStore::At(due) = test.queue.next_to_store() else { panic!("it is being filled") };
    assert_eq!(due.duration_since(Instant::now()), Duration::from_secs(1), "a file does not wait");
}
