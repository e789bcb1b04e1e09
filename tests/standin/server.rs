//! Connections: plain or TLS, HTTP/1.1 with keep-alive, and the handle that a test holds.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::dynamodb::{self, DynamoDb};
use super::errors::AwsError;
use super::faults::Faults;
use super::firehose::{self, Answer};
use super::kinesis::{self, Kinesis};
use super::logs::{self, Logs};
use super::oracle::{Kept, Report};
use super::reply::{Cut, Reply};
use super::settings::{Key, Role, Settings, Stream};
use super::state::State;
use super::tls::Identity;
use super::{control, describe, fan_out, objects, queue, sts};

/// A running stand-in; it stops when it is dropped.
pub(crate) struct Standin {
    state: Arc<State>,
    address: SocketAddr,
    tls: bool,
    /// Dropped without waiting for its tasks.
    runtime: Option<Runtime>,
}

impl Standin {
    /// Starts on threads of its own.
    pub(crate) fn start(settings: &Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("standin")
            .enable_all()
            .build()
            .unwrap();
        let identity = settings.tls.then(|| Identity::make(settings.http));
        let ca = identity.as_ref().map(|identity| identity.ca.clone()).unwrap_or_default();
        let state = Arc::new(State::new(settings, ca));
        let listener = runtime.block_on(TcpListener::bind(settings.listen)).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = identity.map(|identity| TlsAcceptor::from(identity.server));
        runtime.spawn(accept(Arc::clone(&state), listener, acceptor));
        Self { state, address, tls: settings.tls, runtime: Some(runtime) }
    }

    /// Where it listens, as a client's endpoint.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The authority to trust, as PEM; empty without TLS.
    pub(crate) fn ca(&self) -> &str {
        &self.state.ca
    }

    /// Changes the faults of every stream that has none of its own.
    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.state.change_faults(None, change);
    }

    /// Changes one stream's faults.
    pub(crate) fn stream_faults(&self, stream: &str, change: impl FnOnce(&mut Faults)) {
        self.state.change_faults(Some(stream), change);
    }

    /// Adds a role, or replaces the one of the same ARN.
    pub(crate) fn role(&self, role: Role) {
        self.state.set_role(role);
    }

    pub(crate) fn key(&self, key: &Key) {
        self.state.add_key(key);
    }

    pub(crate) fn stream(&self, stream: &Stream) {
        self.state.add_stream(stream);
    }

    /// The log groups that may be pulled; not to be held across a wait.
    pub(crate) fn logs(&self) -> std::sync::MutexGuard<'_, Logs> {
        self.state.logs()
    }

    /// The stream that may be read; not to be held across a wait.
    pub(crate) fn kinesis(&self) -> std::sync::MutexGuard<'_, Kinesis> {
        self.state.kinesis()
    }

    /// The tables; not to be held across a wait.
    pub(crate) fn dynamodb(&self) -> std::sync::MutexGuard<'_, DynamoDb> {
        self.state.dynamodb()
    }

    /// The run is to hold so many lines, from 0 on.
    pub(crate) fn expect(&self, run: u32, lines: u64) {
        self.state.oracle().expect(run, lines);
    }

    pub(crate) fn report(&self) -> Report {
        self.state.oracle().report()
    }

    /// The missing numbers of a run, at most so many of them.
    pub(crate) fn gaps(&self, run: u32, most: usize) -> Vec<u64> {
        self.state.oracle().gaps(run, most)
    }

    /// Every record accepted so far, if they are kept.
    pub(crate) fn records(&self) -> Vec<Kept> {
        self.state.oracle().kept()
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(state: Arc<State>, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).ok();
        state.oracle().plain.connections += 1;
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) if starts_tls(&socket).await => {
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    if socket.get_ref().1.alpn_protocol() == Some(b"h2") {
                        serve_http2(state, socket).await;
                    } else {
                        serve(state, socket).await;
                    }
                }
                // The control endpoint is reached without TLS too; standpipe is told an `https` address.
                Some(_) | None => serve(state, socket).await,
            }
        });
    }
}

/// Whether a client begins with a TLS handshake.
async fn starts_tls(socket: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    !matches!(socket.peek(&mut first).await, Ok(1) if first != [HANDSHAKE])
}

async fn serve(state: Arc<State>, socket: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    // An error is a client that went away, or a cut asked for.
    connection.await.ok();
}

/// The same over HTTP/2, where a host is no header.
async fn serve_http2(state: Arc<State>, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(host) = request.uri().authority().map(|host| host.as_str().parse().unwrap()) {
            request.headers_mut().insert("host", host);
        }
        answer(Arc::clone(&state), request)
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(socket), service).await.ok();
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Reply>, Cut> {
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(Unread::Gone) => return Err(Cut),
        Err(Unread::TooLarge) => {
            let error = AwsError::new(413, "RequestEntityTooLargeException", "The request is too large.");
            state.oracle().violation("a body of more than 16 MiB".to_owned());
            return Ok(Reply::of(error.json()));
        }
    };
    if fan_out::is_meant(&parts) {
        return Ok(dated(&state, fan_out::answer(&state, &parts, &body)));
    }
    let reply = if parts.uri.path().starts_with(control::PREFIX) {
        control::answer(&state, parts.uri.path(), &body)
    } else if describe::is_meant(&parts) {
        describe::answer(&state, &parts, &body)
    } else if logs::is_meant(&parts) {
        logs::answer(&state, &parts, &body)
    } else if kinesis::is_meant(&parts) {
        kinesis::answer(&state, &parts, &body)
    } else if dynamodb::is_meant(&parts) {
        dynamodb::answer(&state, &parts, &body)
    } else if queue::is_meant(&parts) {
        queue::answer(&state, &parts, &body).await
    } else if objects::is_meant(&parts) {
        objects::answer(&state, &parts)
    } else if is_form(&parts) {
        sts::answer(&state, &parts, &body)
    } else {
        match firehose::answer(&state, &parts, body).await {
            Answer::Reply(reply) => reply,
            Answer::Cut => return Err(Cut),
        }
    };
    Ok(Reply::of(dated(&state, reply)))
}

/// Says the time by the service's clock, from which senders learn how far theirs is off.
fn dated<B>(state: &State, mut reply: Response<B>) -> Response<B> {
    let now = aws_smithy_types::DateTime::from_secs(state.clock());
    let text = now.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
    reply.headers_mut().insert("date", text.parse().unwrap());
    reply
}

fn is_form(parts: &Parts) -> bool {
    parts
        .headers
        .get("content-type")
        .is_some_and(|is| is.as_bytes().starts_with(b"application/x-www-form-urlencoded"))
}

/// Why a body could not be read.
enum Unread {
    TooLarge,
    /// The client went away in the middle.
    Gone,
}

async fn read(body: Incoming) -> Result<Bytes, Unread> {
    const MAX_BODY: usize = 16 * 1024 * 1024;
    let size = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(MAX_BODY);
    let mut body = Limited::new(body, MAX_BODY);
    let mut bytes = Vec::with_capacity(size);
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| if error.is::<LengthLimitError>() { Unread::TooLarge } else { Unread::Gone })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Bytes::from(bytes))
}
