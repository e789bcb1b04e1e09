//! How far a run or a replay is, told again and again to whoever looks on.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::options::{RunReport, TellReport};
use crate::metrics::RunTotals;

/// How often whoever looks on is told.
const REPORT: Duration = Duration::from_secs(1);

/// Tells it until it is cut short.
pub(crate) async fn report_often(report: TellReport, began: Instant, totals: impl Fn() -> RunTotals + Send) {
    let mut clock = interval_at(began + REPORT, REPORT);
    loop {
        clock.tick().await;
        report(&RunReport { totals: totals(), elapsed: began.elapsed(), outcome: None });
    }
}
