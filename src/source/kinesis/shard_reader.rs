//! Reads one shard, answer after answer, whichever way they come.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::answer::{AnswerAtHand, FeedAnswer};
use super::client::{IteratorStart, StreamFault, StreamFaultKind};
use super::feed::ShardFeed;
use super::held_lease::HeldLease;
use super::place::{RecordPlace, ShardMark};
use super::reading::{NotHandedOver, RecordGroups, StreamReading};
use super::records::{PageRecord, RecordsPage};
use super::rival::RivalWatch;
use super::shards::ListedShard;
use crate::ack::PositionTracker;
use crate::config::StreamStart;
use crate::event::{Field, Origin, Timestamp};
use crate::pipeline::{OrderedLane, WhenFullDestination};
use crate::source::holds::HoldPatience;

/// How the reading of a shard ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadEnd {
    /// All of it is read and done.
    Finished,
    /// A run that reads once has read what was there.
    CaughtUp,
    /// The lease is another's.
    Lost,
    /// The pipeline takes nothing more.
    Closed,
}

/// What comes after a page.
enum AfterPage {
    Another,
    CaughtUp,
    /// The shard has ended; this came of it, as far as it was told.
    Ended(Vec<ListedShard>),
}

/// Something was given up: it is read again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Reads one shard.
pub(super) struct ShardReader {
    reading: Arc<StreamReading>,
    held: Arc<HeldLease>,
    lane: Arc<OrderedLane>,
    origin: Origin,
    feed: ShardFeed,
    patience: HoldPatience,
    rival: RivalWatch,
    /// Where the feed begins when it begins anew.
    next: IteratorStart,
    /// Up to here all is done, of what the feed may bring again.
    done: Option<RecordPlace>,
}

impl ShardReader {
    pub(super) fn new(reading: &Arc<StreamReading>, held: &Arc<HeldLease>) -> Self {
        let stream_arn = Arc::clone(reading.client.stream_arn());
        let origin = reading.origin.clone().with(Field::Shard, Arc::clone(&held.shard));
        Self {
            lane: reading.intake.lane(WhenFullDestination::Wait),
            origin: origin.with(Field::StreamArn, stream_arn),
            feed: ShardFeed::new(reading, &held.shard),
            patience: reading.holds.patience(),
            rival: RivalWatch::default(),
            reading: Arc::clone(reading),
            held: Arc::clone(held),
            next: IteratorStart::TrimHorizon,
            done: None,
        }
    }

    /// Reads until the shard's end, or until there is another reason to end.
    pub(super) async fn run(mut self) -> ReadEnd {
        loop {
            let (tracker, from) = self.held.progress();
            self.begin(&from);
            match self.read(&tracker).await {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                Err(NotHandedOver::Closed) => return ReadEnd::Closed,
                Err(NotHandedOver::Lost) => return ReadEnd::Lost,
            }
            // Something was given up. What is under way still ends, and may move the place to begin at.
            tracker.ended().await;
            if tracker.is_revoked() {
                return ReadEnd::Lost;
            }
            self.reading.intake.metrics.error("abandoned");
            self.held.begin_again();
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn begin(&mut self, from: &ShardMark) {
        self.feed.begin_again();
        self.done = None;
        self.next = match (from, self.held.start, self.reading.start) {
            (ShardMark::Record(place), _, _) => {
                self.done = Some(place.clone());
                IteratorStart::With(place.clone())
            }
            (ShardMark::TrimHorizon | ShardMark::ShardEnd, _, _) => IteratorStart::TrimHorizon,
            (ShardMark::AtTimestamp | ShardMark::Latest, Some(time), _)
            | (ShardMark::AtTimestamp, None, StreamStart::At(time)) => IteratorStart::At(time),
            (ShardMark::AtTimestamp, None, StreamStart::Beginning | StreamStart::End) => {
                IteratorStart::TrimHorizon
            }
            // The take of the lease wrote this time down.
            (ShardMark::Latest, None, _) => IteratorStart::At(self.reading.began),
        };
    }

    /// None: something was given up.
    async fn read(
        &mut self,
        tracker: &Arc<PositionTracker<ShardMark>>,
    ) -> Result<Option<ReadEnd>, NotHandedOver> {
        while !tracker.is_given_up() {
            self.wait_for_room().await;
            if !self.held.is_ours().await {
                return Err(NotHandedOver::Lost);
            }
            match self.page(tracker).await? {
                AfterPage::Another => {}
                AfterPage::CaughtUp => return Ok(Some(ReadEnd::CaughtUp)),
                AfterPage::Ended(children) if children.is_empty() && !self.has_ended().await => {}
                AfterPage::Ended(children) => {
                    self.end_shard(children).await;
                    tracker.begin(ShardMark::ShardEnd, Timestamp::now()).settle();
                    tracker.ended().await;
                    if !tracker.is_given_up() {
                        return Ok(Some(ReadEnd::Finished));
                    }
                }
            }
        }
        Ok(None)
    }

    /// While a destination of the shard has no room, nothing is read: the stream keeps it.
    async fn wait_for_room(&self) {
        loop {
            let room = self.reading.intake.room_freed();
            tokio::pin!(room);
            room.as_mut().enable();
            if !self.lane.is_blocked() {
                return;
            }
            room.await;
        }
    }

    async fn page(&mut self, tracker: &Arc<PositionTracker<ShardMark>>) -> Result<AfterPage, NotHandedOver> {
        match self.feed.next(&self.next).await {
            FeedAnswer::Records(answer) => self.take(answer, tracker).await,
            FeedAnswer::Later(None) => Ok(AfterPage::Another),
            FeedAnswer::Later(Some(fault)) => {
                self.wait_after(&fault).await;
                Ok(AfterPage::Another)
            }
            FeedAnswer::Unbegun(fault) => Ok(self.unbegun(fault).await),
            FeedAnswer::Taken { fault, from_us } => {
                // A new owner of the lease, which has to be known before the shard is taken back from it.
                if !self.held.confirm().await {
                    return Err(NotHandedOver::Lost);
                }
                self.wait_after(&fault).await;
                if from_us && self.rival.took(Instant::now()) {
                    self.patience.note(&fault.message);
                }
                Ok(AfterPage::Another)
            }
        }
    }

    async fn take(
        &mut self,
        answer: AnswerAtHand,
        tracker: &Arc<PositionTracker<ShardMark>>,
    ) -> Result<AfterPage, NotHandedOver> {
        let AnswerAtHand { bytes, mut memory } = answer;
        let reading = Arc::clone(&self.reading);
        let Some(page) = RecordsPage::whole(&bytes) else {
            drop(memory);
            self.feed.begin_again();
            let fault = reading.client.unreadable(self.feed.operation());
            self.wait_after(&fault).await;
            return Ok(AfterPage::Another);
        };
        if !self.rival.is_there(Instant::now()) {
            self.patience.works();
        }
        memory.held.resize((bytes.len() + page.payload()) as u64);
        let goes_on = self.feed.goes_on(&page);
        let done = self.done.clone();
        let groups = RecordGroups::new(&reading, &self.held, tracker, &self.lane, &self.origin);
        groups.hand_over(&page, done.as_ref(), &mut memory.held).await?;
        Ok(self.after(&page, goes_on))
    }

    fn after(&mut self, page: &RecordsPage<'_>, goes_on: bool) -> AfterPage {
        let last = page.records.last().and_then(PageRecord::sequence);
        if last.is_some() {
            self.done = None;
        }
        if let Some(next) = page.continuation().or(last) {
            self.next = IteratorStart::After(next);
        }
        self.held.set_behind(page.millis_behind_latest.unwrap_or(0));
        if !goes_on {
            return AfterPage::Ended(page.children());
        }
        let since = Timestamp::now().0.saturating_sub(self.reading.began.0);
        let behind = page.millis_behind_latest.unwrap_or(if page.records.is_empty() { 0 } else { i64::MAX });
        if self.reading.is_once && behind <= since { AfterPage::CaughtUp } else { AfterPage::Another }
    }

    /// What follows when the feed could not begin where it should.
    async fn unbegun(&mut self, fault: StreamFault) -> AfterPage {
        let by_number = matches!(self.next, IteratorStart::With(_) | IteratorStart::After(_));
        if fault.kind == StreamFaultKind::Refused && by_number {
            let (source, shard) = (&*self.reading.origin.source, &*self.held.shard);
            warn!(source, shard, error = %fault, "the stream does not have the shard's position any more; reading goes on with its oldest record");
            self.reading.intake.metrics.error("expired_position");
            self.next = IteratorStart::TrimHorizon;
            return AfterPage::Another;
        }
        if fault.kind == StreamFaultKind::Gone
            && let Ok(graph) = self.reading.client.shards().await
            && !graph.has(&self.held.shard)
        {
            // Its records are older than the stream keeps them.
            return AfterPage::Ended(graph.children(&self.held.shard).into_iter().cloned().collect());
        }
        self.wait_after(&fault).await;
        AfterPage::Another
    }

    async fn wait_after(&mut self, fault: &StreamFault) {
        self.reading.intake.metrics.error(fault.kind.reason());
        let is_early = fault.kind == StreamFaultKind::Refused && matches!(self.next, IteratorStart::At(_));
        if fault.kind.needs_somebody() && !is_early {
            self.patience.hold(&fault.message).await;
        } else {
            // The service's clock may be behind ours, and it takes no time that is yet to come.
            self.patience.pause(&fault.message).await;
        }
    }

    /// Whether the stream lists the shard as closed, or not at all any more. An answer that says nothing of what comes next may be one
    /// that something on its way cut short.
    async fn has_ended(&mut self) -> bool {
        let fault = match self.reading.client.shards().await {
            Ok(graph) if !graph.is_open(&self.held.shard) => return true,
            Ok(_) => self.reading.client.unreadable(self.feed.operation()),
            Err(fault) => fault,
        };
        self.wait_after(&fault).await;
        false
    }

    /// Sees to it that somebody reads on where the shard ends: from its end on, nobody asks.
    async fn end_shard(&mut self, told: Vec<ListedShard>) {
        loop {
            let fault = match self.add_children(&told).await {
                Ok(()) => return self.patience.works(),
                Err(fault) => fault,
            };
            self.patience.pause(&fault).await;
        }
    }

    async fn add_children(&self, told: &[ListedShard]) -> Result<(), String> {
        let (client, store) = (&self.reading.client, &self.reading.store);
        let graph = client.shards().await.map_err(|fault| fault.message)?.with(told);
        let leases = store.leases_by_now().await.map_err(|fault| fault.message)?;
        let now = Timestamp::now();
        for lease in graph.missing_after(&self.held.shard, &leases, self.reading.start, now) {
            // After a pause, who has the lease by now may have been done with those that are missing, and have removed them.
            if !self.held.is_ours().await {
                return Ok(());
            }
            store.create(&lease).await.map_err(|fault| fault.message)?;
        }
        let children: Vec<Arc<str>> =
            graph.children(&self.held.shard).into_iter().map(|child| Arc::clone(&child.id)).collect();
        store.set_children(&self.held.shard, &children).await.map_err(|fault| fault.message)
    }
}
