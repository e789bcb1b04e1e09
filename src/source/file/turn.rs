//! One file's turn: one block read, cut, and handed over.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::content::{Content, first_bytes};
use super::follow::{After, Follower};
use super::identity::{Agreement, Fate};
use super::place::SETTLED;
use super::table::FileNo;
use super::tail::{Name, Stage};
use crate::event::Closed;
use crate::event::{AckGuard, Acknowledge, Chunk, Fingerprint, Held, Mark, Piece, Timestamp};
use crate::source::framer::{Frame, Upcoming};

/// What was read in one turn.
struct Block {
    /// Some bytes that were read before, and the new ones.
    bytes: Vec<u8>,
    /// How many were read before.
    back: usize,
    /// What is to come after them.
    end: Upcoming,
    /// Whether these are all there are now.
    is_all: bool,
    held: Held,
}

/// How much to read.
struct Plan {
    mark: Mark,
    len: usize,
    unread: u64,
    end: Upcoming,
    /// Bytes that were seen and not read, should the file turn out to have been emptied.
    at_risk: u64,
}

impl Block {
    fn new_bytes(&self) -> &[u8] {
        self.bytes.get(self.back..).unwrap_or_default()
    }
}

impl Follower {
    /// Does what is next for a file.
    pub(super) async fn turn(&mut self, no: FileNo) -> Result<After, Closed> {
        let now = Instant::now();
        let Some(tail) = self.table.get(no) else { return Ok(After::Idle) };
        let is_placed = tail.progress().is_some();
        if tail.progress().is_some_and(|progress| progress.lane.is_blocked()) {
            return Ok(After::Blocked);
        }
        if !is_placed && tail.size == 0 {
            if tail.name == Name::Gone {
                self.depart(no, Fate::Gone, 0);
            }
            return Ok(After::Idle);
        }
        if tail.content.is_none() && self.is_incomplete(tail, now) {
            // Whether it is compressed shows when something is in it.
            let at = tail.changed.checked_add(SETTLED);
            self.table.wake_at(no, at);
            return Ok(After::Idle);
        }
        if !self.open(no, now) {
            return Ok(After::Idle);
        }
        if let Some(block) = self.glance(no, now) {
            return self.hand_over(no, now, block).await;
        }
        let done = match self.refresh(no, now) {
            Ok(Some(_)) if !is_placed => self.place(no, now),
            Ok(Some(at_risk)) if self.is_refilled(no) => {
                self.empty(no, at_risk);
                Ok(After::More)
            }
            Ok(Some(at_risk)) => match self.plan(no, now, at_risk) {
                Ok(plan) => return self.carry_out(no, now, plan).await,
                Err(after) => Ok(after),
            },
            Ok(None) => Ok(After::Idle),
            Err(error) => Err(error),
        };
        Ok(done.unwrap_or_else(|error| self.fail(no, "read", &error)))
    }

    /// Reads on in a file that gave little the last time, without asking first how much it has: one call to the kernel instead of
    /// three. None: it takes a longer look, for there is nothing more, or a lot, or something else than was there.
    fn glance(&mut self, no: FileNo, now: Instant) -> Option<Block> {
        let is_object = self.is_object();
        let tail = self.table.get_mut(no)?;
        if !tail.gives_little || !tail.is_at_hand() || is_object {
            return None;
        }
        let progress = tail.progress()?;
        let mark = progress.mark;
        let back = usize::from(mark.tail.len);
        let mut held = self.source.intake.try_admit(GLANCE)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.reserve_exact(GLANCE);
        let bytes = tail.content.as_ref()?.glance(scratch, mark.offset.saturating_sub(back as u64)).ok()?;
        let new = bytes.len().saturating_sub(back);
        let follows = bytes.get(..back).is_some_and(|before| progress.follows_on(before));
        if !follows || new == 0 || bytes.len() == bytes.capacity() {
            self.scratch = bytes;
            return None;
        }
        held.resize(bytes.len() as u64);
        tail.seen(mark.offset.saturating_add(new as u64), now);
        let end = tail.end(now, &self.patience);
        Some(Block { bytes, back, end, is_all: true, held })
    }

    /// Looks at an open file's size. Returns how many bytes it was known to hold unread; none when it must not be read yet.
    fn refresh(&mut self, no: FileNo, now: Instant) -> io::Result<Option<u64>> {
        let Some(tail) = self.table.get_mut(no) else { return Ok(None) };
        let Some(content) = &tail.content else { return Ok(None) };
        let metadata = content.metadata()?;
        let at_risk = tail.unread();
        let is_changed_gzip = content.is_gzip() && tail.learn_modified(&metadata);
        tail.seen(metadata.len(), now);
        tail.learn_modified(&metadata);
        if is_changed_gzip {
            tail.changed = now;
        }
        let at = tail.changed.checked_add(SETTLED);
        if is_changed_gzip && !self.source.once {
            // It is decompressed from the front again when it is complete.
            self.table.close(no);
            self.table.wake_at(no, at);
            return Ok(None);
        }
        let is_read = self
            .table
            .get(no)
            .is_some_and(|tail| tail.is_plain() && tail.progress().is_some() && tail.unread() == 0);
        if !is_read && self.table.get(no).is_some_and(|tail| self.is_incomplete(tail, now)) {
            self.table.wake_at(no, at);
            return Ok(None);
        }
        Ok(Some(at_risk))
    }

    /// Whether a file that has nothing to read was written to all the same, and does not hold what was read of it.
    fn is_refilled(&mut self, no: FileNo) -> bool {
        let Some(tail) = self.table.get_mut(no) else { return false };
        if !std::mem::take(&mut tail.is_doubtful) || tail.unread() > 0 {
            return false;
        }
        let Some(mark) = tail.progress().map(|progress| progress.mark) else { return false };
        // An error comes back with the next read.
        self.agreement(no, mark).is_ok_and(|agreement| agreement == Agreement::Differs)
    }

    /// How much to read of a file that is followed; or that nothing is to be read.
    fn plan(&mut self, no: FileNo, now: Instant, at_risk: u64) -> Result<Plan, After> {
        let is_object = self.is_object();
        let most = self.source.config.decoding.max_inflated as u64;
        let tail = self.table.get(no).ok_or(After::Idle)?;
        let mark = tail.progress().ok_or(After::Idle)?.mark;
        let end = tail.end(now, &self.patience);
        if !tail.is_plain() {
            if mark.size == tail.size {
                return Err(self.idle(no, now, end));
            }
            return Ok(Plan { mark, len: BLOCK.max(tail.reach), unread: u64::MAX, end, at_risk });
        }
        if tail.size < mark.offset {
            self.empty(no, at_risk);
            return Err(After::More);
        }
        let unread = tail.unread();
        if unread == 0 || tail.vain == Some((tail.size, end)) {
            return Err(self.idle(no, now, end));
        }
        if is_object && unread > most {
            self.pass_over(no, unread);
            return Err(After::Idle);
        }
        let usual = if is_object { usize::MAX } else { BLOCK.max(tail.reach) };
        let len = usize::try_from(unread).unwrap_or(usize::MAX).min(usual);
        Ok(Plan { mark, len, unread, end, at_risk })
    }

    async fn carry_out(&mut self, no: FileNo, now: Instant, plan: Plan) -> Result<After, Closed> {
        let back = usize::from(plan.mark.tail.len);
        let Some(held) = self.admit(back.saturating_add(plan.len)).await? else { return Ok(After::Idle) };
        match self.read(no, &plan, held) {
            Ok(Some(block)) => self.hand_over(no, now, block).await,
            Ok(None) => Ok(After::More),
            Err(error) => Ok(self.fail(no, "read", &error)),
        }
    }

    /// Reads what was planned, and checks that it follows on what was read before.
    fn read(&mut self, no: FileNo, plan: &Plan, held: Held) -> io::Result<Option<Block>> {
        let back = usize::from(plan.mark.tail.len);
        let from = plan.mark.offset.saturating_sub(back as u64);
        let Some(tail) = self.table.get_mut(no) else { return Ok(None) };
        let (Some(content), Stage::Followed(progress)) = (&mut tail.content, &tail.stage) else {
            return Ok(None);
        };
        if progress.mark != plan.mark {
            return Ok(None);
        }
        if !content.approach(from)? {
            return Ok(None);
        }
        let wanted = back.saturating_add(plan.len);
        let bytes = content.read_into(self.buffers.take(wanted), from, wanted)?;
        let (is_gzip, is_broken) = (content.is_gzip(), content.is_broken());
        let follows = match bytes.get(..back) {
            Some(before) => progress.follows_on(before),
            // A compressed copy may lack what was read of the plain file last.
            None => is_gzip && progress.head.begins(&first_bytes(content)?),
        };
        if !follows {
            self.empty(no, plan.at_risk);
            return Ok(None);
        }
        let new = bytes.len().saturating_sub(back);
        let is_all = if is_gzip { bytes.len() < wanted } else { new as u64 == plan.unread };
        let end = if is_all && !is_broken { plan.end } else { Upcoming::More };
        Ok(Some(Block { bytes, back, end, is_all, held }))
    }

    async fn hand_over(&mut self, no: FileNo, now: Instant, block: Block) -> Result<After, Closed> {
        let is_object = self.is_object();
        let intake = self.intake().clone();
        let framing = intake.framing();
        let Some(tail) = self.table.get_mut(no) else { return Ok(After::Idle) };
        let size = tail.size;
        if block.new_bytes().is_empty() {
            let end = if tail.is_plain() { Upcoming::More } else { Upcoming::Nothing };
            return Ok(self.idle(no, now, end));
        }
        let (end, is_all, len) = (block.end, block.is_all, block.new_bytes().len());
        // An object was read whole, however much may be written to it later.
        let upcoming = if is_object { Upcoming::Nothing } else { end };
        let Some(progress) = tail.progress_mut() else { return Ok(After::Idle) };
        let frame = progress.framer.next(framing, block.new_bytes(), upcoming);
        let taken = match frame {
            Frame::Events { len, piece } | Frame::Part { len, piece } => {
                self.send(no, block, len, piece).await.map(|()| len)?
            }
            Frame::LeftOut { len, lost, reason } => {
                self.leave_out(no, &block, len);
                self.intake().metrics.lost(reason, lost);
                return Ok(After::More);
            }
            Frame::Incomplete => 0,
        };
        let gives_little = is_all && len < MORSEL;
        self.morsels = self.morsels.saturating_add(u32::from(gives_little));
        let Some(tail) = self.table.get_mut(no) else { return Ok(After::Idle) };
        let enough = tail.progress().map_or(0, |progress| progress.framer.enough());
        tail.gives_little = gives_little;
        tail.reach = if taken > 0 || is_all {
            0
        } else {
            tail.reach.max(BLOCK).saturating_mul(2).min(enough.max(BLOCK))
        };
        if !is_all || matches!(frame, Frame::Part { .. }) {
            return Ok(After::More);
        }
        if taken < len {
            tail.vain = Some((size, end));
        }
        Ok(self.idle(no, now, end))
    }

    /// Moves over bytes that are left out.
    fn leave_out(&mut self, no: FileNo, block: &Block, len: usize) {
        let Some(tail) = self.table.get_mut(no) else { return };
        let size = tail.size;
        if let Some(progress) = tail.progress_mut() {
            let offset = progress.mark.offset.saturating_add(len as u64);
            let before = block.bytes.get(..block.back.saturating_add(len)).unwrap_or_default();
            let skipping = progress.framer.state().skipping;
            progress.pass(Mark { offset, tail: Fingerprint::of_end(before), skipping, size });
        }
    }

    async fn send(&mut self, no: FileNo, block: Block, taken: usize, piece: Piece) -> Result<(), Closed> {
        let Block { bytes, back, mut held, .. } = block;
        let Some(tail) = self.table.get_mut(no) else { return Ok(()) };
        // How large a compressed file is when it was read to its end is noted then.
        let size = if tail.is_plain() { tail.size } else { 0 };
        let Some(progress) = tail.progress_mut() else { return Ok(()) };
        if progress.mark.offset <= back as u64 {
            progress.learn_head(&bytes);
        }
        let until = back.saturating_add(taken);
        let offset = progress.mark.offset.saturating_add(taken as u64);
        let before = bytes.get(..until).unwrap_or(&bytes);
        let before = before.last_chunk::<{ Fingerprint::MOST }>().map_or(before, |last| last);
        progress.advance(Mark {
            offset,
            tail: Fingerprint::of_end(before),
            skipping: progress.framer.state().skipping,
            size,
        });
        progress.sum = Some(crc32c::crc32c(before));
        let read_at = Timestamp::now();
        let number = progress.owner.account.begin(progress.mark, read_at);
        let ack = AckGuard::open(Arc::clone(&progress.owner) as Arc<dyn Acknowledge>, number);
        let (origin, lane) = (Arc::clone(&progress.origin), Arc::clone(&progress.lane));
        let payload = self.exactly(bytes, back, until, &mut held);
        self.intake().metrics.bytes.inc_by(taken as u64);
        let is_enough = self.parcel.add(lane, Chunk { origin, payload, piece, read_at, ack, held });
        if is_enough { self.hand_in().await } else { Ok(()) }
    }

    /// The new bytes, without keeping much more memory alive than they take.
    fn exactly(&mut self, bytes: Vec<u8>, from: usize, until: usize, held: &mut Held) -> Bytes {
        let wanted = bytes.get(from..until).unwrap_or_default();
        if wanted.len() >= bytes.capacity() / 2 {
            held.resize(bytes.capacity() as u64);
            return self.buffers.share(bytes).slice(from..until);
        }
        held.resize(wanted.len() as u64);
        let payload = Bytes::copy_from_slice(wanted);
        if bytes.capacity() == GLANCE {
            self.scratch = bytes;
        }
        payload
    }

    /// Nothing is to be read of a file now: sees to when it is looked at again, or ends it.
    fn idle(&mut self, no: FileNo, now: Instant, end: Upcoming) -> After {
        let Some(tail) = self.table.get_mut(no) else { return After::Idle };
        if tail.content.as_ref().is_some_and(Content::is_broken) && !tail.reported {
            tail.reported = true;
            warn!(path = %tail.path.display(), "gzipped file is torn or corrupt; what could be decompressed of it was read");
            self.source.intake.metrics.error("gzip");
        }
        let (is_read, size) = (tail.unread() == 0, tail.size);
        let is_gzip_read =
            tail.content.as_ref().is_some_and(|content| content.is_gzip() && !content.is_broken());
        if let Some(progress) = tail.progress_mut()
            && is_gzip_read
            && end == Upcoming::Nothing
            && progress.mark.size != size
        {
            progress.pass(Mark { size, ..progress.mark });
        }
        let next = tail.next_look(now, &self.patience);
        if end == Upcoming::Nothing && is_read && tail.name != Name::Present {
            self.finish(no);
        } else {
            self.table.wake_at(no, next);
        }
        After::Idle
    }

    /// Gives up an object that is larger than any may be.
    fn pass_over(&mut self, no: FileNo, unread: u64) {
        let metrics = self.intake().metrics.clone();
        let Some(tail) = self.table.get_mut(no) else { return };
        let size = tail.size;
        warn!(path = %tail.path.display(), bytes = unread, "object is larger than `max_inflated` allows and is left out; raise it and give the object a new name");
        let before = tail.content.as_mut().and_then(|content| {
            content.read_at(size.saturating_sub(Fingerprint::MOST as u64), Fingerprint::MOST).ok()
        });
        if let Some(progress) = tail.progress_mut() {
            progress.pass(super::rotate::mark_at(size, size, &before.unwrap_or_default()));
        }
        metrics.error("too_large");
        metrics.lost("too_large", unread);
    }
}

/// Most bytes read at once, where an event is not longer.
const BLOCK: usize = 1024 * 1024;

/// Less than this is little for a look at a file.
const MORSEL: usize = 32 * 1024;

/// Read at a glance: a morsel, what is read again before it, and more by which to tell that it is none.
const GLANCE: usize = 64 * 1024;

/// A block, and what is read again before it.
pub(super) const FULL: usize = BLOCK + Fingerprint::MOST;

/// Buffers for full blocks that are kept at rest.
pub(super) const BUFFERS: usize = 64;
