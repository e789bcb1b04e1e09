//! The Firehose HTTP endpoint: requests in, chunks out, and 200 only when every record is done.
//!
//! In:      HTTP requests as Firehose's HTTP endpoint destination sends them, over TLS or plain.
//! Out:     one chunk a record, in one lane a request.
//! Full:    a body is read only as fast as memory is admitted; at the deadline the answer is 503, and Firehose sends again.
//! Failure: a request that is not one is answered 4xx; a record that cannot be decoded goes on as a chunk, to become a dead
//!          letter, since a failed request would be sent again for hours.
//! Stop:    accepts no more, and answers the requests in flight as their chunks end.

mod admission;
mod answer;
mod body;
mod connection;
mod context;
mod error;
mod gunzip;
mod handler;
mod large_records;
mod limits;
mod pace;
mod recent;
mod remembered;
mod request_reader;
mod request_state;
mod session;
mod source;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

pub use self::body::{BodyError, BodyScanner};
pub use self::error::ServeError;
pub use self::source::FirehoseHttp;

use self::admission::Admission;
use self::connection::connection;
use self::context::HttpContext;
use self::large_records::LargeRecords;
use self::limits::{EndpointLimits, LARGE_HEADS, LARGE_RECORDS};
use self::recent::RecentRequests;
use crate::config::HttpSource;
use crate::connections::{PeerLog, acceptor};
use crate::health::Status;
use crate::pipeline::Intake;
use crate::source::Stop;
use crate::source::peers::serve_peers;

/// What `source_errors_total` counts of an endpoint, by reason.
const ERRORS: [&str; 17] = [
    "aborted",
    "accept",
    "attributes",
    "bad_request",
    "base64",
    "closed",
    "connections_full",
    "forbidden",
    "full",
    "given_up",
    "mismatch",
    "no_request",
    "stalled",
    "timeout",
    "tls",
    "too_slow",
    "unauthorized",
];

/// An endpoint that is ready to be served: whatever is wrong with its configuration is known by then.
pub struct HttpEndpoint {
    config: HttpSource,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    admission: Admission,
    limits: EndpointLimits,
}

impl HttpEndpoint {
    /// Reads the certificate and binds the address, unless it is bound already: who connects while nobody accepts waits.
    ///
    /// # Errors
    /// When the configuration cannot be served.
    pub async fn open(config: HttpSource, bound: Option<Arc<TcpListener>>) -> Result<Self, ServeError> {
        let tls = config.tls.as_ref();
        let acceptor = tls.map(|tls| acceptor(&tls.cert, &tls.key, Some(b"http/1.1"))).transpose()?;
        let admission = Admission::new(&config)?;
        let listen = config.listen;
        let failed = |source| ServeError::Listen { listen, source };
        let listener = match bound {
            Some(listener) => listener,
            None => Arc::new(TcpListener::bind(listen).await.map_err(failed)?),
        };
        let address = listener.local_addr().map_err(failed)?;
        let limits = EndpointLimits::default();
        Ok(Self { config, listener, address, acceptor, admission, limits })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its socket, for the endpoint that comes after it.
    #[must_use]
    pub fn listener(&self) -> Arc<TcpListener> {
        Arc::clone(&self.listener)
    }
}

/// Serves the endpoint until `stop`, and then until the requests in flight are answered. Nothing that a sender does ends it.
pub async fn serve(
    endpoint: HttpEndpoint,
    name: Arc<str>,
    host: Arc<str>,
    intake: Intake,
    status: Arc<Status>,
    stop: Stop,
) {
    let HttpEndpoint { config, listener, acceptor, admission, limits, .. } = endpoint;
    intake.metrics.announce_errors(ERRORS);
    let context = Arc::new(HttpContext {
        recent: RecentRequests::new(intake.standing()),
        name,
        host,
        intake,
        admission,
        large_records: LargeRecords::new(LARGE_RECORDS),
        large_heads: Arc::new(Semaphore::new(LARGE_HEADS)),
        timeout: config.timeout,
        idle_timeout: config.idle_timeout,
        max_inflated: config.decoding.max_inflated,
        limits,
        log: PeerLog::default(),
    });
    let talk = |newcomer, stop: Stop| connection(Arc::clone(&context), acceptor.clone(), newcomer, stop);
    serve_peers(&*context, listener, config.max_connections, status, stop, talk).await;
}
