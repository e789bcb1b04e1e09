//! Whether a condition holds.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use core::net::IpAddr;
use std::cmp::Ordering;

use super::context::KeyLookup;
use super::document::{Comparison, PolicyCondition, SetOperator};
use super::pattern::{ExpandedPattern, PatternContext};
use super::truth::Truth;
use crate::event::Timestamp;

/// Whether a condition holds, and the keys it would take to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ConditionResult {
    pub(super) truth: Truth,
    pub(super) unknown: Vec<String>,
}

/// Whether `condition` holds.
pub(super) fn holds(condition: &PolicyCondition, language: PatternContext<'_>) -> ConditionResult {
    let mut unknown = Vec::new();
    let truth = match language.context.look_up(&condition.key) {
        // Whatever a truth may be, the test may come out the same.
        KeyLookup::Unknown if condition.operator.test == Comparison::Bool => {
            let options = [vec![], vec!["true".to_owned()], vec!["false".to_owned()]];
            agreed(condition, &options, language, &mut unknown)
        }
        KeyLookup::Unknown => None,
        KeyLookup::OneOf(options) => agreed(condition, options, language, &mut unknown),
        found @ (KeyLookup::Absent | KeyLookup::Values(_)) => {
            Some(of_known(condition, found, language, &mut unknown))
        }
    };
    let truth = truth.unwrap_or_else(|| {
        unknown.push(condition.key.clone());
        Truth::Maybe
    });
    if truth != Truth::Maybe {
        unknown.clear();
    }
    ConditionResult { truth, unknown }
}

/// What holds for each of the options; none where they differ.
fn agreed(
    condition: &PolicyCondition,
    options: &[Vec<String>],
    language: PatternContext<'_>,
    unknown: &mut Vec<String>,
) -> Option<Truth> {
    let mut each = options.iter().map(|values| of_known(condition, KeyLookup::of(values), language, unknown));
    let first = each.next()?;
    each.all(|truth| truth == first).then_some(first)
}

/// Whether it holds for a key that is known, or known to be absent.
fn of_known(
    condition: &PolicyCondition,
    found: KeyLookup<'_>,
    language: PatternContext<'_>,
    unknown: &mut Vec<String>,
) -> Truth {
    let PolicyCondition { operator, values, .. } = condition;
    match found {
        found if operator.test == Comparison::Null => null(found, values),
        KeyLookup::Values(found) => compare(condition, found, language, unknown),
        KeyLookup::Absent | KeyLookup::OneOf(_) | KeyLookup::Unknown if operator.if_exists => Truth::Yes,
        KeyLookup::Absent | KeyLookup::OneOf(_) | KeyLookup::Unknown => match operator.set {
            Some(SetOperator::ForAllValues) => Truth::Yes,
            Some(SetOperator::ForAnyValue) => Truth::No,
            None => is_negated(operator.test).into(),
        },
    }
}

fn null(found: KeyLookup<'_>, values: &[String]) -> Truth {
    let wanted = if found == KeyLookup::Absent { "true" } else { "false" };
    values.iter().any(|value| value.eq_ignore_ascii_case(wanted)).into()
}

/// Each of the request's values against all of the policy's, then together.
fn compare(
    condition: &PolicyCondition,
    found: &[String],
    language: PatternContext<'_>,
    unknown: &mut Vec<String>,
) -> Truth {
    let PolicyCondition { operator, values, .. } = condition;
    let negated = is_negated(operator.test);
    // An empty text is a null value to a set operator.
    let found = found.iter().filter(|value| operator.set.is_none() || !value.is_empty());
    let each = found.map(|found| {
        let any =
            Truth::any(values.iter().map(|value| matches(operator.test, value, found, language, unknown)));
        if negated { any.not() } else { any }
    });
    match operator.set {
        Some(SetOperator::ForAllValues) => Truth::all(each),
        // Of a key that has several values though no set operator is there, one may match, or none may.
        None if negated => Truth::all(each),
        Some(SetOperator::ForAnyValue) | None => Truth::any(each),
    }
}

const fn is_negated(test: Comparison) -> bool {
    matches!(
        test,
        Comparison::StringNotEquals
            | Comparison::StringNotEqualsIgnoreCase
            | Comparison::StringNotLike
            | Comparison::NumericNotEquals
            | Comparison::DateNotEquals
            | Comparison::NotIpAddress
            | Comparison::ArnNotEquals
            | Comparison::ArnNotLike
    )
}

/// Whether one value of the request matches one of the policy, without the negation.
fn matches(
    test: Comparison,
    value: &str,
    found: &str,
    language: PatternContext<'_>,
    unknown: &mut Vec<String>,
) -> Truth {
    match test {
        Comparison::StringEquals | Comparison::StringNotEquals => {
            covers(language.exact(value), found, unknown)
        }
        Comparison::StringEqualsIgnoreCase | Comparison::StringNotEqualsIgnoreCase => {
            let lower = match language.exact(value) {
                ExpandedPattern::Pattern(pattern) => ExpandedPattern::Pattern(pattern.to_lowercase()),
                other @ (ExpandedPattern::NoValue | ExpandedPattern::Unknown(_)) => other,
            };
            covers(lower, &found.to_lowercase(), unknown)
        }
        Comparison::StringLike | Comparison::StringNotLike => covers(language.like(value), found, unknown),
        Comparison::ArnEquals | Comparison::ArnLike | Comparison::ArnNotEquals | Comparison::ArnNotLike => {
            covers(language.arn(value), found, unknown)
        }
        Comparison::Bool => (truth(value).is_some() && truth(value) == truth(found)).into(),
        Comparison::BinaryEquals => (binary(value).is_some() && binary(value) == binary(found)).into(),
        Comparison::IpAddress | Comparison::NotIpAddress => in_network(value, found).unwrap_or(false).into(),
        Comparison::Null => Truth::No,
        Comparison::NumericEquals | Comparison::NumericNotEquals => numbers(value, found, Ordering::is_eq),
        Comparison::NumericLessThan => numbers(value, found, Ordering::is_lt),
        Comparison::NumericLessThanEquals => numbers(value, found, Ordering::is_le),
        Comparison::NumericGreaterThan => numbers(value, found, Ordering::is_gt),
        Comparison::NumericGreaterThanEquals => numbers(value, found, Ordering::is_ge),
        Comparison::DateEquals | Comparison::DateNotEquals => dates(value, found, Ordering::is_eq),
        Comparison::DateLessThan => dates(value, found, Ordering::is_lt),
        Comparison::DateLessThanEquals => dates(value, found, Ordering::is_le),
        Comparison::DateGreaterThan => dates(value, found, Ordering::is_gt),
        Comparison::DateGreaterThanEquals => dates(value, found, Ordering::is_ge),
    }
}

fn covers(expanded: ExpandedPattern, found: &str, unknown: &mut Vec<String>) -> Truth {
    match expanded {
        ExpandedPattern::Pattern(pattern) => pattern.covers(found).into(),
        ExpandedPattern::NoValue => Truth::No,
        ExpandedPattern::Unknown(key) => {
            unknown.push(key);
            Truth::Maybe
        }
    }
}

fn truth(text: &str) -> Option<bool> {
    ["false", "true"].iter().position(|word| text.eq_ignore_ascii_case(word)).map(|at| at == 1)
}

fn binary(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text).ok()
}

/// How the request's number stands to the policy's.
fn numbers(value: &str, found: &str, holds: impl Fn(Ordering) -> bool) -> Truth {
    let both = number(found).zip(number(value));
    both.and_then(|(found, value)| found.partial_cmp(&value)).is_some_and(holds).into()
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    plain.then(|| text.parse().ok()).flatten()
}

fn dates(value: &str, found: &str, holds: impl Fn(Ordering) -> bool) -> Truth {
    let both = date(found).zip(date(value));
    both.is_some_and(|(found, value)| holds(found.cmp(&value))).into()
}

/// Milliseconds since 1970 of a W3C date (a year, a month, a day or a time), or of seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let full = match text.len() {
        4 => format!("{text}-01-01T00:00:00Z"),
        7 if text.contains('-') => format!("{text}-01T00:00:00Z"),
        10 if text.contains('-') => format!("{text}T00:00:00Z"),
        _ => match text.split_once('T') {
            Some((day, clock)) => format!("{day}T{}", with_seconds(clock)?),
            None => text.to_owned(),
        },
    };
    Timestamp::from_any_rfc3339(&full)
        .map(|time| time.0)
        .or_else(|| text.parse::<i64>().ok()?.checked_mul(1_000))
}

/// `19:20+01:00` is without seconds.
fn with_seconds(clock: &str) -> Option<String> {
    let zone_at = clock.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = clock.split_at_checked(zone_at)?;
    let seconds = if time.matches(':').count() == 1 { ":00" } else { "" };
    Some(format!("{time}{seconds}{zone}"))
}

/// Whether an address is in `network`, such as `203.0.113.0/24`; without a prefix it is one address.
fn in_network(network: &str, address: &str) -> Option<bool> {
    let (base, prefix) = match network.split_once('/') {
        Some((base, prefix)) => (base, Some(prefix.parse::<u32>().ok()?)),
        None => (network, None),
    };
    Some(match (base.parse().ok()?, address.parse().ok()?) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let shift = 32_u32.checked_sub(prefix.unwrap_or(32))?;
            let differs = base.to_bits() ^ address.to_bits();
            differs.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let shift = 128_u32.checked_sub(prefix.unwrap_or(128))?;
            let differs = base.to_bits() ^ address.to_bits();
            differs.checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    })
}
