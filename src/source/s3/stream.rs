//! An object on its way through: unpacked and cut into chunks as it comes, resumed after a cut, and never whole in memory.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use super::cut::{ContentFramer, CutPlan, TARGET};
use super::notification::ObjectName;
use super::open::{NoObject, ObjectForm};
use super::position::ObjectMark;
use super::progress::ObjectProgress;
use super::reading::{ObjectReading, ROOM, USUAL};
use super::unpack::{UnpackError, Unpacker};
use crate::aws::ObjectBody;
use crate::event::{Chunk, Closed, EventPlace, Held, Origin, Timestamp};
use crate::pipeline::{OrderedLane, WhenFullDestination};
use crate::source::holds::HoldPatience;

/// Why it was not read to its end: a stop, or another beginning.
pub(super) enum Interrupted {
    /// The pipeline takes nothing more.
    Closed,
    /// The object has another content by now.
    Changed,
}

impl From<Closed> for Interrupted {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Unpacked at a time.
const STEP: usize = 256 << 10;

/// Less than this is unpacked where it is: a thread of its own is not worth it.
const LITTLE: usize = 16 << 10;

/// An object that is shorter is read again from its beginning.
const WORTH_A_POSITION: u64 = 1 << 20;

/// An object on its way through.
pub(super) struct ObjectStream<'r> {
    reading: &'r ObjectReading,
    name: &'r ObjectName,
    origin: Arc<Origin>,
    lane: Arc<OrderedLane>,
    pub(super) progress: Arc<ObjectProgress>,
    etag: Option<Box<str>>,
    /// So many bytes of the object were received.
    at: u64,
    /// How many it has.
    end: Option<u64>,
    /// None while it is at work.
    unpacker: Option<Box<Unpacker>>,
    /// So many bytes of its contents were delivered by an earlier run.
    skip: u64,
    framer: ContentFramer,
    /// What ids of its events are made of.
    unit: Arc<str>,
    /// So many bytes of its contents were cut.
    offset: u64,
    /// What was unpacked; up to `cut` it is cut.
    contents: Vec<u8>,
    cut: usize,
    /// For what is at hand.
    held: Held,
    large: Option<OwnedSemaphorePermit>,
}

impl<'r> ObjectStream<'r> {
    /// Begins where an earlier run stood, or at the object's beginning.
    pub(super) async fn begin(reading: &'r ObjectReading, name: &'r ObjectName, body: &ObjectBody) -> Self {
        let room = reading.intake.admit(ROOM).await;
        let mut held = reading.intake.standing();
        held.resize(ROOM as u64);
        drop(room);
        let etag = body.etag.clone();
        let worth_it = body.length.is_none_or(|length| length >= WORTH_A_POSITION);
        let account = etag.as_ref().filter(|_| worth_it).map(|etag| reading.positions.account(name, etag));
        let mark = account.as_ref().map_or_else(ObjectMark::default, |account| account.position().mark);
        let is_plain = mark.offset > 0 && mark.is_plain;
        let framing = reading.intake.framing();
        Self {
            reading,
            name,
            origin: Arc::new(reading.origin_of(name)),
            lane: reading.intake.lane(WhenFullDestination::Wait),
            progress: ObjectProgress::new(account),
            unit: unit_of(name, etag.as_deref()),
            etag,
            at: if is_plain { mark.offset } else { 0 },
            end: body.length,
            unpacker: Some(Box::new(if is_plain { Unpacker::plain() } else { Unpacker::new() })),
            skip: if is_plain { 0 } else { mark.offset },
            framer: ContentFramer::new(reading.contents, &reading.decoding, framing, mark.state),
            offset: mark.offset,
            contents: Vec::new(),
            cut: 0,
            held,
            large: None,
        }
    }

    /// Reads to the end.
    pub(super) async fn read(
        &mut self,
        form: &mut ObjectForm<'_>,
        body: ObjectBody,
        patience: &mut HoldPatience,
    ) -> Result<(), Interrupted> {
        let mut body = Some(body).filter(|_| self.at == 0);
        loop {
            let Some(open) = &mut body else {
                match self.reopen(form, patience).await? {
                    Some(open) => body = Some(open),
                    None => break,
                }
                continue;
            };
            match open.next().await {
                Ok(Some(bytes)) => {
                    patience.works();
                    self.at = self.at.saturating_add(bytes.len() as u64);
                    self.reading.intake.metrics.bytes.inc_by(bytes.len() as u64);
                    if let Err(error) = self.take(bytes, false).await? {
                        return self.give_up(error).await;
                    }
                }
                Ok(None) if self.end.is_none_or(|end| self.at >= end) => break,
                cut => {
                    self.reading.intake.metrics.error("cut");
                    let why =
                        cut.err().map_or_else(|| "it ended too early".to_owned(), |error| error.to_string());
                    patience.pause(&format!("`{}` was cut off: {why}", self.name)).await;
                    body = None;
                }
            }
        }
        match self.take(Bytes::new(), true).await? {
            Ok(()) => Ok(()),
            Err(error) => self.give_up(error).await,
        }
    }

    /// Goes on behind what was received; none: that was all.
    async fn reopen(
        &self,
        form: &mut ObjectForm<'_>,
        patience: &mut HoldPatience,
    ) -> Result<Option<ObjectBody>, Interrupted> {
        let client = &self.reading.client;
        match client.open(form, self.at, self.etag.as_deref(), patience).await {
            Ok(body) if body.from == self.at => Ok(Some(body)),
            // A server that knows no ranges, or an object that is gone or another.
            Ok(_)
            | Err(NoObject::Vanished | NoObject::Archived | NoObject::Changed | NoObject::Unreadable(_)) => {
                Err(Interrupted::Changed)
            }
            Err(NoObject::AtEnd) => Ok(None),
        }
    }

    /// Unpacks what came, and hands over what is whole.
    async fn take(&mut self, bytes: Bytes, is_end: bool) -> Result<Result<(), UnpackError>, Closed> {
        let mut input = bytes;
        loop {
            self.make_room().await;
            let comes_again = match self.unpack(&mut input, is_end).await? {
                Ok(comes_again) => comes_again,
                Err(error) => return Ok(Err(error)),
            };
            self.leave_out_delivered();
            let is_last = is_end && !comes_again;
            if is_last || self.contents.len() >= TARGET {
                self.hand_over(is_last).await?;
            }
            if !comes_again {
                return Ok(Ok(()));
            }
        }
    }

    /// Makes room for the next step.
    async fn make_room(&mut self) {
        self.contents.drain(..self.cut);
        self.cut = 0;
        if self.contents.len() < USUAL {
            self.large = None;
        } else if self.large.is_none() {
            // The semaphore is never closed.
            self.large = Arc::clone(&self.reading.large).acquire_owned().await.ok();
        }
        if self.contents.capacity() > 2 * USUAL && self.contents.len() < STEP {
            self.contents.shrink_to(STEP);
        }
        self.contents.reserve(STEP);
        let unpacker = self.unpacker.as_ref().map_or(0, |unpacker| unpacker.memory());
        let at_hand = self.contents.capacity().saturating_add(ROOM / 2).max(ROOM);
        self.held.resize(at_hand.saturating_add(unpacker) as u64);
    }

    async fn unpack(&mut self, input: &mut Bytes, is_end: bool) -> Result<Result<bool, UnpackError>, Closed> {
        let Some(mut unpacker) = self.unpacker.take() else { return Err(Closed) };
        let is_work = unpacker.is_plain() != Some(true) && input.len() > LITTLE;
        let (mut contents, mut given) = (std::mem::take(&mut self.contents), std::mem::take(input));
        let work = move || {
            let mut rest = &*given;
            let comes_again = unpacker.step(&mut rest, is_end, &mut contents);
            let used = given.len().saturating_sub(rest.len());
            given.advance(used);
            (unpacker, contents, given, comes_again)
        };
        // An error says that the process ends.
        let worked = if is_work { spawn_blocking(work).await.map_err(|_| Closed)? } else { work() };
        let (unpacker, contents, given, comes_again) = worked;
        (self.unpacker, self.contents, *input) = (Some(unpacker), contents, given);
        Ok(comes_again)
    }

    fn leave_out_delivered(&mut self) {
        let delivered = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.contents.len());
        self.contents.drain(..delivered);
        self.skip = self.skip.saturating_sub(delivered as u64);
    }

    /// Hands over what is whole of what is at hand.
    async fn hand_over(&mut self, is_end: bool) -> Result<(), Closed> {
        let (reading, most) = (self.reading, self.reading.longest());
        loop {
            let at_hand = self.contents.get(self.cut..).unwrap_or_default();
            let Some(mut plan) = self.framer.next(reading.intake.framing(), at_hand, is_end, most) else {
                return Ok(());
            };
            self.offset = self.offset.saturating_add(plan.taken as u64);
            if let Some((lost, reason)) = plan.lost {
                reading.intake.metrics.lost(reason, lost);
            }
            if plan.len() > 0 {
                self.submit(&mut plan).await?;
            }
            self.cut = self.cut.saturating_add(plan.taken);
        }
    }

    async fn submit(&self, plan: &mut CutPlan) -> Result<(), Closed> {
        let intake = &self.reading.intake;
        loop {
            let freed = intake.room_freed();
            if !self.lane.is_blocked() {
                break;
            }
            freed.await;
        }
        let held = intake.admit(plan.len()).await;
        let payload = plan.payload(self.contents.get(self.cut..).unwrap_or_default());
        let is_plain = self.unpacker.as_ref().is_some_and(|unpacker| unpacker.is_plain() == Some(true));
        let mark = plan.state.map(|state| ObjectMark { offset: self.offset, state, is_plain });
        let read_at = Timestamp::now();
        let before = self.offset.saturating_sub(plan.taken.saturating_sub(plan.span.start) as u64);
        let place = EventPlace::new(Arc::clone(&self.unit), before);
        let ack = self.progress.begin(mark, read_at).placed(place);
        let chunk =
            Chunk { origin: Arc::clone(&self.origin), payload, piece: plan.piece, read_at, ack, held };
        match plan.refused {
            None => intake.submit(&self.lane, chunk).await,
            Some(reason) => intake.submit_undecodable(&self.lane, chunk, reason).await,
        }
    }

    /// What was unpacked is handed over, and a dead letter says that the rest cannot be.
    async fn give_up(&mut self, error: UnpackError) -> Result<(), Interrupted> {
        self.leave_out_delivered();
        self.hand_over(true).await?;
        let chunk = self.reading.refusal(self.name, &error.to_string(), &self.progress).await;
        Ok(self.reading.intake.submit_undecodable(&self.lane, chunk, "unreadable").await?)
    }
}

/// An object of a bucket as it was written once. What was read is of the announced version only where it has the announced content.
fn unit_of(name: &ObjectName, etag: Option<&str>) -> Arc<str> {
    let is_announced = etag.is_none() || name.etag.as_deref() == etag;
    let version = name.version.as_deref().filter(|_| is_announced);
    let written = version.or(etag).unwrap_or_default();
    format!("{}/{} {written}", name.bucket, name.key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaced_an_announced_version_has_ids_of_its_own() {
        let announced = ObjectName {
            bucket: "b".into(),
            key: "k".into(),
            etag: Some("e".into()),
            version: Some("v".into()),
            ..ObjectName::default()
        };
        let without = ObjectName { version: None, ..announced.clone() };
        let unit = |name: &ObjectName, etag| unit_of(name, etag).to_string();
        assert_eq!(unit(&announced, Some("e")), "b/k v");
        assert_eq!(unit(&announced, Some("another")), "b/k another");
        assert_eq!(unit(&announced, None), "b/k v");
        assert_eq!(
            unit(&without, Some("another")),
            "b/k another",
            "as whoever is told of that content has it"
        );
    }
}
