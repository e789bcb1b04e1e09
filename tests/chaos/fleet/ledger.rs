//! Which records were put where, who may have read each of them, and which takeovers explain that a line came again.
//!
//! A *session* is one worker's reading of one shard. It begins with a take of the lease, at the position that the lease had, and is over
//! when the worker has said that the lease is lost, when the same worker takes the lease again, or when its process has ended. A session
//! reads each record once. So a line comes once, and once more for each session that has lost its lease and was not over when the line
//! was put, and for each later take from somebody at a position before the line. Who gives a lease back at a stop, or keeps it through
//! a reload, leaves nothing that comes again. What the ledger does not know yet counts as not over: no clock decides.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::standin::{LeaseTake, Numbers, PlacedRecord, rank};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FleetLedger {
    pub(super) takes: Vec<LeaseTake>,
    /// How the worker fared from whom the lease was taken.
    causes: Vec<TakeCause>,
    /// Who took the lease of each shard last.
    readers: BTreeMap<String, String>,
    /// A worker had to stop before all was done: it gave leases back as they were.
    pub(super) is_unclean: bool,
    records: Vec<PutRecord>,
    /// The records of each shard, in their order; so many of them were seen to have arrived.
    shards: BTreeMap<String, (Vec<usize>, usize)>,
    /// Sessions that are not over, by shard and worker.
    open: BTreeMap<(String, String), Session>,
    /// Lines put so far, from 0 on.
    pub(super) lines: u64,
}

#[derive(Debug)]
struct PutRecord {
    lines: Range<u64>,
    sequence: String,
    shard: String,
    /// How many takes were known.
    takes: usize,
    /// Sessions of its shard that had lost their lease, and were not over.
    unnoticed: u64,
}

/// All of one process of a worker with one shard, in which at most one is not over.
#[derive(Debug)]
struct Session {
    is_over: bool,
    /// So many times the worker has to say that it lost the lease.
    losses: u64,
}

/// Why a lease was to be taken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum TakeCause {
    /// Nobody had it.
    Free,
    /// Whoever had it does not run.
    Down,
    Frozen,
    /// It runs: another has too few, or the table was not there for too long.
    Running,
    /// A worker takes its own lease again, after a start.
    Own,
    /// The same, after a reload, or after a take that was not answered.
    Kept,
}

/// How the lines came that came again.
#[derive(Debug, Default)]
pub(super) struct AgainCount {
    pub(super) lines: u64,
    pub(super) most_explained: u64,
    /// By the take that explains them; none: a former owner had not noticed yet.
    pub(super) causes: BTreeMap<Option<TakeCause>, u64>,
    /// What nothing explains.
    pub(super) unexplained: Vec<String>,
}

impl FleetLedger {
    /// Notes takes, in their order.
    pub(super) fn note(&mut self, takes: Vec<LeaseTake>, cause: impl Fn(&LeaseTake) -> TakeCause) {
        for take in takes {
            let key = (take.shard.clone(), take.to.clone());
            let is_own = take.from.as_deref() == Some(&*take.to);
            let session = self.open.entry(key).or_insert(Session { is_over: true, losses: 0 });
            // Its own lease it takes again in the same process only where the take before was not answered, or for its next generation.
            let is_kept = is_own && session.losses > 0;
            session.losses += u64::from(!is_kept);
            session.is_over = false;
            self.causes.push(if is_kept { TakeCause::Kept } else { cause(&take) });
            self.readers.insert(take.shard.clone(), take.to.clone());
            self.takes.push(take);
        }
    }

    /// Notes how often a worker has said that it lost the lease of each shard.
    pub(super) fn note_losses(&mut self, worker: &str, losses: impl Fn(&str) -> u64) {
        for ((shard, owner), session) in &mut self.open {
            if owner == worker && losses(shard) >= session.losses {
                session.is_over = true;
            }
        }
    }

    /// Notes that a worker's process has ended.
    pub(super) fn note_end(&mut self, worker: &str) {
        self.open.retain(|(_, owner), _| owner != worker);
    }

    /// Notes where lines were put.
    pub(super) fn put(&mut self, lines: Range<u64>, each: u64, placed: Vec<PlacedRecord>) {
        let end = lines.end;
        let starts = lines.step_by(usize::try_from(each).unwrap());
        for (start, PlacedRecord { shard, sequence }) in starts.zip(placed) {
            let reader = self.readers.get(&shard);
            let is_unnoticed = |((of, worker), session): &(&(String, String), &Session)| {
                *of == shard && !session.is_over && Some(worker) != reader
            };
            let unnoticed = self.open.iter().filter(is_unnoticed).count() as u64;
            self.shards.entry(shard.clone()).or_default().0.push(self.records.len());
            let lines = start..end.min(start + each);
            self.records.push(PutRecord { lines, sequence, shard, takes: self.takes.len(), unnoticed });
        }
        self.lines = end;
    }

    /// The first line that has not arrived though a position is past it.
    pub(super) fn passed_over(&mut self, shard: &str, checkpoint: &str, arrived: &Numbers) -> Option<u64> {
        let (records, seen) = self.shards.get_mut(shard)?;
        while let Some(record) = records.get(*seen).and_then(|number| self.records.get(*number)) {
            if rank(&record.sequence) > rank(checkpoint) {
                return None;
            }
            if let Some(missing) = record.lines.clone().find(|line| !arrived.has(*line)) {
                return Some(missing);
            }
            *seen += 1;
        }
        None
    }

    /// Whether a position is past all that a shard has.
    pub(super) fn is_read(&self, shard: &str, checkpoint: &str) -> bool {
        let last = self.shards.get(shard).and_then(|(records, _)| records.last());
        let last = last.and_then(|number| self.records.get(*number));
        last.is_none_or(|record| rank(&record.sequence) <= rank(checkpoint))
    }

    /// How many shards got records.
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn takes_in_words(&self) -> String {
        let count = |cause: TakeCause| self.causes.iter().filter(|of| **of == cause).count();
        format!(
            "{} takes: {} of what was free, {} from who was down, {} from who was frozen, {} from who ran, {} of one's own after a start, {} of one's own that were kept",
            self.takes.len(),
            count(TakeCause::Free),
            count(TakeCause::Down),
            count(TakeCause::Frozen),
            count(TakeCause::Running),
            count(TakeCause::Own),
            count(TakeCause::Kept),
        )
    }

    /// Looks for what explains each line that came again.
    pub(super) fn explain(&self, again: &[(u64, u64)]) -> AgainCount {
        let mut count = AgainCount::default();
        let mut bounds = BTreeSet::new();
        for (line, times) in again {
            let at = self.records.partition_point(|record| record.lines.end <= *line);
            let Some(record) = self.records.get(at) else { continue };
            let later: Vec<usize> = self.later(record).collect();
            let explained = record.unnoticed + later.len() as u64;
            count.lines += times;
            if bounds.insert(at) {
                count.most_explained += explained * (record.lines.end - record.lines.start);
            }
            *count.causes.entry(later.first().map(|take| self.causes[*take])).or_default() += times;
            if *times > explained {
                count.unexplained.push(format!(
                    "line {line} of {} came {times} times more, and {explained} takes explain that: {:?}",
                    record.shard,
                    self.takes.iter().filter(|take| take.shard == record.shard).collect::<Vec<_>>()
                ));
            }
        }
        count
    }

    /// Takes after a record was put that begin before it, and explain that it comes again.
    fn later(&self, record: &PutRecord) -> impl Iterator<Item = usize> {
        (record.takes..self.takes.len()).filter(|number| {
            let (take, cause) = (&self.takes[*number], self.causes[*number]);
            let is_from_somebody = cause != TakeCause::Kept && (cause != TakeCause::Free || self.is_unclean);
            is_from_somebody && take.shard == record.shard && rank(&take.checkpoint) < rank(&record.sequence)
        })
    }
}
