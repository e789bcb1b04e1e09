//! A socket that always accepts, with a slot for each connection, and says so where it cannot.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::slots::{ConnectionSlot, ConnectionSlots, Seating};
use crate::health::{Heartbeat, Status};

/// What accepts connections.
pub(crate) trait Accept: Send + Sync {
    /// A connection.
    type Accepted: Send;

    /// The next one, and who it is from. Cancel-safe.
    fn accept_one(&self) -> impl Future<Output = io::Result<(Self::Accepted, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    type Accepted = TcpStream;

    async fn accept_one(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

/// A connection with its slot.
#[derive(Debug)]
pub(crate) struct Newcomer<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) peer: SocketAddr,
    pub(crate) slot: ConnectionSlot,
    /// Resolves when the slot goes to another.
    pub(crate) evicted: oneshot::Receiver<()>,
}

/// What somebody should count and log.
#[derive(Debug)]
pub(crate) enum ListenerEvent<'a> {
    /// All slots are taken: this peer, idle for longest, was dropped for another.
    Dropped(SocketAddr),
    /// All slots are taken, by connections at work: this peer was turned away.
    Refused(SocketAddr),
    /// The system gives no connection.
    Failed(&'a io::Error),
}

/// A listening socket.
pub(crate) struct BoundedListener<L = TcpListener> {
    listener: Arc<L>,
    slots: Arc<ConnectionSlots>,
    /// Slots of their own for peers of this host.
    local_slots: Option<Arc<ConnectionSlots>>,
    status: Arc<Status>,
    /// Who has an issue.
    who: String,
    heartbeat: Heartbeat,
    clock: Interval,
    not_before: Instant,
    /// Since when, and how many slots there are.
    full: Option<(Instant, usize)>,
    failed: Option<(Instant, String)>,
}

/// After a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it comes round.
const ROUND: Duration = Duration::from_secs(1);

/// An issue is said for so long after it was last seen.
const LASTS: Duration = Duration::from_secs(10);

impl<L: Accept> BoundedListener<L> {
    pub(crate) fn new(
        listener: Arc<L>,
        slots: Arc<ConnectionSlots>,
        local_slots: Option<Arc<ConnectionSlots>>,
        status: Arc<Status>,
        who: String,
    ) -> Self {
        let heartbeat = status.heartbeat(&who);
        let mut clock = interval(ROUND);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let not_before = Instant::now();
        let (full, failed) = (None, None);
        Self { listener, slots, local_slots, status, who, heartbeat, clock, not_before, full, failed }
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn next(&mut self, mut tell: impl FnMut(ListenerEvent<'_>)) -> Newcomer<L::Accepted> {
        loop {
            let (listener, not_before) = (&self.listener, self.not_before);
            let accept = async {
                sleep_until(not_before).await;
                listener.accept_one().await
            };
            let accepted = tokio::select! {
                now = self.clock.tick() => {
                    self.come_round(now);
                    continue;
                }
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(newcomer) = self.seat(stream, peer, &mut tell) {
                        return newcomer;
                    }
                }
                Err(error) => self.fail(&error, &mut tell),
            }
        }
    }

    fn come_round(&mut self, now: Instant) {
        self.heartbeat.beat(now);
        let is_over = |since: Instant| now.duration_since(since) >= LASTS;
        self.full = self.full.filter(|(since, _)| !is_over(*since));
        self.failed = self.failed.take().filter(|(since, _)| !is_over(*since));
        self.report();
    }

    fn seat(
        &mut self,
        stream: L::Accepted,
        peer: SocketAddr,
        tell: &mut impl FnMut(ListenerEvent<'_>),
    ) -> Option<Newcomer<L::Accepted>> {
        let now = Instant::now();
        let local = self.local_slots.as_ref().filter(|_| peer.ip().to_canonical().is_loopback());
        let slots = local.unwrap_or(&self.slots);
        let Seating { seat, dropped } = slots.take(peer, now);
        if seat.is_none() || dropped.is_some() {
            tell(dropped.map_or(ListenerEvent::Refused(peer), ListenerEvent::Dropped));
            self.full = Some((now, slots.most()));
            self.report();
        }
        let (slot, evicted) = seat?;
        Some(Newcomer { stream, peer, slot, evicted })
    }

    fn fail(&mut self, error: &io::Error, tell: &mut impl FnMut(ListenerEvent<'_>)) {
        let now = Instant::now();
        tell(ListenerEvent::Failed(error));
        // Its file descriptor is what is wanting, more often than not.
        if let Some(peer) = self.slots.drop_longest_idle() {
            tell(ListenerEvent::Dropped(peer));
        }
        self.not_before = now + PAUSE;
        self.failed = Some((now, error.to_string()));
        self.report();
    }

    fn report(&self) {
        let issue = match (&self.failed, self.full) {
            (Some((_, error)), _) => Some(format!("connections cannot be accepted: {error}")),
            (None, Some((_, most))) => {
                Some(format!("all {most} connections are taken: new ones end those that are idle longest"))
            }
            (None, None) => None,
        };
        self.status.report_issue(&self.who, issue);
    }
}
