//! Whether an endpoint answers, and agrees with this host about the time.

use super::call_error::advice;
use crate::access::report::HopFinding;
use crate::aws::{CallError, NoAnswer};
use crate::event::Timestamp;

/// AWS refuses a signature whose time is further off than this; in seconds.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>.
const MOST_SKEW: i64 = 300;
/// Further off than this is worth a word.
const SKEW: i64 = 60;

/// What is said of an endpoint, whose answer told the time in seconds since 1970.
pub(super) fn check(what: &str, reached: &Result<Option<i64>, CallError>, now: Timestamp) -> Vec<HopFinding> {
    match reached {
        Ok(date) => {
            let answers = HopFinding::ok("endpoint", format!("{what} answers"));
            std::iter::once(answers).chain(date.map(|date| clock(date, now))).collect()
        }
        Err(refused) => {
            let is_name =
                matches!(refused, CallError::Unanswered { how: NoAnswer::Name | NoAnswer::ProxyName, .. });
            let check = if is_name { "dns" } else { "endpoint" };
            let seen = match refused {
                CallError::Unreadable(said) => format!("something else answers for {what}: {said}"),
                CallError::Answered { .. }
                | CallError::Credentials { .. }
                | CallError::Unanswered { .. }
                | CallError::Unusable(_) => format!("{what} does not answer: {refused}"),
            };
            let failure = HopFinding::failure(check, seen);
            vec![failure.why("nothing can be delivered without it").fix(advice(refused))]
        }
    }
}

fn clock(date: i64, now: Timestamp) -> HopFinding {
    const CHECK: &str = "clock";
    let off = now.0.div_euclid(1_000).saturating_sub(date);
    let way = if 0 < off { "ahead of" } else { "behind" };
    let seen = format!("this host's clock is {} s {way} AWS's", off.abs());
    let why = "AWS refuses a signature that is more than 5 minutes off";
    match off.abs() {
        off if off <= 2 => HopFinding::ok(CHECK, "this host's clock agrees with AWS's"),
        off if off <= SKEW => HopFinding::ok(CHECK, seen),
        off if off < MOST_SKEW => {
            HopFinding::warning(CHECK, seen).why(why).fix("synchronize the clock, such as with chrony")
        }
        _ => HopFinding::failure(CHECK, seen).why(why).fix("synchronize the clock, such as with chrony"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::report::Severity;

    #[test]
    fn what_answers_and_is_not_the_service_is_a_failure() {
        let said = "HTTP 403 text/html, which is no answer of AWS";
        let findings = check("Firehose", &Err(CallError::Unreadable(said.to_owned())), Timestamp(0));
        let [HopFinding { level: Severity::Failure, seen, fix: Some(fix), .. }] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert_eq!(*seen, format!("something else answers for Firehose: {said}"));
        assert!(!fix.text.contains("443"), "it is no matter of the network: {}", fix.text);
    }

    #[test]
    fn a_clock_that_is_off_is_told_before_aws_refuses() {
        let check = |seconds: i64, expected| {
            let finding = clock(1_000_000, Timestamp((1_000_000 + seconds) * 1_000));
            assert_eq!(finding.level, expected, "{}", finding.seen);
        };
        check(0, Severity::Ok);
        check(-30, Severity::Ok);
        check(90, Severity::Warning);
        check(-299, Severity::Warning);
        check(300, Severity::Failure);
        check(-4_000, Severity::Failure);
    }
}
