//! One run of the source: from its position to a stop, by one `journalctl` after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tracing::warn;

use super::acks::JournaldAcks;
use super::buffer::{BufferedEntries, EntryBuffer};
use super::child::JournalctlChild;
use super::command;
use super::fault::JournaldFault;
use super::position::JournaldPosition;
use super::unreadable::unreadable;
use super::vacuumed::{VacuumedEntries, vacuumed};
use crate::causes::with_causes;
use crate::config::{JournaldSource, Start};
use crate::event::{Chunk, Held, Origin, Piece, Timestamp};
use crate::journal_export::{ExportError, JournalCursor};
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};
use crate::source::holds::HoldPatience;
use crate::source::lifecycle::SourceContext;
use crate::source::stop::Stop;

/// Bytes that are read at once; a pipe holds no more.
const BLOCK: usize = 64 << 10;

/// An entry may take one of so many parts of the memory, and so many bytes.
const ENTRY_SHARE: u64 = 4;
const MOST_ENTRY: usize = 16 << 20;

/// How often the lag is reported.
const REPORT: Duration = Duration::from_secs(1);

/// Who follows for so long works, though there is nothing to read.
const WORKS: Duration = Duration::from_secs(5);

/// `journalctl` tells one entry within so long, even where there are many files.
const ONE_ENTRY: Duration = Duration::from_mins(1);

/// One run.
pub(super) struct JournalRun<'a> {
    config: &'a JournaldSource,
    context: &'a SourceContext,
    intake: Intake,
    lane: Arc<OrderedLane>,
    origin: Arc<Origin>,
    stop: Stop,
    patience: HoldPatience,
    clock: Interval,
    /// When the present `journalctl` was started.
    since: Instant,
    /// None: it is not known where to begin.
    acks: Option<Arc<JournaldAcks>>,
    /// The last entry that was handed over, or that of the position.
    read_to: Box<str>,
    /// The entry after which entries are known to be lost.
    lost_after: Box<str>,
}

/// Why reading ended.
enum JournalEnd {
    /// A stop, or all is read that a run with an end reads.
    Over,
    /// Something was given up: it is to be read again.
    GivenUp,
    /// The child ended without a fault, though it was to follow.
    Ended,
}

/// What came of waiting for more.
enum NextBlock {
    Read(usize),
    Stopped,
    GivenUp,
}

impl<'a> JournalRun<'a> {
    pub(super) fn new(
        config: &'a JournaldSource,
        context: &'a SourceContext,
        intake: Intake,
        stop: Stop,
        patience: HoldPatience,
    ) -> Self {
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        Self {
            config,
            context,
            lane: intake.lane(WhenFullDestination::Wait),
            origin: Arc::new(origin),
            stop,
            patience,
            clock: clock(),
            since: Instant::now(),
            acks: JournaldAcks::stored(&context.checkpoints, &context.name, &intake.metrics),
            read_to: Box::default(),
            lost_after: Box::default(),
            intake,
        }
    }

    /// Reads until a stop; once, until all is read.
    pub(super) async fn follow(&mut self) {
        let mut stop = self.stop.clone();
        if let Some(acks) = &self.acks {
            self.read_to = acks.position().cursor;
        }
        loop {
            let again = match self.read().await {
                Ok(JournalEnd::Over) => return,
                Ok(JournalEnd::GivenUp) => {
                    self.begin_again();
                    "some of what was read could not be delivered; it is read again".to_owned()
                }
                Ok(JournalEnd::Ended) => {
                    format!("`{}` ended; it is started again", command::program(self.config))
                }
                Err(fault) => {
                    self.intake.metrics.error(fault.reason());
                    let fault = with_causes(&fault);
                    tokio::select! {
                        () = stop.requested() => return,
                        () = self.patience.hold(&fault) => continue,
                    }
                }
            };
            tokio::select! {
                () = stop.requested() => return,
                () = self.patience.pause(&again) => {}
            }
        }
    }

    fn begin_again(&mut self) {
        let SourceContext { name, checkpoints, .. } = self.context;
        self.acks = self.acks.take().map(|acks| acks.begin_again(checkpoints, name));
        if let Some(acks) = &self.acks {
            self.read_to = acks.position().cursor;
        }
    }

    /// Reads what one `journalctl` prints, behind what was read before.
    async fn read(&mut self) -> Result<JournalEnd, JournaldFault> {
        let mut stop = self.stop.clone();
        let acks = tokio::select! {
            () = stop.requested() => return Ok(JournalEnd::Over),
            acks = self.prepare() => acks?,
        };
        let program = command::program(self.config);
        let entries = command::entries(self.config, &self.read_to, !self.context.once);
        let mut child = JournalctlChild::start(program, entries)?;
        (self.clock, self.since) = (clock(), Instant::now());
        let most = usize::try_from(self.intake.memory() / ENTRY_SHARE).unwrap_or(usize::MAX).min(MOST_ENTRY);
        let mut buffer = EntryBuffer::new(most, &self.read_to);
        loop {
            let Some(room) = self.room(&acks).await else { return Ok(JournalEnd::Over) };
            match self.next_block(&mut child, &mut buffer.bytes, &acks).await? {
                NextBlock::Stopped => return Ok(JournalEnd::Over),
                NextBlock::GivenUp => return Ok(JournalEnd::GivenUp),
                NextBlock::Read(0) => {
                    child.end().await?;
                    if !buffer.is_between_entries() {
                        return Err(self.misread(ExportError::Truncated));
                    }
                    return Ok(if self.context.once { JournalEnd::Over } else { JournalEnd::Ended });
                }
                NextBlock::Read(_) => buffer.hold(room),
            }
            if !self.hand_over(&mut buffer, &acks).await? {
                return Ok(JournalEnd::Over);
            }
        }
    }

    /// Finds out where to begin, and whether what comes next is still there.
    async fn prepare(&mut self) -> Result<Arc<JournaldAcks>, JournaldFault> {
        if let Some(path) = unreadable(self.config) {
            return Err(JournaldFault::Unreadable(path));
        }
        if let Some(acks) = &self.acks {
            let acks = Arc::clone(acks);
            if !self.read_to.is_empty() && self.read_to != self.lost_after {
                let oldest = self.one_entry(command::oldest(self.config)).await?;
                if let Some(lost) = vacuumed(&self.read_to, acks.position().complete_to, oldest.as_deref()) {
                    self.intake.metrics.error("vacuumed");
                    self.say(lost);
                    self.lost_after.clone_from(&self.read_to);
                }
            }
            return Ok(acks);
        }
        let cursor = match self.config.start {
            Start::Beginning => None,
            Start::End => self.one_entry(command::newest(self.config)).await?,
        };
        let position = JournaldPosition { cursor: cursor.unwrap_or_default(), complete_to: Timestamp(0) };
        self.read_to.clone_from(&position.cursor);
        let SourceContext { name, checkpoints, .. } = self.context;
        let acks = JournaldAcks::begin(checkpoints, name, position, &self.intake.metrics);
        self.acks = Some(Arc::clone(&acks));
        Ok(acks)
    }

    /// Says what is lost.
    fn say(&self, lost: VacuumedEntries) {
        let source = &*self.context.name;
        match lost {
            VacuumedEntries::All { after } => warn!(
                source,
                after = after.to_rfc3339(),
                "the journal is empty: entries after those that were delivered are lost, if there were any"
            ),
            VacuumedEntries::Unknown { after, before } => warn!(
                source,
                after = after.to_rfc3339(),
                before = before.to_rfc3339(),
                "the journal begins after the last entry that was delivered: entries between them are lost, if there were any; a journal that outlives a boot needs `Storage=persistent` of journald"
            ),
            VacuumedEntries::Counted { entries, after, before } => warn!(
                source,
                entries,
                after = after.to_rfc3339(),
                before = before.to_rfc3339(),
                "the journal removed entries before they were read: so many are lost, less those that the source would not have read; raise `SystemMaxUse=` of journald, or see what holds the source up"
            ),
        }
    }

    /// The cursor of the first entry that a command prints; none: it prints none.
    async fn one_entry(&self, command: std::process::Command) -> Result<Option<Box<str>>, JournaldFault> {
        let program = command::program(self.config);
        let mut child = JournalctlChild::start(program.clone(), command)?;
        let mut bytes = BytesMut::with_capacity(BLOCK);
        let first_line = async {
            while !bytes.contains(&b'\n') && bytes.len() < BLOCK {
                if child.read(&mut bytes).await? == 0 {
                    break;
                }
            }
            if bytes.is_empty() {
                return child.end().await.map(|()| None);
            }
            let cursor = JournalCursor::of_entry(&bytes).map(Box::from);
            cursor.map(Some).ok_or_else(|| self.misread(ExportError::NoCursor))
        };
        let silent = |_| JournaldFault::Silent { program, time: ONE_ENTRY };
        timeout(ONE_ENTRY, first_line).await.map_err(silent)?
    }

    fn misread(&self, error: ExportError) -> JournaldFault {
        JournaldFault::Format { program: command::program(self.config), error }
    }

    /// Memory for one block; none at a stop.
    async fn room(&mut self, acks: &JournaldAcks) -> Option<Held> {
        loop {
            let freed = self.intake.room_freed();
            if !self.lane.is_blocked() {
                break;
            }
            tokio::select! {
                () = self.stop.requested() => return None,
                () = freed => {}
                _ = self.clock.tick() => report_lag(acks, &self.intake),
            }
        }
        let admitted = self.intake.admit(BLOCK);
        tokio::pin!(admitted);
        loop {
            tokio::select! {
                () = self.stop.requested() => return None,
                _room = admitted.as_mut() => break,
                _ = self.clock.tick() => report_lag(acks, &self.intake),
            }
        }
        // What waits for entries that may never come lets nobody wait for it.
        let mut held = self.intake.standing();
        held.resize(BLOCK as u64);
        Some(held)
    }

    async fn next_block(
        &mut self,
        child: &mut JournalctlChild,
        bytes: &mut BytesMut,
        acks: &JournaldAcks,
    ) -> Result<NextBlock, JournaldFault> {
        bytes.reserve(BLOCK);
        loop {
            tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(NextBlock::Stopped),
                () = acks.given_up() => return Ok(NextBlock::GivenUp),
                read = child.read(bytes) => return read.map(NextBlock::Read),
                // There is nothing to read.
                _ = self.clock.tick() => {
                    if !self.context.once && self.since.elapsed() >= WORKS {
                        self.patience.works();
                    }
                    report_lag(acks, &self.intake);
                    acks.is_complete(Timestamp::now());
                }
            }
        }
    }

    /// Hands over all entries that are whole; whether there is somebody to take them.
    async fn hand_over(
        &mut self,
        buffer: &mut EntryBuffer,
        acks: &Arc<JournaldAcks>,
    ) -> Result<bool, JournaldFault> {
        loop {
            match buffer.next().map_err(|error| self.misread(error))? {
                BufferedEntries::Nothing => return Ok(true),
                BufferedEntries::TooLarge(len, ends) => {
                    self.intake.metrics.lost("too_large", len as u64);
                    if ends {
                        let source = &*self.context.name;
                        warn!(
                            source,
                            "an entry of the journal is left out: it is larger than any that standpipe takes"
                        );
                    }
                }
                BufferedEntries::Entries(payload, cursor) => {
                    self.patience.works();
                    self.read_to.clone_from(&cursor);
                    let read_at = Timestamp::now();
                    let held = self.intake.charge(payload.len());
                    self.intake.metrics.bytes.inc_by(payload.len() as u64);
                    let chunk = Chunk {
                        origin: Arc::clone(&self.origin),
                        payload,
                        piece: Piece::default(),
                        read_at,
                        ack: acks.open(cursor, read_at),
                        held,
                    };
                    if self.intake.submit(&self.lane, chunk).await.is_err() {
                        return Ok(false);
                    }
                }
            }
        }
    }
}

fn clock() -> Interval {
    let mut clock = interval_at(Instant::now() + REPORT, REPORT);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

fn report_lag(acks: &JournaldAcks, intake: &Intake) {
    let lag = acks.oldest_unacknowledged().map_or(0, |oldest| Timestamp::now().0.saturating_sub(oldest.0));
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    intake.metrics.lag_seconds.set(lag.max(0) as f64 / 1_000.0);
}
