//! The end of a plant: stage after stage, by a deadline, and nothing of it goes on afterwards.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::orders::{Orders, Wish};
use super::plant::Plant;
use super::{End, sources};

/// Sources that have not ended by then are waited for with nothing lingering.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// How long what has been told to end at once may take.
const CLOSE: Duration = Duration::from_secs(5);

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// Everything was delivered.
    Nothing,
    /// What was not is in disk buffers, which the next plant opens.
    OnDisk,
    /// The deadline, or a wish, came first.
    GivenUp,
}

impl Rest {
    /// How a run ends that ends with this.
    pub(super) fn end(self) -> End {
        match self {
            Self::Nothing => End::Drained,
            Self::OnDisk | Self::GivenUp => End::Deadline,
        }
    }
}

/// What counts against the budget of a drain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// All time since the wish to stop.
    Total(Duration),
    /// Time without a delivery: nobody waits for a run that ends by itself.
    Progress(Duration),
}

impl Patience {
    fn budget(self) -> Duration {
        match self {
            Self::Total(budget) | Self::Progress(budget) => budget,
        }
    }
}

impl Plant {
    /// Ends stage after stage, until the deadline or until a stop was asked for more than `stops` times.
    pub(super) async fn drain(
        &self,
        sources: sources::Running,
        patience: Patience,
        orders: &mut Orders,
        stops: u32,
    ) -> Rest {
        let drained = self.end_stages(sources);
        tokio::pin!(drained);
        let mut deadline = Instant::now() + patience.budget();
        let mut before = self.in_flight();
        loop {
            let next = deadline.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                done = timeout_at(next, drained.as_mut()) => if done.is_ok() {
                    return self.rest();
                },
                wish = orders.next() => if wish == Wish::Stop && orders.stops() > stops {
                    return self.give_up();
                },
            }
            let undelivered = self.in_flight();
            if matches!(patience, Patience::Progress(_)) && undelivered != before {
                deadline = Instant::now() + patience.budget();
            }
            before = undelivered;
            if Instant::now() >= deadline {
                return self.give_up();
            }
        }
    }

    /// What is left once every stage has ended.
    fn rest(&self) -> Rest {
        let mut undelivered = self.outlets.iter().filter(|outlet| outlet.metrics.in_flight() != 0).peekable();
        if undelivered.peek().is_none() {
            return Rest::Nothing;
        }
        if !undelivered.all(|outlet| outlet.is_left()) {
            return self.give_up();
        }
        info!(events = self.in_flight(), "left in disk buffers: the new configuration delivers them");
        Rest::OnDisk
    }

    async fn end_stages(&self, sources: sources::Running) {
        let ended = sources::all_ended(sources);
        tokio::pin!(ended);
        // A source that answers requests ends once they are delivered, which is not to wait for fuller records.
        if timeout(FLUSH_AFTER, ended.as_mut()).await.is_err() {
            self.shares.flush();
            self.outlets.iter().for_each(|outlet| outlet.wake());
            ended.await;
        }
        self.shut_entrance();
        self.decoding.closed().await;
        self.outlets.iter().for_each(|outlet| outlet.end());
        joined(&self.deliveries).await;
        self.shared.dead_letters.emptied().await;
    }

    fn shut_entrance(&self) {
        drop(self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Leaves what is in disk buffers to those sinks of the next plant that deliver it: the end of this one does not wait for it.
    pub(super) fn leave_to(&self, next: &Self) {
        for outlet in self.outlets.iter() {
            let heir = next.outlets.iter().find(|heir| heir.name == outlet.name);
            outlet.leave_to(heir.map(Arc::as_ref));
        }
    }

    /// Ends deliveries that have not ended, and leaves what is on disk there, with what is delivered written down; whether
    /// everything has ended by now.
    pub(super) async fn close(&self) -> bool {
        let mut deliveries =
            std::mem::take(&mut *self.deliveries.lock().unwrap_or_else(PoisonError::into_inner));
        deliveries.shutdown().await;
        self.shares.close();
        self.outlets.iter().for_each(|outlet| outlet.wake());
        let is_closed = timeout(CLOSE, joined(&self.spools)).await.is_ok();
        if !is_closed {
            warn!("a disk buffer does not close in time; what it delivered last may be delivered again");
        }
        is_closed
    }

    /// Ends everything, however long the disk takes: another plant is to have the same files. What is undelivered is given up,
    /// and goes back to where it came from.
    pub(super) async fn retire(&self) {
        self.shut_entrance();
        // A source may hang in a read; what it still brings finds nobody.
        if timeout(CLOSE, self.decoding.closed()).await.is_err() {
            warn!("a source does not end: it hangs in a read; it is left alone");
            self.dismiss_workers();
            self.decoding.closed().await;
        }
        while !self.close().await {}
        self.shared.dead_letters.abandon();
        self.outlets.iter().for_each(|outlet| outlet.retire());
    }

    /// Events accepted and not ended.
    pub(super) fn in_flight(&self) -> i64 {
        self.outlets.iter().map(|outlet| outlet.metrics.in_flight()).sum()
    }

    fn give_up(&self) -> Rest {
        warn!(
            events = self.in_flight(),
            "stopped with events undelivered; they are on disk, or read or sent again"
        );
        Rest::GivenUp
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
