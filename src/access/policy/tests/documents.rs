//! Documents: parsed strictly, printed as AWS writes them, and fit for their place.

use crate::access::policy::document::{
    Comparison, LanguageVersion, Negatable, PolicyCondition, PolicyDocument, Principals, Statement,
};
use crate::access::policy::fit::PolicyUse;

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(text.parse::<PolicyDocument>().unwrap_err().to_string(), expected);
}

#[test]
fn what_is_wrong_is_said_with_its_path() {
    check_error("[]", "the policy: expected a policy, found a list");
    check_error("{}", "the policy: `Statement` is missing");
    check_error(r#"{"Statment": []}"#, "the policy: unknown key `Statment`: did you mean `Statement`?");
    check_error(
        r#"{"Version": "2012-10-18", "Statement": []}"#,
        "`Version`: unknown version `2012-10-18`: did you mean `2012-10-17`?",
    );
    check_error(
        r#"{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}"#,
        "the policy: `Version` is there twice: merge them",
    );
    check_error(r#"{"Statement": "x"}"#, "`Statement`: expected a statement, found `x`");
}

#[test]
fn what_is_wrong_with_a_statement_is_said_with_its_path() {
    let statement = |rest: &str| {
        format!(r#"{{"Statement": [{{"Effect": "Allow", "Action": "*", "Resource": "*"}}, {{{rest}}}]}}"#)
    };
    let check = |rest: &str, expected: &str| check_error(&statement(rest), expected);
    check(r#""Action": "*""#, "`Statement[1]`: `Effect` is missing");
    check(
        r#""Effect": "allow", "Action": "*""#,
        "`Statement[1].Effect`: unknown effect `allow`: did you mean `Allow`?",
    );
    check(r#""Effect": "Allow""#, "`Statement[1]`: `Action` is missing");
    check(
        r#""Effect": "Allow", "Action": "*", "NotAction": "*""#,
        "`Statement[1]`: `Action` and `NotAction` exclude each other",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*""#,
        "`Statement[1]`: `Resource` and `NotResource` exclude each other",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Principal": "*", "NotPrincipal": "*""#,
        "`Statement[1]`: `Principal` and `NotPrincipal` exclude each other",
    );
    check(
        r#""Effect": "Allow", "Action": ["s3:*", "PutRecord"]"#,
        "`Statement[1].Action[1]`: `PutRecord` is not an action: expected `service:Name`, or `*`",
    );
    check(r#""Effect": "Allow", "Action": 1"#, "`Statement[1].Action`: expected an action, found 1");
    check(
        r#""Effect": "Allow", "Action": "*", "Resource": """#,
        "`Statement[1].Resource`: expected an ARN or `*`, found ``",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Principal": "111111111111""#,
        "`Statement[1].Principal`: expected `*`, or an object of kinds, found `111111111111`",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Principal": {"Aws": "111111111111"}"#,
        "`Statement[1].Principal`: unknown key `Aws`: did you mean `AWS`?",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Principal": {"AWS": "1", "AWS": "2"}"#,
        "`Statement[1].Principal`: `AWS` is there twice: merge them",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Condition": {"StringEqual": {"k": "v"}}"#,
        "`Statement[1].Condition.StringEqual`: unknown condition operator `StringEqual`: did you mean `StringEquals`?",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Condition": {"NullIfExists": {"k": "true"}}"#,
        "`Statement[1].Condition.NullIfExists`: unknown condition operator `NullIfExists`: did you mean `Null`?",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Condition": {"StringEquals": {"k": {}}}"#,
        "`Statement[1].Condition.StringEquals.k`: expected a text, a number, true or false, found an object",
    );
    check(
        r#""Effect": "Allow", "Action": "*", "Condition": {"Bool": {"k": "true"}, "Bool": {"l": "true"}}"#,
        "`Statement[1].Condition`: `Bool` is there twice: merge them",
    );
    check(r#""Effect": "Allow", "Action": "*", "Sid": 1"#, "`Statement[1].Sid`: expected a text, found 1");
}

#[test]
fn what_is_no_json_is_said_with_its_place() {
    check_error("{", "the policy: not JSON: EOF while parsing an object at line 1 column 1");
    check_error("{} x", "the policy: not JSON: trailing characters at line 1 column 4");
}

#[test]
fn a_document_is_printed_as_aws_writes_them() {
    let mut statement = Statement::allow("PutToStream", ["firehose:PutRecord", "firehose:PutRecordBatch"]);
    statement.principals = Some(Negatable::Is(Principals::service(["logs.amazonaws.com"])));
    statement.resources = Some(Negatable::Is(vec!["*".to_owned()]));
    statement.conditions = vec![
        PolicyCondition::new(Comparison::StringEquals, "aws:SourceAccount", ["111111111111"]),
        PolicyCondition::new(Comparison::ArnLike, "aws:SourceArn", ["a", "b"]),
        PolicyCondition::new(Comparison::StringEquals, "aws:PrincipalOrgID", ["o-1"]),
    ];
    let document =
        PolicyDocument { id: Some("i".to_owned()), statements: vec![statement], ..PolicyDocument::default() };
    let text = r#"{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"PutToStream","Effect":"Allow","Principal":{"Service":"logs.amazonaws.com"},"Action":["firehose:PutRecord","firehose:PutRecordBatch"],"Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111","aws:PrincipalOrgID":"o-1"},"ArnLike":{"aws:SourceArn":["a","b"]}}}]}"#;
    assert_eq!(document.to_json(), text);
    assert_eq!(text.parse::<PolicyDocument>().unwrap().to_json(), text);
}

#[test]
fn all_forms_of_a_document_are_read() {
    let text = r#"{"Statement": {"NotPrincipal": {"CanonicalUser": ["c"], "Federated": "f", "AWS": []}, "Effect": "Deny",
        "NotAction": ["s3:*"], "NotResource": "arn:aws:s3:::b", "Condition": {"ForAllValues:NumericLessThanIfExists": {"k": [1, 2.5, true, "x"]}}}}"#;
    let document: PolicyDocument = text.parse().unwrap();
    assert_eq!(document.version, LanguageVersion::V2008);
    let expected = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":[],"Federated":"f","CanonicalUser":"c"},"NotAction":"s3:*","NotResource":"arn:aws:s3:::b","Condition":{"ForAllValues:NumericLessThanIfExists":{"k":["1","2.5","true","x"]}}}]}"#;
    assert_eq!(document.to_json(), expected);
}

#[track_caller]
fn check_fit(kind: PolicyUse, statements: &str, expected: &[&str]) {
    let misfits: Vec<_> = super::policy(statements).misfits(kind).iter().map(ToString::to_string).collect();
    assert_eq!(misfits, expected);
}

#[test]
fn a_document_fits_its_place() {
    let identity = r#"{"Sid": "Put", "Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    let trust = r#"{"Effect": "Allow", "Principal": {"Service": "s"}, "Action": "sts:AssumeRole"}"#;
    let resource =
        r#"{"Sid": "with spaces", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}"#;
    check_fit(PolicyUse::Identity, identity, &[]);
    check_fit(PolicyUse::Trust, trust, &[]);
    check_fit(PolicyUse::Resource, resource, &[]);
    check_fit(
        PolicyUse::Identity,
        resource,
        &[
            "statement 1: `Sid` may hold letters and digits alone, and no two may be the same",
            "statement 1: `Principal` does not belong in a policy of this kind",
        ],
    );
    check_fit(
        PolicyUse::Trust,
        identity,
        &[
            "statement 1: `Principal` is missing",
            "statement 1: `Resource` does not belong in a policy of this kind",
        ],
    );
    check_fit(PolicyUse::Resource, identity, &["statement 1: `Principal` is missing"]);
    check_fit(PolicyUse::Resource, trust, &["statement 1: `Resource` is missing"]);
    check_fit(
        PolicyUse::Identity,
        &format!("{identity}, {identity}"),
        &["statement 2: `Sid` may hold letters and digits alone, and no two may be the same"],
    );
    check_fit(
        PolicyUse::Identity,
        r#"{"Effect": "Allow", "Action": "*", "Resource": "logs"}"#,
        &["statement 1: the resource `logs` is neither an ARN nor `*`"],
    );
    check_fit(
        PolicyUse::Trust,
        r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/*"}, "Action": "*"}"#,
        &[
            "statement 1: the principal `arn:aws:iam::111111111111:role/*` means nobody: a `*` within a principal is not a wildcard",
        ],
    );
    check_fit(
        PolicyUse::Trust,
        r#"{"Effect": "Deny", "NotPrincipal": "*", "Action": "*"}"#,
        &["statement 1: `NotPrincipal` does not belong in a policy of this kind"],
    );
}
