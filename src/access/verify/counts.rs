//! What `CloudWatch` counted: whether filters deliver, and a stream's quota.

use serde_json::Value;

use super::observed::{ObservedPlan, ObservedResource};
use crate::access::live::{Observation, Prerequisite, extra};
use crate::access::plan::SubscriptionFilter;
use crate::access::report::{HopFinding, Severity};
use crate::config::topology::FirehoseStream;

/// What became of what a filter had to send, within the last hour.
pub(super) fn delivery(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    filter: &SubscriptionFilter,
) -> Option<HopFinding> {
    let look = view.prerequisite(item.account(), &Prerequisite::Deliveries(filter.group.clone()))?;
    counted("filter_delivery", look, |counts| delivered(filter, counts))
}

/// A stream's quota, and what was refused for it within the last hour.
pub(super) fn quota(view: ObservedPlan<'_>, stream: &FirehoseStream) -> Option<HopFinding> {
    let look = view.prerequisite(&stream.account, &Prerequisite::Quota(stream.name.clone()))?;
    counted("stream_quota", look, throttled)
}

/// What is said of counts; that they are not to be seen keeps nothing from passing.
fn counted(
    check: &'static str,
    look: &Observation,
    say: impl FnOnce(&Value) -> HopFinding,
) -> Option<HopFinding> {
    match look {
        Observation::Found(state) => Some(say(state.get(extra::COUNTS)?)),
        Observation::Unseen(reason) => {
            let seen = format!("CloudWatch's counts could not be seen: {reason}");
            Some(HopFinding::new(check, Severity::Skipped, seen))
        }
        Observation::Absent => None,
    }
}

/// A count, which is whole.
fn number(counts: &Value, of: &str, metric: &str) -> f64 {
    counts.get(of).and_then(|counts| counts.get(metric)?.as_f64()).unwrap_or_default()
}

/// What is tried again and what is not is told of `DeliveryErrors`.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html>.
fn delivered(filter: &SubscriptionFilter, counts: &Value) -> HopFinding {
    const CHECK: &str = "filter_delivery";
    let count = |metric| number(counts, &filter.name, metric);
    let (sent, failed, slowed) =
        (count("ForwardedLogEvents"), count("DeliveryErrors"), count("DeliveryThrottling"));
    let came = number(counts, "", "IncomingLogEvents");
    let seen = format!(
        "within the last hour it sent {sent:.0} events, {failed:.0} failed, {slowed:.0} were throttled"
    );
    if 0.0 < failed {
        HopFinding::warning(CHECK, seen)
            .why("CloudWatch Logs retries for 24 hours, but not what was denied or had no destination")
            .fix("fix what fails below; lost events stay in the log group for its retention time")
    } else if 0.0 < slowed {
        HopFinding::warning(CHECK, seen)
            .why("the destination accepts less than is sent; CloudWatch Logs tries again for 24 hours")
            .fix("give the stream a higher quota or more shards, or make the filter's pattern match less")
    } else if 0.0 < sent {
        HopFinding::ok(CHECK, seen)
    } else if came <= 0.0 {
        HopFinding::ok(CHECK, "no event came into the log group within the last hour")
    } else if filter.pattern.is_empty() {
        let seen =
            format!("{came:.0} events came into the log group within the last hour, and none was sent");
        HopFinding::warning(CHECK, seen)
            .why("a filter without a pattern sends all of them")
            .fix("wait some minutes if the filter is new; otherwise recreate it")
    } else {
        let seen = format!(
            "none of {came:.0} events within the last hour was sent: none matches `{}`",
            filter.pattern
        );
        HopFinding::ok(CHECK, seen)
    }
}

/// A stream's quota in words, with what was refused for it.
fn throttled(counts: &Value) -> HopFinding {
    const CHECK: &str = "stream_quota";
    const MIB: f64 = 1_048_576.0;
    let limit = |metric: &str| counts.get(metric).and_then(Value::as_f64);
    let refused = limit("ThrottledRecords").unwrap_or_default();
    let quota = match (
        limit("BytesPerSecondLimit"),
        limit("RecordsPerSecondLimit"),
        limit("PutRequestsPerSecondLimit"),
    ) {
        (Some(bytes), Some(records), Some(requests)) => {
            let mib = bytes / MIB;
            Some(format!("it takes {mib:.1} MiB, {records:.0} records and {requests:.0} requests a second"))
        }
        _ => None,
    };
    if refused <= 0.0 {
        return match quota {
            Some(quota) => HopFinding::ok(CHECK, quota),
            None => HopFinding::new(CHECK, Severity::Skipped, "CloudWatch has no quota for the last hour"),
        };
    }
    let quota = quota.map(|quota| format!("; {quota}")).unwrap_or_default();
    HopFinding::warning(
        CHECK,
        format!("{refused:.0} records were refused for its quota within the last hour{quota}"),
    )
    .why("senders must wait and retry: standpipe and CloudWatch Logs do")
    .fix("wait, since Firehose raises the quota of a stream that throttles; or ask AWS for a higher one")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(finding: &HopFinding, level: Severity, part: &str) {
        assert_eq!(finding.level, level, "{}", finding.seen);
        assert!(finding.seen.contains(part), "it says `{part}`: {}", finding.seen);
        assert_eq!(finding.fix.is_some(), level == Severity::Warning);
    }

    #[test]
    fn a_filter_that_does_not_deliver_is_told() {
        let filter = |pattern: &str| SubscriptionFilter {
            group: "g".to_owned(),
            name: "f".to_owned(),
            pattern: pattern.to_owned(),
            to: String::new(),
            role: None,
        };
        let said = |pattern: &str, counts: Value| delivered(&filter(pattern), &counts);
        let of = |sent: u32, failed: u32, slowed: u32| {
            json!({ "": { "IncomingLogEvents": 9 },
            "f": { "ForwardedLogEvents": sent, "DeliveryErrors": failed, "DeliveryThrottling": slowed } })
        };
        check(&said("", of(9, 0, 0)), Severity::Ok, "it sent 9 events, 0 failed, 0 were throttled");
        check(&said("", of(4, 5, 1)), Severity::Warning, "it sent 4 events, 5 failed, 1 were throttled");
        check(&said("", of(4, 0, 5)), Severity::Warning, "5 were throttled");
        check(&said("", of(0, 0, 0)), Severity::Warning, "9 events came");
        check(&said("ERROR", of(0, 0, 0)), Severity::Ok, "none matches `ERROR`");
        check(&said("", json!({})), Severity::Ok, "no event came");
        check(&said("", json!({ "other": { "DeliveryErrors": 5 } })), Severity::Ok, "no event came");
    }

    #[test]
    fn a_quota_is_told_and_what_was_refused_for_it() {
        let limits = |refused: u32| {
            json!({ "BytesPerSecondLimit": 5_242_880, "RecordsPerSecondLimit": 500_000,
            "PutRequestsPerSecondLimit": 2_000, "ThrottledRecords": refused })
        };
        let quota = "it takes 5.0 MiB, 500000 records and 2000 requests a second";
        check(&throttled(&limits(0)), Severity::Ok, quota);
        check(
            &throttled(&limits(7)),
            Severity::Warning,
            &format!("7 records were refused for its quota within the last hour; {quota}"),
        );
        check(&throttled(&json!({ "ThrottledRecords": 7 })), Severity::Warning, "7 records were refused");
        check(&throttled(&json!({})), Severity::Skipped, "no quota");
    }

    #[test]
    fn counts_that_are_not_to_be_seen_are_no_failure() {
        let unseen = Observation::Unseen("`cloudwatch:ListMetrics`: AccessDenied: no".to_owned());
        let finding = counted("filter_delivery", &unseen, throttled).unwrap();
        check(&finding, Severity::Skipped, "cloudwatch:ListMetrics");
    }
}
