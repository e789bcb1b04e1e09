//! The body of an answer, which may break off in the middle.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Ends the connection without an answer, or within one: on purpose, or since the client went away.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
pub(crate) struct Cut;

/// So many bytes are promised, and the connection is cut after those that the answer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised(pub(crate) u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct Reply {
    bytes: Bytes,
    /// How many were promised that are not sent.
    left: u64,
    /// What was sent is on its way.
    is_flushed: bool,
    /// What comes one after another, instead of bytes that are there.
    events: Option<mpsc::Receiver<Result<Bytes, Cut>>>,
}

impl Reply {
    /// The answer with its bytes as a body.
    pub(crate) fn of(answer: Response<Bytes>) -> Response<Self> {
        let promised = answer.extensions().get::<Promised>().copied();
        answer.map(|bytes| {
            let left = promised.map_or(bytes.len() as u64, |promised| promised.0);
            Self { bytes, left, is_flushed: false, events: None }
        })
    }

    /// An answer of what comes one after another, and ends with its sender.
    pub(crate) fn events(events: mpsc::Receiver<Result<Bytes, Cut>>) -> Self {
        Self { bytes: Bytes::new(), left: 0, is_flushed: false, events: Some(events) }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(events) = &mut self.events {
            match ready!(events.poll_recv(context)) {
                Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                // Once what was sent is on its way.
                Some(Err(Cut)) => (self.events, self.left) = (None, 1),
                None => return Poll::Ready(None),
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.left -= bytes.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.is_flushed {
            return Poll::Ready(Some(Err(Cut)));
        }
        self.is_flushed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.events.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.events.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.left) }
    }
}
