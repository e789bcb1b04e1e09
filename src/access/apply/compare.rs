//! Whether two documents mean the same, and how they differ line by line.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::arn::{Arn, ResourceType, is_account};

/// Whether they mean the same: a list of one is its item, the order of a list does not matter, and an account's id is its root.
#[must_use]
pub fn same(one: &Value, other: &Value) -> bool {
    plain(one) == plain(other)
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, item)| (key.clone(), plain(item))).collect(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(plain).collect();
            items.sort_by_cached_key(Value::to_string);
            items.dedup();
            match <[Value; 1]>::try_from(items) {
                Ok([one]) => one,
                Err(items) => items.into(),
            }
        }
        Value::String(text) => root(text).map_or_else(|| value.clone(), Value::from),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The account of `arn:aws:iam::222222222222:root`.
fn root(text: &str) -> Option<String> {
    let arn: Arn = text.parse().ok()?;
    (arn.resource_type() == ResourceType::Account && is_account(&arn.account)).then_some(arn.account)
}

/// The lines of both as JSON for people, with `-` before those that are there and `+` before those that are to be, and two of
/// what is alike around them.
pub(super) fn lines(found: Option<&Value>, wanted: &Value) -> Vec<String> {
    let text = |value: &Value| serde_json::to_string_pretty(&in_order(value)).unwrap_or_default();
    let (found, wanted) = (found.map(text).unwrap_or_default(), text(wanted));
    let diff = TextDiff::from_lines(found.as_str(), wanted.as_str());
    let mut lines = Vec::new();
    for group in diff.grouped_ops(2) {
        if !lines.is_empty() {
            lines.push("  ..".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Delete => "-",
                ChangeTag::Insert => "+",
                ChangeTag::Equal => " ",
            };
            lines.push(format!("{mark} {}", change.value().trim_end()));
        }
    }
    lines
}

/// As the plan writes it, so that only what means something differs: lists of strings in order, one string by itself, and a single
/// statement in a list.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(key, item): (&String, &Value)| {
                let is_alone = key == "Statement" && item.is_object();
                (key.clone(), if is_alone { vec![in_order(item)].into() } else { in_order(item) })
            };
            members.iter().map(member).collect()
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            let mut items = items.clone();
            items.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
            match <[Value; 1]>::try_from(items) {
                Ok([one]) => one,
                Err(items) => items.into(),
            }
        }
        Value::Array(items) => items.iter().map(in_order).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_means_the_same_is_the_same() {
        let check = |one: Value, other: Value, expected: bool| {
            assert_eq!(same(&one, &other), expected, "{one} {other}");
        };
        check(json!(["a", "b"]), json!(["b", "a"]), true);
        check(json!({ "Action": ["a"] }), json!({ "Action": "a" }), true);
        check(json!("arn:aws:iam::222222222222:root"), json!("222222222222"), true);
        check(json!("arn:aws-cn:iam::222222222222:root"), json!("222222222222"), true);
        check(json!("arn:aws:iam::222222222222:role/root"), json!("222222222222"), false);
        check(json!([{ "S": 1 }, { "S": 2 }]), json!([{ "S": 2 }, { "S": 1 }]), true);
        check(json!(["a", "b"]), json!(["a"]), false);
        check(json!(7), json!("7"), false);
        check(json!(null), json!({}), false);
    }

    #[test]
    fn a_difference_is_told_line_by_line() {
        let found = json!({ "Action": ["b", "a"], "Effect": "Allow", "Resource": "x" });
        let wanted = json!({ "Action": ["a", "b", "c"], "Effect": "Allow", "Resource": "x" });
        let told = lines(Some(&found), &wanted);
        let changed: Vec<_> = told.iter().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(changed, ["-     \"b\"", "+     \"b\",", "+     \"c\""]);
        let alone = json!({ "Statement": { "Action": ["a"] } });
        assert!(lines(Some(&alone), &json!({ "Statement": [{ "Action": "a" }] })).is_empty());
        assert!(lines(None, &json!({})).iter().all(|line| line.starts_with('+')));
        assert!(lines(Some(&wanted), &wanted).is_empty());
    }
}
