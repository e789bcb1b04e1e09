//! The loop of one destination: takes records, keeps a window of requests under way, and ends every record.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use super::answer::{Answer, Rejected, THROTTLED};
use super::cap::RateCap;
use super::capped_sends::CappedSends;
use super::destination_name::DestinationName;
use super::hold_state::HoldState;
use super::in_flight::{Completed, InFlight, RequestTimes};
use super::pacing::{Pacing, Room};
use super::pending_request::{PendingRequest, RetryQueue};
use super::record_queue::RecordQueue;
use super::resources::SinkResources;
use super::send_order::SendOrder;
use super::service::SinkService;
use super::step::RefusedBy;
use crate::config::Compression;
use crate::event::{AckGuard, Record};
use crate::limits::TARGET_RECORD_BYTES;
use crate::metrics::{DestinationTally, DestinationTrouble, SinkMetrics, gauge};

/// One destination's loop.
#[derive(Debug)]
pub struct DeliveryLoop<S, P> {
    pub(super) service: Arc<S>,
    pub(super) record_queue: Arc<P>,
    pub(super) resources: SinkResources,
    pub(super) metrics: SinkMetrics,
    compression: Compression,
    /// The sink's and the destination's name, for people.
    pub(super) label: DestinationName,
    pub(super) tally: Arc<DestinationTally>,
    pub(super) pacing: Pacing,
    /// The user's own limit, which the sink's destinations share.
    pub(super) cap: CappedSends,
    /// What a request carries while nothing limits it.
    pub(super) full: Room,
    pub(super) retries: RetryQueue,
    /// The order in which requests take memory, and in which they leave.
    memory_order: SendOrder,
    departure_order: SendOrder,
    pub(super) in_flight: JoinSet<Completed>,
    /// When the first event came of each request that is under way.
    under_way: Vec<Instant>,
    /// Nothing is sent before this.
    pub(super) paused_until: Option<Instant>,
    pub(super) held: Option<HoldState>,
    pub(super) last_logged: Option<Instant>,
    pub(super) issue_reported: bool,
    /// The queue has ended.
    ended: bool,
    /// What is not under way is handed over to whoever runs next.
    handed_over: bool,
}

/// How a destination's loop is set up.
#[derive(Debug)]
pub struct DeliverySettings {
    /// How records are compressed.
    pub compression: Compression,
    /// Most requests under way.
    pub window: usize,
    /// The user's own limit, which the sink's destinations share; none: there is none.
    pub cap: Option<Arc<RateCap>>,
    /// The sink's and the destination's name, for people.
    pub label: DestinationName,
    /// What the destination counts.
    pub tally: Arc<DestinationTally>,
}

/// How long nothing is taken after a request of no records.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

/// This many failed requests in a row are an issue.
const ISSUE_AFTER: u32 = 3;

impl<S: SinkService, P: RecordQueue> DeliveryLoop<S, P> {
    /// The loop of one destination.
    #[must_use]
    pub fn new(
        service: Arc<S>,
        record_queue: Arc<P>,
        resources: SinkResources,
        metrics: SinkMetrics,
        settings: DeliverySettings,
    ) -> Self {
        let DeliverySettings { compression, window, cap, label, tally } = settings;
        let pacing = Pacing::new(window, Instant::now());
        let smaller = service.best_request(window, compression != Compression::None);
        let full = smaller.map_or(Room::Full, |most| Room::Bytes { most, record: TARGET_RECORD_BYTES });
        metrics.concurrency.add(gauge(pacing.window()));
        Self {
            service,
            record_queue,
            resources,
            metrics,
            compression,
            label,
            tally,
            pacing,
            cap: CappedSends::new(cap),
            full,
            retries: RetryQueue::default(),
            memory_order: SendOrder::default(),
            departure_order: SendOrder::default(),
            in_flight: JoinSet::new(),
            under_way: Vec::new(),
            paused_until: None,
            held: None,
            last_logged: None,
            issue_reported: false,
            ended: false,
            handed_over: false,
        }
    }

    /// Delivers until the queue is empty and has ended; once handed over, waits for requests under way, and pieces to be stored.
    pub async fn run(mut self) {
        loop {
            if self.handed_over {
                self.retries.hand_over(&*self.record_queue);
            }
            let now = Instant::now();
            self.note_cap(now);
            let window = self.pacing.window();
            let may_send =
                self.in_flight.len() < window && self.blocked_until().is_none_or(|until| until <= now);
            if may_send && let Some(request) = self.retries.take_due(self.room().bytes(), now) {
                self.resend(request);
                continue;
            }
            if self.ended && self.in_flight.is_empty() && self.retries.is_empty() {
                break;
            }
            let may_take = may_send
                && !self.ended
                && self.in_flight.len().saturating_add(self.retries.requests()) < window;
            self.pacing.idle(may_take, now);
            let wake = self.wake(now);
            tokio::select! {
                // Answers first: they free memory, and tell how the service is.
                biased;
                Some(completed) = self.in_flight.join_next(), if !self.in_flight.is_empty() => self.on_response(completed),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                () = self.record_queue.handed_over(), if !self.handed_over => (self.ended, self.handed_over) = (true, true),
                taken = self.record_queue.take(), if may_take => match taken {
                    Some(records) if records.is_empty() => self.skip_empty(now),
                    Some(records) => self.send_or_wait(PendingRequest::new(records)),
                    None => self.ended = true,
                },
            }
        }
        if self.handed_over {
            self.record_queue.handed_over().await;
        }
        self.metrics.concurrency.sub(gauge(self.pacing.window()));
        self.metrics.rate_limit.sub(self.rate_limit());
        self.set_held(None);
        self.clear_issue();
    }

    /// A request of no records would be refused for ever, and no record of it could be found at fault. The queue gives none; were
    /// there one after all, the queue is asked again, but not at once.
    fn skip_empty(&mut self, now: Instant) {
        debug_assert!(false, "the queue gave a request of no records");
        self.paused_until = Some(now + EMPTY_PAUSE);
    }

    /// Others may have used up what the sink may send while this waited for records.
    fn send_or_wait(&mut self, request: PendingRequest) {
        let now = Instant::now();
        if self.cap.must_wait(now) {
            self.retries.push(now, request);
        } else {
            self.send(request);
        }
    }

    fn resend(&mut self, mut request: PendingRequest) {
        let (room, bytes) = (self.room(), request.bytes());
        if !request.isolated && room.bytes() > bytes {
            let more = self.record_queue.top_up(request.records.len(), bytes);
            request.records.extend(more);
        }
        self.send(request);
    }

    fn send(&mut self, mut request: PendingRequest) {
        let room = self.room();
        let now = Instant::now();
        if let Some(rest) = request.keep(room) {
            self.retries.push(now, rest);
        }
        debug_assert!(!request.records.is_empty(), "a request of no records");
        self.under_way.extend(request.oldest());
        self.pacing.send(request.load(), self.retries.load(), now, fastrand::f64());
        self.cap.send(&request, now);
        let (service, resources, compression) =
            (Arc::clone(&self.service), self.resources.clone(), self.compression);
        let in_flight = InFlight {
            request,
            memory_slot: self.memory_order.next(),
            departure_slot: self.departure_order.next(),
            started: now,
        };
        self.in_flight.spawn(async move { in_flight.send(&*service, compression, &resources).await });
        self.note_oldest();
    }

    /// Tells how old the oldest record is that was taken from the queue and has not ended.
    fn note_oldest(&self) {
        self.tally.taken_since(self.under_way.iter().copied().chain(self.retries.oldest()).min());
    }

    fn on_response(&mut self, completed: Result<Completed, tokio::task::JoinError>) {
        let Ok(Completed { request, answer, times }) = completed else {
            // Its ack guards were dropped: the source keeps the data. Only a panic or the deadline leads here.
            error!(sink = self.label.sink, stream = self.label.stream, "a request was given up");
            return;
        };
        let now = Instant::now();
        if let Some(at) = self.under_way.iter().position(|since| Some(*since) == request.oldest()) {
            self.under_way.swap_remove(at);
        }
        debug!(
            sink = self.label.sink,
            stream = self.label.stream,
            records = request.records.len(),
            bytes = request.bytes(),
            seconds = now.duration_since(times.sent).as_secs_f64(),
            ?answer,
            "a request was answered"
        );
        let (window_before, rate_before) = (self.pacing.window(), self.rate_limit());
        match answer {
            Answer::Accepted(rejected) => self.accepted(request, &rejected, times, now),
            Answer::TryLater { outcome, message } => {
                self.try_later(request, times, now, outcome, &message);
            }
            Answer::Held(hold) => self.hold(request, times.started, now, &hold),
            Answer::Refused { code, message, is_too_large: false } => {
                self.refused(request, &code, &message, now);
            }
            Answer::Refused { code, message, is_too_large: true } => {
                self.too_large(request, &code, &message, now);
            }
        }
        self.metrics.concurrency.add(gauge(self.pacing.window()).saturating_sub(gauge(window_before)));
        self.metrics.rate_limit.add(self.rate_limit().saturating_sub(rate_before));
        self.tally.limited(self.rate_limit());
        self.record_queue.set_failing(self.pacing.is_failing() || self.held.is_some());
        self.note_oldest();
    }

    /// For the metric.
    #[expect(clippy::cast_possible_truncation, reason = "bytes a second")]
    fn rate_limit(&self) -> i64 {
        self.pacing.rate().map_or(0, |rate| rate as i64)
    }

    fn accepted(
        &mut self,
        request: PendingRequest,
        rejected: &[Rejected],
        times: RequestTimes,
        now: Instant,
    ) {
        self.metrics.duration.observe(now.duration_since(times.sent).as_secs_f64());
        self.metrics.request(if rejected.is_empty() { "ok" } else { "partial" });
        let count = request.records.len();
        self.tally.refused(rejected.len());
        if rejected.len() < count {
            self.tally.accepted(now);
            self.pacing.accepted(now);
            self.resume();
        }
        let attempts = request.attempts.saturating_add(1);
        let load = request.load();
        let mut refused = rejected.iter().peekable();
        let mut again = Vec::new();
        for (index, record) in request.records.into_iter().enumerate() {
            match refused.next_if(|rejected| rejected.index == index) {
                Some(rejected) => {
                    self.metrics.rejected(&rejected.code, 1);
                    again.push(record);
                }
                None => self.delivered(record),
            }
        }
        let again = PendingRequest { records: again, attempts, isolated: request.isolated };
        self.pacing.answered(times.started, now, load, again.load(), RefusedBy::Records);
        if !again.records.is_empty() {
            let delay = Pacing::record_delay(attempts, fastrand::f64());
            if again.records.len() == count {
                self.pause_after_failure(times.sent, now);
            }
            self.retries.push(now + delay, again);
        }
    }

    fn delivered(&self, record: Record) {
        let billed = self.service.billed(record.len);
        self.tally.delivered(record.events, record.payload, billed);
        self.metrics.deliver(record.events);
        self.metrics.delivered_bytes.inc_by(record.payload as u64);
        self.metrics.billed_bytes.inc_by(billed as u64);
        self.metrics.records.inc();
        self.record_queue.release(record.payload);
        record.acks.into_iter().for_each(AckGuard::settle);
    }

    fn try_later(
        &mut self,
        mut request: PendingRequest,
        times: RequestTimes,
        now: Instant,
        outcome: &'static str,
        message: &str,
    ) {
        self.metrics.request(outcome);
        let load = request.load();
        match outcome {
            THROTTLED => {
                self.tally.refused(request.records.len());
                self.pacing.answered(times.started, now, load, load, RefusedBy::Call);
            }
            _broken => {
                self.tally.failed();
                self.pacing.broke(times.sent, now);
            }
        }
        self.pause_after_failure(times.sent, now);
        if self.pacing.failures() >= ISSUE_AFTER {
            self.report_issue(DestinationTrouble { reason: None, message: message.to_owned(), fix: None });
            if self.may_log(now) {
                warn!(
                    sink = self.label.sink,
                    stream = self.label.stream,
                    outcome,
                    error = message,
                    "not delivering; data is kept and will be sent again"
                );
            }
        }
        request.attempts = request.attempts.saturating_add(1);
        self.retries.push(now + Pacing::record_delay(request.attempts, fastrand::f64()), request);
    }

    fn pause_after_failure(&mut self, sent: Instant, now: Instant) {
        if let Some(delay) = self.pacing.failed(sent, now, fastrand::f64()) {
            // A request that hung has waited already.
            self.paused_until = Some(now.max(sent + delay));
        }
    }
}
