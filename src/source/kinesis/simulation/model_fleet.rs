//! The fleet of the model, and what happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::bill::{CallRates, Calls};
use super::model_stream::ModelStream;
use super::model_table::ModelTable;
use super::model_worker::{ModelWorker, Surroundings};
use super::{FAILOVER_STEPS, STEP};

/// How much goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// Records come, and nothing else happens.
    None,
    /// A worker is killed, hangs or is stopped now and then.
    Rare,
    /// That, and shards are split and merged in bursts.
    Any,
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Happened {
    pub(super) kills: usize,
    pub(super) stops: usize,
    pub(super) pauses: usize,
    /// Of the pauses, in steps.
    pub(super) longest_pause: u64,
}

/// See the module.
pub(super) struct FleetModel {
    pub(super) stream: ModelStream,
    pub(super) table: ModelTable,
    pub(super) workers: Vec<ModelWorker>,
    random: fastrand::Rng,
    step: u64,
    start: Instant,
    born: u64,
    gone: BTreeSet<u64>,
    pub(super) happened: Happened,
    is_flowing: bool,
    /// It began with so many.
    shards: usize,
}

impl FleetModel {
    pub(super) fn new(seed: u64, workers: u64, shards: usize, keeps: Option<u64>) -> Self {
        let mut model = Self {
            stream: ModelStream::new(shards, keeps),
            table: ModelTable::losing(200),
            workers: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            step: 0,
            start: Instant::now(),
            born: 0,
            gone: BTreeSet::new(),
            happened: Happened::default(),
            is_flowing: true,
            shards,
        };
        (0..workers).for_each(|_| model.join());
        model
    }

    fn join(&mut self) {
        let name: Arc<str> = format!("worker-{}", self.born + 1).into();
        self.start_worker(name);
    }

    fn start_worker(&mut self, name: Arc<str>) {
        self.born += 1;
        let look_at = self.step + self.random.u64(1..=FAILOVER_STEPS);
        self.workers.push(ModelWorker::new(name, self.born, look_at));
    }

    /// One step.
    pub(super) fn advance(&mut self, trouble: Trouble) {
        self.step += 1;
        if self.is_flowing {
            for number in self.stream.open() {
                self.stream.put(number, self.random.usize(..3));
            }
        }
        if trouble != Trouble::None {
            self.disturb_workers();
        }
        if trouble == Trouble::Any && self.random.u8(..40) == 0 {
            self.burst();
        }
        for index in 0..self.workers.len() {
            let now = self.start + STEP * u32::try_from(self.step).unwrap();
            let mut at = Surroundings {
                stream: &mut self.stream,
                table: &mut self.table,
                random: &mut self.random,
                step: self.step,
                now,
                gone: &self.gone,
                is_troubled: trouble != Trouble::None,
            };
            self.workers[index].work(&mut at);
        }
    }

    /// In each step, one of some forty things may happen to one worker; in a large fleet, to several.
    fn disturb_workers(&mut self) {
        for _ in 0..self.workers.len().div_ceil(50) {
            let one = self.random.usize(..self.workers.len());
            match self.random.u32(..160) {
                0 => {
                    self.kill(one);
                    self.join();
                }
                // It starts again, and knows its name.
                1 => {
                    let name = self.kill(one);
                    self.start_worker(name);
                }
                2 => {
                    if self.workers[one].hangs > self.step {
                        self.kill(one);
                    } else {
                        self.stop(one);
                    }
                    self.join();
                }
                3..=5 => {
                    let longest = [2, 4, 30][self.random.usize(..3)] * FAILOVER_STEPS;
                    let pause = self.random.u64(1..longest);
                    self.workers[one].hangs = self.step + pause;
                    self.happened.pauses += 1;
                    self.happened.longest_pause = self.happened.longest_pause.max(pause);
                }
                _ => {}
            }
        }
    }

    fn kill(&mut self, index: usize) -> Arc<str> {
        let worker = self.workers.swap_remove(index);
        self.gone.insert(worker.process);
        self.happened.kills += 1;
        worker.name
    }

    fn stop(&mut self, index: usize) {
        let worker = self.workers.swap_remove(index);
        self.gone.insert(worker.process);
        self.happened.stops += 1;
        let mut at = Surroundings {
            stream: &mut self.stream,
            table: &mut self.table,
            random: &mut self.random,
            step: self.step,
            now: self.start,
            gone: &self.gone,
            is_troubled: false,
        };
        worker.stop(&mut at);
    }

    /// Up to a fifth of the open shards are split or merged at once.
    fn burst(&mut self) {
        let mut open = self.stream.open();
        let most = (open.len() / 5).max(1);
        // There are about as many as there were.
        let is_split = match open.len() {
            few if few < self.shards * 3 / 4 => true,
            many if many > self.shards * 5 / 4 => false,
            _ => self.random.bool(),
        };
        for _ in 0..self.random.usize(1..=most) {
            let at = self.random.usize(..open.len());
            if is_split {
                self.stream.split(open.swap_remove(at), self.step);
            } else if open.len() > 3 {
                let at = at.min(open.len() - 2);
                let [first, second] = [open.remove(at), open.remove(at)];
                self.stream.merge([first, second], self.step);
            }
            if open.len() < 2 {
                break;
            }
        }
        self.stream.changed(self.step);
    }

    /// All open shards are split, or merged in pairs.
    pub(super) fn reshard(&mut self, is_split: bool) {
        let open = self.stream.open();
        for pair in open.chunks(2) {
            match pair {
                [first, second] if !is_split => self.stream.merge([*first, *second], self.step),
                some => some.iter().for_each(|number| {
                    if is_split {
                        self.stream.split(*number, self.step);
                    }
                }),
            }
        }
        self.stream.changed(self.step);
    }

    /// Who hangs wakes up; no answer is lost any more; each open shard has a record.
    pub(super) fn settle_down(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.hangs = 0);
        self.table.loses = 0;
        for number in self.stream.open() {
            self.stream.put(number, 1);
        }
    }

    /// The fewest and the most leases that a worker has.
    pub(super) fn spread(&self) -> (usize, usize) {
        let mut counts: BTreeMap<&str, usize> =
            self.workers.iter().map(|worker| (&*worker.name, 0)).collect();
        for owner in self.table.leases.values().filter_map(|lease| lease.owner.as_deref()) {
            counts.entry(owner).and_modify(|count| *count += 1);
        }
        (*counts.values().min().unwrap(), *counts.values().max().unwrap())
    }

    /// Whether each worker has what is fair, or one more or less.
    pub(super) fn is_level(&self) -> bool {
        let (leases, workers) = (self.table.leases.len(), self.workers.len());
        let (fewest, most) = self.spread();
        most <= leases.div_ceil(workers) + 1 && fewest + 1 >= leases / workers
    }

    /// Lets what has come be delivered, and gives what was lost.
    pub(super) fn lost(&mut self) -> Vec<String> {
        self.is_flowing = false;
        (0..3 * FAILOVER_STEPS).for_each(|_| self.advance(Trouble::None));
        self.is_flowing = true;
        self.stream.lost()
    }

    pub(super) fn records(&self) -> usize {
        self.stream.shards.iter().map(|shard| shard.records).sum()
    }

    /// Goes on until there is a lease for each open shard, which a worker has that lives, and no other.
    /// After how many steps that was.
    pub(super) fn until_tidy(&mut self, when: &str) -> u64 {
        let begun = self.step;
        while !self.is_tidy() {
            let is_late = self.step - begun >= 300 * FAILOVER_STEPS;
            assert!(!is_late, "{when}: there is a stale lease: {:#?}", self.table.leases);
            self.advance(Trouble::None);
        }
        self.step - begun
    }

    fn is_tidy(&self) -> bool {
        let open = self.stream.open().into_iter().map(|number| &self.stream.shards[number].id);
        let held: usize = self.workers.iter().map(|worker| worker.held.len()).sum();
        self.table.leases.keys().eq(open) && held == self.table.leases.len()
    }

    pub(super) fn assert_bounded(&self, most: usize) {
        self.workers.iter().for_each(|worker| worker.assert_bounded(&self.table.leases, most));
    }

    pub(super) fn forget_old(&mut self) {
        self.stream.forget(self.step);
    }

    /// Counts calls for a while.
    pub(super) fn rates(&mut self) -> CallRates {
        const STEPS: u64 = 12 * FAILOVER_STEPS;
        self.table.calls = Calls::default();
        (0..STEPS).for_each(|_| self.advance(Trouble::None));
        let seconds = (STEP * u32::try_from(STEPS).unwrap()).as_secs_f64();
        CallRates { calls: self.table.calls, seconds, shards: self.stream.open().len() }
    }
}
