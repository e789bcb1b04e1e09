//! The loop of one destination: takes records, keeps a window of requests under way, and ends every record.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::flight::{Flight, Flown, Places, fly};
use super::pacing::{Pacing, Room};
use super::parcel::{Parcel, Waiting};
use super::step::Refusal;
use super::succession::Succession;
use super::{Answer, Hold, Rejected, Service, Shared, THROTTLED};
use crate::config::Compression;
use crate::deadletter::{DeadLetter, PendingDeadLetter};
use crate::event::{AckGuard, Record, Timestamp};
use crate::limits::TARGET_RECORD_BYTES;
use crate::metrics::{SinkMetrics, gauge};
use crate::sink::RecordQueue;

/// One destination's loop.
#[derive(Debug)]
pub struct Delivery<S, P> {
    service: Arc<S>,
    record_queue: Arc<P>,
    shared: Shared,
    metrics: SinkMetrics,
    compression: Compression,
    /// The sink's and the destination's name, for people.
    label: String,
    pacing: Pacing,
    /// What a request carries while nothing limits it.
    full: Room,
    waiting: Waiting,
    /// The order in which requests take memory, and in which they leave.
    memory_order: Succession,
    departures: Succession,
    flying: JoinSet<Flown>,
    /// Nothing is sent before this.
    paused_until: Option<Instant>,
    held: Option<Held>,
    last_said: Option<Instant>,
    complained: bool,
    /// The record_queue has ended.
    ended: bool,
    /// What is not under way is left to whoever comes next.
    leaves: bool,
}

/// The state of a held destination.
#[derive(Debug)]
struct Held {
    reason: &'static str,
    attempts: u32,
    /// When it was said last.
    since: Instant,
}

/// The same issue is said no more often than this.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// So many failed requests in a row are a issue.
const COMPLAIN_AFTER: u32 = 3;

impl<S: Service, P: RecordQueue> Delivery<S, P> {
    /// The loop of the destination that `label` names, with at most `window` requests under way.
    #[must_use]
    pub fn new(
        service: Arc<S>,
        record_queue: Arc<P>,
        shared: Shared,
        metrics: SinkMetrics,
        settings: (Compression, usize, String),
    ) -> Self {
        let (compression, window, label) = settings;
        let pacing = Pacing::new(window, Instant::now());
        // Records that are compressed on their way make small requests anyway.
        let smaller = service.best_request(window).filter(|_| compression == Compression::None);
        let full = smaller.map_or(Room::Full, |most| Room::Bytes { most, record: TARGET_RECORD_BYTES });
        metrics.concurrency.add(gauge(pacing.window()));
        Self {
            service,
            record_queue,
            shared,
            metrics,
            compression,
            label,
            pacing,
            full,
            waiting: Waiting::default(),
            memory_order: Succession::default(),
            departures: Succession::default(),
            flying: JoinSet::new(),
            paused_until: None,
            held: None,
            last_said: None,
            complained: false,
            ended: false,
            leaves: false,
        }
    }

    /// Delivers until the record_queue has ended and every record has, or what is under way when the rest is left.
    pub async fn run(mut self) {
        loop {
            if self.leaves {
                self.waiting = Waiting::default();
            }
            let now = Instant::now();
            let window = self.pacing.window();
            let may_fly = self.flying.len() < window && self.blocked_until().is_none_or(|until| until <= now);
            if may_fly && let Some(parcel) = self.waiting.take_due(self.room().bytes(), now) {
                self.launch_again(parcel);
                continue;
            }
            if self.ended && self.flying.is_empty() && self.waiting.is_empty() {
                break;
            }
            let may_take =
                may_fly && !self.ended && self.flying.len().saturating_add(self.waiting.requests()) < window;
            let wake = self.wake(now);
            tokio::select! {
                // Answers first: they free memory, and tell how the service is.
                biased;
                Some(flown) = self.flying.join_next(), if !self.flying.is_empty() => self.landed(flown),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                () = self.record_queue.left(), if !self.leaves => (self.ended, self.leaves) = (true, true),
                taken = self.record_queue.take(), if may_take => match taken {
                    Some(records) => self.launch(Parcel::new(records)),
                    None => self.ended = true,
                },
            }
        }
        self.metrics.concurrency.sub(gauge(self.pacing.window()));
        self.metrics.rate_limit.sub(self.rate_limit());
        self.set_held(None);
        self.clear_complaint();
    }

    /// Nothing is sent before this: a pause, or the rate.
    fn blocked_until(&self) -> Option<Instant> {
        self.paused_until.max(self.pacing.next())
    }

    /// When something that waits may go, if anything does and nothing else would wake the loop.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let due = self.waiting.next();
        let blocked = self.blocked_until().filter(|until| *until > now);
        match (due, blocked) {
            (Some(due), Some(blocked)) => Some(due.max(blocked)),
            (None, blocked) => blocked,
            (due, None) => due.filter(|due| *due > now),
        }
    }

    /// What the next request may carry.
    fn room(&self) -> Room {
        match self.pacing.room() {
            _ if self.held.is_some() => Pacing::one(),
            Room::Full => self.full,
            room @ (Room::Bytes { .. } | Room::One(_)) => room,
        }
    }

    fn launch_again(&mut self, mut parcel: Parcel) {
        let (room, bytes) = (self.room(), parcel.bytes());
        if !parcel.isolated && room.bytes() > bytes {
            let more = self.record_queue.top_up(parcel.records.len(), bytes);
            parcel.records.extend(more);
        }
        self.launch(parcel);
    }

    fn launch(&mut self, mut parcel: Parcel) {
        let room = self.room();
        let now = Instant::now();
        if let Some(rest) = parcel.keep(room) {
            self.waiting.push(now, rest);
        }
        self.pacing.send(parcel.load(), now, fastrand::f64());
        let (service, shared, compression) =
            (Arc::clone(&self.service), self.shared.clone(), self.compression);
        let places = Places { memory: self.memory_order.next(), departure: self.departures.next() };
        let flight = Flight { parcel, places, launched: now };
        self.flying.spawn(async move { fly(flight, (&*service, compression), &shared).await });
    }

    fn landed(&mut self, flown: Result<Flown, tokio::task::JoinError>) {
        let Ok(Flown { parcel, answer, launched, sent }) = flown else {
            // Its ack guards were dropped: the source keeps the data. Only a panic or the deadline leads here.
            error!(destination = self.label, "a request was given up");
            return;
        };
        let now = Instant::now();
        let before = (self.pacing.window(), self.rate_limit());
        match answer {
            Answer::Accepted(rejected) => self.accepted(parcel, &rejected, (launched, sent), now),
            Answer::TryLater { outcome, message } => {
                self.try_later(parcel, (launched, sent), now, outcome, &message);
            }
            Answer::Held(hold) => self.hold(parcel, launched, now, &hold),
            Answer::Refused { code, message } => self.refused(parcel, &code, &message, now),
        }
        self.metrics.concurrency.add(gauge(self.pacing.window()).saturating_sub(gauge(before.0)));
        self.metrics.rate_limit.add(self.rate_limit().saturating_sub(before.1));
        self.record_queue.set_failing(self.pacing.is_failing() || self.held.is_some());
    }

    /// For the metric.
    #[expect(clippy::cast_possible_truncation, reason = "bytes a second")]
    fn rate_limit(&self) -> i64 {
        self.pacing.rate().map_or(0, |rate| rate as i64)
    }

    fn accepted(
        &mut self,
        parcel: Parcel,
        rejected: &[Rejected],
        (launched, sent): (Instant, Instant),
        now: Instant,
    ) {
        self.metrics.duration.observe(now.duration_since(sent).as_secs_f64());
        self.metrics.request(if rejected.is_empty() { "ok" } else { "partial" });
        let count = parcel.records.len();
        if rejected.len() < count {
            self.pacing.accepted(now);
            self.resume();
        }
        let attempts = parcel.attempts.saturating_add(1);
        let load = parcel.load();
        let mut refused = rejected.iter().peekable();
        let mut again = Vec::new();
        for (index, record) in parcel.records.into_iter().enumerate() {
            match refused.next_if(|rejected| rejected.index == index) {
                Some(rejected) => {
                    self.metrics.rejected(&rejected.code, 1);
                    again.push(record);
                }
                None => self.delivered(record),
            }
        }
        let again = Parcel { records: again, attempts, isolated: parcel.isolated };
        self.pacing.answered(launched, now, load, again.load(), Refusal::Records);
        if !again.records.is_empty() {
            let delay = Pacing::record_delay(attempts, fastrand::f64());
            if again.records.len() == count {
                self.pause_after_failure(sent, now);
            }
            self.waiting.push(now + delay, again);
        }
    }

    fn delivered(&self, record: Record) {
        self.metrics.deliver(record.events);
        self.metrics.delivered_bytes.inc_by(record.payload as u64);
        self.metrics.billed_bytes.inc_by(self.service.billed(record.len) as u64);
        self.metrics.records.inc();
        self.record_queue.release(record.payload);
        record.acks.into_iter().for_each(AckGuard::settle);
    }

    fn try_later(
        &mut self,
        mut parcel: Parcel,
        (launched, sent): (Instant, Instant),
        now: Instant,
        outcome: &'static str,
        message: &str,
    ) {
        self.metrics.request(outcome);
        let load = parcel.load();
        match outcome {
            THROTTLED => self.pacing.answered(launched, now, load, load, Refusal::Call),
            _broken => self.pacing.broke(sent, now),
        }
        self.pause_after_failure(sent, now);
        if self.pacing.failures() >= COMPLAIN_AFTER {
            self.report_issue(format!("not delivering: {message}"));
            if self.say_now(now) {
                warn!(
                    destination = self.label,
                    outcome,
                    error = message,
                    "not delivering; data is kept and sent again"
                );
            }
        }
        parcel.attempts = parcel.attempts.saturating_add(1);
        self.waiting.push(now + Pacing::record_delay(parcel.attempts, fastrand::f64()), parcel);
    }

    fn pause_after_failure(&mut self, sent: Instant, now: Instant) {
        if let Some(delay) = self.pacing.failed(sent, now, fastrand::f64()) {
            // A request that hung has waited already.
            self.paused_until = Some(now.max(sent + delay));
        }
    }

    fn hold(&mut self, parcel: Parcel, launched: Instant, now: Instant, hold: &Hold) {
        self.metrics.request("held");
        self.waiting.push(now, parcel);
        // Others that were under way at the same time say the same.
        if self.held.as_ref().is_some_and(|held| held.reason == hold.reason && launched < held.since) {
            return;
        }
        let attempts = self.held.as_ref().map_or(1, |held| held.attempts.saturating_add(1));
        self.set_held(Some(Held { reason: hold.reason, attempts, since: now }));
        self.service.refresh_credentials(hold);
        // What may fix itself at the next try, does; only what does not is worth a wait, and a person's time.
        if attempts == 1 && hold.may_fix_itself() {
            return;
        }
        self.pause(now, Pacing::hold_delay(attempts, fastrand::f64()));
        self.report_issue(format!("held: {}; {}", hold.message, hold.fix));
        if self.say_now(now) {
            error!(
                destination = self.label,
                reason = hold.reason,
                error = hold.message,
                fix = hold.fix,
                "held; data is kept, and tried again every 5 to 60 seconds"
            );
        }
    }

    /// Halves what was refused; a single record goes to the dead letters.
    fn refused(&mut self, parcel: Parcel, code: &str, message: &str, now: Instant) {
        self.metrics.request("rejected");
        self.resume();
        match parcel.halves() {
            Ok(halves) => halves.into_iter().for_each(|half| self.waiting.push(now, half)),
            Err(single) => self.enqueue(single, code, message),
        }
    }

    /// Queues dead letters; their records end once they are on disk, and hold memory until then.
    fn enqueue(&self, parcel: Parcel, code: &str, message: &str) {
        let folder: Arc<str> = self.metrics.name().into();
        for record in parcel.records {
            let letter = DeadLetter::of_record(&record, code, Some(message), Timestamp::now());
            let (metrics, record_queue, code) =
                (self.metrics.clone(), Arc::clone(&self.record_queue), code.to_owned());
            let done = move || {
                metrics.dead_letter(&code, record.events);
                record_queue.release(record.payload);
                record.acks.into_iter().for_each(AckGuard::settle);
            };
            let pending = PendingDeadLetter { folder: Arc::clone(&folder), letter, done: Box::new(done) };
            self.shared.dead_letters.enqueue(pending);
        }
    }

    fn pause(&mut self, now: Instant, delay: Duration) {
        self.paused_until = Some(now + delay);
    }

    /// The destination answers again.
    fn resume(&mut self) {
        self.paused_until = None;
        if let Some(held) = self.set_held(None) {
            self.last_said = None;
            info!(destination = self.label, reason = held.reason, "no longer held");
        }
        self.clear_complaint();
    }

    /// Changes why the destination is held, and returns why it was. The metric counts a sink's held destinations.
    fn set_held(&mut self, held: Option<Held>) -> Option<Held> {
        let before = std::mem::replace(&mut self.held, held);
        for (held, change) in [(&before, -1), (&self.held, 1)] {
            if let Some(held) = held {
                self.metrics.held(held.reason, change);
            }
        }
        before
    }

    fn report_issue(&mut self, issue: String) {
        self.complained = true;
        self.shared.status.report_issue(&self.label, Some(issue));
    }

    fn clear_complaint(&mut self) {
        if std::mem::take(&mut self.complained) {
            self.shared.status.report_issue(&self.label, None);
        }
    }

    fn say_now(&mut self, now: Instant) -> bool {
        let due = self.last_said.is_none_or(|said| now.duration_since(said) >= SAY_AGAIN);
        if due {
            self.last_said = Some(now);
        }
        due
    }
}
