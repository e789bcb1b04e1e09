//! When conditions hold.

use crate::access::policy::condition::holds;
use crate::access::policy::context::RequestContext;
use crate::access::policy::document::LanguageVersion;
use crate::access::policy::pattern::PatternContext;
use crate::access::policy::truth::Truth;

use super::policy;

/// A rule, an operator, the policy's values for the key `k`, the request's, and whether it holds.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str], bool);

#[track_caller]
fn check(rows: &[Row<'_>]) {
    for (rule, operator, values, found, expected) in rows {
        let values = serde_json::to_string(values).unwrap();
        let document = policy(&format!(
            r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{"{operator}": {{"K": {values}}}}}}}"#
        ));
        let context = RequestContext::default()
            .with("k", found.iter().copied())
            .with("aws:username", ["Carlos"])
            .with("aws:PrincipalTag/team", ["Yellow"]);
        let condition = &document.statements[0].conditions[0];
        let held = holds(condition, PatternContext { version: LanguageVersion::V2012, context: &context });
        assert_eq!(held.truth, Truth::from(*expected), "{rule}: {operator} {values} {found:?}");
    }
}

const ABSENT: &[&str] = &[];

#[test]
fn strings() {
    check(&[
        ("the same text", "StringEquals", &["a"], &["a"], true),
        ("another text", "StringEquals", &["a"], &["b"], false),
        ("case counts", "StringEquals", &["johndoe"], &["JohnDoe"], false),
        ("one of several values is enough", "StringEquals", &["a", "b"], &["b"], true),
        ("none of several values", "StringEquals", &["a", "b"], &["c"], false),
        ("an absent key does not match", "StringEquals", &["a"], ABSENT, false),
        ("a star is a character", "StringEquals", &["a*"], &["ab"], false),
        ("a star equals a star", "StringEquals", &["a*"], &["a*"], true),
        ("no value matches nothing", "StringEquals", &[], &["a"], false),
        ("negated: another text", "StringNotEquals", &["a"], &["b"], true),
        ("negated: the same text", "StringNotEquals", &["a"], &["a"], false),
        ("negated: an absent key", "StringNotEquals", &["a"], ABSENT, true),
        ("negated: none of several values may match", "StringNotEquals", &["a", "b"], &["b"], false),
        ("negated: none of several values does", "StringNotEquals", &["a", "b"], &["c"], true),
        ("ignoring case", "StringEqualsIgnoreCase", &["johndoe"], &["JohnDoe"], true),
        ("ignoring case, another text", "StringEqualsIgnoreCase", &["johndoe"], &["JaneDoe"], false),
        ("negated, ignoring case", "StringNotEqualsIgnoreCase", &["johndoe"], &["JohnDoe"], false),
        ("negated, ignoring case, an absent key", "StringNotEqualsIgnoreCase", &["a"], ABSENT, true),
        ("like: a star is many characters", "StringLike", &["home/*"], &["home/a/b"], true),
        ("like: a star is no character", "StringLike", &["home/*"], &["home/"], true),
        ("like: without a star all must be the same", "StringLike", &["home"], &["home/"], false),
        ("like: a question mark is one character", "StringLike", &["t?.micro"], &["t2.micro"], true),
        ("like: a question mark is not two", "StringLike", &["t?"], &["t22"], false),
        (
            "like: a star covers colons",
            "StringLike",
            &["arn:aws:someservice:*:111122223333:finance/*"],
            &["arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"],
            true,
        ),
        ("like: case counts", "StringLike", &["A*"], &["ab"], false),
        ("like: an empty value is the empty text", "StringLike", &["", "home/"], &[""], true),
        ("like: an absent key does not match", "StringLike", &["*"], ABSENT, false),
        ("not like", "StringNotLike", &["a*"], &["b"], true),
        ("not like: a match", "StringNotLike", &["a*"], &["ab"], false),
        ("not like: an absent key", "StringNotLike", &["a*"], ABSENT, true),
    ]);
}

#[test]
fn variables_in_values() {
    check(&[
        ("a variable", "StringEquals", &["${aws:username}"], &["Carlos"], true),
        ("a variable among text", "StringLike", &["home/${aws:username}/*"], &["home/Carlos/x"], true),
        ("another's value", "StringLike", &["home/${aws:username}/*"], &["home/David/x"], false),
        (
            "a variable ignoring case",
            "StringEqualsIgnoreCase",
            &["${aws:PrincipalTag/team}"],
            &["yellow"],
            true,
        ),
        (
            "a variable without a value matches nothing",
            "StringEquals",
            &["${aws:PrincipalTag/x}"],
            &[""],
            false,
        ),
        ("negated, a variable without a value", "StringNotEquals", &["${aws:PrincipalTag/x}"], &["a"], true),
        ("a default", "StringEquals", &["${aws:PrincipalTag/x, 'none'}"], &["none"], true),
        ("an escaped star is no wildcard", "StringLike", &["a${*}"], &["ab"], false),
        (
            "a variable in an ARN",
            "ArnLike",
            &["arn:aws:iam::1:user/${aws:username}"],
            &["arn:aws:iam::1:user/Carlos"],
            true,
        ),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("equal", "NumericEquals", &["10"], &["10"], true),
        ("equal though written differently", "NumericEquals", &["10"], &["10.0"], true),
        ("not equal", "NumericEquals", &["10"], &["11"], false),
        ("negated", "NumericNotEquals", &["10"], &["11"], true),
        ("negated, equal", "NumericNotEquals", &["10"], &["10"], false),
        ("negated, an absent key", "NumericNotEquals", &["10"], ABSENT, true),
        ("less", "NumericLessThan", &["10"], &["9"], true),
        ("less is not equal", "NumericLessThan", &["10"], &["10"], false),
        ("numbers are not texts", "NumericLessThan", &["10"], &["9.5"], true),
        ("up to", "NumericLessThanEquals", &["10"], &["10"], true),
        ("up to, more", "NumericLessThanEquals", &["10"], &["11"], false),
        ("more", "NumericGreaterThan", &["10"], &["11"], true),
        ("more is not equal", "NumericGreaterThan", &["10"], &["10"], false),
        ("from", "NumericGreaterThanEquals", &["10"], &["10"], true),
        ("from, negative", "NumericGreaterThanEquals", &["-1"], &["-2"], false),
        ("an absent key", "NumericLessThanEquals", &["10"], ABSENT, false),
        ("what is no number", "NumericLessThan", &["10"], &["nan"], false),
    ]);
}

#[test]
fn dates() {
    let day = "2020-01-01T00:00:01Z";
    check(&[
        ("after", "DateGreaterThan", &[day], &["2020-06-01T00:00:00Z"], true),
        ("not after itself", "DateGreaterThan", &[day], &[day], false),
        ("from", "DateGreaterThanEquals", &[day], &[day], true),
        ("before", "DateLessThan", &[day], &["2019-12-31T23:59:59Z"], true),
        ("not before itself", "DateLessThan", &[day], &[day], false),
        ("until", "DateLessThanEquals", &[day], &[day], true),
        ("equal", "DateEquals", &[day], &[day], true),
        ("equal in another zone", "DateEquals", &["2020-01-01T01:00:01+01:00"], &[day], true),
        ("negated", "DateNotEquals", &[day], &["2020-06-01T00:00:00Z"], true),
        ("negated, an absent key", "DateNotEquals", &[day], ABSENT, true),
        ("seconds since 1970", "DateEquals", &["1577836801"], &[day], true),
        ("seconds since 1970 on both sides", "DateLessThan", &["1577836801"], &["1577836800"], true),
        ("a day is its beginning", "DateEquals", &["2020-01-01"], &["2020-01-01T00:00:00Z"], true),
        ("a month is its beginning", "DateEquals", &["2020-01"], &["2020-01-01T00:00:00Z"], true),
        ("a year is its beginning", "DateEquals", &["2020"], &["2020-01-01T00:00:00Z"], true),
        (
            "a time without seconds",
            "DateEquals",
            &["2020-01-01T19:20+01:00"],
            &["2020-01-01T18:20:00Z"],
            true,
        ),
        ("an absent key", "DateGreaterThan", &[day], ABSENT, false),
        ("no wildcards", "DateEquals", &["*"], &[day], false),
    ]);
}

#[test]
fn truths_and_bytes() {
    check(&[
        ("true", "Bool", &["true"], &["true"], true),
        ("not false", "Bool", &["true"], &["false"], false),
        ("without case", "Bool", &["True"], &["true"], true),
        ("an absent key", "Bool", &["false"], ABSENT, false),
        ("an absent key, if it exists", "BoolIfExists", &["false"], ABSENT, true),
        ("a present key, if it exists", "BoolIfExists", &["false"], &["true"], false),
        ("what is no truth", "Bool", &["x"], &["x"], false),
        (
            "the same bytes",
            "BinaryEquals",
            &["QmluYXJ5VmFsdWVJbkJhc2U2NA=="],
            &["QmluYXJ5VmFsdWVJbkJhc2U2NA=="],
            true,
        ),
        ("other bytes", "BinaryEquals", &["QmluYXJ5VmFsdWVJbkJhc2U2NA=="], &["QQ=="], false),
        ("what is no base64", "BinaryEquals", &["?"], &["?"], false),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("in the range", "IpAddress", &["203.0.113.0/24"], &["203.0.113.255"], true),
        ("out of it", "IpAddress", &["203.0.113.0/24"], &["203.0.114.0"], false),
        ("without a prefix it is one address", "IpAddress", &["203.0.113.5"], &["203.0.113.5"], true),
        ("and no other", "IpAddress", &["203.0.113.5"], &["203.0.113.6"], false),
        ("all addresses", "IpAddress", &["0.0.0.0/0"], &["198.51.100.1"], true),
        ("IPv6", "IpAddress", &["2001:DB8:1234:5678::/64"], &["2001:db8:1234:5678:1::9"], true),
        ("IPv6, out of it", "IpAddress", &["2001:DB8:1234:5678::/64"], &["2001:db8:1234:5679::"], false),
        ("all of IPv6", "IpAddress", &["::/0"], &["2001:db8::1"], true),
        (
            "both kinds side by side",
            "IpAddress",
            &["203.0.113.0/24", "2001:DB8:1234:5678::/64"],
            &["2001:db8:1234:5678::1"],
            true,
        ),
        ("IPv4 is not IPv6", "IpAddress", &["::/0"], &["203.0.113.1"], false),
        ("an absent key", "IpAddress", &["0.0.0.0/0"], ABSENT, false),
        ("not in the range", "NotIpAddress", &["203.0.113.0/24"], &["198.51.100.1"], true),
        ("not, but in it", "NotIpAddress", &["203.0.113.0/24"], &["203.0.113.1"], false),
        ("not, an absent key", "NotIpAddress", &["203.0.113.0/24"], ABSENT, true),
        ("a prefix that is too long", "IpAddress", &["203.0.113.0/33"], &["203.0.113.0"], false),
    ]);
}

#[test]
fn arns() {
    let topic = "arn:aws:sns:us-east-1:111111111111:topic";
    let shown = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt";
    check(&[
        ("the same", "ArnEquals", &[topic], &[topic], true),
        ("equals has wildcards too", "ArnEquals", &["arn:aws:sns:*:111111111111:*"], &[topic], true),
        ("like is the same", "ArnLike", &["arn:aws:sns:*:111111111111:*"], &[topic], true),
        (
            "each part is compared by itself",
            "ArnLike",
            &["arn:aws:someservice:*:111122223333:finance/*"],
            &[shown],
            false,
        ),
        (
            "the last part may hold colons",
            "ArnLike",
            &["arn:aws:logs:us-east-1:111111111111:*"],
            &["arn:aws:logs:us-east-1:111111111111:log-group:g:*"],
            true,
        ),
        ("case counts", "ArnLike", &["arn:aws:sns:us-east-1:111111111111:Topic"], &[topic], false),
        ("another account", "ArnLike", &["arn:aws:sns:us-east-1:222222222222:*"], &[topic], false),
        ("one of several", "ArnLike", &["arn:aws:sqs:*:*:*", "arn:aws:sns:*:*:*"], &[topic], true),
        ("an absent key", "ArnEquals", &["*"], ABSENT, false),
        ("not like", "ArnNotLike", &["arn:aws:sqs:*:*:*"], &[topic], true),
        ("not equals", "ArnNotEquals", &[topic], &[topic], false),
        ("not, an absent key", "ArnNotEquals", &[topic], ABSENT, true),
    ]);
}

#[test]
fn absence() {
    check(&[
        ("null: the key is absent", "Null", &["true"], ABSENT, true),
        ("null: the key is there", "Null", &["true"], &["a"], false),
        ("not null: the key is there", "Null", &["false"], &["a"], true),
        ("not null: the key is absent", "Null", &["false"], ABSENT, false),
        ("if it exists, and it does not", "StringLikeIfExists", &["t1.*"], ABSENT, true),
        ("if it exists, and it does", "StringLikeIfExists", &["t1.*"], &["m3.large"], false),
        ("if it exists, and it matches", "StringLikeIfExists", &["t1.*", "t2.*"], &["t2.micro"], true),
        ("negated, if it exists, and it does not", "StringNotEqualsIfExists", &["a"], ABSENT, true),
        ("a number, if it exists", "NumericLessThanIfExists", &["1"], ABSENT, true),
        ("an ARN, if it exists", "ArnLikeIfExists", &["arn:aws:sns:*:*:*"], ABSENT, true),
        ("an address, if it exists", "IpAddressIfExists", &["203.0.113.0/24"], &["198.51.100.1"], false),
    ]);
}

#[test]
fn sets() {
    let three = ["ID", "Message", "Tags"];
    let two = ["ID", "PostDateTime"];
    check(&[
        (
            "all: each of the request's is in the policy's",
            "ForAllValues:StringEquals",
            &three,
            &["Message", "Tags"],
            true,
        ),
        ("all: one is not", "ForAllValues:StringEquals", &three, &["Message", "UserName"], false),
        ("all: an absent key", "ForAllValues:StringEquals", &three, ABSENT, true),
        ("all: an empty text is a null set", "ForAllValues:StringEquals", &three, &[""], true),
        ("all: with wildcards", "ForAllValues:StringLike", &["a*"], &["ab", "ac"], true),
        (
            "all, negated: none may be in the policy's",
            "ForAllValues:StringNotEquals",
            &two,
            &["Message"],
            true,
        ),
        ("all, negated: one is", "ForAllValues:StringNotEquals", &two, &["Message", "ID"], false),
        ("any: one is in the policy's", "ForAnyValue:StringEquals", &two, &["PostDateTime", "Message"], true),
        ("any: none is", "ForAnyValue:StringEquals", &two, &["UserName"], false),
        ("any: an absent key", "ForAnyValue:StringEquals", &two, ABSENT, false),
        ("any: an empty text is a null set", "ForAnyValue:StringEquals", &[""], &[""], false),
        ("any: with wildcards", "ForAnyValue:StringLike", &["o-x/*"], &["o-y/a", "o-x/b"], true),
        (
            "any, negated: one is not in the policy's",
            "ForAnyValue:StringNotEquals",
            &two,
            &["ID", "Message"],
            true,
        ),
        ("any, negated: all are", "ForAnyValue:StringNotEquals", &two, &["ID"], false),
        ("any, negated: an absent key", "ForAnyValue:StringNotEquals", &two, ABSENT, false),
        ("any, if it exists, and it does not", "ForAnyValue:StringEqualsIfExists", &two, ABSENT, true),
        (
            "any ARN",
            "ForAnyValue:ArnLike",
            &["arn:aws:sns:*:*:*"],
            &["arn:aws:sqs:a:1:b", "arn:aws:sns:a:1:b"],
            true,
        ),
    ]);
}
