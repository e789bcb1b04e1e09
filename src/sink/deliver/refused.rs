//! What becomes of a request that is refused whole: smaller ones, and in the end dead letters.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::DeliveryLoop;
use crate::deadletter::{DeadLetter, PendingDeadLetter};
use crate::event::{AckGuard, Timestamp};
use crate::sink::pending_request::PendingRequest;
use crate::sink::record_queue::RecordQueue;
use crate::sink::service::SinkService;

impl<S: SinkService, P: RecordQueue> DeliveryLoop<S, P> {
    /// Halves what was refused; a single record goes to the dead letters.
    pub(super) fn refused(&mut self, request: PendingRequest, code: &str, message: &str, now: Instant) {
        self.metrics.request("rejected");
        self.resume();
        match request.halves() {
            Ok(halves) => halves.into_iter().for_each(|half| self.retries.push(now, half)),
            Err(single) => self.enqueue(single, code, message),
        }
    }

    /// Halves what was too large, and cuts a single record between its lines; what cannot be cut goes to the dead letters.
    pub(super) fn too_large(&mut self, request: PendingRequest, code: &str, message: &str, now: Instant) {
        if self.may_log(now) {
            warn!(
                sink = self.label.sink,
                stream = self.label.stream,
                error = message,
                "a request was refused as too large, and is sent again in parts"
            );
        }
        if request.records.len() > 1 {
            return self.refused(request, code, message, now);
        }
        match request.cut() {
            Ok(parts) => {
                self.metrics.request("rejected");
                self.resume();
                parts.into_iter().for_each(|part| self.retries.push(now, part));
            }
            Err(single) => self.refused(single, code, message, now),
        }
    }

    /// Queues dead letters; their records end once they are on disk, and hold memory until then.
    fn enqueue(&self, request: PendingRequest, code: &str, message: &str) {
        let folder: Arc<str> = self.metrics.name().into();
        for record in request.records {
            let letter = DeadLetter::of_record(&record, code, Some(message), Timestamp::now());
            let (metrics, record_queue, code) =
                (self.metrics.clone(), Arc::clone(&self.record_queue), code.to_owned());
            let done = move || {
                metrics.dead_letter(&code, record.events);
                record_queue.release(record.payload);
                record.acks.into_iter().for_each(AckGuard::settle);
            };
            let pending = PendingDeadLetter { folder: Arc::clone(&folder), letter, done: Box::new(done) };
            self.resources.dead_letters.enqueue(pending);
        }
    }
}
