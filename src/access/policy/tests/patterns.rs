//! What actions and resources cover.

use crate::access::policy::context::RequestContext;
use crate::access::policy::document::LanguageVersion;
use crate::access::policy::pattern::{ExpandedPattern, PatternContext, WildcardPattern};

#[track_caller]
fn check_action(rule: &str, pattern: &str, action: &str, expected: bool) {
    assert_eq!(WildcardPattern::action(pattern).covers(&action.to_ascii_lowercase()), expected, "{rule}");
}

fn context() -> RequestContext {
    RequestContext::default()
        .with("aws:username", ["David"])
        .with("aws:PrincipalTag/department", ["finance"])
        .with("odd", ["a*b"])
        .with("many", ["x", "y"])
}

#[track_caller]
fn check(rule: &str, pattern: &str, resource: &str, expected: bool) {
    check_in(LanguageVersion::V2012, rule, pattern, resource, expected);
}

#[track_caller]
fn check_in(version: LanguageVersion, rule: &str, pattern: &str, resource: &str, expected: bool) {
    let context = context();
    let found = match (PatternContext { version, context: &context }).resource(pattern) {
        ExpandedPattern::Pattern(pattern) => pattern.covers(resource),
        ExpandedPattern::NoValue => false,
        ExpandedPattern::Unknown(key) => panic!("{key} is known"),
    };
    assert_eq!(found, expected, "{rule}: {pattern} {resource}");
}

#[test]
fn actions_have_wildcards_and_no_case() {
    check_action("a name is itself", "s3:GetObject", "s3:GetObject", true);
    check_action("another name is another", "s3:GetObject", "s3:PutObject", false);
    check_action("the name has no case", "iam:listaccesskeys", "iam:ListAccessKeys", true);
    check_action("the prefix has no case", "IAM:ListAccessKeys", "iam:ListAccessKeys", true);
    check_action("a star is all of a service", "s3:*", "s3:GetObject", true);
    check_action("a star is all of one service alone", "s3:*", "iam:GetUser", false);
    check_action("a star alone is all", "*", "firehose:PutRecordBatch", true);
    check_action("stars may stand within: Create", "iam:*AccessKey*", "iam:CreateAccessKey", true);
    check_action("stars may stand within: List", "iam:*AccessKey*", "iam:ListAccessKeys", true);
    check_action("stars within do not cover others", "iam:*AccessKey*", "iam:CreateUser", false);
    check_action("a prefix with a star", "s3:Get*", "s3:GetBucketAcl", true);
    check_action("a prefix is no more than a prefix", "firehose:PutRecord", "firehose:PutRecordBatch", false);
    check_action("a question mark is one character", "s3:GetObjec?", "s3:GetObject", true);
    check_action("a question mark is not none", "s3:GetObject?", "s3:GetObject", false);
    check_action("brackets are characters", "s3:[G]etObject", "s3:GetObject", false);
}

#[test]
fn resources_have_wildcards_within_their_parts() {
    let queue = "arn:aws:sqs:us-east-2:111111111111:queue1";
    check("an ARN is itself", queue, queue, true);
    check("names have case", "arn:aws:iam::1:user/bob", "arn:aws:iam::1:user/Bob", false);
    check("a star is all", "*", queue, true);
    check("a star is all, even of no resource", "*", "*", true);
    check("an ARN is not no resource", "arn:aws:s3:::*", "*", false);
    check("a star in a part", "arn:aws:sqs:*:111111111111:queue1", queue, true);
    check("a star at the end of a part runs on", "arn:aws:sqs:*:queue1", queue, true);
    check("a star within a part does not", "arn:aws:sqs:us*2:queue1", queue, false);
    check("a question mark keeps to its part", "arn:aws:sqs:us-east-2?111111111111:queue1", queue, false);
    check("an ARN cut short is filled up", "arn:aws:sqs", queue, true);
    check("an ARN cut short is of its service", "arn:aws:sns", queue, false);
    check("one part more or less is another", "arn:aws:sqs:us-east-2:111111111111", queue, true);
    check("the region counts", "arn:aws:sqs:us-east-1:111111111111:queue1", queue, false);
    check("the account counts", "arn:aws:sqs:us-east-2:222222222222:queue1", queue, false);
    check("the partition counts", "arn:aws-cn:sqs:us-east-2:111111111111:queue1", queue, false);
}

#[test]
fn a_star_covers_slashes_as_aws_lists_it() {
    let pattern = "arn:aws:s3:::amzn-s3-demo-bucket/*/test/*";
    for key in
        ["1/test/object.jpg", "1/2/test/object.jpg", "1/2/test/3/object.jpg", "1/2/3/test/4/object.jpg"]
    {
        check("one of those listed", pattern, &format!("arn:aws:s3:::amzn-s3-demo-bucket/{key}"), true);
    }
    for key in ["1///test///object.jpg", "1/test/.jpg", "/test/object.jpg", "1/test/"] {
        check("empty names", pattern, &format!("arn:aws:s3:::amzn-s3-demo-bucket/{key}"), true);
    }
    for key in ["1-test/object.jpg", "test/object.jpg", "1/2/test.jpg"] {
        check("one of those not covered", pattern, &format!("arn:aws:s3:::amzn-s3-demo-bucket/{key}"), false);
    }
}

#[test]
fn what_logs_pass_through_is_covered_as_its_services_say() {
    let group = "arn:aws:logs:us-east-1:111111111111:log-group:g";
    check("a bucket's objects are not the bucket", "arn:aws:s3:::b/*", "arn:aws:s3:::b", false);
    check("a bucket is not its objects", "arn:aws:s3:::b", "arn:aws:s3:::b/k", false);
    check("a bucket's name cut short by a star", "arn:aws:s3:::b*", "arn:aws:s3:::b/k", true);
    check("a slash without a star is one key", "arn:aws:s3:::b/p/", "arn:aws:s3:::b/p/k", false);
    check("a group without its streams", group, &format!("{group}:*"), false);
    check("a group with its streams", &format!("{group}:*"), &format!("{group}:log-stream:s"), true);
    check("all groups", "arn:aws:logs:us-east-1:111111111111:*", &format!("{group}:log-stream:s"), true);
    check(
        "a prefix of groups",
        "arn:aws:logs:us-east-1:111111111111:log-group:/aws/vendedlogs/*",
        "arn:aws:logs:us-east-1:111111111111:log-group:/aws/vendedlogs/states/x:log-stream:s",
        true,
    );
    check(
        "all streams of Firehose",
        "arn:aws:firehose:us-east-1:222222222222:deliverystream/*",
        "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs",
        true,
    );
    check(
        "a stream is not another",
        "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs",
        "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs2",
        false,
    );
}

#[test]
fn variables_stand_for_keys_of_the_request() {
    check("a user's folder", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/David/x", true);
    check("no one else's", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/Carlos/x", false);
    check("keys have no case", "arn:aws:s3:::b/${AWS:UserName}/x", "arn:aws:s3:::b/David/x", true);
    check("a tag", "arn:aws:s3:::b/${aws:PrincipalTag/department}", "arn:aws:s3:::b/finance", true);
    check(
        "a key without a value covers nothing",
        "arn:aws:s3:::b/${aws:PrincipalTag/team}",
        "arn:aws:s3:::b/",
        false,
    );
    check(
        "a default stands in",
        "arn:aws:s3:::b-${aws:PrincipalTag/team, 'company-wide'}",
        "arn:aws:s3:::b-company-wide",
        true,
    );
    check(
        "a value before its default",
        "arn:aws:s3:::b-${aws:PrincipalTag/department, 'company-wide'}",
        "arn:aws:s3:::b-finance",
        true,
    );
    check(
        "and not both",
        "arn:aws:s3:::b-${aws:PrincipalTag/department, 'company-wide'}",
        "arn:aws:s3:::b-company-wide",
        false,
    );
    check("a key of many values is no variable", "arn:aws:s3:::b/${many}", "arn:aws:s3:::b/x", false);
    check("a star in a value is a star", "arn:aws:s3:::b/${odd}", "arn:aws:s3:::b/a*b", true);
    check("a star in a value is no wildcard", "arn:aws:s3:::b/${odd}", "arn:aws:s3:::b/axb", false);
    check("an escaped star", "arn:aws:s3:::b/a${*}b", "arn:aws:s3:::b/a*b", true);
    check("an escaped star is no wildcard", "arn:aws:s3:::b/a${*}b", "arn:aws:s3:::b/axb", false);
    check("an escaped question mark", "arn:aws:s3:::b/a${?}", "arn:aws:s3:::b/a?", true);
    check("an escaped question mark is no wildcard", "arn:aws:s3:::b/a${?}", "arn:aws:s3:::b/ax", false);
    check("an escaped dollar", "arn:aws:s3:::b/a${$}", "arn:aws:s3:::b/a$", true);
    check(
        "no variable before the fifth colon",
        "arn:aws:s3::${aws:username}:b",
        "arn:aws:s3::David:b",
        false,
    );
    check("an open brace is text", "arn:aws:s3:::b/${x", "arn:aws:s3:::b/${x", true);
    let old = LanguageVersion::V2008;
    check_in(
        old,
        "the old language has no variables",
        "arn:aws:s3:::b/${aws:username}",
        "arn:aws:s3:::b/David",
        false,
    );
    check_in(
        old,
        "they are text to it",
        "arn:aws:s3:::b/${aws:username}",
        "arn:aws:s3:::b/${aws:username}",
        true,
    );
}
