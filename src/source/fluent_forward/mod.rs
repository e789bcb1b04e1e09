//! The Fluent Forward protocol: messages of Docker, `FireLens`, Fluent Bit and fluentd in, chunks out.
//!
//! In:      connections over TCP, TLS or a unix socket; of each, messages one after the other.
//! Out:     one chunk for the messages that were read together, in one lane a connection; the answer for a chunk of the protocol
//!          when all of it is settled.
//! Full:    a connection is read on when there is memory, and room in the destinations that it feeds; its sender waits.
//! Failure: bytes that are no message end their connection, and what came before them goes on; a message that cannot be decoded
//!          goes on as a chunk, to become a dead letter.
//! Stop:    accepts no more, takes what has arrived, and answers what is under way as it ends; the rest is sent again.

mod answers;
mod batch;
mod connection;
mod connection_end;
mod context;
mod ecs;
mod error;
mod frame;
mod frames;
mod handshake;
mod large;
mod ledger;
mod limits;
mod parts;
mod socket;
mod source;

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

pub(crate) use self::source::FluentForward;

use self::connection::connection;
use self::context::ForwardContext;
use self::error::ForwardServeError;
use self::handshake::ForwardAdmission;
use self::large::LargeMemory;
use self::ledger::ChunkLedger;
use self::parts::PartsMemory;
use self::socket::ForwardSocket;
use crate::config::{Decoding, ForwardSource, TooLong};
use crate::connections::{PeerLog, acceptor};
use crate::event::Origin;
use crate::health::Status;
use crate::pipeline::Intake;
use crate::source::Stop;
use crate::source::peers::serve_peers;

/// What `source_errors_total` counts of a source, by reason.
const ERRORS: [&str; 12] = [
    "aborted",
    "accept",
    "bad_message",
    "connections_full",
    "json",
    "no_ping",
    "signal",
    "stalled",
    "tls",
    "too_large",
    "too_slow",
    "unauthorized",
];

/// Messages that are larger than any connection may hold may take one of so many parts of the memory, but for one that is alone.
const LARGE_SHARE: u64 = 4;

/// Lines in parts may take one of so many parts of the memory.
const PARTS_SHARE: u64 = 16;

/// A line that may not be split is joined up to so many times the longest line: it is too long by then.
const HELD_BACK: usize = 4;

/// A source that is ready to be served: whatever is wrong with its configuration is known by then.
struct ForwardEndpoint {
    config: ForwardSource,
    socket: Arc<ForwardSocket>,
    acceptor: Option<TlsAcceptor>,
    origin: Origin,
}

impl ForwardEndpoint {
    /// Reads the certificate and binds the socket, unless it is bound already: who connects while nobody accepts waits.
    async fn open(
        config: ForwardSource,
        origin: Origin,
        bound: Option<Arc<ForwardSocket>>,
    ) -> Result<Self, ForwardServeError> {
        let tls = config.tls.as_ref();
        let acceptor = tls.map(|tls| acceptor(&tls.cert, &tls.key, None)).transpose()?;
        let socket = match bound {
            Some(socket) => socket,
            None => match ForwardSocket::bind(&config.listen).await {
                Ok(socket) => Arc::new(socket),
                Err(source) => return Err(ForwardServeError::Listen { listen: config.listen, source }),
            },
        };
        Ok(Self { config, socket, acceptor, origin })
    }
}

/// Serves the source until `stop`, and then until what is under way is answered. Nothing that a sender does ends it.
async fn serve(endpoint: ForwardEndpoint, intake: Intake, status: Arc<Status>, stop: Stop) {
    let ForwardEndpoint { config, socket, acceptor, origin } = endpoint;
    intake.metrics.announce_errors(ERRORS);
    let context = Arc::new(context(&config, origin, intake));
    let talk = |newcomer, stop: Stop| connection(Arc::clone(&context), acceptor.clone(), newcomer, stop);
    serve_peers(&*context, socket, config.max_connections, status, stop, talk).await;
}

fn context(config: &ForwardSource, origin: Origin, intake: Intake) -> ForwardContext {
    let admission = config.shared_key.as_ref().map(|shared_key| ForwardAdmission {
        shared_key: shared_key.clone(),
        users: config.users.clone(),
        hostname: config.self_hostname.as_deref().unwrap_or(&origin.host).to_owned(),
    });
    ForwardContext {
        name: Arc::clone(&origin.source),
        ledger: ChunkLedger::new(intake.standing()),
        admission,
        large: LargeMemory::new(usize::try_from(intake.memory() / LARGE_SHARE).unwrap_or(usize::MAX)),
        parts: PartsMemory::new(intake.standing(), intake.memory() / PARTS_SHARE),
        longest_line: longest_line(&config.decoding),
        log: PeerLog::default(),
        origin: Arc::new(origin),
        intake,
    }
}

fn longest_line(decoding: &Decoding) -> usize {
    match decoding.too_long {
        TooLong::Split => decoding.max_line,
        TooLong::Truncate | TooLong::DeadLetter => decoding.max_line.saturating_mul(HELD_BACK),
    }
}
