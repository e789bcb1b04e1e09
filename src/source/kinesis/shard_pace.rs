//! How fast a shard is read, and how much at a time. Pure but for the clock of its waits.
//!
//! A shard takes five calls and gives 2 MiB a second, for all who poll it; a consumer subscribes to it once a second at most, and no
//! sooner than five seconds after the last time that it did.
//! Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>,
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>.

use std::time::Duration;

use tokio::time::Instant;

/// Between two calls, at least.
const CALL_EVERY: Duration = Duration::from_millis(200);

/// Between two calls, where nothing is waiting to be read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Bytes a second.
const RATE: usize = 2 << 20;

/// A page is asked for that has about so many bytes.
const PAGE: usize = 1 << 20;

/// Memory for a page of which nothing is expected.
const LEAST: usize = 64 << 10;

/// What a record is taken to have before one was seen.
const FIRST_RECORD: usize = 16 << 10;

/// Most records a page.
const MOST_RECORDS: usize = 10_000;

/// Between two calls for a subscription, at least.
const SUBSCRIBE_EVERY: Duration = Duration::from_secs(1);

/// Between two subscriptions, at least.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// When one shard may be subscribed to.
#[derive(Debug, Default)]
pub(super) struct SubscriptionPace {
    due: Option<Instant>,
}

impl SubscriptionPace {
    /// When the next call may be made.
    pub(super) fn due(&self) -> Instant {
        self.due.unwrap_or_else(Instant::now)
    }

    /// A call is made.
    pub(super) fn asked(&mut self) {
        self.due = Some(Instant::now() + SUBSCRIBE_EVERY);
    }

    /// It was successful.
    pub(super) fn subscribed(&mut self) {
        self.due = Some(Instant::now() + AGAIN_AFTER);
    }
}

/// The pace of one shard that is polled.
#[derive(Debug)]
pub(super) struct ShardPace {
    asked: Option<Instant>,
    pause: Duration,
    /// Bytes of a record.
    record: usize,
    /// Bytes of a page.
    page: usize,
}

impl Default for ShardPace {
    fn default() -> Self {
        Self { asked: None, pause: Duration::ZERO, record: FIRST_RECORD, page: PAGE }
    }
}

impl ShardPace {
    /// When the next call may be made.
    pub(super) fn due(&self) -> Instant {
        self.asked.map_or_else(Instant::now, |asked| asked + self.pause)
    }

    /// A call is made.
    pub(super) fn asked(&mut self) {
        self.asked = Some(Instant::now());
        self.pause = CALL_EVERY;
    }

    /// So many records are asked for.
    pub(super) fn limit(&self) -> usize {
        (PAGE / self.record).clamp(1, MOST_RECORDS)
    }

    /// Memory that the next answer takes, as it came and decoded.
    pub(super) fn expected(&self) -> usize {
        self.page.saturating_mul(3).max(LEAST)
    }

    /// A page brought so much.
    pub(super) fn read(&mut self, records: usize, bytes: usize, is_at_tip: bool) {
        // Slowly down, at once up: a page that is larger than expected takes memory that others wait for.
        self.page = bytes.max(self.page - self.page / 4);
        if let Some(each) = bytes.checked_div(records) {
            self.record = each.max(self.record - self.record / 8).max(1);
        }
        let paid = Duration::from_millis(bytes as u64 * 1_000 / RATE as u64);
        self.pause = if is_at_tip { LOOK_EVERY } else { CALL_EVERY }.max(paid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_asked_no_more_often_and_gives_no_more_than_it_may() {
        let mut pace = ShardPace::default();
        let start = Instant::now();
        assert_eq!(pace.due(), start, "the first call waits for nothing");
        let mut check = |records: usize, bytes: usize, is_at_tip: bool, milliseconds: u64| {
            pace.asked();
            pace.read(records, bytes, is_at_tip);
            assert_eq!(pace.due() - start, Duration::from_millis(milliseconds), "{records} of {bytes}");
        };
        check(0, 0, true, 1_000);
        check(0, 0, false, 200);
        check(10, 100 << 10, false, 200);
        check(10, 1 << 20, false, 500);
        check(10, 10 << 20, true, 5_000);
        pace.asked();
        assert_eq!(pace.due() - start, Duration::from_millis(200), "a call that failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_subscribed_to_no_sooner_than_it_may_be() {
        let mut pace = SubscriptionPace::default();
        let start = Instant::now();
        assert_eq!(pace.due(), start, "the first call waits for nothing");
        pace.asked();
        assert_eq!(pace.due() - start, Duration::from_secs(1), "a call that failed");
        tokio::time::advance(Duration::from_secs(1)).await;
        pace.asked();
        tokio::time::advance(Duration::from_millis(300)).await;
        pace.subscribed();
        assert_eq!(pace.due() - start, Duration::from_millis(6_300), "a subscription that was cut at once");
        tokio::time::advance(Duration::from_mins(5)).await;
        assert!(pace.due() < Instant::now(), "one that had its time");
    }

    #[test]
    fn pages_have_about_a_megabyte_whatever_records_are() {
        let mut pace = ShardPace::default();
        assert_eq!(pace.limit(), 64);
        for _ in 0..60 {
            pace.read(1_000, 100_000, false);
        }
        assert_eq!(pace.limit(), MOST_RECORDS);
        assert_eq!(pace.expected(), 300_000);
        pace.read(1, 10 << 20, false);
        assert_eq!(pace.limit(), 1);
        for _ in 0..60 {
            pace.read(0, 0, true);
        }
        assert_eq!(pace.expected(), LEAST);
    }
}
