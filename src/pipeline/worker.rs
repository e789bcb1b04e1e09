//! The worker threads: they process chunks, and do the sinks' compressing and hashing.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, after, never, select_biased};
use tokio::sync::{Semaphore, watch};

use super::intake::{IntakeQueue, Jobs};
use super::process::Processor;
use super::routing::WorkerState;
use super::scratch::WorkerScratch;
use crate::health::{Activity, Status, Watchdog};
use crate::sink::OffloadTask;

/// Chunks waiting for a worker, at the most.
const JOBS: usize = 64;

/// The workers of one generation, and the queue to them.
#[derive(Debug)]
pub(crate) struct Workers {
    /// Gone once the sources have ended. The lock covers a look, or the taking.
    queue: Mutex<Option<IntakeQueue>>,
    /// Closed when every worker has seen the end of the queue.
    processing: watch::Sender<()>,
    processor: Arc<Processor>,
    /// Dropped to end the workers whatever is still queued. The lock covers the taking.
    kill_tx: Mutex<Option<Sender<Infallible>>>,
}

/// The ends of the queues that a worker takes from.
#[derive(Clone, Debug)]
struct WorkerQueues {
    jobs: Receiver<Jobs>,
    /// A permit is given back for each job taken.
    places: Arc<Semaphore>,
    /// The sinks' work.
    tasks: Receiver<OffloadTask>,
    /// Closed to end the workers at once.
    kill_rx: Receiver<Infallible>,
    /// Dropped when the jobs have ended; the tasks may go on.
    processing: watch::Receiver<()>,
}

impl Workers {
    /// Starts `count` threads, each with a state made by `state`. They end when both queues have, or when they are killed.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(
        count: usize,
        processor: &Arc<Processor>,
        state: impl Fn() -> WorkerState,
        tasks: Receiver<OffloadTask>,
        watchdog: &Watchdog,
        status: &Status,
    ) -> io::Result<Self> {
        let (kill_tx, kill_rx) = crossbeam_channel::bounded(0);
        let (processing, at_work) = watch::channel(());
        let (sender, jobs) = crossbeam_channel::bounded(JOBS);
        let places = Arc::new(Semaphore::new(JOBS));
        let queue = IntakeQueue { jobs: sender, places: Arc::clone(&places) };
        let queues = WorkerQueues { jobs, places, tasks, kill_rx, processing: at_work };
        for number in 0..count {
            let (processor, queues, activity) = (Arc::clone(processor), queues.clone(), watchdog.activity());
            status.watch(&format!("worker {number}"), "is at one piece of work", &activity);
            let state = state();
            let body = move || run(&processor, queues, state, &activity);
            thread::Builder::new().name(format!("worker-{number}")).spawn(body)?;
        }
        let (processor, kill_tx) = (Arc::clone(processor), Mutex::new(Some(kill_tx)));
        Ok(Self { queue: Mutex::new(Some(queue)), processing, processor, kill_tx })
    }

    /// The sources' end of the queue; none once it is closed.
    pub(crate) fn queue(&self) -> Option<IntakeQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What they work with.
    pub(crate) const fn processor(&self) -> &Arc<Processor> {
        &self.processor
    }

    /// Takes no more chunks, but from whom has the queue still.
    pub(crate) fn close(&self) {
        self.processor.paused.drain();
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Resolves when every chunk was processed. Cancel-safe.
    pub(crate) async fn processed(&self) {
        self.processing.closed().await;
    }

    /// Ends the workers, whatever is still queued.
    pub(crate) fn kill(&self) {
        drop(self.kill_tx.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.processor.paused.give_up();
    }
}

/// Paused jobs are looked at again after this long: what they wait for is told to nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

fn run(processor: &Processor, queues: WorkerQueues, mut state: WorkerState, activity: &Activity) {
    // What is declared last is dropped first: that processing has ended is said when the jobs are gone.
    let WorkerQueues { processing, mut jobs, places, mut tasks, kill_rx } = queues;
    let mut processing = Some(processing);
    let mut scratch = WorkerScratch::default();
    let (mut tasks_open, mut jobs_open) = (true, true);
    while processing.is_some() || tasks_open {
        // The sinks' work first: it frees memory. Then the jobs that have waited longest.
        let paused = if tasks.is_empty() { processor.paused.next() } else { None };
        if let Some(paused) = paused {
            if kill_rx.try_recv() == Err(TryRecvError::Disconnected) {
                break;
            }
            activity.begin();
            processor.go_on(paused, &mut state, &mut scratch);
            activity.end();
            continue;
        }
        if !jobs_open && !processor.paused.has_open() {
            processing = None;
        }
        // A job that another worker runs may be the last one.
        let waits = !processor.paused.is_empty() || (!jobs_open && processing.is_some());
        let look_again = if waits { after(LOOK_AGAIN) } else { never() };
        select_biased! {
            recv(kill_rx) -> _ => break,
            recv(tasks) -> task => match task {
                Ok(task) => {
                    activity.begin();
                    task();
                }
                Err(_ended) => (tasks, tasks_open) = (never(), false),
            },
            recv(jobs) -> next => match next {
                Ok(next) => {
                    activity.begin();
                    places.add_permits(1);
                    for job in next {
                        processor.process(job, &mut state, &mut scratch);
                    }
                }
                Err(_ended) => (jobs, jobs_open) = (never(), false),
            },
            recv(look_again) -> _ => {}
        }
        activity.end();
    }
    // After a kill, what is left is given up.
    processor.paused.give_up();
}
