//! How a sink's destinations are, for people.

use std::sync::PoisonError;

use tokio::time::Instant;

use super::key::{DestinationKey, DestinationKind};
use super::queue::QueueLook;
use super::registry::{OpenDestination, RunningSink};
use crate::metrics::MetricReading;
use crate::overview::{DestinationOverview, DestinationState, SinkOverview, bounded};

impl RunningSink {
    /// How it is, with at most so many of its destinations. What is counted over all of them is in `reading`.
    pub(crate) fn overview(&self, reading: &MetricReading, most: usize, now: Instant) -> SinkOverview {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let destinations = open.by_name().map(|(key, open)| of_destination(key, open, now)).collect();
        drop(open);
        let of_this = Some(("sink", self.name.as_str()));
        let count = |family| reading.count(family, of_this);
        let mut overview = SinkOverview {
            name: self.name.clone(),
            kind: self.kind.name().to_owned(),
            in_flight_events: count("sink_in_flight_events"),
            dead_letters: count("dead_letter_events_total"),
            dead_letter_bytes: count("dead_letter_bytes"),
            dropped: count("sink_dropped_events_total"),
            credentials_expire: reading.sum("credentials_expiry_timestamp_seconds", of_this),
            disk: self.quota.disk_use(),
            destinations,
            more_destinations: 0,
        };
        overview.cut(most);
        overview
    }
}

fn of_destination(key: &DestinationKey, open: &OpenDestination, now: Instant) -> DestinationOverview {
    let (look, counts, trouble) = (open.queue.look(), open.tally.counts(), open.tally.trouble());
    let rates = open.tally.per_second();
    let rate = |index: usize| rates.and_then(|rates| rates.get(index).copied());
    let state = match &trouble {
        Some(trouble) if trouble.reason.is_some() => DestinationState::Held,
        Some(_) => DestinationState::Failing,
        None => busy_or_not(&look),
    };
    let (reason, issue, fix) = match trouble {
        Some(trouble) => (trouble.reason, Some(bounded(trouble.message)), trouble.fix.map(bounded)),
        None => (None, None, None),
    };
    DestinationOverview {
        stream: key.stream.clone(),
        account: key.account(),
        region: key.region.clone().or_else(|| open.tally.region()),
        role: key.roles.last().map(|role| role.arn.clone()),
        state,
        reason: reason.map(str::to_owned),
        issue,
        fix,
        events: counts.events,
        bytes: counts.bytes,
        billed_bytes: counts.billed_bytes,
        events_per_second: rate(0),
        bytes_per_second: rate(1),
        billed_bytes_per_second: rate(2),
        refused_per_second: rate(3),
        refused_records: counts.refused_records,
        failed_requests: counts.failed_requests,
        rate_limit: u64::try_from(counts.rate_limit).ok().filter(|limit| *limit > 0),
        pending_bytes: look.pending,
        pending_disk_bytes: look.pending_on_disk,
        oldest_seconds: open.tally.oldest(look.age, now).as_secs_f64(),
        accepted_seconds_ago: open.tally.last_accepted().map(|at| now.duration_since(at).as_secs_f64()),
    }
}

fn busy_or_not(look: &QueueLook) -> DestinationState {
    if look.keeps_sources_waiting { DestinationState::Busy } else { DestinationState::Working }
}

impl DestinationKind {
    /// As the configuration names it.
    fn name(&self) -> &'static str {
        match self {
            Self::Firehose(..) => "firehose",
            Self::Directory(_) => "directory",
        }
    }
}
