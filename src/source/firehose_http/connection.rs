//! One connection: its TLS, its requests, its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::context::HttpContext;
use super::handler::handle;
use crate::source::Stop;

/// Room for the headers: the common attributes alone may be 64 KB.
const MAX_HEADERS: usize = 160 << 10;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest time without a request, or with half a head, on a connection.
const IDLE: Duration = Duration::from_mins(1);

/// What is left of a connection once its last request was answered: time to write the answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) async fn connection(
    context: Arc<HttpContext>,
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    mut stop: Stop,
) {
    // Small answers must not wait for more to say.
    stream.set_nodelay(true).ok();
    let Some(acceptor) = acceptor else { return talk(context, stream, stop).await };
    let shaken = tokio::select! {
        () = stop.requested() => return,
        shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => talk(context, stream, stop).await,
        Ok(Err(_)) | Err(_) => context.intake.metrics.error("tls"),
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(context: Arc<HttpContext>, stream: S, mut stop: Stop) {
    let (busy, mut quiet) = watch::channel(false);
    let service = service_fn(|request| {
        let (context, busy) = (&context, &busy);
        async move {
            busy.send_replace(true);
            let answer = handle(context, request).await;
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
