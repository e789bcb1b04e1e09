//! Reads blocks of files, and makes chunks of what they hold.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{info, warn};

use super::blanks::{BlankRun, blank_run};
use super::content::{NextData, first_bytes};
use super::inspect::{BLOCK, ReadPlan};
use super::job_batch::JobBatch;
use super::progress::mark_at;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, ReadStage, TrackedFile};
use crate::event::{Buffers, Charset, Chunk, EventPlace, Held, Piece, Timestamp};
use crate::source::file::position::{Fingerprint, Mark};
use crate::source::framer::{NextFrame, Upcoming};

/// Reads files, and gathers the chunks.
pub(super) struct BlockReader {
    setup: Arc<FileSetup>,
    /// Chunks that are to go to one worker together.
    pub(super) batch: JobBatch,
    /// What files are read into that may give little.
    scratch: Vec<u8>,
    /// How many reads gave only a little since that was last asked.
    small_reads: u32,
}

/// What was read of a file.
pub(super) struct ReadBlock {
    /// Some bytes that were read before, and the new ones.
    bytes: Vec<u8>,
    /// How many were read before.
    back: usize,
    /// What is to come after them.
    upcoming: Upcoming,
    /// Whether these are all there are now.
    is_all: bool,
    held: Held,
}

/// What came of a read.
pub(super) enum BlockRead {
    Block(ReadBlock),
    /// The file, or what is known of it, has changed: it is to be looked at again.
    Nothing,
    /// It does not hold what was read of it.
    Emptied,
}

/// Which bytes of a block are text.
enum TextRange {
    All,
    /// So many at its front. After them, nothing was written yet.
    First(usize),
    /// None.
    Next(AfterBlock),
}

/// What is next for a file, once a block of it was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AfterBlock {
    ReadOn,
    Park(Upcoming),
}

impl ReadBlock {
    fn new_bytes(&self) -> &[u8] {
        self.bytes.get(self.back..).unwrap_or_default()
    }

    /// The bytes up to so many new ones.
    fn up_to(&self, new: usize) -> &[u8] {
        self.bytes.get(..self.back.saturating_add(new)).unwrap_or(&self.bytes)
    }
}

impl BlockReader {
    pub(super) fn new(setup: Arc<FileSetup>) -> Self {
        Self { setup, batch: JobBatch::default(), scratch: Vec::new(), small_reads: 0 }
    }

    /// How many reads gave only a little since the last call.
    pub(super) const fn take_small_reads(&mut self) -> u32 {
        std::mem::replace(&mut self.small_reads, 0)
    }

    /// Reads on in a file that gave little the last time, without asking first how much it has: one call to the kernel instead of
    /// three. None: it takes a longer look, for there is nothing more, or a lot, or something else than was there.
    pub(super) fn quick_read(
        &mut self,
        files: &mut FileTable,
        no: FileNo,
        now: Instant,
    ) -> Option<ReadBlock> {
        let file = files.get_mut(no)?;
        if !file.is_slow || !file.is_at_hand() || self.setup.is_object() {
            return None;
        }
        let progress = file.progress()?;
        let mark = progress.mark;
        let back = usize::from(mark.tail.len);
        let mut held = self.setup.intake.try_admit(QUICK_READ)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.reserve_exact(QUICK_READ);
        let from = mark.offset.saturating_sub(back as u64);
        let bytes = file.content.as_ref()?.quick_read(scratch, from).ok()?;
        let new = bytes.len().saturating_sub(back);
        let follows = bytes.get(..back).is_some_and(|before| progress.follows_on(before));
        if !follows || new == 0 || bytes.len() == bytes.capacity() {
            self.scratch = bytes;
            return None;
        }
        held.resize(bytes.len() as u64);
        file.seen(mark.offset.saturating_add(new as u64), now);
        let upcoming = file.upcoming(now, &self.setup.timeouts());
        Some(ReadBlock { bytes, back, upcoming, is_all: true, held })
    }

    /// Reads what was planned, and checks that it follows on what was read before.
    pub(super) fn read(
        &self,
        files: &mut FileTable,
        no: FileNo,
        plan: &ReadPlan,
        held: Held,
    ) -> io::Result<BlockRead> {
        let back = usize::from(plan.mark.tail.len);
        let from = plan.mark.offset.saturating_sub(back as u64);
        let Some(file) = files.get_mut(no) else { return Ok(BlockRead::Nothing) };
        let (Some(content), ReadStage::Followed(progress)) = (&mut file.content, &file.stage) else {
            return Ok(BlockRead::Nothing);
        };
        if progress.mark != plan.mark || !content.approach(from)? {
            return Ok(BlockRead::Nothing);
        }
        let wanted = back.saturating_add(plan.len);
        let bytes = content.read_into(self.setup.buffers.take(wanted), from, wanted)?;
        let (is_compressed, is_broken) = (content.is_compressed(), content.is_broken());
        let follows = match bytes.get(..back) {
            Some(before) => progress.follows_on(before),
            // A compressed copy may lack what was read of the plain file last.
            None => is_compressed && progress.head.begins(&first_bytes(content)?),
        };
        if !follows {
            return Ok(BlockRead::Emptied);
        }
        let new = bytes.len().saturating_sub(back);
        let is_all = if is_compressed { bytes.len() < wanted } else { new as u64 == plan.unread };
        let upcoming = if is_all && !is_broken { plan.upcoming } else { Upcoming::More };
        Ok(BlockRead::Block(ReadBlock { bytes, back, upcoming, is_all, held }))
    }

    /// Makes a chunk of what is whole in a block.
    pub(super) fn take(&mut self, file: &mut TrackedFile, block: ReadBlock) -> AfterBlock {
        let (is_all, len, upcoming) = (block.is_all, block.new_bytes().len(), block.upcoming);
        if len == 0 {
            return AfterBlock::Park(if file.is_plain() { Upcoming::More } else { Upcoming::Nothing });
        }
        if let Some(mark) = self.after_byte_order_mark(file, &block) {
            if let Some(progress) = file.progress_mut() {
                progress.pass(mark);
            }
            return AfterBlock::ReadOn;
        }
        let text = match self.text_of(file, &block) {
            Ok(TextRange::All) => len,
            Ok(TextRange::First(text)) => text,
            Ok(TextRange::Next(after)) => return after,
            // It comes back with the next read.
            Err(_) => return AfterBlock::Park(upcoming),
        };
        let frame = self.frame(file, &block, text);
        let taken = match frame {
            NextFrame::Events { len, piece } | NextFrame::Part { len, piece } => {
                self.send(file, block, len, piece);
                len
            }
            NextFrame::LeftOut { len, lost, reason } => {
                let size = file.size;
                if let Some(progress) = file.progress_mut() {
                    progress.leave_out(len, block.up_to(len), size);
                }
                self.setup.metrics().lost(reason, lost);
                return AfterBlock::ReadOn;
            }
            NextFrame::Incomplete => 0,
        };
        file.is_slow = is_all && len < SMALL_READ;
        self.small_reads = self.small_reads.saturating_add(u32::from(file.is_slow));
        file.read_len = if taken > 0 || is_all { 0 } else { longer_read(file, len) };
        if text < len && taken == 0 {
            return AfterBlock::Park(upcoming);
        }
        if !is_all || text < len || matches!(frame, NextFrame::Part { .. }) {
            return AfterBlock::ReadOn;
        }
        if taken < len {
            file.no_event_at = Some((file.size, upcoming));
        }
        AfterBlock::Park(upcoming)
    }

    /// Gives up an object that is larger than any may be.
    pub(super) fn pass_over(&self, file: &mut TrackedFile, unread: u64) {
        let size = file.size;
        warn!(path = %file.path.display(), bytes = unread, "file is larger than `max_inflated` and was skipped; raise `max_inflated` and rename the file");
        let before = file.content.as_mut().and_then(|content| {
            content.read_at(size.saturating_sub(Fingerprint::MOST as u64), Fingerprint::MOST).ok()
        });
        if let Some(progress) = file.progress_mut() {
            progress.pass(mark_at(size, size, &before.unwrap_or_default()));
            progress.account.is_partial();
        }
        self.setup.metrics().error("too_large");
        self.setup.metrics().lost("too_large", unread);
    }

    /// The place after the mark that a file begins with, if it does: it is no text.
    fn after_byte_order_mark(&self, file: &TrackedFile, block: &ReadBlock) -> Option<Mark> {
        let is_first = file.progress()?.mark.offset == 0 && !self.setup.is_object();
        let (charset, mark) = Charset::marked(block.new_bytes()).filter(|_| is_first)?;
        let size = if file.is_plain() { file.size } else { 0 };
        let is_own = charset == self.setup.config.decoding.charset;
        is_own.then(|| mark_at(mark.len() as u64, size, mark))
    }

    /// How much of a block is text; or what is next where it begins with NULs that are not.
    fn text_of(&self, file: &mut TrackedFile, block: &ReadBlock) -> io::Result<TextRange> {
        let bytes = block.new_bytes();
        let has_nuls = bytes.first() == Some(&0) || bytes.last() == Some(&0);
        if !has_nuls || self.setup.is_object() || !file.is_plain() {
            file.unwritten = None;
            return Ok(TextRange::All);
        }
        let Some(progress) = file.progress() else { return Ok(TextRange::All) };
        let (offset, is_between) = (progress.mark.offset, progress.framer.is_between());
        let mut scanned = file.scanned;
        let content = file.content.as_ref();
        let unit = self.setup.config.decoding.charset.unit();
        let run = blank_run(bytes, (offset, unit), is_between, |from| {
            let found =
                content.map_or(Ok(NextData::At(from)), |content| content.next_data(from.max(scanned)));
            if let Ok(NextData::Beyond(at)) = found {
                scanned = at;
            }
            found
        })?;
        (file.scanned, file.unwritten) = (scanned, None);
        let is_over = block.upcoming == Upcoming::Nothing && file.name != NameState::Present;
        Ok(match run {
            BlankRun::None => TextRange::All,
            BlankRun::Hole(len) => TextRange::Next(self.skip_blank(file, len)?),
            BlankRun::Unclear => TextRange::Next(AfterBlock::ReadOn),
            BlankRun::Unwritten(0) if is_over => {
                let len = file.size.saturating_sub(offset);
                TextRange::Next(self.skip_blank(file, len)?)
            }
            BlankRun::Unwritten(text) => {
                file.unwritten = Some(offset.saturating_add(text as u64));
                if text == 0 {
                    TextRange::Next(AfterBlock::Park(block.upcoming))
                } else {
                    TextRange::First(text)
                }
            }
        })
    }

    /// Leaves out so many NULs that nobody wrote.
    fn skip_blank(&self, file: &mut TrackedFile, len: u64) -> io::Result<AfterBlock> {
        let size = file.size;
        let Some(offset) = file.progress().map(|progress| progress.mark.offset) else {
            return Ok(AfterBlock::ReadOn);
        };
        let end = offset.saturating_add(len);
        let from = end.saturating_sub(Fingerprint::MOST as u64);
        let back = usize::try_from(end.saturating_sub(from)).unwrap_or(Fingerprint::MOST);
        let before = file.content.as_mut().map_or(Ok(Vec::new()), |content| content.read_at(from, back))?;
        if before.len() < back {
            // It was truncated meanwhile: the next read tells.
            return Ok(AfterBlock::ReadOn);
        }
        if let Some(progress) = file.progress_mut() {
            progress.pass(mark_at(end, size, &before));
        }
        self.setup.metrics().lost("nul", len);
        info!(path = %file.path.display(), bytes = len, "skipped NULs that nobody wrote: a hole, as a writer leaves that does not append to a truncated file");
        Ok(AfterBlock::ReadOn)
    }

    fn frame(&self, file: &mut TrackedFile, block: &ReadBlock, text: usize) -> NextFrame {
        let Some(progress) = file.progress_mut() else { return NextFrame::Incomplete };
        // An object was read whole, whatever may be written to it later.
        let upcoming = if self.setup.is_object() { Upcoming::Nothing } else { block.upcoming };
        progress.framer.next(
            self.setup.intake.framing(),
            block.new_bytes().get(..text).unwrap_or_default(),
            upcoming,
        )
    }

    fn send(&mut self, file: &mut TrackedFile, block: ReadBlock, taken: usize, piece: Piece) {
        // How large a compressed file is when it was read to its end is noted then.
        let size = if file.is_plain() { file.size } else { 0 };
        let Some(progress) = file.progress_mut() else { return };
        if progress.mark.offset <= block.back as u64 {
            progress.learn_head(block.up_to(taken));
        }
        let place = EventPlace::new(Arc::clone(&progress.unit), progress.mark.offset);
        progress.advance(taken, block.up_to(taken), size);
        let read_at = Timestamp::now();
        let ack = progress.account.begin(progress.mark, read_at).placed(place);
        let (origin, lane) = (Arc::clone(&progress.origin), Arc::clone(&progress.lane));
        let (payload, held) = self.payload(block, taken);
        self.setup.metrics().bytes.inc_by(taken as u64);
        self.batch.add(lane, Chunk { origin, payload, piece, read_at, ack, held });
    }

    /// The new bytes that are taken, without keeping much more memory alive than they take.
    fn payload(&mut self, block: ReadBlock, taken: usize) -> (Bytes, Held) {
        let ReadBlock { bytes, back, mut held, .. } = block;
        let range = back..back.saturating_add(taken);
        let wanted = bytes.get(range.clone()).unwrap_or_default();
        if wanted.len() >= bytes.capacity() / 2 {
            held.resize(bytes.capacity() as u64);
            return (self.setup.buffers.share(bytes).slice(range), held);
        }
        held.resize(wanted.len() as u64);
        let payload = Bytes::copy_from_slice(wanted);
        if bytes.capacity() == QUICK_READ {
            self.scratch = bytes;
        }
        (payload, held)
    }
}

/// Buffers that files are read into, to be shared by all sources: what one keeps at rest is of use to the others.
pub(super) fn read_buffers() -> Arc<Buffers> {
    Buffers::new(FULL_BLOCK, BUFFERS)
}

/// How much is to be read of a file of which a block of so many bytes does not hold an event.
fn longer_read(file: &TrackedFile, len: usize) -> usize {
    let enough = file.progress().map_or(0, |progress| progress.framer.enough());
    file.read_len.max(len).saturating_mul(2).min(enough.max(BLOCK))
}

/// Less than this is little for one read of a file.
const SMALL_READ: usize = 32 * 1024;

/// Room for a small read, for what is read again before it, and for more by which to tell that it is none.
const QUICK_READ: usize = 64 * 1024;

/// A block, and what is read again before it.
const FULL_BLOCK: usize = BLOCK + Fingerprint::MOST;

/// Buffers for full blocks that are kept at rest.
const BUFFERS: usize = 8;
