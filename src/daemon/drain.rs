//! The end of a generation: stage after stage, by a deadline, and nothing of it goes on afterwards.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::generation::Generation;
use super::signals::{Signal, SignalQueue};
use super::sources::RunningSources;

/// Sources that have not ended by then are waited for with nothing lingering.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// After a standstill nothing more is waited for.
pub(crate) const LAST_WAIT: Duration = Duration::from_secs(1);

/// How long what has been told to end at once may take.
const CLOSE: Duration = Duration::from_secs(5);

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DrainOutcome {
    /// Everything was delivered.
    Delivered,
    /// What was not is in disk buffers, which the next generation opens.
    OnDisk,
    /// The deadline, or a second signal, came first.
    GivenUp,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunOutcome {
    /// Everything that was read was delivered.
    Drained,
    /// The deadline came first, or what was delivered could not be written down; what is not known as delivered is on disk, or is
    /// read or sent again.
    Undelivered,
    /// What was read of standard input was not delivered, and cannot be read again.
    Lost,
}

impl DrainOutcome {
    /// How a run ends that ends with this.
    pub(crate) fn outcome(self) -> RunOutcome {
        match self {
            Self::Delivered => RunOutcome::Drained,
            Self::OnDisk | Self::GivenUp => RunOutcome::Undelivered,
        }
    }
}

/// What counts against the budget of a drain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DrainDeadline {
    /// All time since the signal.
    Total(Duration),
    /// Time without a delivery: nobody waits for a run that ends by itself.
    Progress(Duration),
}

impl DrainDeadline {
    fn budget(self) -> Duration {
        match self {
            Self::Total(budget) | Self::Progress(budget) => budget,
        }
    }
}

impl Generation {
    /// Ends stage after stage, until the deadline or until a stop was asked for more than `stops` times.
    pub(crate) async fn drain(
        &self,
        sources: &mut RunningSources,
        limit: DrainDeadline,
        signals: &mut SignalQueue,
        stops: u32,
    ) -> DrainOutcome {
        let drained = self.end_stages(sources);
        tokio::pin!(drained);
        let mut deadline = Instant::now() + limit.budget();
        let mut before = self.in_flight();
        loop {
            let next = deadline.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                done = timeout_at(next, drained.as_mut()) => if done.is_ok() {
                    return self.outcome();
                },
                signal = signals.next() => if signal == Signal::Stop && signals.stops() > stops {
                    return self.give_up();
                },
            }
            let undelivered = self.in_flight();
            if matches!(limit, DrainDeadline::Progress(_)) && undelivered != before {
                deadline = Instant::now() + limit.budget();
            }
            before = undelivered;
            if Instant::now() >= deadline {
                return self.give_up();
            }
        }
    }

    /// Resolves when something waits and nothing was delivered for so long, whatever the sources do meanwhile.
    pub(crate) async fn standstill(&self, patience: Duration) {
        let (mut since, mut before) = (Instant::now(), self.ended());
        while since.elapsed() < patience {
            sleep(patience.min(Duration::from_secs(1)) / 4).await;
            let ended = self.ended();
            let waits = self.in_flight() != 0 || self.shared.dead_letters.waiting() != 0;
            if ended != before || !waits {
                (since, before) = (Instant::now(), ended);
            }
        }
    }

    /// Events delivered, dropped or kept as dead letters, and letters written.
    fn ended(&self) -> u64 {
        let ended = self.sinks.iter().map(|sink| sink.metrics.ended()).sum::<u64>();
        ended.saturating_add(self.shared.dead_letters.kept())
    }

    /// What is left once every stage has ended.
    fn outcome(&self) -> DrainOutcome {
        let mut undelivered = self.sinks.iter().filter(|sink| sink.metrics.in_flight() != 0).peekable();
        if undelivered.peek().is_none() {
            return DrainOutcome::Delivered;
        }
        if !undelivered.all(|sink| sink.is_handed_over()) {
            return self.give_up();
        }
        info!(events = self.in_flight(), "left in disk buffers: the new configuration delivers them");
        DrainOutcome::OnDisk
    }

    async fn end_stages(&self, sources: &mut RunningSources) {
        let ended = sources.all_ended();
        tokio::pin!(ended);
        // A source that answers requests ends once they are delivered, which is not to wait for fuller records.
        if timeout(FLUSH_AFTER, ended.as_mut()).await.is_err() {
            self.shares.flush();
            self.sinks.iter().for_each(|sink| sink.wake());
            ended.await;
        }
        self.workers.close();
        self.workers.processed().await;
        self.sinks.iter().for_each(|sink| sink.end());
        joined(&self.deliveries).await;
        self.shared.dead_letters.emptied().await;
    }

    /// Leaves what is in disk buffers to those sinks of the next generation that deliver it: the end of this one does not wait for it.
    pub(crate) fn hand_over(&self, next: &Self) {
        for sink in self.sinks.iter() {
            let successor = next.sinks.iter().find(|successor| successor.name == sink.name);
            sink.hand_over(successor.map(Arc::as_ref));
        }
    }

    /// Ends deliveries that have not ended, and leaves what is on disk there, with what is delivered written down; whether
    /// everything has ended by now.
    pub(crate) async fn close(&self) -> bool {
        let mut deliveries =
            std::mem::take(&mut *self.deliveries.lock().unwrap_or_else(PoisonError::into_inner));
        deliveries.shutdown().await;
        self.shares.close();
        self.sinks.iter().for_each(|sink| sink.wake());
        let is_closed = timeout(CLOSE, joined(&self.disk_tasks)).await.is_ok();
        if !is_closed {
            warn!("a disk buffer did not close in time; its latest records may be delivered again");
        }
        is_closed
    }

    /// Ends everything, however long the disk takes: another generation is to have the same files. What is undelivered is given up,
    /// and goes back to where it came from.
    pub(crate) async fn retire(&self) {
        self.workers.close();
        // A source may hang in a read; what it still brings finds nobody.
        if timeout(CLOSE, self.workers.processed()).await.is_err() {
            warn!("a source hangs in a read and does not end; continuing without it");
            self.workers.kill();
            self.workers.processed().await;
        }
        while !self.close().await {}
        self.release();
    }

    /// Drops what is still queued, with its ack guards: nothing of this generation runs any more.
    pub(crate) fn release(&self) {
        self.shared.dead_letters.abandon();
        self.sinks.iter().for_each(|sink| sink.retire());
    }

    /// Events accepted and not ended.
    pub(crate) fn in_flight(&self) -> i64 {
        self.sinks.iter().map(|sink| sink.metrics.in_flight()).sum()
    }

    fn give_up(&self) -> DrainOutcome {
        warn!(
            events = self.in_flight(),
            "stopped with events undelivered; those on disk, in files or with their senders are delivered after the next start"
        );
        DrainOutcome::GivenUp
    }
}

/// Waits until every task has ended. Dropped before, it leaves them where they are.
async fn joined(tasks: &Mutex<JoinSet<()>>) {
    poll_fn(|context| {
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match tasks.poll_join_next(context) {
                Poll::Ready(Some(_ended)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
