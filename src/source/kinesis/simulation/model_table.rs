//! The lease table of the model: conditional writes, some of whose answers are lost, and who took each lease last.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::lease::{Leases, ShardLease};
use super::super::place::ShardMark;
use super::bill::{Calls, scan_units};
use super::model_stream::ModelStream;

/// See the module.
#[derive(Default)]
pub(super) struct ModelTable {
    pub(super) leases: Leases,
    /// The process that took each lease last: what it wrote before is not to be written over by another.
    taken_by: BTreeMap<Arc<str>, u64>,
    pub(super) calls: Calls,
    /// One write of so many is done, and its answer is lost; 0: none.
    pub(super) loses: u64,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    Done {
        counter: u64,
    },
    /// It may have been done.
    Unanswered,
    NotOurs,
}

/// Who writes.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) name: &'a str,
    pub(super) process: u64,
}

impl ModelTable {
    /// Loses the answer of one write in so many.
    pub(super) fn losing(loses: u64) -> Self {
        Self { loses, ..Self::default() }
    }

    /// The process that took a lease last.
    pub(super) fn reader(&self, shard: &str) -> Option<u64> {
        self.taken_by.get(shard).copied()
    }

    pub(super) fn scan(&mut self) -> &Leases {
        self.calls.scans += 1;
        self.calls.scanned += scan_units(self.leases.len());
        &self.leases
    }

    fn is_lost(&mut self, random: &mut fastrand::Rng) -> bool {
        self.loses > 0 && random.u64(..self.loses) == 0
    }

    /// Unless somebody did.
    pub(super) fn create(&mut self, lease: ShardLease) {
        self.calls.writes += 1;
        self.leases.entry(Arc::clone(&lease.shard)).or_insert(lease);
    }

    pub(super) fn remove(&mut self, shard: &str) {
        self.calls.writes += 1;
        let removed = self.leases.remove(shard);
        assert!(removed.is_none_or(|lease| lease.is_finished()), "a lease is removed that is needed");
    }

    /// As it was seen.
    pub(super) fn take(
        &mut self,
        seen: &ShardLease,
        writer: Writer<'_>,
        random: &mut fastrand::Rng,
    ) -> Written {
        self.calls.writes += 1;
        let is_lost = self.is_lost(random);
        let Some(lease) = self.leases.get_mut(&seen.shard).filter(|lease| lease.counter == seen.counter)
        else {
            return Written::NotOurs;
        };
        (lease.owner, lease.counter) = (Some(writer.name.into()), lease.counter + 1);
        self.taken_by.insert(Arc::clone(&seen.shard), writer.process);
        if is_lost { Written::Unanswered } else { Written::Done { counter: seen.counter + 1 } }
    }

    /// To a lease that was the writer's when it had this counter. A position is never written by who does not have the lease, never goes
    /// back, and is never past a record that was not delivered.
    pub(super) fn write(
        &mut self,
        shard: &Arc<str>,
        mut counter: u64,
        mark: Option<&ShardMark>,
        writer: Writer<'_>,
        stream: &ModelStream,
        random: &mut fastrand::Rng,
    ) -> Written {
        loop {
            self.calls.writes += 1;
            let is_lost = self.is_lost(random);
            let Some(lease) = self.leases.get_mut(shard) else { return Written::NotOurs };
            if lease.is_of(writer.name) && lease.counter == counter {
                lease.counter += 1;
                counter = lease.counter;
                if let Some(mark) = mark {
                    assert_eq!(self.taken_by[shard], writer.process, "two owners write positions of {shard}");
                    assert!(*mark >= lease.mark, "the position of {shard} goes back");
                    assert_is_delivered(stream, shard, mark);
                    lease.mark.clone_from(mark);
                }
                return if is_lost { Written::Unanswered } else { Written::Done { counter } };
            }
            self.calls.items += 1;
            let Some(after) = lease.counter_after_lost_answer(writer.name, counter) else {
                return Written::NotOurs;
            };
            counter = after;
        }
    }

    /// Others need not wait until it is free.
    pub(super) fn give_back(&mut self, shard: &str, writer: Writer<'_>) {
        self.calls.writes += 1;
        if let Some(lease) = self.leases.get_mut(shard).filter(|lease| lease.is_of(writer.name)) {
            (lease.owner, lease.counter) = (None, lease.counter + 1);
        }
    }
}

fn assert_is_delivered(stream: &ModelStream, shard: &str, mark: &ShardMark) {
    let shard = &stream.shards[ModelStream::number(shard)];
    if *mark == ShardMark::ShardEnd {
        return assert!(shard.is_done(), "{} is ended too early", shard.id);
    }
    let upto = read_upto(mark);
    assert!(
        upto <= shard.whole,
        "{} is written down up to {upto}, and delivered up to {}",
        shard.id,
        shard.whole
    );
}

/// How many records a position is past.
pub(super) fn read_upto(mark: &ShardMark) -> usize {
    if let ShardMark::Record(place) = mark { place.sequence.text().parse().unwrap() } else { 0 }
}
