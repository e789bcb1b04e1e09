//! A worker of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::super::lease::{Leases, ShardLease};
use super::super::place::ShardMark;
use super::super::shards::{ShardGraph, is_needless, may_be_read};
use super::super::taker::{LeaseObserver, LeaseTaking};
use super::bill::scan_units;
use super::model_stream::{ModelStream, Reread};
use super::model_table::{ModelTable, Writer, Written, read_upto};
use super::{FAILOVER, FAILOVER_STEPS};
use crate::config::StreamStart;
use crate::event::Timestamp;

/// A worker renews in every third step.
const RENEW: u64 = FAILOVER_STEPS / 3;
/// Shards are listed so often.
const SYNC: u64 = 6 * FAILOVER_STEPS;
/// What is read is delivered so many steps later at least, and then written down.
const DELIVERY: u64 = 2;

/// One worker's hold of a lease.
pub(super) struct ModelLease {
    number: usize,
    counter: u64,
    /// When the last write was sent that is known to be done.
    renewed: u64,
    /// Records before this were read.
    read: usize,
    /// What is to be delivered: when, from where, up to where.
    under_way: Vec<(u64, usize, usize)>,
    written: usize,
    pub(super) is_finished: bool,
    is_reading: bool,
}

/// A look at the table that is acted on later.
struct LateLook {
    leases: Leases,
    seen: u64,
}

/// See the module.
pub(super) struct ModelWorker {
    pub(super) name: Arc<str>,
    pub(super) process: u64,
    pub(super) observer: LeaseObserver,
    pub(super) held: BTreeMap<Arc<str>, ModelLease>,
    /// It hangs until this step.
    pub(super) hangs: u64,
    look_at: u64,
    sync_at: u64,
    late: Option<LateLook>,
}

/// What a worker works with.
pub(super) struct Surroundings<'a> {
    pub(super) stream: &'a mut ModelStream,
    pub(super) table: &'a mut ModelTable,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) step: u64,
    pub(super) now: Instant,
    /// The processes that were killed or stopped.
    pub(super) gone: &'a BTreeSet<u64>,
    /// Deliveries may take long, and looks be acted on late.
    pub(super) is_troubled: bool,
}

impl ModelWorker {
    pub(super) fn new(name: Arc<str>, process: u64, look_at: u64) -> Self {
        let observer = LeaseObserver::new(Arc::clone(&name), FAILOVER);
        let held = BTreeMap::new();
        Self { name, process, observer, held, hangs: 0, look_at, sync_at: look_at, late: None }
    }

    fn writer(&self) -> (Arc<str>, u64) {
        (Arc::clone(&self.name), self.process)
    }

    pub(super) fn work(&mut self, at: &mut Surroundings<'_>) {
        if at.step < self.hangs {
            return;
        }
        let (name, process) = self.writer();
        let writer = Writer { name: &name, process };
        self.held.retain(|shard, held| held.tend(shard, writer, at));
        if at.step >= self.look_at {
            self.look(at);
        }
    }

    fn look(&mut self, at: &mut Surroundings<'_>) {
        if let Some(LateLook { leases, seen }) = self.late.take() {
            return self.act(leases, seen, at);
        }
        let leases = at.table.scan().clone();
        if at.is_troubled && at.random.u8(..20) == 0 {
            self.late = Some(LateLook { leases, seen: at.step });
            self.look_at = at.step + at.random.u64(1..2 * FAILOVER_STEPS);
        } else {
            self.act(leases, at.step, at);
        }
    }

    /// Does what is to be done by the leases as they were.
    fn act(&mut self, mut leases: Leases, seen: u64, at: &mut Surroundings<'_>) {
        if leases.is_empty() || at.step >= self.sync_at {
            self.sync(&mut leases, seen, at);
        }
        for (shard, held) in &self.held {
            if held.is_finished {
                leases.get_mut(shard).into_iter().for_each(|lease| lease.mark = ShardMark::ShardEnd);
            }
        }
        self.observer.look(&leases, at.now);
        let held = &self.held;
        let random = &mut *at.random;
        let takings = self.observer.takings(&leases, at.now, |shard| held.contains_key(shard), &mut |most| {
            random.usize(..most.max(1))
        });
        for taking in takings {
            if !self.take(&taking, &mut leases, at) {
                // The round has failed.
                self.look_at = at.step + 1;
                return;
            }
        }
        for (shard, held) in &mut self.held {
            held.is_reading |= leases.get(shard).is_some_and(|lease| may_be_read(lease, &leases));
        }
        self.look_at = at.step + FAILOVER_STEPS + 1;
    }

    fn sync(&mut self, leases: &mut Leases, seen: u64, at: &mut Surroundings<'_>) {
        // The table is read once more, with every write: for twice the price.
        at.table.calls.scans += 1;
        at.table.calls.scanned += 2.0 * scan_units(leases.len());
        // A page has a thousand shards.
        let graph = at.stream.list(at.step, at.random);
        at.table.calls.lists += at.stream.shards.len().div_ceil(1_000) as u64;
        let missing = graph.missing(leases, StreamStart::Beginning, Timestamp(0));
        let is_new = !missing.is_empty();
        let is_stale = is_new && at.step - seen > FAILOVER_STEPS;
        if !is_stale {
            for lease in missing {
                at.table.create(lease);
            }
        }
        if is_new {
            leases.clone_from(at.table.scan());
        }
        self.clean(&graph, leases, at.table);
        self.sync_at = at.step + if is_stale { 0 } else { SYNC };
    }

    fn clean(&mut self, graph: &ShardGraph, leases: &mut Leases, table: &mut ModelTable) {
        self.held.retain(|shard, held| {
            let is_needed = |lease: &ShardLease| !is_needless(lease, leases, graph);
            let is_needed = !held.is_finished || leases.get(shard).is_none_or(is_needed);
            if !is_needed {
                table.remove(shard);
                leases.remove(shard);
            }
            is_needed
        });
    }

    /// Whether the round may go on.
    fn take(&mut self, taking: &LeaseTaking, leases: &mut Leases, at: &mut Surroundings<'_>) -> bool {
        let seen = &taking.lease;
        let is_gone = at.table.reader(&seen.shard).is_some_and(|before| at.gone.contains(&before));
        let reason = match (is_gone, taking.is_steal) {
            (true, _) => Reread::Killed,
            (false, true) => Reread::Stolen,
            (false, false) => Reread::Hung,
        };
        let reason = seen.owner.as_ref().map(|_| reason);
        let writer = Writer { name: &self.name, process: self.process };
        let counter = match at.table.take(seen, writer, at.random) {
            Written::Done { counter } => counter,
            Written::Unanswered => return false,
            Written::NotOurs => return true,
        };
        let (number, from) = (ModelStream::number(&seen.shard), read_upto(&seen.mark));
        if !seen.is_finished() {
            at.stream.shards[number].taken(from, reason);
        }
        let held = ModelLease {
            number,
            counter,
            renewed: at.step,
            read: from,
            under_way: Vec::new(),
            written: from,
            is_finished: seen.is_finished(),
            is_reading: false,
        };
        self.held.insert(Arc::clone(&seen.shard), held);
        let taken = leases.entry(Arc::clone(&seen.shard)).or_insert_with(|| seen.clone());
        (taken.owner, taken.counter) = (Some(Arc::clone(&self.name)), counter);
        true
    }

    /// Stops in order: what is in flight is delivered, positions are written, leases given back.
    pub(super) fn stop(mut self, at: &mut Surroundings<'_>) {
        let (name, process) = self.writer();
        let writer = Writer { name: &name, process };
        for (shard, held) in &mut self.held {
            held.under_way.iter_mut().for_each(|(when, _, _)| *when = at.step);
            held.deliver(writer, at);
            held.is_reading = false;
            held.tend(shard, writer, at);
            let lease = at.table.leases.get(shard).filter(|lease| lease.is_of(&name));
            let is_ours = at.table.reader(shard) == Some(process);
            if let Some(lease) = lease.filter(|lease| is_ours && !lease.is_finished()) {
                assert_eq!(
                    read_upto(&lease.mark),
                    held.read,
                    "{shard} is given back before it is written down"
                );
            }
            at.table.give_back(shard, writer);
        }
    }

    /// What it keeps in memory is of leases that there are.
    pub(super) fn assert_bounded(&self, leases: &Leases, most: usize) {
        assert!(self.held.keys().all(|shard| leases.contains_key(shard)), "it holds what is gone");
        assert!(self.observer.is_bounded_by(most), "it remembers more than {most} leases");
        let under_way = self.held.values().map(|held| held.under_way.len()).max().unwrap_or(0);
        assert!(under_way < 100, "{under_way} pages are under way");
    }
}

impl ModelLease {
    /// Reads a shard, delivers, renews and writes down; whether the lease is still this worker's.
    fn tend(&mut self, shard: &Arc<str>, writer: Writer<'_>, at: &mut Surroundings<'_>) -> bool {
        let is_valid = at.step - self.renewed < FAILOVER_STEPS;
        if is_valid && self.is_reading && !self.is_finished {
            self.read(writer, at);
        }
        self.deliver(writer, at);
        let done = self.under_way.iter().map(|(_, from, _)| *from).min().unwrap_or(self.read);
        let is_end =
            !at.stream.shards[self.number].is_open() && done == at.stream.shards[self.number].records;
        let is_trimmed = !at.stream.is_kept(self.number, at.step);
        if self.is_reading
            && !self.is_finished
            && is_valid
            && (is_end || is_trimmed && self.under_way.is_empty())
        {
            return self.end(shard, writer, at);
        }
        if done > self.written && !self.is_finished {
            let mark = ShardMark::read(&done.to_string(), 0).unwrap();
            let written = self.write(shard, Some(&mark), writer, at);
            if written == Written::Unanswered {
                // It is written again.
                return true;
            }
            self.written = done;
            return written != Written::NotOurs;
        }
        at.step - self.renewed < RENEW || self.write(shard, None, writer, at) != Written::NotOurs
    }

    fn read(&mut self, writer: Writer<'_>, at: &mut Surroundings<'_>) {
        at.table.calls.records += 1;
        let shard = &at.stream.shards[self.number];
        let is_early =
            |parent: &usize| !at.stream.shards[*parent].is_done() && at.stream.is_kept(*parent, at.step);
        assert!(!shard.parents.iter().any(is_early), "{} is read before what it came from", shard.id);
        if self.read == shard.records {
            return;
        }
        let upto = shard.records.min(self.read + 5);
        let is_slow = at.is_troubled && at.random.u8(..10) == 0;
        let takes = if is_slow { at.random.u64(DELIVERY..3 * FAILOVER_STEPS) } else { DELIVERY };
        self.under_way.push((at.step + takes, self.read, upto));
        let is_owner = at.table.reader(&shard.id) == Some(writer.process);
        at.stream.shards[self.number].read(self.read, upto, is_owner);
        self.read = upto;
    }

    /// What is in flight ends, whoever has the lease.
    fn deliver(&mut self, writer: Writer<'_>, at: &mut Surroundings<'_>) {
        let (number, step) = (self.number, at.step);
        self.under_way.retain(|(when, from, upto)| {
            if *when <= step {
                let is_owner = at.table.reader(&at.stream.shards[number].id) == Some(writer.process);
                at.stream.deliver(number, [*from, *upto], is_owner);
            }
            *when > step
        });
    }

    /// Sees to it that somebody reads on, and then says that all is done.
    fn end(&mut self, shard: &Arc<str>, writer: Writer<'_>, at: &mut Surroundings<'_>) -> bool {
        let (listed, told) = (at.stream.list(at.step, at.random), at.stream.told(self.number));
        let late;
        let graph = if told.iter().all(|child| listed.has(&child.id)) {
            &*listed
        } else {
            late = ShardGraph::clone(&listed).with(&told);
            &late
        };
        let leases = at.table.scan();
        for lease in graph.missing_after(shard, leases, StreamStart::Beginning, Timestamp(0)) {
            at.table.create(lease);
        }
        match self.write(shard, Some(&ShardMark::ShardEnd), writer, at) {
            Written::Done { .. } => self.is_finished = true,
            Written::Unanswered => {}
            Written::NotOurs => return false,
        }
        true
    }

    fn write(
        &mut self,
        shard: &Arc<str>,
        mark: Option<&ShardMark>,
        writer: Writer<'_>,
        at: &mut Surroundings<'_>,
    ) -> Written {
        let written = at.table.write(shard, self.counter, mark, writer, at.stream, at.random);
        if let Written::Done { counter } = written {
            (self.counter, self.renewed) = (counter, at.step);
        }
        written
    }
}
