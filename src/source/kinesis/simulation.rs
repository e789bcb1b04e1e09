//! A fleet on a model of the table and the stream: workers that are killed, hang and come back, shards that are split and merged.
//!
//! Each worker does what `fleet` and `held_lease` do, by the same pure parts: it looks, takes, renews, reads, writes positions down on the
//! lease's condition, and adds what comes after a shard that ends. A step is a tenth of the failover time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::{HashRange, Leases};
use super::place::{SequenceNumber, ShardMark};
use super::shards::{ListedShard, ShardGraph, is_needless, may_be_read};
use super::taker::LeaseObserver;
use crate::config::StreamStart;
use crate::event::Timestamp;

const FAILOVER: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_secs(1);
/// A worker renews in every third step, and looks in every tenth.
const RENEW: u64 = 3;
const LOOK: u64 = 10;
/// Shards are listed in every sixtieth.
const SYNC: u64 = 60;
/// What is read is delivered so many steps later, and then written down.
const DELIVERY: u64 = 2;

/// The stream: how many records each shard has, and what came of it.
#[derive(Default)]
struct ModelStream {
    shards: Vec<ListedShard>,
    records: Vec<usize>,
}

impl ModelStream {
    fn id(number: usize) -> Arc<str> {
        format!("shardId-{number:012}").into()
    }

    fn number(id: &str) -> usize {
        id.rsplit('-').next().unwrap().parse().unwrap()
    }

    fn add(&mut self, parents: &[usize]) {
        let number = self.shards.len();
        self.shards.push(ListedShard {
            id: Self::id(number),
            parents: parents.iter().copied().map(Self::id).collect(),
            hashes: HashRange { first: "0".into(), last: "9".into() },
            first: SequenceNumber::new(&number.to_string()).unwrap(),
            is_closed: false,
        });
        self.records.push(0);
    }

    fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|number| !self.shards[*number].is_closed).collect()
    }

    fn close(&mut self, number: usize) {
        self.shards[number].is_closed = true;
    }

    fn graph(&self) -> ShardGraph {
        ShardGraph::new(self.shards.iter().cloned())
    }
}

/// One worker's hold of a lease.
struct ModelLease {
    counter: u64,
    /// When the last write succeeded.
    renewed: u64,
    /// Records before this were read.
    read: usize,
    /// So many are to be delivered, by the step in which they are.
    under_way: Vec<(u64, usize)>,
    delivered: usize,
    written: usize,
    is_finished: bool,
    is_reading: bool,
}

struct ModelWorker {
    name: Arc<str>,
    observer: LeaseObserver,
    held: BTreeMap<Arc<str>, ModelLease>,
    /// It hangs until this step.
    hangs: u64,
}

struct FleetModel {
    stream: ModelStream,
    table: Leases,
    workers: Vec<ModelWorker>,
    /// How often each record was delivered, by shard.
    delivered: Vec<Vec<u32>>,
    random: fastrand::Rng,
    step: u64,
    start: Instant,
    born: u64,
}

impl FleetModel {
    fn new(seed: u64, workers: u64, shards: usize) -> Self {
        let mut model = Self {
            stream: ModelStream::default(),
            table: Leases::new(),
            workers: Vec::new(),
            delivered: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            step: 0,
            start: Instant::now(),
            born: 0,
        };
        (0..shards).for_each(|_| model.stream.add(&[]));
        (0..workers).for_each(|_| model.join());
        model
    }

    fn join(&mut self) {
        self.born += 1;
        let name: Arc<str> = format!("worker-{}", self.born).into();
        let observer = LeaseObserver::new(Arc::clone(&name), FAILOVER);
        self.workers.push(ModelWorker { name, observer, held: BTreeMap::new(), hangs: 0 });
    }

    fn now(&self) -> Instant {
        self.start + STEP * u32::try_from(self.step).unwrap()
    }

    /// Something happens that may happen at any time.
    fn disturb(&mut self) {
        let open = self.stream.open();
        match self.random.u32(..60) {
            0 => {
                let killed = self.random.usize(..self.workers.len());
                self.workers.swap_remove(killed);
                self.join();
            }
            1 | 2 => {
                let (hung, until) =
                    (self.random.usize(..self.workers.len()), self.step + self.random.u64(1..40));
                self.workers[hung].hangs = until;
            }
            3 | 4 => {
                let split = open[self.random.usize(..open.len())];
                self.stream.close(split);
                self.stream.add(&[split]);
                self.stream.add(&[split]);
            }
            5 | 6 if open.len() > 2 => {
                let at = self.random.usize(..open.len() - 1);
                let pair = [open[at], open[at + 1]];
                for number in pair {
                    self.stream.close(number);
                }
                self.stream.add(&pair);
            }
            _ => {}
        }
    }

    fn advance(&mut self, is_disturbed: bool) {
        self.step += 1;
        for number in self.stream.open() {
            self.stream.records[number] += usize::from(is_disturbed) * self.random.usize(..3);
        }
        if is_disturbed {
            self.disturb();
        }
        self.delivered.resize(self.stream.shards.len(), Vec::new());
        for index in 0..self.workers.len() {
            let mut worker = std::mem::replace(
                &mut self.workers[index],
                ModelWorker {
                    name: "".into(),
                    observer: LeaseObserver::new("".into(), FAILOVER),
                    held: BTreeMap::new(),
                    hangs: 0,
                },
            );
            if worker.hangs <= self.step {
                self.work(index as u64, &mut worker);
            }
            self.workers[index] = worker;
        }
    }

    fn work(&mut self, index: u64, worker: &mut ModelWorker) {
        let shards: Vec<Arc<str>> = worker.held.keys().cloned().collect();
        for shard in shards {
            if !self.tend(&worker.name, &shard, worker.held.get_mut(&shard).unwrap()) {
                worker.held.remove(&shard);
            }
        }
        if (self.step + index).is_multiple_of(LOOK) {
            self.look(worker, (self.step + index).is_multiple_of(SYNC));
        }
    }

    /// Reads a shard, delivers, renews and writes down; whether the lease is still this worker's.
    fn tend(&mut self, worker: &str, shard: &Arc<str>, held: &mut ModelLease) -> bool {
        let number = ModelStream::number(shard);
        let is_valid = self.step - held.renewed < FAILOVER.as_secs();
        if is_valid && held.is_reading && held.read < self.stream.records[number] {
            let upto = self.stream.records[number].min(held.read + 5);
            held.read = upto;
            held.under_way.push((self.step + DELIVERY, upto));
        }
        // What is in flight ends, whoever has the lease.
        let step = self.step;
        while let Some((_, upto)) = held.under_way.first().copied().filter(|(at, _)| *at <= step) {
            held.under_way.remove(0);
            let counts = &mut self.delivered[number];
            counts.resize(self.stream.records[number], 0);
            (held.delivered..upto).for_each(|record| counts[record] += 1);
            held.delivered = upto;
        }
        let is_end = self.stream.shards[number].is_closed && held.delivered == self.stream.records[number];
        if held.is_reading && !held.is_finished && is_end {
            let graph = self.stream.graph();
            for lease in graph.missing_after(shard, &self.table, StreamStart::Beginning, Timestamp(0)) {
                self.table.entry(Arc::clone(&lease.shard)).or_insert(lease);
            }
            held.is_finished = self.write(worker, shard, held, Some(ShardMark::ShardEnd));
            return held.is_finished;
        }
        if held.delivered > held.written && !held.is_finished {
            let mark = ShardMark::read(&held.delivered.to_string(), 0);
            held.written = held.delivered;
            return self.write(worker, shard, held, mark);
        }
        step - held.renewed < RENEW || self.write(worker, shard, held, None)
    }

    /// On the lease's condition.
    fn write(
        &mut self,
        worker: &str,
        shard: &Arc<str>,
        held: &mut ModelLease,
        mark: Option<ShardMark>,
    ) -> bool {
        let Some(lease) =
            self.table.get_mut(shard).filter(|lease| lease.is_of(worker) && lease.counter == held.counter)
        else {
            return false;
        };
        lease.counter += 1;
        if let Some(mark) = mark {
            assert!(mark >= lease.mark, "a position goes back");
            lease.mark = mark;
        }
        (held.counter, held.renewed) = (lease.counter, self.step);
        true
    }

    fn look(&mut self, worker: &mut ModelWorker, is_sync: bool) {
        let graph = self.stream.graph();
        if self.table.is_empty() || is_sync {
            for lease in graph.missing(&self.table, StreamStart::Beginning, Timestamp(0)) {
                self.table.entry(Arc::clone(&lease.shard)).or_insert(lease);
            }
            let is_gone = |shard: &Arc<str>, held: &ModelLease, table: &Leases| {
                held.is_finished && table.get(shard).is_some_and(|lease| is_needless(lease, table, &graph))
            };
            let gone: Vec<Arc<str>> = worker
                .held
                .iter()
                .filter(|(shard, held)| is_gone(shard, held, &self.table))
                .map(|(shard, _)| Arc::clone(shard))
                .collect();
            for shard in gone {
                worker.held.remove(&shard);
                self.table.remove(&shard);
            }
        }
        let now = self.now();
        worker.observer.look(&self.table, now);
        let random = &mut self.random;
        for taking in worker.observer.take(&self.table, now, &mut |most| random.usize(..most)) {
            let lease = self.table.get_mut(&taking.lease.shard).unwrap();
            if taking.lease.is_of(&worker.name) || lease.counter != taking.lease.counter {
                continue;
            }
            lease.owner = Some(Arc::clone(&worker.name));
            lease.counter += 1;
            let from = if let ShardMark::Record(place) = &lease.mark {
                place.sequence.text().parse().unwrap()
            } else {
                0
            };
            let held = ModelLease {
                counter: lease.counter,
                renewed: self.step,
                read: from,
                under_way: Vec::new(),
                delivered: from,
                written: from,
                is_finished: lease.is_finished(),
                is_reading: false,
            };
            worker.held.insert(Arc::clone(&lease.shard), held);
        }
        for (shard, held) in &mut worker.held {
            held.is_reading |= self.table.get(shard).is_some_and(|lease| may_be_read(lease, &self.table));
        }
    }

    /// Every record of every shard was delivered.
    fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        for (number, records) in self.stream.records.iter().enumerate() {
            let counts = &self.delivered[number];
            let missing = (0..*records).filter(|record| counts.get(*record).is_none_or(|count| *count == 0));
            lost.extend(missing.map(|record| format!("{record} of shard {number}")));
        }
        lost
    }

    /// The fewest and the most leases that a worker has.
    fn spread(&self) -> (usize, usize) {
        let counts = self
            .workers
            .iter()
            .map(|worker| self.table.values().filter(|lease| lease.is_of(&worker.name)).count());
        let counts: BTreeSet<usize> = counts.collect();
        (*counts.first().unwrap(), *counts.last().unwrap())
    }
}

#[test]
fn a_fleet_loses_nothing_and_levels_out() {
    for (seed, workers, shards) in [(1, 3, 8), (2, 20, 100), (3, 40, 60), (4, 1, 5), (5, 30, 300)] {
        let mut model = FleetModel::new(seed, workers, shards);
        (0..600).for_each(|_| model.advance(true));
        // Then all is quiet.
        (0..40 * LOOK).for_each(|_| model.advance(false));
        let lost = model.lost();
        assert!(
            lost.is_empty(),
            "seed {seed}: {} records lost: {:?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
        let (fewest, most) = model.spread();
        let share = model.table.len().div_ceil(model.workers.len());
        assert!(most <= share + 1, "seed {seed}: {fewest} to {most} leases, {share} are fair");
        let owners = model.table.values().filter(|lease| lease.owner.is_some()).count();
        assert_eq!(owners, model.table.len(), "seed {seed}: nobody has some");
    }
}
