//! A connection's bytes: read in small pieces, heads only as large as they may be, and writes that have to move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes read at once. What hyper keeps of a connection grows with what it gets at once.
const READ: u64 = 32 << 10;

/// How large the head of a request may be on a connection that has proved nothing yet: small, or a few at once larger.
#[derive(Clone, Debug)]
pub(crate) struct HeadLimit {
    /// Bytes that any head may have.
    pub(crate) small: usize,
    /// One permit a head that is larger.
    pub(crate) large: Arc<Semaphore>,
}

/// What the stream and the requests on it tell one another.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    /// Whether a request was admitted on the connection.
    is_known: AtomicBool,
    /// Whether a head was read and its request is not answered yet.
    in_request: AtomicBool,
    had_request: AtomicBool,
    head_bytes: AtomicUsize,
    stalled: AtomicBool,
}

impl ConnectionState {
    /// A head was read to its end.
    pub(crate) fn begin_request(&self) {
        self.in_request.store(true, Ordering::Relaxed);
        self.had_request.store(true, Ordering::Relaxed);
    }

    /// Its request is answered.
    pub(crate) fn end_request(&self) {
        self.head_bytes.store(0, Ordering::Relaxed);
        self.in_request.store(false, Ordering::Relaxed);
    }

    /// A request was admitted.
    pub(crate) fn admit(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Whether there was any request.
    pub(crate) fn had_request(&self) -> bool {
        self.had_request.load(Ordering::Relaxed)
    }

    /// Whether it was cut since its peer does not read.
    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// How many bytes of a head there are; none, where they are not counted.
    fn head_bytes(&self) -> Option<usize> {
        let counts = !self.is_known() && !self.in_request.load(Ordering::Relaxed);
        counts.then(|| self.head_bytes.load(Ordering::Relaxed))
    }
}

type LargeHead = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A stream of bytes to and from a peer.
pub(crate) struct GuardedStream<S> {
    inner: Take<S>,
    state: Arc<ConnectionState>,
    head: HeadLimit,
    waiting: Option<LargeHead>,
    permit: Option<OwnedSemaphorePermit>,
    /// A write that makes no progress for so long fails.
    stall: Duration,
    /// Set while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    pub(crate) fn new(inner: S, state: Arc<ConnectionState>, head: HeadLimit, stall: Duration) -> Self {
        Self { inner: inner.take(0), state, head, waiting: None, permit: None, stall, timer: None }
    }

    /// How much may be read now.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        let Some(head_bytes) = self.state.head_bytes() else {
            (self.permit, self.waiting) = (None, None);
            return Poll::Ready(READ);
        };
        if self.permit.is_some() {
            return Poll::Ready(READ);
        }
        let small = self.head.small.saturating_sub(head_bytes) as u64;
        if small > 0 {
            return Poll::Ready(small.min(READ));
        }
        let large = Arc::clone(&self.head.large);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(large.acquire_owned()));
        // An error would say that the semaphore is closed, which it never is.
        self.permit = ready!(waiting.as_mut().poll(cx)).ok();
        self.waiting = None;
        Poll::Ready(READ)
    }

    /// Passes on what a write said, or fails once it has waited too long.
    fn moved<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall)));
        ready!(timer.as_mut().poll(cx));
        self.state.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let allowance = ready!(self.poll_allowance(cx));
        self.inner.set_limit(allowance);
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if self.state.head_bytes().is_some() {
            let read = buf.filled().len().saturating_sub(before);
            self.state.head_bytes.fetch_add(read, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.inner.get_mut()).poll_write(cx, buf);
        self.moved(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.inner.get_mut()).poll_write_vectored(cx, bufs);
        self.moved(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(self.inner.get_mut()).poll_flush(cx);
        self.moved(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(self.inner.get_mut()).poll_shutdown(cx);
        self.moved(cx, shut)
    }
}
