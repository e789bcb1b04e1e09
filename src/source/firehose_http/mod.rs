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
mod recent;
mod request_reader;
mod request_state;
mod tls;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;

pub use self::body::{BodyError, BodyScanner};
pub use self::error::ServeError;

use self::admission::Admission;
use self::connection::connection;
use self::context::{HttpContext, READERS};
use self::recent::RecentRequests;
use crate::config::HttpSource;
use crate::pipeline::Intake;
use crate::source::Stop;

/// How often the lag is reported.
const REPORT: Duration = Duration::from_secs(1);

/// After a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What `source_errors_total` counts of an endpoint, by reason.
const ERRORS: [&str; 13] = [
    "aborted",
    "accept",
    "attributes",
    "bad_request",
    "base64",
    "closed",
    "forbidden",
    "full",
    "given_up",
    "mismatch",
    "timeout",
    "tls",
    "unauthorized",
];

/// An endpoint that is ready to be served: whatever is wrong with its configuration is known by then.
pub struct HttpEndpoint {
    config: HttpSource,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    admission: Admission,
}

impl HttpEndpoint {
    /// Reads the certificate and binds the address, unless it is bound already: who connects while nobody accepts waits.
    ///
    /// # Errors
    /// When the configuration cannot be served.
    pub async fn open(config: HttpSource, bound: Option<Arc<TcpListener>>) -> Result<Self, ServeError> {
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let admission = Admission::new(&config)?;
        let listen = config.listen;
        let failed = |source| ServeError::Listen { listen, source };
        let listener = match bound {
            Some(listener) => listener,
            None => Arc::new(TcpListener::bind(listen).await.map_err(failed)?),
        };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { config, listener, address, acceptor, admission })
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
pub async fn serve(endpoint: HttpEndpoint, name: Arc<str>, host: Arc<str>, intake: Intake, mut stop: Stop) {
    let HttpEndpoint { config, listener, acceptor, admission, .. } = endpoint;
    let context = Arc::new(HttpContext {
        name,
        host,
        intake,
        admission,
        recent: RecentRequests::default(),
        readers: Semaphore::new(READERS),
        timeout: config.timeout,
        max_inflated: config.decoding.max_inflated,
    });
    context.intake.metrics.announce_errors(ERRORS);
    let mut connections = JoinSet::new();
    let most = config.max_connections.max(1);
    let mut clock = interval(REPORT);
    loop {
        let stream = tokio::select! {
            now = clock.tick() => {
                context.intake.metrics.lag_seconds.set(context.recent.lag(now).as_secs_f64());
                continue;
            }
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            stream = accept(&listener, &context), if connections.len() < most => stream,
        };
        connections.spawn(connection(Arc::clone(&context), acceptor.clone(), stream, stop.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, context: &HttpContext) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                context.intake.metrics.error("accept");
                tracing::warn!(source = &*context.name, %error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
