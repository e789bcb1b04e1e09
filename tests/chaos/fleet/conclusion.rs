//! The end of a run: everything heals, all arrives and is written down, the workers stop, and the verdict is told.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::standin::{Faults, StreamTrouble, TableTrouble};
use crate::verdict::Verdict;

use super::plan::WORKERS;
use super::worker::{Worker, WorkerEnd, WorkerState};
use super::{Fleet, PATIENCE, RUN, STREAM};

impl Fleet {
    /// Everything works again; waits until all has arrived, leases are level and positions at the end, and stops all.
    pub(super) fn settle(&mut self) {
        self.story.tell("everything works again; waiting until all has arrived and is written down");
        self.standin.faults(STREAM, &Faults::default());
        self.standin.fleet::<()>("stream-trouble", &StreamTrouble::default());
        self.standin.fleet::<()>("table-trouble", &TableTrouble::default());
        for worker in &mut self.workers {
            match worker.state {
                WorkerState::Frozen(_) => worker.state = WorkerState::Frozen(Duration::ZERO),
                WorkerState::Down(_) => worker.state = WorkerState::Down(Duration::ZERO),
                WorkerState::Ending(end, _) => worker.state = WorkerState::Ending(end, Duration::ZERO),
                WorkerState::Running => {}
            }
        }
        let (mut furthest, mut since) = (0, Instant::now());
        while self.troubles.is_empty() {
            self.tick(false);
            let arrived = self.standin.numbers(STREAM, RUN).count();
            let lacking = self.lacking(arrived);
            if lacking.is_none() {
                break;
            }
            if arrived > furthest {
                (furthest, since) = (arrived, Instant::now());
            }
            if let Some(lacking) = lacking.filter(|_| since.elapsed() > PATIENCE) {
                self.trouble(format!("nothing happens any more, and {lacking}"));
            }
        }
        self.stop_all();
    }

    /// What is not yet as it is to be in the end.
    fn lacking(&mut self, arrived: u64) -> Option<String> {
        if arrived < self.ledger.lines {
            return Some(format!("{arrived} of {} lines have arrived", self.ledger.lines));
        }
        let view = self.view();
        let row = |shard: &String| view.rows.iter().find(|row| row.shard == *shard);
        let unread = view.open.iter().find(|shard| {
            row(shard).is_none_or(|row| row.owner.is_none() || !self.ledger.is_read(shard, &row.checkpoint))
        });
        if let Some(shard) = unread {
            return Some(format!("{shard} is not written down to its end: {:?}", row(shard)));
        }
        let names: Vec<Option<String>> = self.workers.iter_mut().map(Worker::name).collect();
        let share = |name: &Option<String>| view.rows.iter().filter(|row| row.owner == *name).count();
        let shares: Vec<usize> = names.iter().map(share).collect();
        let is_level = shares.iter().max() <= shares.iter().min().map(|fewest| fewest + 1).as_ref();
        let is_known = view.rows.iter().all(|row| names.contains(&row.owner));
        (!is_level || !is_known).then(|| format!("the leases are not level: {shares:?} of {:?}", view.rows))
    }

    fn stop_all(&mut self) {
        if !self.troubles.is_empty() {
            return;
        }
        self.workers.iter().for_each(|worker| worker.signal("TERM"));
        for worker in 0..WORKERS {
            let ended = self.workers[worker].end(PATIENCE);
            self.ended(worker, WorkerEnd::Stop, ended);
        }
    }

    pub(super) fn conclude(mut self, again: &str) -> Verdict {
        let (report, view) = (self.standin.report(), self.view());
        self.look(&view);
        let doubled: Vec<(u64, u64)> =
            self.standin.fleet("again", &serde_json::json!({ "stream": STREAM, "run": RUN }));
        let count = self.ledger.explain(&doubled);
        count.unexplained.iter().take(5).for_each(|what| self.trouble(what.clone()));
        let done: Vec<String> = self.done.iter().map(|(what, times)| format!("{times} {what}")).collect();
        self.story.tell(&done.join(", "));
        self.story.tell(&format!(
            "{} lines in {} shards, {} arrived; {} came again, of at most {} that takes explain, after takes {:?}; {}",
            self.ledger.lines,
            self.ledger.shards(),
            report.total().seen,
            count.lines,
            count.most_explained,
            count.causes,
            self.ledger.takes_in_words(),
        ));
        self.story.tell(&format!(
            "{} calls, {:?}; {} scrapes that add up; at most {} MiB resident",
            report.calls,
            report.errors,
            self.scrapes,
            self.peak_memory >> 20
        ));
        if self.troubles.is_empty() {
            self.story.tell(&format!("nothing is lost; again: {again}"));
            return Verdict::Held;
        }
        for worker in self.workers.iter().filter(|worker| worker.daemon().is_some()) {
            let recent = worker.daemon().map(Daemon::recent).unwrap_or_default();
            println!("\n---- the last that {} said\n{}", worker.home().display(), recent.join("\n"));
        }
        println!("\n---- what is wrong\n{}", self.troubles.join("\n"));
        println!("\nThe logs and the states are kept in {}\nagain: {again}", self.folder.keep().display());
        Verdict::Broken
    }
}
