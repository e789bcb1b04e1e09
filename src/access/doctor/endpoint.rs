//! Whether an endpoint answers, and agrees with this host about the time.

use super::finding::Finding;
use crate::aws::{Refused, Unanswered};
use crate::event::Timestamp;

/// AWS refuses a signature whose time is further off than this; in seconds.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>.
const MOST_SKEW: i64 = 300;
/// Further off than this is worth a word.
const SKEW: i64 = 60;

/// What is said of an endpoint, whose answer told the time in seconds since 1970.
pub(super) fn check(what: &str, reached: &Result<Option<i64>, Refused>, now: Timestamp) -> Vec<Finding> {
    match reached {
        Ok(date) => {
            let answers = Finding::ok("endpoint", format!("{what} answers"));
            std::iter::once(answers).chain(date.map(|date| clock(date, now))).collect()
        }
        Err(refused) => {
            let is_name =
                matches!(refused, Refused::Unanswered { how: Unanswered::Name | Unanswered::ProxyName, .. });
            let check = if is_name { "dns" } else { "endpoint" };
            let failure = Finding::failure(check, format!("{what} does not answer: {}", super::say(refused)));
            vec![failure.why("nothing can be delivered without it").fix(super::network(refused))]
        }
    }
}

fn clock(date: i64, now: Timestamp) -> Finding {
    const CHECK: &str = "clock";
    let off = now.0.div_euclid(1_000).saturating_sub(date);
    let way = if 0 < off { "ahead of" } else { "behind" };
    let seen = format!("this host's clock is {} s {way} AWS's", off.abs());
    let why = "AWS refuses a signature that is more than 5 minutes off";
    match off.abs() {
        off if off <= 2 => Finding::ok(CHECK, "this host's clock agrees with AWS's"),
        off if off <= SKEW => Finding::ok(CHECK, seen),
        off if off < MOST_SKEW => {
            Finding::warning(CHECK, seen).why(why).fix("synchronize the clock, such as with chrony")
        }
        _ => Finding::failure(CHECK, seen).why(why).fix("synchronize the clock, such as with chrony"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::doctor::finding::Level;

    #[test]
    fn a_clock_that_is_off_is_told_before_aws_refuses() {
        let check = |seconds: i64, expected| {
            let finding = clock(1_000_000, Timestamp((1_000_000 + seconds) * 1_000));
            assert_eq!(finding.level, expected, "{}", finding.seen);
        };
        check(0, Level::Ok);
        check(-30, Level::Ok);
        check(90, Level::Warning);
        check(-299, Level::Warning);
        check(300, Level::Failure);
        check(-4_000, Level::Failure);
    }
}
