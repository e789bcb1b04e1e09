//! The body of an answer, which may break off in the middle.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};

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
}

impl Reply {
    /// The answer with its bytes as a body.
    pub(crate) fn of(answer: Response<Bytes>) -> Response<Self> {
        let promised = answer.extensions().get::<Promised>().copied();
        answer.map(|bytes| {
            let left = promised.map_or(bytes.len() as u64, |promised| promised.0);
            Self { bytes, left, is_flushed: false }
        })
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
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
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
