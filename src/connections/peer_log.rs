//! Log lines about peers: so many for each peer in a while, so that a noisy one does not hide the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Lock;

/// The target of lines that a [`PeerLog`] has let through: they are not limited once more by their message.
pub(crate) const PEER_LOG: &str = "standpipe::peer";

/// Lets each peer be spoken of a few times in a while.
#[derive(Debug, Default)]
pub(crate) struct PeerLog(Lock<PeerLines>);

#[derive(Debug, Default)]
struct PeerLines {
    since: Option<Instant>,
    lines: u32,
    by_peer: HashMap<IpAddr, PeerCount>,
}

#[derive(Debug, Default)]
struct PeerCount {
    lines: u32,
    left_out: u64,
}

/// So many lines of one peer, and of all, in each [`WHILE`].
const OF_ONE: u32 = 10;
const OF_ALL: u32 = 200;

const WHILE: Duration = Duration::from_secs(10);

/// Most peers that are told apart.
const PEERS: usize = 1024;

impl PeerLog {
    /// Whether a line about this peer may be written; if so, how many were left out since the last.
    pub(crate) fn lets_through(&self, peer: IpAddr, now: Instant) -> Option<u64> {
        let mut log = self.0.lock();
        if log.since.is_none_or(|since| now.duration_since(since) >= WHILE) {
            (log.since, log.lines) = (Some(now), 0);
            // Who had lines left out stays, to be told of with the next.
            log.by_peer.retain(|_, count| {
                count.lines = 0;
                count.left_out > 0
            });
        }
        let all = log.lines;
        let peer = network(peer);
        if log.by_peer.len() >= PEERS && !log.by_peer.contains_key(&peer) {
            return None;
        }
        let count = log.by_peer.entry(peer).or_default();
        if count.lines >= OF_ONE || all >= OF_ALL {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.lines = count.lines.saturating_add(1);
        let left_out = std::mem::take(&mut count.left_out);
        log.lines = all.saturating_add(1);
        Some(left_out)
    }
}

/// One host has a whole network of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
