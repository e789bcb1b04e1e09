//! For any document: evaluation ends without a panic, and what is printed means the same.

use proptest::prelude::*;

use super::{attached, caller};
use crate::access::policy::document::LanguageVersion;
use crate::access::policy::pattern::{ExpandedPattern, PatternContext, WildcardPattern};
use crate::access::policy::{AccessRequest, ApplicablePolicies, NamedPolicy, ResourcePolicies, evaluate};
use crate::access::policy::{PolicyDocument, RequestContext, examine};

/// Texts that are likely to meet.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        Just("s3:GetObject".to_owned()),
        Just("arn:aws:s3:::bucket/key".to_owned()),
        Just("arn:aws:s3:::${aws:username}/*".to_owned()),
        Just("arn:aws:iam::111111111111:user/carlos".to_owned()),
        Just("111111111111".to_owned()),
        Just("203.0.113.0/24".to_owned()),
        Just("2020-01-01T00:00:00Z".to_owned()),
        "[a-z*?:/${}']{0,12}",
        ".{0,8}",
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::collection::vec(text(), 0..4).prop_map(|texts| serde_json::to_string(&texts).unwrap()),
    ]
}

fn operator() -> impl Strategy<Value = String> {
    let set = prop_oneof![Just(""), Just("ForAnyValue:"), Just("ForAllValues:")];
    let test = prop_oneof![
        Just("StringLike"),
        Just("StringNotEquals"),
        Just("ArnLike"),
        Just("DateLessThan"),
        Just("NumericEquals"),
        Just("IpAddress"),
        Just("Bool"),
        Just("BinaryEquals"),
        Just("Null"),
        Just("StringEqualsIgnoreCase"),
    ];
    (set, test).prop_map(|(set, test)| format!("{set}{test}"))
}

fn statement() -> impl Strategy<Value = String> {
    let negated = || prop_oneof![Just(""), Just("Not")];
    let principal = prop_oneof![
        Just(String::new()),
        Just(r#", "Principal": "*""#.to_owned()),
        (negated(), texts()).prop_map(|(not, texts)| format!(r#", "{not}Principal": {{"AWS": {texts}}}"#)),
    ];
    let action = prop_oneof![Just(r#""*""#), Just(r#""s3:Get*""#), Just(r#"["s3:GetObject", "iam:*"]"#)];
    let condition = prop_oneof![
        Just(String::new()),
        (operator(), text(), texts()).prop_map(|(operator, key, texts)| {
            format!(
                r#", "Condition": {{"{operator}": {{{}: {texts}}}}}"#,
                serde_json::to_string(&key).unwrap()
            )
        }),
    ];
    (prop::bool::ANY, negated(), action, negated(), texts(), principal, condition).prop_map(
        |(allow, not_action, action, not_resource, resource, principal, condition)| {
            let effect = if allow { "Allow" } else { "Deny" };
            format!(
                r#"{{"Effect": "{effect}", "{not_action}Action": {action}, "{not_resource}Resource": {resource}{principal}{condition}}}"#
            )
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    let version = prop_oneof![Just("2008-10-17"), Just("2012-10-17")];
    (version, prop::collection::vec(statement(), 0..4)).prop_map(|(version, statements)| {
        format!(r#"{{"Version": "{version}", "Statement": [{}]}}"#, statements.join(", "))
    })
}

fn answer(document: PolicyDocument, open: bool) -> String {
    let context = if open { RequestContext::open() } else { RequestContext::default() };
    let request = AccessRequest {
        caller: caller("arn:aws:iam::111111111111:user/carlos"),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket/key".to_owned(),
        owner: "111111111111".to_owned(),
        context: context.with("*", ["*"]).with("many", ["a", "b"]),
    };
    let both = vec![NamedPolicy::new("p", document)];
    let resource = ResourcePolicies::Optional(Some(both.clone()));
    evaluate(
        &request,
        &ApplicablePolicies { identity: Some(both), resource, ..ApplicablePolicies::default() },
    )
    .to_string()
}

proptest! {
    #[test]
    fn what_is_printed_means_the_same(text in document(), open: bool) {
        // An empty resource is none of the language.
        if let Ok(read) = text.parse::<PolicyDocument>() {
            let printed = read.to_json();
            let again: PolicyDocument = printed.parse().unwrap();
            prop_assert_eq!(again.to_json(), printed);
            prop_assert_eq!(again.to_pretty_json().parse::<PolicyDocument>().unwrap(), again.clone());
            prop_assert_eq!(answer(read, open), answer(again, open));
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), text in document(), cut in 0..400_usize) {
        let is_text = std::str::from_utf8(&bytes).is_ok();
        prop_assert!(is_text || examine(&bytes).is_none());
        let broken = text.get(..cut).unwrap_or(&text);
        let is_document = broken.parse::<PolicyDocument>().is_ok();
        prop_assert!(is_document || examine(broken.as_bytes()).is_none());
    }

    #[test]
    fn a_pattern_covers_what_a_slower_reading_says(pattern in "[ab:*?]{0,8}", text in "[ab:]{0,8}") {
        let context = RequestContext::default();
        let language = PatternContext { version: LanguageVersion::V2012, context: &context };
        let ExpandedPattern::Pattern(read) = language.like(&pattern) else { panic!("there are no variables") };
        prop_assert_eq!(read.covers(&text), slow(&pattern, &text));
        prop_assert_eq!(WildcardPattern::action(&pattern).covers(&text), slow(&pattern, &text));
    }
}

/// By definition.
fn slow(pattern: &str, text: &str) -> bool {
    let mut chars = text.chars();
    match pattern.split_at_checked(1) {
        None => text.is_empty(),
        Some(("*", rest)) => {
            (0..=text.len()).any(|from| text.get(from..).is_some_and(|after| slow(rest, after)))
        }
        Some(("?", rest)) => chars.next().is_some() && slow(rest, chars.as_str()),
        Some((own, rest)) => text.strip_prefix(own).is_some_and(|after| slow(rest, after)),
    }
}

#[test]
fn crafted_wildcards_take_no_time() {
    let identity = Some(attached(
        "p",
        &format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::{}b"}}"#, "*a".repeat(60)),
    ));
    let request = AccessRequest {
        caller: caller("arn:aws:iam::111111111111:user/carlos"),
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::{}", "a".repeat(900)),
        owner: "111111111111".to_owned(),
        context: RequestContext::default(),
    };
    let policies = ApplicablePolicies {
        identity,
        resource: ResourcePolicies::Optional(Some(Vec::new())),
        ..ApplicablePolicies::default()
    };
    assert!(!evaluate(&request, &policies).is_allowed());
}
