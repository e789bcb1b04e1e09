//! Peers that are slow, silent, never read, or talk nonsense, to the HTTP endpoint and to the admin address.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::daemon::Daemon;
use crate::story::pause;

/// So many at once.
pub(crate) const PEERS: u64 = 24;

/// How one behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Silent,
    SlowHead,
    SlowBody,
    NeverReads,
    Nonsense,
    EndsEarly,
}

const MANNERS: [Manner; 6] = [
    Manner::Silent,
    Manner::SlowHead,
    Manner::SlowBody,
    Manner::NeverReads,
    Manner::Nonsense,
    Manner::EndsEarly,
];

/// Connects again and again until the run is over. What is answered, or not, is no matter.
pub(crate) fn annoy(arena: &Arena, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    while !arena.is_over() {
        let admin = Arena::lock(&arena.daemon).as_ref().and_then(Daemon::admin);
        let address = if rng.u8(..4) == 0 { admin } else { Some(arena.endpoint.clone()) };
        let until = Instant::now() + Duration::from_millis(rng.u64(500..15_000));
        let manner = MANNERS[rng.usize(..MANNERS.len())];
        if let Some(Ok(stream)) = address.map(TcpStream::connect) {
            // It is cut off, sooner or later.
            behave(arena, stream, manner, until).ok();
        }
        pause(Duration::from_millis(rng.u64(10..300)));
    }
}

fn behave(arena: &Arena, mut stream: TcpStream, manner: Manner, until: Instant) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let head = "POST / HTTP/1.1\r\nhost: standpipe\r\ncontent-type: application/json\r\n";
    let body = "x-amz-firehose-request-id: slow\r\ncontent-length: 900000\r\n\r\n{\"requestId\":\"slow\",\"records\":[";
    match manner {
        Manner::SlowBody => stream.write_all(format!("{head}{body}").as_bytes())?,
        Manner::Nonsense => stream.write_all(&(0..=255).cycle().take(4_000).collect::<Vec<u8>>())?,
        Manner::EndsEarly => {
            stream.write_all(head.as_bytes())?;
            return stream.shutdown(std::net::Shutdown::Write);
        }
        Manner::Silent | Manner::SlowHead | Manner::NeverReads => (),
    }
    while Instant::now() < until && !arena.is_over() {
        match manner {
            Manner::Silent | Manner::EndsEarly => (),
            Manner::SlowHead => stream.write_all(b"G")?,
            Manner::SlowBody => stream.write_all(b" ")?,
            // As many answers as fit on the way, and more.
            Manner::NeverReads => {
                stream.write_all(&b"GET /metrics HTTP/1.1\r\nhost: standpipe\r\n\r\n".repeat(50))?;
            }
            // Until it is cut off.
            Manner::Nonsense => drop(stream.read(&mut [0; 1_000])),
        }
        pause(Duration::from_millis(50));
    }
    Ok(())
}
