//! Who gets a slot, who is spoken of, and what is cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::slots::Seating;
use super::*;

fn peer(number: u16) -> SocketAddr {
    ([192, 0, 2, 1], number).into()
}

fn seat(slots: &Arc<ConnectionSlots>, number: u16, now: Instant) -> Seating {
    slots.take(peer(number), now)
}

#[tokio::test]
async fn the_longest_idle_connection_gives_way_and_strangers_go_first() {
    let (slots, start) = (ConnectionSlots::new(3), Instant::now());
    let at = |second| start + Duration::from_secs(second);
    let (known, mut known_evicted) = seat(&slots, 1, at(0)).seat.unwrap();
    known.work();
    known.rest(at(1));
    let (_stranger, stranger_evicted) = seat(&slots, 2, at(2)).seat.unwrap();
    let (busy, mut busy_evicted) = seat(&slots, 3, at(0)).seat.unwrap();
    busy.work();
    let newcomer = seat(&slots, 4, at(3));
    assert_eq!(newcomer.dropped, Some(peer(2)), "who proved nothing goes first, though not idle longest");
    stranger_evicted.await.unwrap();
    newcomer.seat.as_ref().unwrap().0.work();
    assert_eq!(seat(&slots, 5, at(4)).dropped, Some(peer(1)));
    known_evicted.try_recv().unwrap();
    let refused = seat(&slots, 6, at(5));
    assert_eq!(refused.dropped, None, "the slot of the fifth is free again");
    drop(refused);
    let sixth = seat(&slots, 6, at(5));
    sixth.seat.as_ref().unwrap().0.work();
    assert!(seat(&slots, 7, at(6)).seat.is_none(), "all are at work");
    busy_evicted.try_recv().unwrap_err();
    drop(busy);
    assert!(seat(&slots, 7, at(6)).seat.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_noisy_peer_does_not_hide_another() {
    let log = PeerLog::default();
    let lines = |number: u16| {
        (0..100).filter(|_| log.lets_through(peer(number).ip(), Instant::now()).is_some()).count()
    };
    assert_eq!(lines(1), 10);
    let other = "198.51.100.1".parse().unwrap();
    assert_eq!(log.lets_through(other, Instant::now()), Some(0));
    let network = |last: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into();
    let of_one_network = (0..100).filter(|last| log.lets_through(network(*last), Instant::now()).is_some());
    assert_eq!(of_one_network.count(), 10, "a network of IPv6 is one peer");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(log.lets_through(peer(1).ip(), Instant::now()), Some(90), "it is said how many were left out");
}

fn head(small: usize, large: usize) -> HeadLimit {
    HeadLimit { small, large: Arc::new(Semaphore::new(large)) }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_move_fails_and_one_that_moves_does_not() {
    let (near, mut far) = duplex(16);
    let state = Arc::<ConnectionState>::default();
    let mut stream = GuardedStream::new(near, Arc::clone(&state), head(16, 0), Duration::from_secs(10));
    let slow = async {
        let mut read = 0;
        while read < 64 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            read += far.read(&mut [0; 8]).await.unwrap();
        }
        far
    };
    let (written, _far) = tokio::join!(stream.write_all(&[0; 80]), slow);
    written.unwrap();
    assert!(!state.has_stalled());
    let error = stream.write_all(&[0; 80]).await.unwrap_err();
    assert!(error.kind() == std::io::ErrorKind::TimedOut && state.has_stalled(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn few_strangers_at_once_may_have_a_large_head() {
    let limit = head(4, 1);
    let mut open = Vec::new();
    let mut connect = |state: &Arc<ConnectionState>| {
        let (near, far) = duplex(64);
        open.push(far);
        GuardedStream::new(near, Arc::clone(state), limit.clone(), Duration::from_secs(10))
    };
    let states: Vec<Arc<ConnectionState>> = (0..2).map(|_| Arc::default()).collect();
    let (mut first, mut second) = (connect(&states[0]), connect(&states[1]));
    for far in &mut open {
        far.write_all(b"a large head").await.unwrap();
    }
    let mut read = [0; 12];
    first.read_exact(&mut read).await.unwrap();
    second.read_exact(&mut read[..4]).await.unwrap();
    let soon = Duration::from_secs(1);
    tokio::time::timeout(soon, second.read_exact(&mut read[4..])).await.unwrap_err();
    // The first one's is over.
    states[0].begin_request();
    open[0].write_all(b"body").await.unwrap();
    first.read_exact(&mut read[..4]).await.unwrap();
    tokio::time::timeout(soon, second.read_exact(&mut read[4..])).await.unwrap().unwrap();
}
