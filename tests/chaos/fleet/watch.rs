//! What is looked at again and again: the table, what has arrived, and each worker.

use crate::arena::BESIDE;
use crate::daemon::Daemon;
use crate::standin::{FleetView, LeaseTake};
use crate::world::{Scrape, get};

use super::ledger::TakeCause;
use super::plan::name;
use super::worker::WorkerState;
use super::{Fleet, MEMORY, RUN, STREAM};

impl Fleet {
    /// How the table is; the ledger learns of takes, and of losses that were noticed.
    pub(super) fn view(&mut self) -> FleetView {
        let view: FleetView = self.standin.fleet("view", &self.ledger.takes.len());
        let states: Vec<_> = self.workers.iter_mut().map(|worker| (worker.name(), worker.state)).collect();
        let cause = |take: &LeaseTake| match &take.from {
            None => TakeCause::Free,
            Some(from) if *from == take.to => TakeCause::Own,
            Some(from) => match states.iter().find(|(name, _)| name.as_ref() == Some(from)) {
                Some((_, WorkerState::Running)) => TakeCause::Running,
                Some((_, WorkerState::Frozen(_))) => TakeCause::Frozen,
                Some((_, WorkerState::Ending(..) | WorkerState::Down(_))) | None => TakeCause::Down,
            },
        };
        self.ledger.note(view.takes.clone(), cause);
        for (worker, (name, _)) in self.workers.iter().zip(&states) {
            if let (Some(name), Some(daemon)) = (name, worker.daemon()) {
                self.ledger.note_losses(name, |shard| daemon.lost(shard));
            }
        }
        view
    }

    /// Looks whether anything is wrong that must not be at any time.
    pub(super) fn look(&mut self, view: &FleetView) {
        // What has arrived by now is more than what had when the table was looked at.
        let arrived = self.standin.numbers(STREAM, RUN);
        for row in &view.rows {
            if let Some(line) = self.ledger.passed_over(&row.shard, &row.checkpoint, &arrived) {
                let at = format!("the position of {} is {}", row.shard, row.checkpoint);
                self.trouble(format!("{at}, and line {line} before it has not arrived"));
            }
        }
        let report = self.standin.report();
        let total = report.total();
        if total.damaged + total.other > 0 {
            self.trouble(format!("{} lines arrived damaged, {} are others", total.damaged, total.other));
        }
        if report.limit_violations > 0 || !view.violations.is_empty() {
            self.trouble(format!("what nobody should do: {:?} {:?}", report.violations, view.violations));
        }
    }

    pub(super) fn look_at(&mut self, worker: usize) {
        let one = &self.workers[worker];
        let Some((pid, admin)) = one
            .daemon()
            .filter(|_| one.state == WorkerState::Running)
            .and_then(|daemon| Some((daemon.pid, daemon.admin()?)))
        else {
            return;
        };
        if let Some((memory, _)) = Daemon::size(pid) {
            self.peak_memory = self.peak_memory.max(memory);
            if memory > MEMORY + BESIDE {
                self.trouble(format!("{}: {} MiB resident", name(worker), memory >> 20));
            }
        }
        let Ok(reply) = get(&admin, "/metrics") else { return };
        self.scrapes += 1;
        if let Some(leak) = Scrape::parse(reply.text()).leak() {
            self.trouble(format!("what {} counts does not add up: {leak}", name(worker)));
        }
    }
}
