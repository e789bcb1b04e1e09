//! A worker among others: looks at the leases again and again, takes its share, reads what it has, and leaves nothing without a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::client::StreamFault;
use super::held_lease::HeldLease;
use super::lease::{Leases, ShardLease};
use super::lease_fault::{LeaseFault, LeaseFaultKind};
use super::left::LeftShards;
use super::place::ShardMark;
use super::reading::StreamReading;
use super::shard_reader::{ReadEnd, ShardReader};
use super::shards::{ShardGraph, is_needless, may_be_read};
use super::taker::{LeaseObserver, LeaseTaking, look_every};
use crate::config::StreamStart;
use crate::event::Timestamp;
use crate::metrics::ShardCounts;
use crate::overview::{SourceUnit, UnitList, UnitRank, UnitState};
use crate::source::holds::HoldPatience;
use crate::source::stop::Stop;

/// Shards are listed so often at least, to find those without a lease.
const SYNC_EVERY: Duration = Duration::from_mins(1);

/// Workers that are started together do not all add all leases: one that meets so many of others in a row leaves the rest to them.
const MOST_OF_OTHERS: usize = 20;

/// Gauges are set so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// One worker.
pub(super) struct Worker {
    pub(super) reading: Arc<StreamReading>,
    pub(super) name: Arc<str>,
    pub(super) failover: Duration,
    pub(super) observer: LeaseObserver,
    /// The leases that are ours, by shard.
    held: BTreeMap<Arc<str>, HeldShard>,
    /// They renew leases, and write positions down.
    keepers: JoinSet<Arc<str>>,
    readers: JoinSet<EndedRead>,
    is_open: bool,
    /// What there is to read was found out once.
    has_looked: bool,
    /// Open shards whose leases said at the last list that all of them is done.
    passed_over: BTreeSet<Arc<str>>,
    passed_over_said: HoldPatience,
    sync_at: Instant,
    look_at: Instant,
}

struct HeldShard {
    lease: Arc<HeldLease>,
    keeper: AbortHandle,
    reader: ReaderState,
    /// A round was made since all of it is written down as done: what came of it is known.
    is_followed: bool,
}

impl HeldShard {
    /// For people.
    fn state(&self) -> UnitState {
        match self.reader {
            _ if self.lease.is_finished() => UnitState::Finished,
            ReaderState::Waiting => UnitState::Waiting,
            ReaderState::At(_) | ReaderState::Ended => UnitState::Reading,
        }
    }
}

enum ReaderState {
    /// What it came from is not done.
    Waiting,
    At(AbortHandle),
    Ended,
}

struct EndedRead {
    shard: Arc<str>,
    end: ReadEnd,
}

/// Why a round could not be made.
#[derive(Debug)]
enum RoundFault {
    Stream(StreamFault),
    Leases(LeaseFault),
}

impl From<StreamFault> for RoundFault {
    fn from(fault: StreamFault) -> Self {
        Self::Stream(fault)
    }
}

impl From<LeaseFault> for RoundFault {
    fn from(fault: LeaseFault) -> Self {
        Self::Leases(fault)
    }
}

impl Worker {
    pub(super) fn new(reading: Arc<StreamReading>, name: Arc<str>, failover: Duration) -> Self {
        let passed_over_said = reading.holds.patience();
        let (now, observer) = (Instant::now(), LeaseObserver::new(Arc::clone(&name), failover));
        Self {
            reading,
            name,
            failover,
            observer,
            held: BTreeMap::new(),
            keepers: JoinSet::new(),
            readers: JoinSet::new(),
            is_open: false,
            has_looked: false,
            passed_over: BTreeSet::new(),
            passed_over_said,
            sync_at: now,
            look_at: now,
        }
    }

    /// Reads until a stop, or until everything is read in a run that reads once.
    pub(super) async fn run(&mut self, mut stop: Stop) -> Result<(), String> {
        let holds = Arc::clone(&self.reading.holds);
        let ended = tokio::select! {
            ended = self.read() => ended,
            () = stop.requested() => Ok(()),
            reason = holds.failed() => Err(reason),
        };
        self.readers.shutdown().await;
        ended
    }

    async fn read(&mut self) -> Result<(), String> {
        let mut patience = self.reading.holds.patience();
        let mut tell = tokio::time::interval(TELL_EVERY);
        let ended = Arc::clone(&self.reading.ended);
        loop {
            if Instant::now() >= self.look_at {
                match self.round().await {
                    Ok(()) => {
                        self.has_looked = true;
                        patience.works();
                        // Workers that were started together do not look together for ever.
                        let pause = look_every(self.failover).mul_f64(1.0 + fastrand::f64() / 20.0);
                        self.look_at = Instant::now() + pause;
                    }
                    Err(fault) => self.wait_after(&fault, &mut patience).await,
                }
            }
            if self.reading.is_once && self.is_done() {
                return Ok(());
            }
            tokio::select! {
                () = sleep_until(self.look_at) => {}
                () = ended.notified() => self.look_at = Instant::now(),
                Some(Ok(shard)) = self.keepers.join_next() => self.lost(&shard),
                Some(Ok(ended)) = self.readers.join_next() => {
                    if self.read_ended(&ended) == ReadEnd::Closed {
                        return Ok(());
                    }
                }
                _ = tell.tick() => self.tell(),
            }
        }
    }

    async fn wait_after(&self, fault: &RoundFault, patience: &mut HoldPatience) {
        let metrics = &self.reading.intake.metrics;
        let (reason, message, needs_somebody) = match fault {
            RoundFault::Stream(fault) => (fault.kind.reason(), &fault.message, fault.kind.needs_somebody()),
            RoundFault::Leases(fault) => {
                (fault.reason(), &fault.message, fault.kind != LeaseFaultKind::Passing)
            }
        };
        metrics.error(reason);
        if needs_somebody {
            patience.hold(message).await;
        } else {
            patience.pause(message).await;
        }
    }

    /// Looks at the leases, and does what is to be done.
    async fn round(&mut self) -> Result<(), RoundFault> {
        let store = Arc::clone(&self.reading.store);
        if !self.is_open {
            store.open().await?;
            self.is_open = true;
        }
        let finished = self.finished();
        let seen = Instant::now();
        let mut leases = store.leases().await?;
        if leases.is_empty() || seen >= self.sync_at {
            leases = store.leases_by_now().await?;
            store.check_versions().await?;
            let graph = self.reading.client.shards().await?;
            let from = match self.beginning(&leases) {
                Some(time) => Some(self.reading.client.shards_from(time).await?),
                None => None,
            };
            let missing = self.missing(from.as_ref().unwrap_or(&graph), &leases);
            let is_whole = self.add(&missing, seen).await?;
            if !missing.is_empty() {
                leases = store.leases_by_now().await?;
            }
            self.clean(&graph, &mut leases).await?;
            let pause = if is_whole { SYNC_EVERY.min(self.failover * 6) } else { Duration::ZERO };
            self.sync_at = Instant::now() + pause;
            self.note_passed_over(&graph, &leases);
        }
        // What was read of the table may be older than what was written to it.
        for shard in &finished {
            leases.get_mut(shard).into_iter().for_each(|lease| lease.mark = ShardMark::ShardEnd);
        }
        let now = Instant::now();
        self.observer.look(&leases, now);
        let is_held = |shard: &str| self.held.contains_key(shard);
        let mut chance = |most: usize| fastrand::usize(..most.max(1));
        for taking in self.observer.takings(&leases, now, is_held, &mut chance) {
            self.take(taking, &mut leases).await?;
        }
        self.start_readers(&leases);
        for shard in &finished {
            self.held.get_mut(shard).into_iter().for_each(|held| held.is_followed = true);
        }
        Ok(())
    }

    /// Says which shards nobody reads, by a lease that cannot be theirs. A list may be older than a lease: only what is found twice is.
    fn note_passed_over(&mut self, graph: &ShardGraph, leases: &Leases) {
        let before = std::mem::replace(&mut self.passed_over, graph.passed_over(leases));
        let Some(shard) = self.passed_over.intersection(&before).next() else {
            if self.passed_over.is_empty() {
                self.passed_over_said.works();
            } else {
                self.sync_at = Instant::now();
            }
            return;
        };
        let stream = self.reading.client.stream_arn();
        let fix = if self.reading.store.is_shared() {
            "the lease table is of another stream, or the stream was made anew: name another `leases.table`, or delete the table"
                .to_owned()
        } else {
            let source = self.reading.intake.metrics.name();
            format!("the stream was made anew: stop standpipe, and run `standpipe state forget {source}`")
        };
        self.reading.intake.metrics.error("lease_finished");
        self.passed_over_said.note(&format!("the shard `{shard}` of `{stream}` is open, but its lease says that all of it was read, so it is not read; {fix}"));
    }

    /// The shards of which it is written down that they are done.
    fn finished(&self) -> Vec<Arc<str>> {
        let finished = self.held.iter().filter(|(_, held)| held.lease.is_finished());
        finished.map(|(shard, _)| Arc::clone(shard)).collect()
    }

    /// The time with which all reading begins, as long as nothing was read. What came of a shard that had ended by then is read from
    /// that time on, too, and not from its own beginning.
    fn beginning(&self, leases: &Leases) -> Option<Timestamp> {
        let StreamStart::At(time) = self.reading.start else { return None };
        let is_unread =
            |lease: &ShardLease| lease.mark == ShardMark::AtTimestamp && lease.start == Some(time);
        // The service takes no time that is yet to come.
        leases.values().all(is_unread).then(|| time.min(Timestamp::now()))
    }

    fn missing(&self, graph: &ShardGraph, leases: &Leases) -> Vec<ShardLease> {
        // Reading from the stream's end began when the first worker added leases, which may be adding them still.
        let began = leases.values().filter_map(|lease| lease.start).min();
        let now = Timestamp::now();
        graph.missing(leases, self.reading.start, began.map_or(now, |began| began.min(now)))
    }

    /// Adds leases that were seen to be missing; whether all of them. After a pause, others may have been done with some, and have
    /// removed them; and where others have added one after the other, they are at it. Then the next round looks again.
    async fn add(&self, missing: &[ShardLease], seen: Instant) -> Result<bool, RoundFault> {
        let (mut awake, mut others) = (seen, 0);
        for lease in missing {
            if awake.elapsed() > self.failover || others >= MOST_OF_OTHERS {
                return Ok(false);
            }
            awake = Instant::now();
            others = if self.reading.store.create(lease).await? { 0 } else { others + 1 };
        }
        Ok(true)
    }

    /// Removes leases of ours that are needed no more: first those of shards that others came from.
    async fn clean(&mut self, graph: &ShardGraph, leases: &mut Leases) -> Result<(), RoundFault> {
        for shard in self.finished() {
            if !leases.get(&shard).is_some_and(|lease| is_needless(lease, leases, graph)) {
                continue;
            }
            // Whoever renews it would find it lost.
            if let Some(held) = self.held.remove(&shard) {
                held.keeper.abort();
            }
            self.reading.store.remove(&shard).await?;
            leases.remove(&shard);
        }
        Ok(())
    }

    async fn take(&mut self, taking: LeaseTaking, leases: &mut Leases) -> Result<(), RoundFault> {
        let LeaseTaking { mut lease, is_steal } = taking;
        let (store, metrics) = (&self.reading.store, &self.reading.intake.metrics);
        let (now, sent) = (Timestamp::now(), Instant::now());
        let Some(counter) = store.take(&lease, now).await? else { return Ok(()) };
        if store.is_shared() {
            let (source, shard) = (metrics.name(), &*lease.shard);
            let from = lease.owner.as_deref().unwrap_or("nobody");
            info!(source, shard, from, is_steal, "a lease was taken");
            metrics.stream.taken(is_steal);
        }
        if lease.mark == ShardMark::Latest && lease.start.is_none() {
            // As the table has it by now.
            lease.start = Some(now);
        }
        lease.owner = Some(Arc::clone(&self.name));
        lease.counter = counter;
        let held =
            HeldLease::new(&lease, counter, sent, store, self.failover, metrics.clone(), &self.reading.ended);
        let (kept, shard) = (Arc::clone(&held), Arc::clone(&lease.shard));
        let keeper = self.keepers.spawn(async move {
            kept.keep().await;
            shard
        });
        let reader = if lease.is_finished() { ReaderState::Ended } else { ReaderState::Waiting };
        self.held
            .insert(Arc::clone(&lease.shard), HeldShard { lease: held, keeper, reader, is_followed: false });
        leases.insert(Arc::clone(&lease.shard), lease);
        Ok(())
    }

    /// Begins to read what may be read by now.
    fn start_readers(&mut self, leases: &Leases) {
        for (shard, held) in &mut self.held {
            let is_ready = leases.get(shard).is_some_and(|lease| may_be_read(lease, leases));
            if is_ready && matches!(held.reader, ReaderState::Waiting) {
                let (reader, shard) = (ShardReader::new(&self.reading, &held.lease), Arc::clone(shard));
                held.reader = ReaderState::At(
                    self.readers.spawn(async move { EndedRead { shard, end: reader.run().await } }),
                );
            }
        }
    }

    /// A lease is another's by now.
    fn lost(&mut self, shard: &Arc<str>) {
        let Some(held) = self.held.remove(shard) else { return };
        if let ReaderState::At(reader) = &held.reader {
            reader.abort();
        }
        let metrics = &self.reading.intake.metrics;
        metrics.stream.lost();
        metrics.error("lease_lost");
        warn!(
            source = metrics.name(),
            shard = &**shard,
            "a lease was lost; its new owner reads on from the last position that was written"
        );
        self.look_at = self.look_at.min(Instant::now() + TELL_EVERY);
    }

    fn read_ended(&mut self, ended: &EndedRead) -> ReadEnd {
        if let Some(held) = self.held.get_mut(&ended.shard) {
            held.reader = ReaderState::Ended;
        }
        ended.end
    }

    /// Whether a run that reads once has read everything that was there, but for what others read.
    fn is_done(&self) -> bool {
        let is_read = |held: &HeldShard| match held.reader {
            ReaderState::At(_) => false,
            ReaderState::Ended => true,
            // A shard that others have not read to its end.
            ReaderState::Waiting => self.reading.store.is_shared(),
        };
        let is_awaited = |held: &HeldShard| held.lease.is_at_end() && !held.is_followed;
        self.has_looked && self.held.values().all(is_read) && !self.held.values().any(is_awaited)
    }

    fn tell(&self) {
        let metrics = &self.reading.intake.metrics;
        let mut counts = ShardCounts::default();
        for held in self.held.values() {
            let state = held.state();
            counts.finished += u32::from(state == UnitState::Finished);
            counts.waiting += u32::from(state == UnitState::Waiting);
            counts.held += u32::from(state == UnitState::Reading);
        }
        let behind = self.held.values().map(|held| held.lease.behind()).max().unwrap_or(0);
        metrics.stream.set(counts, seconds(behind));
        let now = Timestamp::now().0;
        let oldest = self.held.values().filter_map(|held| held.lease.oldest()).min();
        metrics.lag_seconds.set(oldest.map_or(0.0, |oldest| seconds(now.saturating_sub(oldest.0).max(1))));
        let all: Vec<(&Arc<str>, &HeldShard)> = self.held.iter().collect();
        let behind = |held: &HeldShard| Some(seconds(held.lease.behind()));
        let rank = |(_, held): &(&Arc<str>, &HeldShard)| UnitRank::of(held.state(), None, behind(held));
        let unit = |(shard, held): &(&Arc<str>, &HeldShard)| SourceUnit {
            name: shard.to_string(),
            state: held.state(),
            behind_seconds: behind(held),
            ..SourceUnit::default()
        };
        self.reading.holds.list_units(UnitList::of("shards", all, rank, unit));
    }

    /// Nothing more is read; the leases are kept until everything that was handed over has ended.
    pub(super) fn into_left(self) -> LeftShards {
        let held = self.held.into_values().map(|held| held.lease).collect();
        LeftShards { held, keepers: self.keepers }
    }
}

fn seconds(milliseconds: i64) -> f64 {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_secs_f64()
}
