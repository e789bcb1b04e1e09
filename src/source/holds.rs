//! What holds a source up, said where people look: until it passes, nothing is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::health::Status;
use crate::overview::UnitList;
use crate::sync::Lock;

/// What is wrong at present.
#[derive(Debug)]
pub(super) struct Holds {
    source: Arc<str>,
    status: Arc<Status>,
    next: AtomicU64,
    /// By who is held. The lock covers a change.
    held: Lock<HeldReasons>,
    /// A run that reads once does not wait for ever: what it failed by.
    failed: watch::Sender<Option<String>>,
    is_once: bool,
}

#[derive(Debug, Default)]
struct HeldReasons {
    reasons: BTreeMap<u64, String>,
    said: Option<Instant>,
}

/// The same is logged no more often than this.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// So many times in a row a run that reads once is held before it fails.
const MOST_HOLDS: u32 = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const FIRST_HOLD: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Holds {
    pub(super) fn new(source: Arc<str>, status: Arc<Status>, is_once: bool) -> Arc<Self> {
        let failed = watch::Sender::new(None);
        Arc::new(Self { source, status, next: AtomicU64::new(0), held: Lock::default(), failed, is_once })
    }

    /// Somebody who tries until it works.
    pub(super) fn patience(self: &Arc<Self>) -> HoldPatience {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        HoldPatience { holds: Arc::clone(self), number, tries: 0, held: 0 }
    }

    /// Resolves when a run that reads once has been held for too long, with what held it.
    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Tells what the source reads from.
    pub(super) fn list_units(&self, units: UnitList) {
        self.status.list_units(&self.source, units);
    }

    fn set(&self, number: u64, reason: Option<String>) {
        let mut held = self.held.lock();
        let is_news = match reason {
            Some(reason) => {
                let is_due = held.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
                if is_due {
                    held.said = Some(Instant::now());
                    warn!(source = &*self.source, reason, "the source is held");
                }
                held.reasons.insert(number, reason);
                true
            }
            None => held.reasons.remove(&number).is_some(),
        };
        let shown = held.reasons.values().next().cloned();
        drop(held);
        if is_news {
            self.status.report_issue(&format!("source `{}`", self.source), shown);
        }
    }
}

/// The pauses of somebody who tries again and again.
#[derive(Debug)]
pub(super) struct HoldPatience {
    holds: Arc<Holds>,
    number: u64,
    /// In a row.
    tries: u32,
    held: u32,
}

impl HoldPatience {
    /// Waits after a fault that passes by itself.
    pub(super) async fn pause(&mut self, reason: &str) {
        self.tries = self.tries.saturating_add(1);
        // What does not pass for long is worth a word.
        if self.tries > 5 {
            self.say(reason);
        }
        sleep(jittered(FIRST_PAUSE, self.tries)).await;
    }

    /// Waits after what only somebody who acts can change, and says so.
    pub(super) async fn hold(&mut self, reason: &str) {
        self.held = self.held.saturating_add(1);
        self.say(reason);
        let first = if self.holds.is_once { FIRST_PAUSE } else { FIRST_HOLD };
        sleep(jittered(first, self.held)).await;
    }

    /// Says what is wrong while all else goes on.
    pub(super) fn note(&mut self, reason: &str) {
        self.held = self.held.max(1);
        self.say(reason);
    }

    fn say(&self, reason: &str) {
        self.holds.set(self.number, Some(reason.to_owned()));
        if self.holds.is_once && self.tries.max(self.held) > MOST_HOLDS {
            self.holds.failed.send_replace(Some(reason.to_owned()));
        }
    }

    /// It works.
    pub(super) fn works(&mut self) {
        if self.tries.max(self.held) > 0 {
            self.holds.set(self.number, None);
        }
        (self.tries, self.held) = (0, 0);
    }
}

impl Drop for HoldPatience {
    fn drop(&mut self) {
        self.works();
    }
}

/// Doubled with each try, and spread over its second half.
fn jittered(first: Duration, tries: u32) -> Duration {
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
}
