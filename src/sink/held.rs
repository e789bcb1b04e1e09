//! What becomes of a destination that accepts nothing until somebody acts, and what is said of one that does not deliver.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use super::answer::Hold;
use super::deliver::DeliveryLoop;
use super::hold_state::HoldState;
use super::pacing::Pacing;
use super::pending_request::PendingRequest;
use super::record_queue::RecordQueue;
use super::service::SinkService;
use crate::metrics::DestinationTrouble;

/// The same issue is logged no more often than this.
const LOG_AGAIN: Duration = Duration::from_mins(1);

impl<S: SinkService, P: RecordQueue> DeliveryLoop<S, P> {
    /// The destination is held: the request is kept, and tried again later.
    pub(super) fn hold(&mut self, request: PendingRequest, started: Instant, now: Instant, hold: &Hold) {
        self.metrics.request("held");
        self.retries.push(now, request);
        // Others that were under way at the same time say the same.
        if self.held.as_ref().is_some_and(|held| held.reason == hold.reason && started < held.since) {
            return;
        }
        let attempts = self.held.as_ref().map_or(1, |held| held.attempts.saturating_add(1));
        self.set_held(Some(HoldState { reason: hold.reason, attempts, since: now }));
        self.service.refresh_credentials(hold);
        // What may fix itself at the next try, does; only what does not is worth a wait, and a person's time.
        if attempts == 1 && hold.may_fix_itself() {
            return;
        }
        self.pause(now, Pacing::hold_delay(attempts, fastrand::f64()));
        let (message, fix) = (hold.message.clone(), Some(hold.fix.clone()));
        self.report_issue(DestinationTrouble { reason: Some(hold.reason), message, fix });
        if self.may_log(now) {
            error!(
                sink = self.label.sink,
                stream = self.label.stream,
                reason = hold.reason,
                error = hold.message,
                fix = hold.fix,
                "held; data is kept, trying again every 5 to 60 seconds"
            );
        }
    }

    fn pause(&mut self, now: Instant, delay: Duration) {
        self.paused_until = Some(now + delay);
    }

    /// The destination answers again.
    pub(super) fn resume(&mut self) {
        self.paused_until = None;
        if let Some(held) = self.set_held(None) {
            self.last_logged = None;
            info!(sink = self.label.sink, stream = self.label.stream, reason = held.reason, "no longer held");
        }
        self.clear_issue();
    }

    /// Changes why the destination is held, and returns why it was. The metric counts a sink's held destinations.
    pub(super) fn set_held(&mut self, held: Option<HoldState>) -> Option<HoldState> {
        let before = std::mem::replace(&mut self.held, held);
        for (held, change) in [(&before, -1), (&self.held, 1)] {
            if let Some(held) = held {
                self.metrics.held(held.reason, change);
            }
        }
        before
    }

    pub(super) fn report_issue(&mut self, trouble: DestinationTrouble) {
        self.issue_reported = true;
        let issue = match &trouble.fix {
            Some(fix) => format!("held: {}; {fix}", trouble.message),
            None => format!("not delivering: {}", trouble.message),
        };
        self.resources.status.report_issue(&self.label.to_string(), Some(issue));
        self.tally.set_trouble(trouble);
    }

    pub(super) fn clear_issue(&mut self) {
        if std::mem::take(&mut self.issue_reported) {
            // In this order: who sees no issue sees no trouble either.
            self.tally.clear_trouble();
            self.resources.status.report_issue(&self.label.to_string(), None);
        }
    }

    pub(super) fn may_log(&mut self, now: Instant) -> bool {
        let due = self.last_logged.is_none_or(|logged| now.duration_since(logged) >= LOG_AGAIN);
        if due {
            self.last_logged = Some(now);
        }
        due
    }
}
