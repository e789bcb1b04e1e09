//! Sources that peers connect to: connections are accepted until a stop, and whoever finds no room is counted and named.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tracing::warn;

use super::stop::Stop;
use crate::connections::{Accept, BoundedListener, ConnectionSlots, ListenerEvent, Newcomer};
use crate::health::Status;
use crate::pipeline::Intake;

/// How often the lag is reported.
const REPORT: Duration = Duration::from_secs(1);

/// What all connections of such a source share.
pub(super) trait PeerSource: Send + Sync + 'static {
    /// The source's name.
    fn name(&self) -> &str;

    /// Its way in.
    fn intake(&self) -> &Intake;

    /// Age of the oldest that came and is not answered.
    fn lag(&self, now: Instant) -> Duration;

    /// Counts a connection that is ended or not accepted for this reason, and says whose it is.
    fn cut_peer(&self, peer: SocketAddr, reason: &'static str, message: &str);
}

/// Serves a source's socket with so many connections at the most until `stop`, and then until what is under way is answered. Nothing that
/// a peer does ends it.
pub(super) async fn serve_peers<L: Accept, T: Future<Output = ()> + Send + 'static>(
    context: &impl PeerSource,
    socket: Arc<L>,
    most: usize,
    status: Arc<Status>,
    mut stop: Stop,
    talk: impl Fn(Newcomer<L::Accepted>, Stop) -> T,
) {
    let mut connections = JoinSet::new();
    let who = format!("source {}", context.name());
    let slots = ConnectionSlots::new(most);
    let mut listener = BoundedListener::new(socket, slots, None, Arc::clone(&status), who.clone());
    let mut clock = interval(REPORT);
    loop {
        let newcomer = tokio::select! {
            now = clock.tick() => {
                context.intake().metrics.lag_seconds.set(context.lag(now).as_secs_f64());
                continue;
            }
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            newcomer = listener.next(|event| note(context, &event)) => newcomer,
        };
        connections.spawn(talk(newcomer, stop.clone()));
    }
    drop(listener);
    status.report_issue(&who, None);
    while connections.join_next().await.is_some() {}
}

fn note(context: &impl PeerSource, event: &ListenerEvent<'_>) {
    let full = |peer: SocketAddr, message: &str| context.cut_peer(peer, "connections_full", message);
    match event {
        ListenerEvent::Dropped(peer) => full(*peer, "all connections are taken, and it was idle for longest"),
        ListenerEvent::Refused(peer) => full(*peer, "all connections are taken, and at work"),
        ListenerEvent::Failed(error) => {
            context.intake().metrics.error("accept");
            warn!(source = context.name(), %error, "cannot accept a connection");
        }
    }
}
