//! How fast a body comes: only the time that its sender lets us wait counts.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::limits::{EndpointLimits, MAX_BODY, SILENCE};

/// A body that is being read.
#[derive(Debug)]
pub(super) struct BodyPace {
    limits: EndpointLimits,
    bytes: u64,
    waited: Duration,
}

/// Why a body was not read on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyEnd {
    /// Its connection broke, or its sender fell silent.
    Aborted,
    /// It is slower than any sender has to be, or than the others can wait for.
    TooSlow,
}

impl BodyPace {
    pub(super) fn new(limits: EndpointLimits) -> Self {
        Self { limits, bytes: 0, waited: Duration::ZERO }
    }

    /// The next piece of the body; none at its end. `wait` is told of each moment without one, and may end it.
    pub(super) async fn next_piece(
        &mut self,
        body: &mut Incoming,
        mut wait: impl FnMut(Duration) -> Result<(), BodyEnd>,
    ) -> Result<Option<Bytes>, BodyEnd> {
        let began = Instant::now();
        loop {
            let since = Instant::now();
            let frame = timeout(self.limits.look, body.frame()).await;
            let waited = since.elapsed();
            self.waited = self.waited.saturating_add(waited);
            match frame {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        self.bytes = self.bytes.saturating_add(piece.len() as u64);
                        return if self.is_too_slow() { Err(BodyEnd::TooSlow) } else { Ok(Some(piece)) };
                    }
                }
                Ok(Some(Err(_))) => return Err(BodyEnd::Aborted),
                Err(_) if began.elapsed() >= SILENCE => return Err(BodyEnd::Aborted),
                Err(_) if self.is_too_slow() => return Err(BodyEnd::TooSlow),
                Err(_) => wait(waited)?,
            }
        }
    }

    fn is_too_slow(&self) -> bool {
        let beyond = self.waited.saturating_sub(self.limits.body_grace);
        u128::from(self.bytes) * 1000 < u128::from(self.limits.body_rate) * beyond.as_millis()
    }
}

/// Reads a body for nothing.
pub(super) async fn discard(body: &mut Incoming, limits: EndpointLimits) -> Result<(), BodyEnd> {
    let mut pace = BodyPace::new(limits);
    while pace.next_piece(body, |_| Ok(())).await?.is_some() {
        if pace.bytes > MAX_BODY {
            break;
        }
    }
    Ok(())
}
