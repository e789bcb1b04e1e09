//! The loop of a source: lists log groups, asks for pages in turn, and hands new events to the workers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::call_budget::CallBudget;
use super::catalog::{self, GroupCatalog};
use super::ended_call::EndedCall;
use super::group::LogGroup;
use super::listing::ListedGroup;
use super::page::{LogPage, PageEvent};
use super::plan::{OnceUntil, PageAsk, Urgency};
use super::reports::{IncompleteRun, Reports, TELL_EVERY};
use super::seen::EventKey;
use super::seen_files::{SeenFiles, on_disk};
use super::service::{EventsAsk, LogsService, PullFault, PullFaultKind};
use super::turns::Turns;
use crate::config::PullSource;
use crate::event::{Chunk, Held, Origin, Piece, Timestamp};
use crate::pipeline::{Intake, WhenFullDestination};
use crate::source::lifecycle::{SourceContext, SourceError};
use crate::source::stop::Stop;

/// Most calls under way.
const MOST_CALLS: usize = 32;

/// Memory for the first page, and the least for any: a page has a megabyte of messages at most, escaped.
const PAGE: usize = 1 << 20;

/// What is known of an event of a page while it is looked at, in bytes: twice where it stands, and its key.
const PER_EVENT: usize = 2 * size_of::<PageEvent>() + size_of::<EventKey>();

/// Ids are stored so often.
const STORE_EVERY: Duration = Duration::from_millis(50);

/// A round of all log groups is not reckoned longer than a day, in seconds.
const LONGEST_ROUND: f64 = 86_400.0;

/// A source at work.
pub(super) struct Puller<S> {
    pub(super) service: Arc<S>,
    pub(super) config: PullSource,
    pub(super) context: SourceContext,
    pub(super) groups: GroupCatalog,
    pub(super) once: Option<OnceUntil>,
    pub(super) reports: Reports,
    pub(super) changed: Arc<Notify>,
    turns: Turns,
    budget: CallBudget,
    calls: JoinSet<EndedCall>,
    lists: JoinSet<Result<Vec<ListedGroup>, PullFault>>,
    list_at: Instant,
    list_pause: Duration,
    /// Memory that is waited for; at most one.
    admissions: JoinSet<Held>,
    admitted: Option<Held>,
    /// The bytes of the largest of the last pages.
    page_bytes: usize,
    store_at: Instant,
    /// The last time that was told, in milliseconds since 1970.
    clock: i64,
    /// More may be remembered than a moment ago.
    is_grown: bool,
    /// Why ids could not be stored; nothing is asked for meanwhile.
    pub(super) unstorable: Option<String>,
}

impl<S: LogsService> Puller<S> {
    pub(super) fn new(service: S, config: PullSource, context: SourceContext) -> Result<Self, SourceError> {
        let now = Instant::now();
        let once = context.once.then(|| OnceUntil(Timestamp::now().0));
        Ok(Self {
            service: Arc::new(service),
            groups: GroupCatalog::new(&config)?,
            budget: CallBudget::new(config.calls, now),
            config,
            context,
            once,
            reports: Reports::default(),
            changed: Arc::default(),
            turns: Turns::default(),
            calls: JoinSet::new(),
            lists: JoinSet::new(),
            list_at: now,
            list_pause: Duration::ZERO,
            admissions: JoinSet::new(),
            admitted: None,
            page_bytes: PAGE,
            store_at: now,
            clock: i64::MIN,
            is_grown: false,
            unstorable: None,
        })
    }

    /// Reads until a stop, or to the end with `--once`.
    pub(super) async fn run(&mut self, intake: &Intake, stop: Stop) -> Result<(), SourceError> {
        self.groups.claim(&self.context);
        let result = self.read(intake, stop).await;
        // What is asked for is not waited for.
        (self.calls, self.lists) = (JoinSet::new(), JoinSet::new());
        self.let_memory_go();
        result
    }

    async fn read(&mut self, intake: &Intake, mut stop: Stop) -> Result<(), SourceError> {
        let mut standing = intake.standing();
        loop {
            // From here on, room that opens is noticed.
            let room = intake.room_freed();
            self.watch_clock();
            self.collect(intake);
            self.store_if_due(false).await;
            if self.report(intake) || self.is_grown {
                self.is_grown = false;
                standing.resize(self.groups.bound_memory());
            }
            if self.is_done()? {
                return Ok(());
            }
            let wake = self.start_calls(intake);
            tokio::select! {
                () = stop.requested() => return Ok(()),
                Some(ended) = self.calls.join_next() => {
                    // A panic aborts the process.
                    if let Ok(ended) = ended {
                        self.ended(ended, intake).await;
                    }
                }
                Some(ended) = self.lists.join_next() => {
                    if let Ok(ended) = ended {
                        self.listed(ended, intake).await?;
                    }
                }
                Some(held) = self.admissions.join_next() => self.admitted = held.ok(),
                () = self.changed.notified() => {}
                () = room => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Stores what was delivered: the last thing of a source.
    pub(super) async fn finish(&mut self) -> Result<(), SourceError> {
        for group in self.groups.all_mut() {
            group.collect();
        }
        self.store_if_due(true).await;
        match self.unstorable.take() {
            Some(problem) => Err(SourceError::Other(Box::new(IncompleteRun(problem)))),
            None => Ok(()),
        }
    }

    /// What is planned for a time must not wait longer where the clock was set back.
    fn watch_clock(&mut self) {
        let now = Timestamp::now().0;
        let back = self.clock.saturating_sub(now);
        if back > 0 {
            self.groups.all_mut().for_each(|group| group.set_back(back));
        }
        self.clock = now;
    }

    fn collect(&mut self, intake: &Intake) {
        for group in self.groups.all_mut() {
            if group.collect() {
                intake.metrics.error("abandoned");
            }
        }
    }

    async fn store_if_due(&mut self, is_last: bool) {
        let now = Instant::now();
        if is_last || now >= self.store_at {
            self.unstorable = self.groups.store(Timestamp::now().0, is_last).await.err();
            // A disk that is full is asked once a second.
            let pause = if self.unstorable.is_some() { TELL_EVERY } else { STORE_EVERY };
            self.store_at = now + pause;
        }
    }

    /// Whether a run with `--once` has come to its end.
    fn is_done(&self) -> Result<bool, SourceError> {
        if self.once.is_none() || !self.calls.is_empty() || !self.groups.is_listed {
            return Ok(false);
        }
        if !self.groups.all().all(LogGroup::is_done) {
            return Ok(false);
        }
        match self.reports.issue(&self.groups, None) {
            Some(issue) => Err(SourceError::Other(Box::new(IncompleteRun(issue)))),
            None => Ok(true),
        }
    }

    /// Starts the calls that may be made now, and says when to look again.
    fn start_calls(&mut self, intake: &Intake) -> Instant {
        let now = Instant::now();
        self.start_list(now);
        let mut wake = self.store_at.max(now + STORE_EVERY).min(self.reports.next());
        if self.lists.is_empty() {
            wake = wake.min(self.list_at);
        }
        if self.unstorable.is_some() {
            self.let_memory_go();
            return wake;
        }
        while self.calls.len() < MOST_CALLS {
            let wall = Timestamp::now().0;
            let (group, urgency) = match self.turns.next(self.groups.readiness(), wall) {
                Ok(turn) => turn,
                Err(at) => {
                    self.let_memory_go();
                    let pause = at.map_or(TELL_EVERY, |at| milliseconds(at.saturating_sub(wall)));
                    return wake.min(now + pause);
                }
            };
            if let Err(at) = self.budget.take(now) {
                self.let_memory_go();
                return wake.min(at);
            }
            if !self.has_memory(intake) {
                self.budget.give_back();
                break;
            }
            self.turns.take(urgency);
            if !self.start_call(group, urgency, wall) {
                self.budget.give_back();
            }
        }
        wake
    }

    /// Memory is not kept from others while this waits for anything but memory.
    fn let_memory_go(&mut self) {
        (self.admitted, self.admissions) = (None, JoinSet::new());
    }

    fn has_memory(&mut self, intake: &Intake) -> bool {
        let bytes = self.page_bytes.saturating_mul(2);
        if self.admitted.is_none() {
            self.admitted = intake.try_admit(bytes);
        }
        if self.admitted.is_none() && self.admissions.is_empty() {
            let intake = intake.clone();
            self.admissions.spawn(async move { intake.admit(bytes).await });
        }
        self.admitted.is_some()
    }

    fn start_call(&mut self, number: usize, urgency: Urgency, now: i64) -> bool {
        let Some(group) = self.groups.get_mut(number) else { return false };
        let Some(ask) = group.ask(urgency, now) else { return false };
        let Some(held) = self.admitted.take() else { return false };
        let (service, listed) = (Arc::clone(&self.service), group.listed.clone());
        self.calls.spawn(async move {
            let call = EventsAsk { group: listed, from: ask.from, to: ask.to, token: ask.token.clone() };
            let result = service.events(&call).await;
            EndedCall { group: number, ask, result, held }
        });
        true
    }

    async fn ended(&mut self, ended: EndedCall, intake: &Intake) {
        let EndedCall { group: number, ask, result, held } = ended;
        let Some(group) = self.groups.get_mut(number) else { return };
        group.is_answered();
        self.is_grown = true;
        match result {
            Ok(bytes) => {
                intake.metrics.pull.call("answered");
                if let Ok(page) = LogPage::scan(&bytes) {
                    return self.page(number, ask.tier, PageAnswer { bytes, page, held }, intake).await;
                }
                let arn = &group.listed.arn;
                let message = format!("the answer to logs:FilterLogEvents for `{arn}` cannot be read");
                intake.metrics.error("unreadable");
                group.hold(PullFault { kind: PullFaultKind::Passing, message }, Timestamp::now().0);
            }
            Err(fault) => self.failed(number, &ask, fault, intake),
        }
    }

    fn failed(&mut self, number: usize, ask: &PageAsk, fault: PullFault, intake: &Intake) {
        let now = Timestamp::now().0;
        let Some(group) = self.groups.get_mut(number) else { return };
        let is_throttle = fault.kind == PullFaultKind::Throttled;
        intake.metrics.pull.call(if is_throttle { "throttled" } else { "failed" });
        intake.metrics.error(fault.kind.reason());
        match fault.kind {
            PullFaultKind::Throttled => self.budget.throttled(Instant::now()),
            PullFaultKind::Gone => {
                group.set_gone(Some(now));
                // It may have been created again.
                self.list_at = self.list_at.min(Instant::now() + TELL_EVERY);
            }
            PullFaultKind::Token => {
                group.begin_slice_again(ask.tier);
                group.hold(fault, now);
            }
            PullFaultKind::Passing
            | PullFaultKind::Denied
            | PullFaultKind::Credentials
            | PullFaultKind::Refused => group.hold(fault, now),
        }
    }

    /// Hands the new events of a page to the workers.
    async fn page(&mut self, number: usize, tier: usize, answer: PageAnswer, intake: &Intake) {
        let PageAnswer { bytes, page, mut held } = answer;
        let interval = self.interval();
        self.page_bytes = bytes.len().max(self.page_bytes - self.page_bytes / 16).max(PAGE);
        let Some(group) = self.groups.get_mut(number) else { return };
        let in_memory = bytes.len() + page.events.len() * PER_EVENT;
        held.resize(in_memory as u64);
        if let Err(message) = group.load(&page).await {
            // The page is asked for again.
            intake.metrics.error("state");
            return group.hold(PullFault { kind: PullFaultKind::Passing, message }, Timestamp::now().0);
        }
        let new = group.sift(&bytes, &page);
        self.reports.late(new.latest);
        let payload = if new.events.is_empty() { Bytes::new() } else { group.envelopes(&bytes, &new) };
        held.resize((in_memory + payload.len()) as u64);
        drop(bytes);
        let ack = group.read(tier, page, new, interval);
        held.resize(payload.len() as u64);
        if payload.is_empty() {
            return ack.settle();
        }
        intake.metrics.bytes.inc_by(payload.len() as u64);
        let read_at = Timestamp::now();
        let (source, host) = (Arc::clone(&self.context.name), Arc::clone(&self.context.host));
        let origin = Arc::new(Origin::new(source, host));
        let chunk = Chunk { origin, payload, piece: Piece::default(), read_at, ack, held };
        let lane = Arc::clone(&group.lane);
        // A closed pipeline is a stop: the page is given up.
        intake.submit(&lane, chunk).await.ok();
    }

    /// The time between two calls of one log group, if all have equal shares, in milliseconds.
    fn interval(&self) -> i64 {
        let round = (self.groups.len_f64() / self.budget.rate()).min(LONGEST_ROUND);
        i64::try_from(Duration::from_secs_f64(round).as_millis()).unwrap_or(i64::MAX)
    }

    fn start_list(&mut self, now: Instant) {
        let is_due = now >= self.list_at && self.lists.is_empty();
        if is_due && (self.once.is_none() || !self.groups.is_listed) {
            let (service, patterns) = (Arc::clone(&self.service), self.groups.patterns.clone());
            self.groups.listing_began = Timestamp::now().0;
            self.lists.spawn(async move { catalog::list(&*service, &patterns).await });
        }
    }

    /// A list of log groups was made, or could not be.
    async fn listed(
        &mut self,
        result: Result<Vec<ListedGroup>, PullFault>,
        intake: &Intake,
    ) -> Result<(), SourceError> {
        let fault = match result {
            Ok(listed) => {
                self.list_pause = Duration::ZERO;
                self.list_at = Instant::now() + self.config.refresh;
                self.reports.unlisted = self.take_over(listed, intake).await.err();
                if self.reports.unlisted.is_some() {
                    intake.metrics.error("state");
                    self.list_at = Instant::now() + TELL_EVERY;
                }
                return Ok(());
            }
            Err(fault) => fault,
        };
        intake.metrics.error(fault.kind.reason());
        let is_hopeless = self.once.is_some() && fault.kind.needs_somebody();
        self.list_pause = (self.list_pause * 2).clamp(Duration::from_secs(1), Duration::from_mins(1));
        self.list_at = Instant::now() + self.list_pause;
        self.reports.unlisted = Some(format!("log groups cannot be listed: {}", fault.message));
        if is_hopeless { Err(SourceError::Other(Box::new(fault))) } else { Ok(()) }
    }

    /// Takes over what was listed.
    async fn take_over(&mut self, listed: Vec<ListedGroup>, intake: &Intake) -> Result<(), String> {
        let found = self.groups.compare(listed, self.config.start, &self.context);
        let mut found = found.into_iter();
        while let Some(group) = found.next() {
            let files = catalog::files(&group.listed, &self.context);
            let stored = match on_disk(files, SeenFiles::open).await {
                Ok(stored) => stored,
                Err(problem) => {
                    self.groups.put_back(std::iter::once(group).chain(found));
                    return Err(problem);
                }
            };
            let lane = intake.lane(WhenFullDestination::Wait);
            let parts = group.parts(lane, stored, &self.context, &self.changed);
            let window = i64::try_from(self.config.window.as_millis()).unwrap_or(i64::MAX);
            self.groups.add(LogGroup::new(parts, window, self.once, Timestamp::now().0));
        }
        self.groups.forget_gone(&self.context).await
    }

    /// Whether a second has passed.
    fn report(&mut self, intake: &Intake) -> bool {
        let window = self.config.window;
        let unstorable = self.unstorable.as_deref();
        self.reports.tell(&mut self.groups, &self.context, window, unstorable, intake)
    }
}

/// A page that came, and the memory that it takes.
struct PageAnswer {
    bytes: Bytes,
    page: LogPage,
    held: Held,
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0).max(1))
}
