//! The form that IAM, STS and `CloudWatch` take: every leaf of the input with its path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What a form, and a path, is left with: letters, digits and these four.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The body of a call, such as `Action=GetRole&Version=2010-05-08&RoleName=r`; lists are counted from 1 as `Tags.member.1.Key`.
pub(super) fn form(operation: &str, version: &str, input: &Value) -> String {
    let mut body = format!("Action={operation}&Version={version}");
    leaves("", input, &mut body);
    body
}

fn leaves(path: &str, value: &Value, body: &mut String) {
    let below = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    let mut leaf = |text: &str| {
        body.extend(["&", path, "="]);
        body.extend(utf8_percent_encode(text, ESCAPED));
    };
    match value {
        Value::Null => {}
        Value::String(text) => leaf(text),
        Value::Bool(_) | Value::Number(_) => leaf(&value.to_string()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(&below(&format!("member.{}", index + 1)), item, body);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                leaves(&below(name), value, body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_leaf_has_its_path() {
        let check = |input, expected: &str| {
            let body = form("Op", "2010-05-08", &input);
            assert_eq!(body, format!("Action=Op&Version=2010-05-08{expected}"));
        };
        check(json!({}), "");
        check(json!({ "RoleName": "a b" }), "&RoleName=a%20b");
        check(
            json!({ "Tags": [{ "Key": "k", "Value": "v:/*" }, { "Key": "l", "Value": "" }] }),
            "&Tags.member.1.Key=k&Tags.member.1.Value=v%3A%2F%2A&Tags.member.2.Key=l&Tags.member.2.Value=",
        );
        check(json!({ "SetAsDefault": true, "MaxItems": 5, "None": null }), "&MaxItems=5&SetAsDefault=true");
        check(json!({ "A": { "B": ["x", "y"] } }), "&A.B.member.1=x&A.B.member.2=y");
    }
}
