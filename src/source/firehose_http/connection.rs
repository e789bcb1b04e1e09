//! One connection: its TLS, its requests, its end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::context::HttpContext;
use super::handler::handle;
use super::limits::{MAX_HEADERS, SMALL_HEAD};
use super::session::HttpSession;
use crate::connections::{ConnectionState, GuardedStream, HeadLimit, Newcomer};
use crate::source::Stop;

/// What is left of a connection once its last request was answered: time to write the answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves a connection until either side, or a newcomer, ends it.
pub(super) async fn connection(
    context: Arc<HttpContext>,
    acceptor: Option<TlsAcceptor>,
    newcomer: Newcomer,
    stop: Stop,
) {
    let Newcomer { stream, peer, slot, evicted } = newcomer;
    // Small answers must not wait for more to say.
    stream.set_nodelay(true).ok();
    let first_request = Instant::now() + context.limits.first_request;
    let session = HttpSession { context, peer, slot, state: Arc::<ConnectionState>::default() };
    tokio::select! {
        _ = evicted => {}
        () = session.serve(acceptor, stream, stop, first_request) => {}
    }
}

impl HttpSession {
    async fn serve(
        &self,
        acceptor: Option<TlsAcceptor>,
        stream: TcpStream,
        mut stop: Stop,
        first_request: Instant,
    ) {
        let Some(acceptor) = acceptor else { return self.talk(stream, stop, first_request).await };
        let shaken = tokio::select! {
            () = stop.requested() => return,
            shaken = timeout_at(first_request, acceptor.accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.talk(stream, stop, first_request).await,
            Ok(Err(error)) => self.cut("tls", &tls_words(&error)),
            Err(_) => self.cut("tls", "the handshake takes too long"),
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        mut stop: Stop,
        first_request: Instant,
    ) {
        let Self { context, slot, state, .. } = self;
        let head = HeadLimit { small: SMALL_HEAD, large: Arc::clone(&context.large_heads) };
        let stream = GuardedStream::new(stream, Arc::clone(state), head, context.limits.write_stall);
        let (busy, mut quiet) = watch::channel(false);
        let service = service_fn(|request| {
            let busy = &busy;
            async move {
                busy.send_replace(true);
                state.begin_request();
                let answer = handle(self, request).await;
                slot.rest(Instant::now());
                state.end_request();
                busy.send_replace(false);
                Ok::<_, Infallible>(answer)
            }
        });
        let talk = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(context.idle_timeout)
            .max_buf_size(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(talk);
        // A sender that goes away or breaks the protocol ends its connection; what it was owed it will ask for again.
        tokio::select! {
            _ = talk.as_mut() => {
                if state.has_stalled() {
                    self.cut("stalled", "its answer is not read");
                }
                return;
            }
            () = stop.requested() => {}
            () = self.brings_nothing(first_request) => {
                if !state.had_request() {
                    self.cut("no_request", "no request came in time");
                }
            }
        }
        talk.as_mut().graceful_shutdown();
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

    /// Resolves when the connection has brought no admitted request in time.
    async fn brings_nothing(&self, first_request: Instant) {
        sleep_until(first_request).await;
        if self.state.is_known() {
            std::future::pending::<()>().await;
        }
    }
}

fn tls_words(error: &io::Error) -> String {
    let is_gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind());
    if is_gone { "the handshake was broken off".to_owned() } else { error.to_string() }
}
