//! Whether a condition holds.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use core::net::IpAddr;
use std::cmp::Ordering;

use super::context::Lookup;
use super::document::{Condition, SetOperator, Test};
use super::pattern::{Expanded, Language};
use super::truth::Truth;
use crate::decode::time::rfc3339;

/// Whether a condition holds, and the keys it would take to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) truth: Truth,
    pub(super) unknown: Vec<String>,
}

/// Whether `condition` holds.
pub(super) fn holds(condition: &Condition, language: Language<'_>) -> Held {
    let Condition { operator, key, values } = condition;
    let mut unknown = Vec::new();
    let truth = match language.context.look_up(key) {
        Lookup::Unknown => {
            unknown.push(key.clone());
            Truth::Maybe
        }
        found if operator.test == Test::Null => null(found, values),
        Lookup::Absent if operator.if_exists => Truth::Yes,
        Lookup::Absent => match operator.set {
            Some(SetOperator::ForAllValues) => Truth::Yes,
            Some(SetOperator::ForAnyValue) => Truth::No,
            None => is_negated(operator.test).into(),
        },
        Lookup::Values(found) => compare(condition, found, language, &mut unknown),
    };
    if truth != Truth::Maybe {
        unknown.clear();
    }
    Held { truth, unknown }
}

fn null(found: Lookup<'_>, values: &[String]) -> Truth {
    let wanted = if found == Lookup::Absent { "true" } else { "false" };
    values.iter().any(|value| value.eq_ignore_ascii_case(wanted)).into()
}

/// Each of the request's values against all of the policy's, then together.
fn compare(
    condition: &Condition,
    found: &[String],
    language: Language<'_>,
    unknown: &mut Vec<String>,
) -> Truth {
    let Condition { operator, values, .. } = condition;
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

const fn is_negated(test: Test) -> bool {
    matches!(
        test,
        Test::StringNotEquals
            | Test::StringNotEqualsIgnoreCase
            | Test::StringNotLike
            | Test::NumericNotEquals
            | Test::DateNotEquals
            | Test::NotIpAddress
            | Test::ArnNotEquals
            | Test::ArnNotLike
    )
}

/// Whether one value of the request matches one of the policy, without the negation.
fn matches(test: Test, value: &str, found: &str, language: Language<'_>, unknown: &mut Vec<String>) -> Truth {
    match test {
        Test::StringEquals | Test::StringNotEquals => covers(language.exact(value), found, unknown),
        Test::StringEqualsIgnoreCase | Test::StringNotEqualsIgnoreCase => {
            let lower = match language.exact(value) {
                Expanded::Pattern(pattern) => Expanded::Pattern(pattern.to_lowercase()),
                other @ (Expanded::NoValue | Expanded::Unknown(_)) => other,
            };
            covers(lower, &found.to_lowercase(), unknown)
        }
        Test::StringLike | Test::StringNotLike => covers(language.like(value), found, unknown),
        Test::ArnEquals | Test::ArnLike | Test::ArnNotEquals | Test::ArnNotLike => {
            covers(language.arn(value), found, unknown)
        }
        Test::Bool => (truth(value).is_some() && truth(value) == truth(found)).into(),
        Test::BinaryEquals => (binary(value).is_some() && binary(value) == binary(found)).into(),
        Test::IpAddress | Test::NotIpAddress => in_network(value, found).unwrap_or(false).into(),
        Test::Null => Truth::No,
        Test::NumericEquals | Test::NumericNotEquals => numbers(value, found, Ordering::is_eq),
        Test::NumericLessThan => numbers(value, found, Ordering::is_lt),
        Test::NumericLessThanEquals => numbers(value, found, Ordering::is_le),
        Test::NumericGreaterThan => numbers(value, found, Ordering::is_gt),
        Test::NumericGreaterThanEquals => numbers(value, found, Ordering::is_ge),
        Test::DateEquals | Test::DateNotEquals => dates(value, found, Ordering::is_eq),
        Test::DateLessThan => dates(value, found, Ordering::is_lt),
        Test::DateLessThanEquals => dates(value, found, Ordering::is_le),
        Test::DateGreaterThan => dates(value, found, Ordering::is_gt),
        Test::DateGreaterThanEquals => dates(value, found, Ordering::is_ge),
    }
}

fn covers(expanded: Expanded, found: &str, unknown: &mut Vec<String>) -> Truth {
    match expanded {
        Expanded::Pattern(pattern) => pattern.covers(found).into(),
        Expanded::NoValue => Truth::No,
        Expanded::Unknown(key) => {
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
    rfc3339(&full).map(|time| time.0).or_else(|| text.parse::<i64>().ok()?.checked_mul(1_000))
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
