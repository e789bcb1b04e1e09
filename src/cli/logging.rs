//! Log lines: text on a terminal and JSON otherwise, and of each message only so many in a while.
//!
//! A sender with a wrong key, or a source full of payloads that cannot be decoded, must not fill the disk. How many lines were left
//! out is said once a minute.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber, warn};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::terminal::{AroundStatus, StatusLine, wants_colour};
use crate::config::{LOG_VARIABLE, log_filter};
use crate::connections::PEER_LOG;

/// Lets each message through a few times in a while.
#[derive(Clone, Debug, Default)]
pub struct LogLimit {
    /// By the place in the source that says the message. The lock covers a look-up.
    messages: Arc<Mutex<HashMap<Identifier, MessageCount>>>,
}

#[derive(Debug)]
struct MessageCount {
    since: Instant,
    times: u32,
    left_out: u64,
    place: &'static str,
}

/// So many times in each [`WHILE`].
const TIMES: u32 = 20;

const WHILE: Duration = Duration::from_secs(10);

/// How often what was left out is counted up.
const REPORT: Duration = Duration::from_mins(1);

/// What is logged where no level is set, and with `--quiet`.
const USUAL: &str = "info,aws_config=error,aws_smithy_http_client=error";
const QUIET: &str = "warn,aws_config=error,aws_smithy_http_client=error";

/// Starts logging to standard error, in which the status line gives way. The environment sets the levels, such as `debug` or
/// `standpipe::sink=trace`; the configuration was refused if it sets none.
pub fn start(environment: &BTreeMap<String, String>, quiet: bool, status: &Arc<StatusLine>) -> LogLimit {
    let limit = LogLimit::default();
    let filter = environment.get(LOG_VARIABLE).and_then(|filter| log_filter(filter).ok());
    let usual = if quiet { QUIET } else { USUAL };
    let levels = EnvFilter::builder().parse_lossy(filter.as_deref().unwrap_or(usual));
    let (status, is_terminal) = (Arc::clone(status), io::stderr().is_terminal());
    let around = move || AroundStatus(Arc::clone(&status));
    let lines = fmt::layer().with_writer(around).with_target(false);
    let lines = if is_terminal {
        lines.with_ansi(wants_colour(environment, is_terminal)).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    // A second start in one process keeps the first one's.
    tracing_subscriber::registry().with(lines.with_filter(limit.clone())).with(levels).try_init().ok();
    limit
}

impl LogLimit {
    /// Says once a minute how many lines were left out.
    pub async fn report(self) {
        let mut clock = interval(REPORT);
        loop {
            clock.tick().await;
            for (place, lines) in self.take_left_out() {
                warn!(place, lines, "log lines were suppressed: the same message came too often");
            }
        }
    }

    fn take_left_out(&self) -> Vec<(&'static str, u64)> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = messages.values_mut().map(|said| (said.place, std::mem::take(&mut said.left_out)));
        counted.filter(|(_, lines)| *lines > 0).collect()
    }

    fn lets_through(&self, message: &'static Metadata<'static>, now: Instant) -> bool {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let said = messages.entry(message.callsite()).or_insert_with(|| MessageCount {
            since: now,
            times: 0,
            left_out: 0,
            place: message.name(),
        });
        if now.duration_since(said.since) >= WHILE {
            (said.since, said.times) = (now, 0);
        }
        said.times = said.times.saturating_add(1);
        let through = said.times <= TIMES;
        if !through {
            said.left_out = said.left_out.saturating_add(1);
        }
        through
    }
}

impl<S: Subscriber> Filter<S> for LogLimit {
    fn enabled(&self, _message: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        // What is said of peers is limited by peer.
        event.metadata().target() == PEER_LOG || self.lets_through(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_message_only_so_many_lines_come_in_a_while() {
        let limit = LogLimit::default();
        let subscriber = tracing_subscriber::registry()
            .with(fmt::layer().with_writer(io::sink).with_filter(limit.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                tracing::info!(number, "the same");
            }
            tracing::info!("another");
        });
        let left_out = limit.take_left_out();
        assert_eq!(left_out.iter().map(|(_, lines)| *lines).collect::<Vec<_>>(), [80]);
        assert!(limit.take_left_out().is_empty(), "it is said once");
    }
}
