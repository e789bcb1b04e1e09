//! An event stream as it comes: a message is told of before it is in memory, and nothing is read that nobody waits for.

use std::fmt;
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::frames::{FrameFault, MessageBuffer};
use super::message::StreamMessage;
use crate::aws::probe::{CallError, NoAnswer, unanswered};

/// Messages of a service, one after another. While none is asked for, the service can send no more than the connection holds.
pub struct EventStream {
    body: SdkBody,
    /// So long, nothing may come.
    patience: Duration,
    /// So long, nothing has come while it was waited for.
    silence: Duration,
    buffer: MessageBuffer,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamNext {
    /// A message of so many bytes.
    Begun(usize),
    /// Nothing for about a second.
    Nothing,
    /// No more: the stream has ended.
    End,
}

/// A wait ends after so long, so that whoever waits may look at other things.
const LOOK: Duration = Duration::from_secs(1);

/// What a wait for bytes gave.
enum Pulled {
    Bytes,
    Nothing,
    End,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("silence", &self.silence).finish_non_exhaustive()
    }
}

impl EventStream {
    /// The messages of an answer's body; something has to come within `patience`, while it is waited for.
    #[must_use]
    pub fn new(body: SdkBody, patience: Duration) -> Self {
        Self { body, patience, silence: Duration::ZERO, buffer: MessageBuffer::default() }
    }

    /// Waits about a second for the beginning of the next message.
    ///
    /// # Errors
    /// When the connection is cut, nothing comes for too long, or what comes is no message.
    pub async fn next(&mut self) -> Result<StreamNext, CallError> {
        loop {
            if let Some(length) = self.buffer.next_length().map_err(unreadable)? {
                return Ok(StreamNext::Begun(length));
            }
            match self.pull().await? {
                Pulled::Bytes => {}
                Pulled::Nothing => return Ok(StreamNext::Nothing),
                Pulled::End if self.buffer.is_empty() => return Ok(StreamNext::End),
                Pulled::End => return Err(cut()),
            }
        }
    }

    /// The message that [`Self::next`] told of.
    ///
    /// # Errors
    /// When the connection is cut, nothing comes for too long, or what came is no message.
    pub async fn message(&mut self) -> Result<StreamMessage, CallError> {
        loop {
            if let Some(message) = self.buffer.take().map_err(unreadable)? {
                return Ok(message);
            }
            if matches!(self.pull().await?, Pulled::End) {
                return Err(cut());
            }
        }
    }

    async fn pull(&mut self) -> Result<Pulled, CallError> {
        let Ok(frame) = timeout(LOOK.min(self.patience), self.body.frame()).await else {
            self.silence = self.silence.saturating_add(LOOK);
            if self.silence < self.patience {
                return Ok(Pulled::Nothing);
            }
            let message = format!("nothing came for {} s", self.silence.as_secs());
            return Err(CallError::Unanswered { how: NoAnswer::Other, message });
        };
        self.silence = Duration::ZERO;
        match frame {
            None => Ok(Pulled::End),
            Some(Err(error)) => Err(unanswered(error.as_ref())),
            Some(Ok(frame)) => {
                frame.data_ref().into_iter().for_each(|piece| self.buffer.push(piece));
                Ok(Pulled::Bytes)
            }
        }
    }
}

fn cut() -> CallError {
    let message = "the stream ended within a message".to_owned();
    CallError::Unanswered { how: NoAnswer::Other, message }
}

fn unreadable(fault: FrameFault) -> CallError {
    CallError::Unreadable(format!("the stream cannot be read: {fault}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use hyper::body::{Body, Frame};

    use super::*;

    /// Nothing ever comes.
    struct Silence;

    impl Body for Silence {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    /// A message without headers and payload.
    const MESSAGE: [u8; 16] = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];

    #[tokio::test]
    async fn an_end_within_a_message_is_none() {
        let mut whole = EventStream::new(SdkBody::from(&MESSAGE[..]), LOOK);
        assert_eq!(whole.next().await, Ok(StreamNext::Begun(16)));
        assert!(
            matches!(whole.message().await, Err(CallError::Unreadable(_))),
            "it says nothing of what it is"
        );
        assert_eq!(whole.next().await, Ok(StreamNext::End));
        for length in [1, 11, 12, 15] {
            let mut torn = EventStream::new(SdkBody::from(&MESSAGE[..length]), LOOK);
            let ended = match torn.next().await {
                Ok(StreamNext::Begun(16)) => torn.message().await.map(drop),
                other => other.map(drop),
            };
            assert_eq!(ended, Err(cut()), "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_silent_for_too_long_is_given_up() {
        let mut silent = EventStream::new(SdkBody::from_body_1_x(Silence), Duration::from_secs(3));
        assert_eq!(silent.next().await, Ok(StreamNext::Nothing));
        // Nobody waits meanwhile.
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(silent.next().await, Ok(StreamNext::Nothing));
        assert!(matches!(silent.next().await, Err(CallError::Unanswered { .. })));
    }
}
