//! The endpoints of the daemon itself: /metrics, /healthz, /readyz, and a status page at /.

mod page;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

pub use self::page::Summary;
use crate::health::Status;
use crate::metrics::Metrics;

/// The admin endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken, or not one of this host's.
    #[error("cannot listen on `{address}`: set another `server.listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What the endpoints show.
#[derive(Debug)]
pub struct Admin {
    metrics: Metrics,
    status: Arc<Status>,
    /// What runs at present. The lock covers a change, or one page.
    summary: RwLock<Summary>,
}

/// Most connections at once; a scraper needs one.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds `address`.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    let failed = |source| AdminError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, "admin endpoint listening");
    Ok(listener)
}

/// Serves the endpoints, for ever.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let admin = Arc::clone(&admin);
                connections.spawn(async move {
                    converse(stream, admin).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection to the admin endpoint");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request| {
        let answer = admin.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "admin connection ended");
    }
}

impl Admin {
    /// Nothing configured yet.
    #[must_use]
    pub fn new(metrics: Metrics, status: Arc<Status>) -> Arc<Self> {
        Arc::new(Self { metrics, status, summary: RwLock::default() })
    }

    /// This is what runs from now on.
    pub fn show(&self, summary: Summary) {
        *self.summary.write().unwrap_or_else(PoisonError::into_inner) = summary;
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned());
        }
        match request.uri().path() {
            "/metrics" => self.scrape(),
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.ready(),
            "/" => typed(StatusCode::OK, "text/html; charset=utf-8", page::html(self)),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz, /readyz or /\n".to_owned()),
        }
    }

    fn scrape(&self) -> Response<Full<Bytes>> {
        match self.metrics.render() {
            Ok(body) => typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// Ready when nothing is held, failing or full.
    fn ready(&self) -> Response<Full<Bytes>> {
        let issues = self.status.issues();
        if issues.is_empty() {
            return text(StatusCode::OK, "ready\n".to_owned());
        }
        text(StatusCode::SERVICE_UNAVAILABLE, issues.join("\n") + "\n")
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
