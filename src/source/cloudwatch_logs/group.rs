//! A log group that is read: its plan, what of it is on its way, and what was delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::envelopes::GroupEnvelope;
use super::listing::ListedGroup;
use super::page::{LogPage, PageEvent};
use super::plan::{GroupPlan, OnceUntil, PageAsk, PageResult, PlanStart, Urgency};
use super::position::GroupPosition;
use super::seen::{BucketSpan, EventKey, SeenIds};
use super::seen_files::{SeenFiles, on_disk};
use super::service::{PullFault, PullFaultKind};
use super::turns::GroupReadiness;
use crate::ack::{LocalAccount, Watermark};
use crate::event::{AckGuard, Acknowledge, Outcome, Timestamp};
use crate::pipeline::OrderedLane;
use crate::sync::Lock;

/// The first pause after a fault, and the longest.
const FIRST_PAUSE: i64 = 1_000;
const LONGEST_PAUSE: i64 = 60_000;

/// A position is stored so long after the one before: what was read since is known by its ids.
const STORE_EVERY: i64 = 5_000;

/// A log group that cannot be read at present.
#[derive(Clone, Debug)]
pub(super) struct HeldGroup {
    /// In milliseconds since 1970.
    until: i64,
    pause: i64,
    pub(super) fault: PullFault,
}

/// What a group is made from.
pub(super) struct GroupParts {
    pub(super) listed: ListedGroup,
    pub(super) account: Arc<LocalAccount<GroupPosition>>,
    pub(super) lane: Arc<OrderedLane>,
    pub(super) files: SeenFiles,
    pub(super) stored: Vec<(BucketSpan, usize)>,
    /// Told when something ends.
    pub(super) changed: Arc<Notify>,
}

/// One log group.
pub(super) struct LogGroup {
    pub(super) listed: ListedGroup,
    pub(super) seen: SeenIds,
    pub(super) files: SeenFiles,
    pub(super) lane: Arc<OrderedLane>,
    pub(super) account: Arc<LocalAccount<GroupPosition>>,
    pub(super) held: Option<HeldGroup>,
    head: GroupEnvelope,
    plan: GroupPlan,
    window: i64,
    once: Option<OnceUntil>,
    ended: Arc<EndedPages>,
    settled: Watermark<PlanStart>,
    /// Events of pages that are on their way.
    under_way: BTreeMap<u64, Vec<EventKey>>,
    /// Events that were delivered, and whose ids are still to be stored.
    unstored: Vec<EventKey>,
    /// Files with ids that are still to be synced.
    unsynced: BTreeMap<i64, BucketSpan>,
    /// Up to here everything was delivered.
    reached: Option<PlanStart>,
    /// The floor that was stored last: ids before it are not needed, even after a kill.
    forgettable: i64,
    /// When the position is to be stored next.
    store_at: i64,
    is_asked: bool,
    /// Since when it is read.
    since: i64,
    is_shortened: bool,
    /// Whether it does not exist any more.
    is_gone: bool,
}

/// Hears of pages that ended.
struct EndedPages {
    /// The lock covers an entry, or taking all.
    ended: Lock<Vec<(u64, Outcome)>>,
    changed: Arc<Notify>,
}

impl Acknowledge for EndedPages {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        self.ended.lock().push((number, outcome));
        self.changed.notify_one();
    }
}

/// What of a page is new.
#[derive(Debug)]
pub(super) struct NewEvents {
    pub(super) events: Vec<PageEvent>,
    keys: Vec<EventKey>,
    /// The longest that one of them took to be ingested, in milliseconds.
    pub(super) latest: i64,
}

impl LogGroup {
    pub(super) fn new(parts: GroupParts, window: i64, once: Option<OnceUntil>, now: i64) -> Self {
        let GroupParts { listed, account, lane, files, stored, changed } = parts;
        let GroupPosition { start, gone, .. } = account.position();
        let head = GroupEnvelope::new(listed.owner(), &listed.name);
        let ended = Arc::new(EndedPages { ended: Lock::default(), changed });
        Self {
            seen: SeenIds::stored_before(stored),
            plan: GroupPlan::new(start, window, once, now),
            settled: Watermark::default(),
            under_way: BTreeMap::new(),
            unstored: Vec::new(),
            unsynced: BTreeMap::new(),
            reached: None,
            forgettable: i64::MIN,
            store_at: now,
            held: None,
            is_asked: false,
            is_shortened: false,
            is_gone: gone.is_some(),
            since: now,
            listed,
            files,
            lane,
            account,
            head,
            window,
            once,
            ended,
        }
    }

    /// When it may be asked next.
    pub(super) fn readiness(&self, group: usize) -> GroupReadiness {
        let is_open = !self.is_asked && !self.is_given_up() && !self.is_gone() && !self.lane.is_blocked();
        let held = self.held.as_ref().map_or(i64::MIN, |held| held.until);
        let ready = |urgency| self.plan.ready(urgency).filter(|_| is_open).map(|at| at.max(held));
        GroupReadiness { group, fresh: ready(Urgency::Fresh), late: ready(Urgency::Late) }
    }

    /// The page that is asked for now.
    pub(super) fn ask(&mut self, urgency: Urgency, now: i64) -> Option<PageAsk> {
        let ask = self.plan.ask(urgency, now);
        self.is_asked = ask.is_some();
        ask
    }

    /// What was asked for came, or did not.
    pub(super) fn is_answered(&mut self) {
        self.is_asked = false;
    }

    /// Reads the ids that a page's events have to be looked up in.
    pub(super) async fn load(&mut self, page: &LogPage) -> Result<(), String> {
        let missing = self.seen.missing(page.events.iter().map(|event| event.timestamp));
        for span in missing {
            let ids = on_disk(self.files.clone(), move |files| files.read(span)).await?;
            self.seen.load(span, ids);
        }
        Ok(())
    }

    /// The events of a page that were not seen before; they are on their way from now on.
    pub(super) fn sift(&mut self, bytes: &[u8], page: &LogPage) -> NewEvents {
        let mut new = NewEvents { events: Vec::new(), keys: Vec::new(), latest: 0 };
        for event in &page.events {
            let key = key(bytes, event);
            if self.seen.is_new(key) {
                new.events.push(*event);
                new.keys.push(key);
                new.latest = new.latest.max(event.ingested.saturating_sub(event.timestamp));
            }
        }
        new
    }

    /// The envelopes of new events.
    pub(super) fn envelopes(&self, bytes: &[u8], new: &NewEvents) -> Bytes {
        self.head.write(bytes, &new.events).into()
    }

    /// Notes a page that was read; its guard says when its events are delivered.
    pub(super) fn read(&mut self, tier: usize, page: LogPage, new: NewEvents, interval: i64) -> AckGuard {
        let now = Timestamp::now();
        self.held = None;
        let (events, is_news) = (page.events.len(), !new.events.is_empty());
        let result = PageResult { token: page.token, events, is_news };
        self.plan.answered(tier, now.0, result, interval);
        let number = self.settled.begin(self.plan.reached(), now);
        self.under_way.insert(number, new.keys);
        AckGuard::open(Arc::clone(&self.ended) as Arc<dyn Acknowledge>, number)
    }

    /// The token of a slice is not good any more.
    pub(super) fn begin_slice_again(&mut self, tier: usize) {
        self.plan.begin_again(tier);
    }

    /// Asks nothing for a while, longer each time.
    pub(super) fn hold(&mut self, fault: PullFault, now: i64) {
        let pause = self.held.as_ref().map_or(FIRST_PAUSE, |held| held.pause.saturating_mul(2));
        let pause = pause.min(LONGEST_PAUSE);
        let jitter = i64::try_from(fastrand::u64(..=pause.unsigned_abs() / 4)).unwrap_or(0);
        self.held = Some(HeldGroup { until: now.saturating_add(pause - jitter), pause, fault });
    }

    /// Takes in what ended. Whether anything was given up.
    pub(super) fn collect(&mut self) -> bool {
        let ended = std::mem::take(&mut *self.ended.ended.lock());
        for (number, outcome) in ended {
            let keys = self.under_way.remove(&number).unwrap_or_default();
            match outcome {
                Outcome::Done => self.unstored.extend(keys),
                Outcome::Abandoned => self.seen.forget(&keys),
            }
            if let Some((reached, _)) = self.settled.end(number, outcome) {
                self.reached = Some(reached);
            }
        }
        self.is_given_up() && self.begin_again()
    }

    /// Whether a page was given up: reading begins again where everything was delivered.
    const fn is_given_up(&self) -> bool {
        self.settled.is_stopped()
    }

    /// Begins where everything was delivered, once nothing is on its way.
    fn begin_again(&mut self) -> bool {
        if !self.under_way.is_empty() || self.is_asked {
            return false;
        }
        let start = self.reached.unwrap_or_else(|| self.account.position().start);
        self.plan = GroupPlan::new(start, self.window, self.once, Timestamp::now().0);
        self.settled = Watermark::default();
        true
    }

    /// Ids that are to be stored now.
    pub(super) fn unstored(&mut self) -> Vec<(BucketSpan, Vec<EventKey>)> {
        if self.unstored.is_empty() {
            Vec::new()
        } else {
            self.seen.place(&self.unstored).into_values().collect()
        }
    }

    /// They are stored; gives the buckets that are to be halved.
    pub(super) fn stored(&mut self, placed: &[(BucketSpan, Vec<EventKey>)]) -> Vec<BucketSpan> {
        self.unstored = Vec::new();
        let mut large = Vec::new();
        for (span, keys) in placed {
            self.unsynced.insert(span.from, *span);
            if self.seen.stored(*span, keys) {
                large.push(*span);
            }
        }
        large
    }

    /// Whether the position is to be stored, and the files that have to be synced before.
    pub(super) fn position_due(&self, now: i64, is_last: bool) -> Option<Vec<BucketSpan>> {
        let is_due = self.unstored.is_empty() && (is_last || now >= self.store_at);
        self.reached.filter(|_| is_due).map(|_| self.unsynced.values().copied().collect())
    }

    /// Stores the position, and gives the buckets that are not needed any more.
    pub(super) fn store_position(&mut self, now: i64) -> Vec<BucketSpan> {
        self.unsynced.clear();
        self.store_at = now.saturating_add(STORE_EVERY);
        let Some(reached) = self.reached.take() else { return Vec::new() };
        self.account.change(|position| position.start = reached);
        let gone = self.seen.forget_before(self.forgettable);
        self.forgettable = reached.floors.last();
        gone
    }

    /// The clock was set back by so much.
    pub(super) fn set_back(&mut self, by: i64) {
        self.plan.set_back(by);
        self.store_at = self.store_at.saturating_sub(by);
        if let Some(held) = &mut self.held {
            held.until = held.until.saturating_sub(by);
        }
    }

    /// Gives up a quarter of what is remembered, the oldest.
    pub(super) fn shorten(&mut self) {
        let floors = self.plan.reached().floors;
        let newest = floors.0.iter().copied().max().unwrap_or(0);
        self.plan.forget_before(floors.last().saturating_add(newest.saturating_sub(floors.last()) / 4));
        self.is_shortened = true;
    }

    /// How late an event may be and still be found, where that is less than the window.
    pub(super) fn shortened_window(&mut self, now: i64) -> Option<i64> {
        let window = now.saturating_sub(self.plan.reached().floors.last());
        self.is_shortened &= window < self.window;
        self.is_shortened.then_some(window)
    }

    /// Whether a run with `--once` is done with it.
    pub(super) fn is_done(&self) -> bool {
        let is_lost = self.held.as_ref().is_some_and(|held| held.fault.kind.needs_somebody());
        self.is_gone() || (self.once.is_some() && is_lost) || (self.plan.is_done() && !self.is_given_up())
    }

    /// Whether it does not exist any more.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Notes whether it exists, or since when it does not.
    pub(super) fn set_gone(&mut self, gone: Option<i64>) {
        if self.is_gone != gone.is_some() {
            self.is_gone = gone.is_some();
            self.account.change(|position| position.gone = gone);
        }
    }

    /// When the oldest events were read that are not delivered.
    pub(super) fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.settled.oldest()
    }

    /// How long ago it was last read to its end, in milliseconds.
    pub(super) fn poll_age(&self, now: i64) -> i64 {
        now.saturating_sub(self.plan.polled().unwrap_or(self.since))
    }
}

impl PullFaultKind {
    /// Whether it does not pass by itself.
    pub(super) const fn needs_somebody(self) -> bool {
        matches!(self, Self::Denied | Self::Credentials | Self::Refused)
    }
}

/// An event without an id is known by all else that it has.
fn key(bytes: &[u8], event: &PageEvent) -> EventKey {
    let id = event.id.of(bytes);
    if id.len() > 2 {
        return EventKey::of(event.timestamp, id);
    }
    let all = [event.stream.of(bytes), event.message.of(bytes)].concat();
    EventKey::of(event.timestamp, &all)
}
