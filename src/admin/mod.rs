//! The endpoints of the daemon itself: /metrics, /healthz, /readyz, /status.json, and a status page at /.

mod page;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::connections::{
    BoundedListener, ConnectionSlots, ConnectionState, GuardedStream, HeadLimit, ListenerEvent, Newcomer,
    PEER_LOG, PeerLog,
};
use crate::health::Status;
use crate::metrics::Metrics;
use crate::overview::Overview;
use crate::sync::Lock;

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
pub struct Admin {
    metrics: Metrics,
    status: Arc<Status>,
    /// Looks at what runs at present. The lock covers a change, or a look.
    look: Lock<Option<LookAtDaemon>>,
}

/// Looks at the daemon.
pub type LookAtDaemon = Arc<dyn Fn() -> Overview + Send + Sync>;

/// Most connections at once; a scraper needs one.
const MAX_CONNECTIONS: usize = 64;

/// The same of peers on this host, beside those: a health check gets in, whoever else is there.
const MAX_LOCAL: usize = 16;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A request has no body, and a head of a few hundred bytes.
const MAX_HEAD: usize = 16 << 10;

/// A client that does not read for so long is cut.
const STALL: Duration = Duration::from_secs(10);

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
    let (slots, local) = (ConnectionSlots::new(MAX_CONNECTIONS), ConnectionSlots::new(MAX_LOCAL));
    let (status, who) = (Arc::clone(&admin.status), "admin endpoint".to_owned());
    let mut listener = BoundedListener::new(Arc::new(listener), slots, Some(local), status, who);
    let log = PeerLog::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            newcomer = listener.next(|event| admin.note(&log, &event)) => {
                connections.spawn(converse(newcomer, Arc::clone(&admin)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(newcomer: Newcomer, admin: Arc<Admin>) {
    let Newcomer { stream, peer, slot, evicted } = newcomer;
    let state = Arc::<ConnectionState>::default();
    // Nobody has a larger head.
    let head = HeadLimit { small: MAX_HEAD, large: Arc::new(Semaphore::new(0)) };
    let stream = GuardedStream::new(stream, Arc::clone(&state), head, STALL);
    let service = service_fn(|request| {
        state.begin_request();
        // Whoever asks is not the one that was idle longest.
        slot.rest(Instant::now());
        let answer = admin.answer(&request);
        state.end_request();
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = evicted => debug!(%peer, "admin connection ended for another"),
        ended = served => {
            if state.has_stalled() {
                admin.metrics.admin_error("stalled");
            }
            if let Err(error) = ended {
                debug!(%peer, %error, "admin connection ended");
            }
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Nothing configured yet.
    #[must_use]
    pub fn new(metrics: Metrics, status: Arc<Status>) -> Arc<Self> {
        Arc::new(Self { metrics, status, look: Lock::default() })
    }

    /// What runs from now on is looked at by this.
    pub fn show(&self, look: LookAtDaemon) {
        *self.look.lock() = Some(look);
    }

    /// How the daemon is now.
    fn overview(&self) -> Overview {
        let look = self.look.lock().clone();
        look.map(|look| look()).unwrap_or_default()
    }

    fn note(&self, log: &PeerLog, event: &ListenerEvent<'_>) {
        let (reason, peer) = match event {
            ListenerEvent::Failed(error) => {
                self.metrics.admin_error("accept");
                warn!(%error, "cannot accept a connection to the admin endpoint");
                return;
            }
            ListenerEvent::Dropped(peer) => ("idle for longest", peer),
            ListenerEvent::Refused(peer) => ("every other one is at work", peer),
        };
        self.metrics.admin_error("connections_full");
        if let Some(left_out) = log.lets_through(peer.ip(), Instant::now()) {
            warn!(
                target: PEER_LOG,
                %peer, reason, left_out, "a connection to the admin endpoint was ended: all slots are taken"
            );
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned());
        }
        match request.uri().path() {
            "/metrics" => self.scrape(),
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.ready(),
            "/status.json" => self.status_json(),
            "/" => html_page(page::html(&self.overview())),
            _ => {
                text(StatusCode::NOT_FOUND, "try /metrics, /healthz, /readyz, /status.json or /\n".to_owned())
            }
        }
    }

    fn scrape(&self) -> Response<Full<Bytes>> {
        match self.metrics.render() {
            Ok(body) => typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn status_json(&self) -> Response<Full<Bytes>> {
        match serde_json::to_string_pretty(&self.overview()) {
            Ok(body) => typed(StatusCode::OK, "application/json", body + "\n"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// What is wrong, one a line.
    fn issues(&self) -> Vec<String> {
        let mut issues = self.status.issues();
        issues.extend(self.metrics.troubles());
        issues
    }

    /// Ready when nothing is held, failing, full or lost.
    fn ready(&self) -> Response<Full<Bytes>> {
        let issues = self.issues();
        if issues.is_empty() {
            return text(StatusCode::OK, "ready\n".to_owned());
        }
        text(StatusCode::SERVICE_UNAVAILABLE, issues.join("\n") + "\n")
    }
}

/// A page that loads nothing, runs nothing, and stands in no other page.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn html_page(body: String) -> Response<Full<Bytes>> {
    let mut response = typed(StatusCode::OK, "text/html; charset=utf-8", body);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
