//! Three standpipes that share a stream by a lease table, between kills, stops, freezes longer than the failover time, reloads, shards
//! that are split and merged, and calls that go wrong.
//!
//! All that was put arrives; no position is past a line that has not arrived, and none goes back; a line comes again only where a
//! takeover explains it; in the end the leases are level, and all positions are at the end.

mod conclusion;
mod ledger;
mod plan;
mod watch;
mod worker;

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::daemon::Ended;
use crate::standin::{Faults, NewRecords, Reshard, Standin, TableTrouble};
use crate::story::{Story, pause};
use crate::verdict::Verdict;

use ledger::FleetLedger;
use plan::{FleetAction, WORKERS, name};
use worker::{CONFIG, Worker, WorkerEnd, WorkerState};

/// The stream that is delivered to.
const STREAM: &str = "logs";
/// The run of all lines.
const RUN: u32 = 1;
/// Lines a record.
const EACH: u64 = 5;
/// Shards at first, and as few and many as there are.
const SHARDS: [usize; 3] = [6, 3, 14];
/// `limits.memory`
const MEMORY: u64 = 32 << 20;
const TICK: Duration = Duration::from_millis(40);
/// The fleet is looked at closely in every so manieth tick.
const LOOK: u64 = 12;
/// How long nothing may happen when nothing is wrong any more.
const PATIENCE: Duration = Duration::from_mins(2);

/// See the module.
struct Fleet {
    story: Story,
    standin: Standin,
    workers: Vec<Worker>,
    ledger: FleetLedger,
    random: fastrand::Rng,
    quiet_until: Duration,
    ticks: u64,
    scrapes: u64,
    peak_memory: u64,
    /// How often what has happened, in words.
    done: Vec<(&'static str, usize)>,
    troubles: Vec<String>,
    folder: TempDir,
}

/// Runs the plan of this seed.
pub(crate) fn run(arguments: &Arguments, seed: u64) -> Verdict {
    let mut fleet = Fleet::build(arguments, seed);
    let again = arguments.again("fleet", seed);
    fleet.story.tell(&format!("seed {seed}: {again}"));
    fleet.workers.iter_mut().for_each(Worker::start);
    let length = Duration::from_secs(arguments.seconds);
    let mut steps = plan::make(seed, length).into_iter().peekable();
    while fleet.story.elapsed() < length && fleet.troubles.is_empty() {
        while let Some((_, action)) = steps.next_if(|(at, _)| *at <= fleet.story.elapsed()) {
            fleet.act(&action);
        }
        fleet.tick(true);
    }
    fleet.settle();
    fleet.conclude(&again)
}

impl Fleet {
    fn build(arguments: &Arguments, seed: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("standpipe-chaos-").tempdir().unwrap();
        let binary = arguments.bin.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_standpipe").into());
        let binary = fs::canonicalize(binary).unwrap();
        let ca = folder.path().join("ca.pem");
        let standin = Standin::start(&binary, &ca, &[STREAM], seed);
        standin.fleet::<()>("open", &SHARDS[0]);
        let config = CONFIG.replace("@URL", standin.url()).replace("@CA", &ca.display().to_string());
        let mut env = standin.key.clone();
        env.push(("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()));
        let workers = (0..WORKERS)
            .map(|worker| Worker::new(name(worker), folder.path(), &binary, &env, &config))
            .collect();
        Self {
            story: Story::begin(),
            standin,
            workers,
            ledger: FleetLedger::default(),
            random: fastrand::Rng::with_seed(seed ^ 1),
            quiet_until: Duration::ZERO,
            ticks: 0,
            scrapes: 0,
            peak_memory: 0,
            done: Vec::new(),
            troubles: Vec::new(),
            folder,
        }
    }

    fn trouble(&mut self, what: String) {
        self.story.tell(&format!("WRONG: {what}"));
        self.troubles.push(what);
    }

    fn count(&mut self, what: &'static str, times: usize) {
        match self.done.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += times,
            None => self.done.push((what, times)),
        }
    }

    fn act(&mut self, action: &FleetAction) {
        self.story.tell(&action.to_string());
        let now = self.story.elapsed();
        match *action {
            FleetAction::Kill { worker, down } => {
                self.signal_running(worker, "KILL", |_| WorkerState::Ending(WorkerEnd::Kill, down));
            }
            FleetAction::Stop { worker, down } => {
                self.signal_running(worker, "TERM", |_| WorkerState::Ending(WorkerEnd::Stop, down));
            }
            FleetAction::Freeze { worker, time } => {
                self.signal_running(worker, "STOP", |now| WorkerState::Frozen(now + time));
            }
            FleetAction::Reload { worker } => self.signal_running(worker, "HUP", |_| WorkerState::Running),
            FleetAction::Split { times, draw } => self.reshard(true, times, draw),
            FleetAction::Merge { times, draw } => self.reshard(false, times, draw),
            FleetAction::Stream(trouble) => self.standin.fleet::<()>("stream-trouble", &trouble),
            FleetAction::Table(trouble) => self.standin.fleet::<()>("table-trouble", &trouble),
            FleetAction::TableOut => {
                let trouble = TableTrouble { throttles: u32::MAX, ..TableTrouble::default() };
                self.standin.fleet::<()>("table-trouble", &trouble);
                self.count("outages of the table", 1);
            }
            FleetAction::TableBack => self.standin.fleet::<()>("table-trouble", &TableTrouble::default()),
            FleetAction::Sink { ref faults, .. } => self.standin.faults(STREAM, faults),
            FleetAction::SinkBack => self.standin.faults(STREAM, &Faults::default()),
            FleetAction::Quiet(time) => self.quiet_until = now + time,
        }
    }

    /// Sends a signal to a worker that runs and has said where it listens: before, it may not know the signal yet.
    fn signal_running(
        &mut self,
        worker: usize,
        signal: &'static str,
        after: impl Fn(Duration) -> WorkerState,
    ) {
        let one = &mut self.workers[worker];
        let is_up = one.daemon().is_some_and(|daemon| daemon.admin().is_some());
        if one.state != WorkerState::Running || !(is_up || signal == "KILL") {
            return self.story.tell(&format!("{} is busy: {signal} is left out", name(worker)));
        }
        one.signal(signal);
        one.state = after(self.story.elapsed());
        self.count(
            match signal {
                "KILL" => "kills",
                "TERM" => "stops",
                "STOP" => "freezes",
                _ => "reloads",
            },
            1,
        );
    }

    fn reshard(&mut self, is_split: bool, times: usize, draw: usize) {
        let [_, fewest, most] = SHARDS;
        let done = self.standin.fleet("reshard", &Reshard { is_split, times, fewest, most, draw });
        self.count(if is_split { "splits" } else { "merges" }, done);
    }

    /// Workers end and start, records come, and all is looked at.
    fn tick(&mut self, is_flowing: bool) {
        self.ticks += 1;
        (0..WORKERS).for_each(|worker| self.tend(worker));
        let view = self.view();
        if is_flowing && self.story.elapsed() >= self.quiet_until {
            self.put();
        }
        if self.ticks.is_multiple_of(LOOK) {
            self.look(&view);
            (0..WORKERS).for_each(|worker| self.look_at(worker));
        }
        pause(TICK);
    }

    fn tend(&mut self, worker: usize) {
        let (now, one) = (self.story.elapsed(), &mut self.workers[worker]);
        let has_ended = one.has_ended();
        match one.state {
            WorkerState::Running if has_ended => {
                self.trouble(format!("{} ended by itself", name(worker)));
            }
            WorkerState::Frozen(until) if now >= until => {
                one.signal("CONT");
                one.state = WorkerState::Running;
            }
            WorkerState::Ending(end, down) if has_ended => {
                one.state = WorkerState::Down(now + down);
                let ended = one.end(PATIENCE);
                self.ended(worker, end, ended);
            }
            WorkerState::Down(until) if now >= until => one.start(),
            WorkerState::Running
            | WorkerState::Frozen(_)
            | WorkerState::Ending(..)
            | WorkerState::Down(_) => {}
        }
    }

    fn ended(&mut self, worker: usize, end: WorkerEnd, ended: Option<Ended>) {
        let code = ended.as_ref().and_then(|ended| ended.code);
        let is_expected = match end {
            WorkerEnd::Kill => code.is_none(),
            // At its deadline, something is left to others.
            WorkerEnd::Stop => matches!(code, Some(0 | 75)),
        };
        self.ledger.is_unclean |= end == WorkerEnd::Stop && code != Some(0);
        if !is_expected {
            self.trouble(format!("after {end:?}, {} exits {code:?}", name(worker)));
        }
        for line in ended.into_iter().flat_map(|ended| ended.bad) {
            self.trouble(format!("the log of {} says: {line}", name(worker)));
        }
        if let Some(name) = self.workers[worker].name() {
            self.ledger.note_end(&name);
        }
    }

    fn put(&mut self) {
        let (first, records) = (self.ledger.lines, self.random.u64(0..8));
        if records == 0 {
            return;
        }
        let lines = first..first + records * EACH;
        let new = NewRecords { run: RUN, lines: lines.clone(), each: EACH };
        let placed = self.standin.fleet("put", &new);
        self.ledger.put(lines, EACH, placed);
    }
}
