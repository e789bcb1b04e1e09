//! The Firehose HTTP endpoint: requests in, chunks out, and 200 only when every record is done.
//!
//! In:      HTTP requests as Firehose's HTTP endpoint destination sends them, over TLS or plain.
//! Out:     one chunk a record, in one lane a request.
//! Full:    a body is read only as fast as memory is admitted; at the deadline the answer is 503, and Firehose sends again.
//! Failure: a request that is not one is answered 4xx; a record that cannot be decoded goes on as a chunk, to become a dead
//!          letter, since a failed request would be sent again for hours.
//! Stop:    accepts no more, and answers the requests in flight as their chunks end.

mod answer;
mod body;
mod delivery;
mod exchange;
mod gunzip;
mod ledger;
mod progress;
mod request;
mod source;
mod tls;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;

pub use self::body::{BodyError, BodyScanner};
pub use self::source::FirehoseHttp;

use self::ledger::Ledger;
use self::request::Admission;
use crate::config::HttpSource;
use crate::pipeline::Intake;
use crate::source::Stop;

/// Why the endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on `{listen}`: choose a free address of this host in `listen`")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate or key cannot be read.
    #[error("cannot read `{}` as PEM: `tls` needs a certificate chain in `cert` and its private key in `key`", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate and key do not make a server.
    #[error("cannot serve TLS with the certificate and key in `tls`")]
    Tls(#[from] rustls::Error),
    /// An ARN's pattern.
    #[error("cannot read a pattern in `source_arns`")]
    SourceArns(#[from] globset::Error),
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    host: Arc<str>,
    intake: Intake,
    admission: Admission,
    ledger: Ledger,
    /// One permit a body being read: see [`READERS`].
    readers: Semaphore,
    timeout: Duration,
    max_inflated: usize,
}

/// Bodies read at once. Each holds at most one record, about 2.4 MB, before that record's memory is admitted.
const READERS: usize = 8;

/// Room for the headers: the common attributes alone may be 64 KB.
const MAX_HEADERS: usize = 160 << 10;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest time without a request, or with half a head, on a connection.
const IDLE: Duration = Duration::from_mins(1);

/// What is left of a connection once its last request was answered: time to write the answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often the lag is reported.
const REPORT: Duration = Duration::from_secs(1);

/// After a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// An endpoint that is ready to be served: whatever is wrong with its configuration is known by then.
pub struct Endpoint {
    config: HttpSource,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    admission: Admission,
}

impl Endpoint {
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
pub async fn serve(endpoint: Endpoint, name: Arc<str>, host: Arc<str>, intake: Intake, mut stop: Stop) {
    let Endpoint { config, listener, acceptor, admission, .. } = endpoint;
    let shared = Arc::new(Shared {
        name,
        host,
        intake,
        admission,
        ledger: Ledger::default(),
        readers: Semaphore::new(READERS),
        timeout: config.timeout,
        max_inflated: config.decoding.max_inflated,
    });
    let mut connections = JoinSet::new();
    let most = config.max_connections.max(1);
    let mut clock = interval(REPORT);
    loop {
        let stream = tokio::select! {
            now = clock.tick() => {
                shared.intake.metrics.lag_seconds.set(shared.ledger.lag(now).as_secs_f64());
                continue;
            }
            () = stop.requested() => break,
            Some(_) = connections.join_next() => continue,
            stream = accept(&listener, &shared), if connections.len() < most => stream,
        };
        connections.spawn(connection(Arc::clone(&shared), acceptor.clone(), stream, stop.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, shared: &Shared) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                shared.intake.metrics.error("accept");
                tracing::warn!(source = &*shared.name, %error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, acceptor: Option<TlsAcceptor>, stream: TcpStream, mut stop: Stop) {
    // Small answers must not wait for more to say.
    stream.set_nodelay(true).ok();
    let Some(acceptor) = acceptor else { return talk(shared, stream, stop).await };
    let shaken = tokio::select! {
        () = stop.requested() => return,
        shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => talk(shared, stream, stop).await,
        Ok(Err(_)) | Err(_) => shared.intake.metrics.error("tls"),
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, stream: S, mut stop: Stop) {
    let (busy, mut quiet) = watch::channel(false);
    let service = service_fn(|request| {
        let (shared, busy) = (&shared, &busy);
        async move {
            busy.send_replace(true);
            let answer = exchange::exchange(shared, request).await;
            busy.send_replace(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let talk = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(talk);
    // A sender that goes away or breaks the protocol ends its connection; what it was owed it will ask for again.
    tokio::select! {
        _ = talk.as_mut() => return,
        () = stop.requested() => talk.as_mut().graceful_shutdown(),
    }
    // A connection on which no request has begun would be waited for.
    let answered = async {
        quiet.wait_for(|busy| !busy).await.ok();
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        _ = talk => {}
        () = answered => {}
    }
}
