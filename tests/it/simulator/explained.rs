//! Why the foreign simulator decides otherwise, where it does: each reason, and the cases that it explains.

use serde_json::Value;

use super::cases::SimulatedCase;
use super::vocabulary::HOME;

/// One case, and what the two say of it.
pub(super) struct Answers<'a> {
    pub(super) case: &'a SimulatedCase,
    pub(super) ours: &'a str,
    pub(super) theirs: &'a str,
}

/// Why they differ, where this holds.
pub(super) struct Explanation {
    pub(super) why: &'static str,
    pub(super) holds: fn(&Answers<'_>) -> bool,
}

pub(super) const EXPLAINED: &[Explanation] = &[
    Explanation {
        why: "a session policy limits what the role or user has, and not what the resource's policy grants to the session itself",
        holds: |answers| {
            let case = answers.case;
            let is_limited =
                answers.ours == "Allowed" && answers.theirs != "Allowed" && !case.session.is_empty();
            is_limited
                && case.owner == HOME
                && case.on_resource.iter().any(|statement| is_direct(statement, case.caller))
        },
    },
    Explanation {
        why: "IfExists holds of a key that is absent, behind ForAnyValue as well; the simulator does not heed it there",
        holds: |answers| {
            conditions(answers.case).any(|(operator, key, _)| {
                operator.starts_with("ForAnyValue:")
                    && operator.ends_with("IfExists")
                    && !has(answers.case, key)
            })
        },
    },
    Explanation {
        why: "every address is in 0.0.0.0/0; the simulator shifts by 32 bits, which is by none where it is written",
        holds: |answers| {
            conditions(answers.case).any(|(operator, _, values)| {
                operator.contains("IpAddress") && values.iter().any(|value| value.ends_with("/0"))
            })
        },
    },
    Explanation {
        why: "a variable has a colon in it, which ends no part of an ARN; the simulator cuts there",
        holds: |answers| {
            conditions(answers.case).any(|(operator, _, values)| {
                operator.contains("Arn") && values.iter().any(|value| value.contains("${"))
            })
        },
    },
    Explanation {
        why: "an address of another family is not the one address that NotIpAddress names; the simulator takes it for neither",
        holds: |answers| {
            let found = answers.case.context.get("aws:SourceIp").and_then(Value::as_str).unwrap_or_default();
            conditions(answers.case).any(|(operator, _, values)| {
                let is_other =
                    |value: &str| !value.contains('/') && value.contains(':') != found.contains(':');
                operator.contains("NotIpAddress") && values.iter().any(|value| is_other(value))
            })
        },
    },
    Explanation {
        why: "a variable without a value is like nothing: so a negated element holds of everything; the simulator lets it fail",
        holds: |answers| {
            let is_empty = |text: &str| has_empty_variable(text, answers.case);
            let negated = conditions(answers.case).any(|(operator, _, values)| {
                operator.contains("Not") && values.iter().any(|value| is_empty(value))
            });
            let resources = statements(answers.case).flat_map(|statement| texts(&statement["NotResource"]));
            negated || resources.into_iter().any(is_empty)
        },
    },
];

/// The statements of all sides.
fn statements(case: &SimulatedCase) -> impl Iterator<Item = &Value> {
    let sides = [
        &case.identity,
        &case.on_resource,
        &case.boundary,
        &case.session,
        &case.service_control,
        &case.resource_control,
    ];
    sides.into_iter().flatten()
}

/// The tests of all statements: operator, key, values.
fn conditions(case: &SimulatedCase) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
    let blocks = statements(case).filter_map(|statement| statement["Condition"].as_object());
    let operators = blocks.flat_map(|block| block.iter());
    operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, values)| (operator.as_str(), key.as_str(), texts(values)))
    })
}

/// One text, or those of a list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        Value::String(text) => vec![text],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Whether a statement grants something to the caller itself, or to everyone.
fn is_direct(statement: &Value, caller: &str) -> bool {
    let principal = &statement["Principal"];
    let named = texts(&principal["AWS"]);
    statement["Effect"] == "Allow" && (principal == "*" || named.contains(&"*") || named.contains(&caller))
}

/// Whether a text has a variable that the request gives no value, nor the text itself.
fn has_empty_variable(text: &str, case: &SimulatedCase) -> bool {
    text.split("${").skip(1).any(|rest| {
        let name = rest.split('}').next().unwrap_or_default();
        !name.contains(',') && !has(case, name)
    })
}

/// Whether a request carries a key.
fn has(case: &SimulatedCase, key: &str) -> bool {
    case.context.contains_key(key) || case.own_keys().iter().any(|(own, _)| *own == key)
}
