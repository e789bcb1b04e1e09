//! One connection: its TLS, its handshake, its messages and answers, its end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::batch::BatchIntake;
use super::connection_end::ConnectionEnd;
use super::context::ForwardContext;
use super::frames::FrameBuffer;
use super::handshake::{Challenge, ForwardAdmission, Nonce, NotAdmitted};
use super::large::LargeMessage;
use super::limits::{
    HANDSHAKE, LAST_BYTES, LAST_READS, LOOK, MOST_HANDSHAKE, MOST_MESSAGE, SILENCE, WRITE_STALL,
};
use super::socket::ForwardStream;
use crate::connections::{ConnectionSlot, Newcomer};
use crate::source::Stop;

/// Serves a connection until either side, or a newcomer, ends it.
pub(super) async fn connection(
    context: Arc<ForwardContext>,
    acceptor: Option<TlsAcceptor>,
    newcomer: Newcomer<ForwardStream>,
    stop: Stop,
) {
    let Newcomer { stream, peer, slot, evicted } = newcomer;
    let name = stream.name(peer);
    let mut session = ForwardSession { context: &context, slot, stop, is_resting: true };
    let serve = async {
        let Some(acceptor) = acceptor else { return session.talk(stream).await };
        let shaken = tokio::select! {
            () = session.stop.requested() => return ConnectionEnd::Stopped,
            shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => session.talk(stream).await,
            // Whoever looks whether somebody listens says nothing.
            Ok(Err(error)) if is_gone(&error) => ConnectionEnd::Gone,
            Ok(Err(error)) => {
                context.cut((peer, &name), "tls", &error.to_string());
                ConnectionEnd::Gone
            }
            Err(_) => ConnectionEnd::Gone,
        }
    };
    let end = tokio::select! {
        _ = evicted => return,
        end = serve => end,
    };
    if let Some((reason, words)) = end.reason() {
        context.cut((peer, &name), reason, words);
    }
}

fn is_gone(error: &io::Error) -> bool {
    [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind())
}

/// One connection and its place among the others.
struct ForwardSession<'a> {
    context: &'a ForwardContext,
    slot: ConnectionSlot,
    stop: Stop,
    /// Whether its slot may go to another.
    is_resting: bool,
}

impl ForwardSession<'_> {
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut stream: S) -> ConnectionEnd {
        let context = self.context;
        let frames = FrameBuffer::new(MOST_MESSAGE, context.intake.standing());
        let mut batch = BatchIntake::new(context, frames);
        if let Some(admission) = &context.admission
            && let Err(end) = shake_hands(admission, &mut stream, &mut batch.frames, &mut self.stop).await
        {
            return end;
        }
        let read = self.read_on(&mut stream, &mut batch).await;
        let Err(end) = read;
        if end == ConnectionEnd::Stopped {
            read_last(&mut stream, &mut batch).await;
        }
        if batch.finish().await.is_ok() {
            self.rest();
            answer_last(&mut stream, &batch).await;
        }
        timeout(WRITE_STALL, stream.shutdown()).await.ok();
        end
    }

    /// Reads messages, and answers them, for as long as both sides go on.
    async fn read_on<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        batch: &mut BatchIntake<'_>,
    ) -> Result<Infallible, ConnectionEnd> {
        let answers = Arc::clone(&batch.answers);
        let mut large = LargeMessage::new(&self.context.large);
        let mut last_read = Instant::now();
        let mut has_waited = false;
        // Some may have come with the handshake.
        batch.take_all().await?;
        loop {
            write_answers(stream, batch).await?;
            if batch.lane.is_full() {
                self.wait_for_room(batch).await?;
                last_read = Instant::now();
                continue;
            }
            // A connection that is never quiet may have a line in parts that waits, too.
            batch.expire(Instant::now()).await?;
            large.make_room(&self.context.intake, &mut batch.frames, &mut self.stop).await?;
            if batch.is_idle() && !answers.has_open() {
                self.rest();
            }
            let patience = (!has_waited || !batch.is_idle()).then_some(LOOK);
            let began = Instant::now();
            let read = tokio::select! {
                read = read_within(patience, stream, &mut batch.frames) => read,
                () = answers.changed() => continue,
                () = self.stop.requested() => return Err(ConnectionEnd::Stopped),
            };
            let waited = began.elapsed();
            has_waited = read.is_none();
            let Some(read) = read else {
                batch.expire(Instant::now()).await?;
                batch.frames.rest();
                if batch.frames.pending() > 0 && last_read.elapsed() >= SILENCE {
                    return Err(ConnectionEnd::Silent);
                }
                large.note(0, waited)?;
                continue;
            };
            match read {
                Ok(0) | Err(_) if batch.frames.pending() > 0 => return Err(ConnectionEnd::Aborted),
                Ok(0) => return Err(ConnectionEnd::Finished),
                Ok(bytes) => large.note(bytes, waited)?,
                Err(_) => return Err(ConnectionEnd::Gone),
            }
            last_read = Instant::now();
            self.work();
            batch.take_all().await?;
            tokio::task::consume_budget().await;
        }
    }

    /// Waits until a destination that the connection feeds has room.
    async fn wait_for_room(&mut self, batch: &BatchIntake<'_>) -> Result<(), ConnectionEnd> {
        let intake = &self.context.intake;
        let room_freed = intake.room_freed();
        if !batch.lane.is_full() {
            return Ok(());
        }
        tokio::select! {
            () = room_freed => Ok(()),
            () = batch.answers.changed() => Ok(()),
            () = tokio::time::sleep(LOOK) => Ok(()),
            () = self.stop.requested() => Err(ConnectionEnd::Stopped),
        }
    }

    fn work(&mut self) {
        if self.is_resting {
            self.slot.work();
            self.is_resting = false;
        }
    }

    fn rest(&mut self) {
        if !self.is_resting {
            self.slot.rest(Instant::now());
            self.is_resting = true;
        }
    }
}

/// Reads more; none where nothing came for so long. Cancel-safe.
async fn read_within<S: AsyncRead + Unpin>(
    patience: Option<Duration>,
    stream: &mut S,
    frames: &mut FrameBuffer,
) -> Option<io::Result<usize>> {
    match patience {
        Some(patience) => timeout(patience, frames.read(stream)).await.ok(),
        None => Some(frames.read(stream).await),
    }
}

/// Asks for proof of the shared key, unless a stop is asked for: a peer may say nothing for long.
async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    admission: &ForwardAdmission,
    stream: &mut S,
    frames: &mut FrameBuffer,
    stop: &mut Stop,
) -> Result<(), ConnectionEnd> {
    tokio::select! {
        admitted = admit(admission, stream, frames) => admitted,
        () = stop.requested() => Err(ConnectionEnd::Stopped),
    }
}

async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    admission: &ForwardAdmission,
    stream: &mut S,
    frames: &mut FrameBuffer,
) -> Result<(), ConnectionEnd> {
    let deadline = Instant::now() + HANDSHAKE;
    let challenge = challenge().ok_or(ConnectionEnd::Closed)?;
    frames.allow(MOST_HANDSHAKE);
    write(stream, &admission.hello(&challenge)).await?;
    let answer = loop {
        match frames.next() {
            Ok(Some(answer)) => break answer,
            Ok(None) => {}
            Err(_) => return Err(ConnectionEnd::NotAdmitted(NotAdmitted::NoPing)),
        }
        match timeout_at(deadline, frames.read(stream)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(_) | Err(_)) => return Err(ConnectionEnd::Gone),
            Err(_) => return Err(ConnectionEnd::NoPing),
        }
    };
    let (pong, admitted) = admission.pong(&challenge, frames.at(answer.place));
    frames.compact();
    frames.allow(MOST_MESSAGE);
    write(stream, &pong).await?;
    admitted.map_err(ConnectionEnd::NotAdmitted)
}

fn challenge() -> Option<Challenge> {
    let random = || {
        let mut bytes = Nonce::default();
        rand::fill(&mut bytes).ok()?;
        Some(bytes)
    };
    Some(Challenge { nonce: random()?, salt: random()? })
}

/// At a stop: what has arrived by now is taken too, for senders that will not send it again.
async fn read_last<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, batch: &mut BatchIntake<'_>) {
    /// What has arrived is there at once, or when the window of TCP has moved.
    const ARRIVED: Duration = Duration::from_millis(50);
    let end = Instant::now() + LAST_READS;
    let mut read = 0_usize;
    while read < LAST_BYTES
        && Instant::now() < end
        && batch.frames.wanted().is_none()
        && !batch.lane.is_full()
    {
        match timeout(ARRIVED, batch.frames.read(stream)).await {
            Ok(Ok(bytes @ 1..)) => read = read.saturating_add(bytes),
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
        if batch.take_all().await.is_err() {
            return;
        }
    }
}

/// Answers what is still under way.
async fn answer_last<S: AsyncWrite + Unpin>(stream: &mut S, batch: &BatchIntake<'_>) {
    loop {
        let has_open = batch.answers.has_open();
        if write_answers(stream, batch).await.is_err() || !has_open {
            return;
        }
        batch.answers.changed().await;
    }
}

async fn write_answers<S: AsyncWrite + Unpin>(
    stream: &mut S,
    batch: &BatchIntake<'_>,
) -> Result<(), ConnectionEnd> {
    let answers = batch.answers.take();
    if answers.is_empty() { Ok(()) } else { write(stream, &answers).await }
}

/// Writes all of it, unless the other side does not read.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), ConnectionEnd> {
    let written = timeout(WRITE_STALL, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    });
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(ConnectionEnd::Gone),
        Err(_) => Err(ConnectionEnd::Unread),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::event::Budget;
    use crate::source::stop::Stopper;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_holds_no_stop_up() {
        let admission = ForwardAdmission {
            shared_key: Secret::new("key".to_owned()),
            users: Vec::new(),
            hostname: "here".into(),
        };
        let mut frames = FrameBuffer::new(MOST_MESSAGE, Budget::new(1 << 20).keep());
        let (mut ours, _theirs) = tokio::io::duplex(1 << 10);
        let (stopper, mut stop) = Stopper::new();
        let began = Instant::now();
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stopper.stop();
        };
        let (end, ()) = tokio::join!(shake_hands(&admission, &mut ours, &mut frames, &mut stop), later);
        assert_eq!((end, began.elapsed()), (Err(ConnectionEnd::Stopped), Duration::from_secs(1)));
    }
}
