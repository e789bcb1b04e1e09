//! What is planned is allowed what the flow needs, and nothing beside it.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::access::policy::document::{Effect, Negatable, PolicyDocument, Principals};
use crate::access::policy::{
    self as fit, AccessRequest, ApplicablePolicies, NamedPolicy, RequestContext, RequestPrincipal,
    ResourcePolicies, evaluate,
};
use crate::config::topology::load;

const TOPOLOGIES: [&str; 5] = ["basic", "three-accounts", "organization", "trail", "pull"];

fn of(name: &str) -> AccessPlan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/access/{name}.toml"));
    plan(&load(&path, &BTreeMap::new()).unwrap()).unwrap()
}

fn written(text: &str) -> Result<AccessPlan, PlanError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topology.toml");
    std::fs::write(&path, text).unwrap();
    plan(&load(&path, &BTreeMap::new()).unwrap())
}

/// The document of a resource; the title has to contain the words.
fn document(plan: &AccessPlan, words: &str, part: DocumentPurpose) -> PolicyDocument {
    let resources = plan.stages.iter().flat_map(|stage| &stage.resources);
    let found: Vec<PolicyDocument> = resources
        .filter(|resource| resource.title().contains(words))
        .flat_map(|resource| resource.documents().into_iter().map(|it| (it.part, it.document.clone())))
        .filter(|(is, _)| *is == part)
        .map(|(_, document)| document)
        .collect();
    assert_eq!(found.len(), 1, "`{words}` is one resource");
    found[0].clone()
}

fn seen(document: PolicyDocument) -> Vec<NamedPolicy> {
    vec![NamedPolicy::new("it", document)]
}

fn service(names: &[&str]) -> RequestPrincipal {
    RequestPrincipal::Service { names: names.iter().map(|&name| name.to_owned()).collect() }
}

fn session(role: &str) -> RequestPrincipal {
    RequestPrincipal::Session { role: role.parse().unwrap(), name: "s".to_owned() }
}

fn context(keys: &[(&str, &str)]) -> RequestContext {
    keys.iter().fold(RequestContext::default(), |context, (key, value)| context.with(key, [*value]))
}

/// Everything, for the side that is not asked about.
fn everything() -> PolicyDocument {
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#.parse().unwrap()
}

struct Case<'a> {
    caller: RequestPrincipal,
    action: &'a str,
    resource: &'a str,
    owner: &'a str,
    keys: &'a [(&'a str, &'a str)],
}

#[track_caller]
fn check(case: Case<'_>, policies: &ApplicablePolicies, allowed: bool) {
    let Case { caller, action, resource, owner, keys } = case;
    let request = AccessRequest {
        caller,
        action: action.to_owned(),
        resource: resource.to_owned(),
        owner: owner.to_owned(),
        context: context(keys),
    };
    let answer = evaluate(&request, policies);
    assert_eq!(answer.is_allowed(), allowed, "{action} on {resource} with {keys:?}: {answer}");
}

const APP: &str = "111111111111";
const ARCHIVE: &str = "222222222222";

/// Who may assume a role.
#[track_caller]
fn assume(
    trust: &PolicyDocument,
    identity: PolicyDocument,
    caller: &RequestPrincipal,
    keys: &[(&str, &str)],
    allowed: bool,
) {
    let policies = ApplicablePolicies {
        identity: Some(seen(identity)),
        resource: ResourcePolicies::Required(Some(seen(trust.clone()))),
        ..ApplicablePolicies::default()
    };
    let resource = format!("arn:aws:iam::{ARCHIVE}:role/r");
    let case =
        Case { caller: caller.clone(), action: "sts:AssumeRole", resource: &resource, owner: ARCHIVE, keys };
    check(case, &policies, allowed);
}

/// What a role may do with what has no policies, or one that says nothing.
#[track_caller]
fn may(identity: &PolicyDocument, action: &str, resource: &str, keys: &[(&str, &str)], allowed: bool) {
    let caller = session(&format!("arn:aws:iam::{ARCHIVE}:role/r"));
    let policies = ApplicablePolicies {
        identity: Some(seen(identity.clone())),
        resource: ResourcePolicies::Unsupported,
        ..ApplicablePolicies::default()
    };
    check(Case { caller, action, resource, owner: ARCHIVE, keys }, &policies, allowed);
}

/// What a resource's policy lets others do, who may do everything by their own.
#[track_caller]
fn lets(policy: &PolicyDocument, case: Case<'_>, allowed: bool) {
    let resource = ResourcePolicies::Optional(Some(seen(policy.clone())));
    check(
        case,
        &ApplicablePolicies { identity: Some(seen(everything())), resource, ..ApplicablePolicies::default() },
        allowed,
    );
}

#[test]
fn every_document_is_fit_for_its_place_and_grants_little() {
    for name in TOPOLOGIES {
        let plan = of(name);
        for resource in plan.stages.iter().flat_map(|stage| &stage.resources) {
            for attached in resource.documents() {
                let title = format!("{name}: {} {}", resource.title(), attached.part.as_str());
                let document = attached.document;
                let kind = match attached.part {
                    DocumentPurpose::Trust => fit::PolicyUse::Trust,
                    DocumentPurpose::Permissions => fit::PolicyUse::Identity,
                    DocumentPurpose::Policy => fit::PolicyUse::Resource,
                };
                assert_eq!(document.misfits(kind), [], "{title}");
                assert_eq!(document.to_json().parse::<PolicyDocument>().unwrap(), *document, "{title}");
                let is_key = matches!(resource.kind, ResourceKind::Key { .. });
                for statement in &document.statements {
                    narrow(statement, is_key, &title);
                }
            }
        }
    }
}

/// A statement has a name, exact actions and resources, and a service or everyone comes under a condition.
#[track_caller]
fn narrow(statement: &crate::access::policy::document::Statement, is_key: bool, title: &str) {
    let sid = statement.sid.as_deref().unwrap();
    assert!(sid.len() > 8, "{title}: {sid} says why");
    if statement.effect == Effect::Deny || sid == "TheAccountDecidesWhoUsesItsKey" {
        return;
    }
    for action in statement.actions.written() {
        assert!(!action.ends_with(":*") && action != "*", "{title}: {sid} {action}");
    }
    let resources = statement.resources.as_ref().map(|it| it.written().clone()).unwrap_or_default();
    if !is_key && sid != "TheServiceTurnsLoggingOn" {
        assert!(!resources.contains(&"*".to_owned()), "{title}: {sid}");
    }
    let open = match &statement.principals {
        Some(Negatable::Is(Principals::Everyone)) => true,
        Some(Negatable::Is(Principals::Named(kinds))) => {
            kinds.contains_key(&crate::access::policy::document::PrincipalType::Service)
        }
        Some(Negatable::Not(_)) => panic!("{title}: {sid}"),
        None => false,
    };
    assert!(!open || !statement.conditions.is_empty(), "{title}: {sid} is for somebody in particular");
}

#[test]
fn cloudwatch_logs_comes_for_the_senders_alone() {
    let trust = document(&of("basic"), "`standpipe-logs`", DocumentPurpose::Trust);
    let logs = service(&["logs.amazonaws.com", "logs.ap-northeast-1.amazonaws.com"]);
    let source = |account: &str| format!("arn:aws:logs:ap-northeast-1:{account}:*");
    for (account, allowed) in [(APP, true), (ARCHIVE, true), ("999999999999", false)] {
        assume(&trust, everything(), &logs, &[("aws:SourceArn", &source(account))], allowed);
    }
    assume(&trust, everything(), &logs, &[], false);
    let elsewhere = service(&["logs.amazonaws.com", "logs.us-east-1.amazonaws.com"]);
    assume(&trust, everything(), &elsewhere, &[("aws:SourceArn", &source(APP))], false);

    let trust = document(&of("organization"), "`standpipe-logs`", DocumentPurpose::Trust);
    let logs = service(&["logs.cn-north-1.amazonaws.com.cn"]);
    assume(&trust, everything(), &logs, &[("aws:SourceOrgID", "o-a1b2c3d4e5")], true);
    assume(&trust, everything(), &logs, &[("aws:SourceOrgID", "o-0000000000")], false);
}

#[test]
fn cloudwatch_logs_puts_to_the_stream_and_no_other() {
    let put = document(&of("basic"), "`standpipe-logs`", DocumentPurpose::Permissions);
    let stream = |name: &str| format!("arn:aws:firehose:ap-northeast-1:{ARCHIVE}:deliverystream/{name}");
    may(&put, "firehose:PutRecordBatch", &stream("delivery-test-stream"), &[], true);
    may(&put, "firehose:PutRecordBatch", &stream("delivery-test-stream-2"), &[], false);
    may(&put, "firehose:DeleteDeliveryStream", &stream("delivery-test-stream"), &[], false);

    let put = document(&of("organization"), "`standpipe-logs`", DocumentPurpose::Permissions);
    let stream = format!("arn:aws-cn:kinesis:cn-north-1:{ARCHIVE}:stream/cwl");
    may(&put, "kinesis:PutRecord", &stream, &[], true);
    let key = format!("arn:aws-cn:kms:cn-north-1:{ARCHIVE}:key/1");
    let of_key = [
        ("kms:ResourceAliases", "alias/standpipe-records"),
        ("kms:ViaService", "kinesis.cn-north-1.amazonaws.com.cn"),
        ("kms:EncryptionContext:aws:kinesis:arn", stream.as_str()),
    ];
    may(&put, "kms:GenerateDataKey", &key, &of_key, true);
    may(&put, "kms:GenerateDataKey", &key, &of_key[..2], false);
    may(&put, "kms:GenerateDataKey", &key, &of_key[1..], false);
    may(&put, "kms:Decrypt", &key, &of_key, false);
}

#[test]
fn firehose_writes_below_the_prefix() {
    let plan = of("basic");
    let trust = document(&plan, "`standpipe-firehose`", DocumentPurpose::Trust);
    let firehose = service(&["firehose.amazonaws.com"]);
    assume(&trust, everything(), &firehose, &[("sts:ExternalId", ARCHIVE)], true);
    assume(&trust, everything(), &firehose, &[("sts:ExternalId", APP)], false);
    let writes = document(&plan, "`standpipe-firehose`", DocumentPurpose::Permissions);
    may(&writes, "s3:PutObject", "arn:aws:s3:::org-logs/cwl/2026/x", &[], true);
    may(&writes, "s3:PutObject", "arn:aws:s3:::org-logs/other/x", &[], false);
    may(&writes, "s3:DeleteObject", "arn:aws:s3:::org-logs/cwl/x", &[], false);
    may(&writes, "s3:ListBucket", "arn:aws:s3:::org-logs", &[], true);
    may(&writes, "s3:ListBucket", "arn:aws:s3:::org-logs-2", &[], false);
}

const TLS: &[(&str, &str)] = &[("aws:SecureTransport", "true")];
const PLAIN: &[(&str, &str)] = &[("aws:SecureTransport", "false")];

#[test]
fn a_bucket_of_another_account_agrees_to_the_role_alone_and_to_tls_alone() {
    let plan = of("three-accounts");
    let policy = document(&plan, "bucket `gov-logs`", DocumentPurpose::Policy);
    let role = |name: &str| session(&format!("arn:aws-us-gov:iam::{ARCHIVE}:role/{name}"));
    let put =
        |caller: RequestPrincipal, action: &'static str, keys: &'static [(&'static str, &'static str)]| {
            Case { caller, action, resource: "arn:aws-us-gov:s3:::gov-logs/x", owner: "333333333333", keys }
        };
    lets(&policy, put(role("logs-firehose"), "s3:PutObject", TLS), true);
    lets(&policy, put(role("logs-firehose"), "s3:PutObject", PLAIN), false);
    lets(&policy, put(role("other"), "s3:PutObject", TLS), false);
    lets(&policy, put(role("logs-firehose"), "s3:DeleteObject", TLS), false);

    let key = document(&plan, "KMS key", DocumentPurpose::Policy);
    let use_of = |caller: RequestPrincipal, keys: &'static [(&'static str, &'static str)]| Case {
        caller,
        action: "kms:GenerateDataKey",
        resource: "arn:aws-us-gov:kms:us-gov-west-1:333333333333:key/1",
        owner: "333333333333",
        keys,
    };
    lets(&key, use_of(role("logs-firehose"), &[("kms:ViaService", "s3.us-gov-west-1.amazonaws.com")]), true);
    lets(&key, use_of(role("logs-firehose"), &[]), false);
    lets(&key, use_of(role("other"), &[("kms:ViaService", "s3.us-gov-west-1.amazonaws.com")]), false);
}

#[test]
fn only_the_accounts_that_send_subscribe() {
    let user =
        |account: &str| RequestPrincipal::User(format!("arn:aws:iam::{account}:user/u").parse().unwrap());
    let basic = document(&of("basic"), "destination", DocumentPurpose::Policy);
    let arn = format!("arn:aws:logs:ap-northeast-1:{ARCHIVE}:destination:delivery-test-destination");
    let filter = |caller| Case {
        caller,
        action: "logs:PutSubscriptionFilter",
        resource: &arn,
        owner: ARCHIVE,
        keys: &[],
    };
    lets(&basic, filter(user(APP)), true);
    lets(&basic, filter(user("999999999999")), false);

    let organization = document(&of("organization"), "destination", DocumentPurpose::Policy);
    let arn = format!("arn:aws-cn:logs:cn-north-1:{ARCHIVE}:destination:all-logs");
    for (id, allowed) in [("o-a1b2c3d4e5", true), ("o-0000000000", false)] {
        let caller = RequestPrincipal::User(format!("arn:aws-cn:iam::{APP}:user/u").parse().unwrap());
        let keys = [("aws:PrincipalOrgID", id)];
        let case = Case {
            caller,
            action: "logs:PutSubscriptionFilter",
            resource: &arn,
            owner: ARCHIVE,
            keys: &keys,
        };
        lets(&organization, case, allowed);
    }
}

#[test]
fn the_writer_is_assumed_by_whom_it_trusts_with_the_external_id() {
    let plan = of("basic");
    let trust = document(&plan, "role `standpipe-writer`", DocumentPurpose::Trust);
    let id = [("sts:ExternalId", "example")];
    let host = session(&format!("arn:aws:iam::{APP}:role/host"));
    assume(&trust, everything(), &host, &id, true);
    assume(&trust, everything(), &host, &[], false);
    assume(&trust, everything(), &host, &[("sts:ExternalId", "other")], false);
    assume(&trust, everything(), &session("arn:aws:iam::999999999999:role/host"), &id, false);
    let put = document(&plan, "role `standpipe-writer`", DocumentPurpose::Permissions);
    let stream = |name: &str| format!("arn:aws:firehose:ap-northeast-1:{ARCHIVE}:deliverystream/{name}");
    may(&put, "firehose:PutRecordBatch", &stream("delivery-test-stream"), &[], true);
    may(&put, "firehose:PutRecordBatch", &stream("other"), &[], false);

    let plan = of("three-accounts");
    let trust = document(&plan, "role `logs-writer`", DocumentPurpose::Trust);
    let role = |path: &str| session(&format!("arn:aws-us-gov:iam::{APP}:role/{path}"));
    assume(&trust, everything(), &role("service-role/app-host"), &id, true);
    assume(&trust, everything(), &role("app-host"), &id, false);
    let identity = document(&plan, "policy `assume-logs-writer`", DocumentPurpose::Permissions);
    let writer = format!("arn:aws-us-gov:iam::{ARCHIVE}:role/logs-writer");
    may(&identity, "sts:AssumeRole", &writer, &[], true);
    may(&identity, "sts:AssumeRole", &format!("{writer}2"), &[], false);
}

#[test]
fn the_log_reader_lists_all_log_groups_and_reads_those_that_are_named() {
    let plan = of("pull");
    let reads = document(&plan, "role `standpipe-log-reader`", DocumentPurpose::Permissions);
    let group = |name: &str| format!("arn:aws:logs:us-east-1:{APP}:log-group:{name}:log-stream:");
    may(&reads, "logs:DescribeLogGroups", &group(""), &[], true);
    for (name, is_read) in [
        ("/aws/lambda/a", true),
        ("/aws/lambda/a/b", true),
        ("/app/orders", true),
        ("/app/orders-2", false),
        ("/aws/ecs", false),
    ] {
        may(&reads, "logs:FilterLogEvents", &group(name), &[], is_read);
        may(&reads, "logs:GetLogEvents", &group(name), &[], false);
    }
    let elsewhere = format!("arn:aws:logs:us-east-1:{ARCHIVE}:log-group:/aws/lambda/a:log-stream:");
    may(&reads, "logs:FilterLogEvents", &elsewhere, &[], false);
}

#[test]
fn the_reader_lists_the_bucket_and_reads_below_the_prefix() {
    let plan = of("trail");
    let reads = document(&plan, "role `cross-role-for-cloudtrail`", DocumentPurpose::Permissions);
    let bucket = "arn:aws:s3:::my-cloudtrail-bucket";
    let below = "AWSLogs/000000000000/CloudTrail/";
    may(&reads, "s3:GetObject", &format!("{bucket}/{below}eu-central-1/x.json.gz"), &[], true);
    may(&reads, "s3:GetObject", &format!("{bucket}/other"), &[], false);
    may(&reads, "s3:ListBucket", bucket, &[("s3:prefix", below)], true);
    may(&reads, "s3:ListBucket", bucket, &[("s3:prefix", "")], false);
    may(&reads, "sqs:DeleteMessage", "arn:aws:sqs:eu-central-1:000000000000:trail", &[], true);

    // What is often written instead allows no listing at all.
    let often: PolicyDocument = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"{bucket}/*"}}}}"#
    )
    .parse()
    .unwrap();
    may(&often, "s3:ListBucket", bucket, &[("s3:prefix", below)], false);

    let queue = document(&plan, "queue `trail`", DocumentPurpose::Policy);
    for (bucket, allowed) in [("my-cloudtrail-bucket", true), ("other", false)] {
        let source = format!("arn:aws:s3:::{bucket}");
        let keys = [("aws:SourceArn", source.as_str()), ("aws:SourceAccount", "000000000000")];
        let resource = "arn:aws:sqs:eu-central-1:000000000000:trail";
        let caller = service(&["s3.amazonaws.com"]);
        let case = Case { caller, action: "sqs:SendMessage", resource, owner: "000000000000", keys: &keys };
        lets(&queue, case, allowed);
    }
}

#[test]
fn the_consumer_reads_the_stream_and_keeps_its_leases() {
    let reads = document(&of("organization"), "role `standpipe-consumer`", DocumentPurpose::Permissions);
    let stream = format!("arn:aws-cn:kinesis:cn-north-1:{ARCHIVE}:stream/cwl");
    let table = format!("arn:aws-cn:dynamodb:cn-north-1:{ARCHIVE}:table/standpipe-cwl");
    for action in ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"] {
        may(&reads, action, &stream, &[], true);
    }
    may(&reads, "kinesis:PutRecord", &stream, &[], false);
    may(&reads, "dynamodb:UpdateItem", &table, &[], true);
    may(&reads, "dynamodb:DeleteTable", &table, &[], false);
    may(&reads, "kinesis:RegisterStreamConsumer", &stream, &[], false);
}

#[test]
fn a_consumer_of_enhanced_fan_out_is_registered_and_subscribes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/topology.toml");
    let sample = plan(&load(&path, &BTreeMap::new()).unwrap()).unwrap();
    let reads = document(&sample, "role `standpipe-consumer`", DocumentPurpose::Permissions);
    let stream = "arn:aws:kinesis:ap-northeast-1:222222222222:stream/cwl";
    may(&reads, "kinesis:RegisterStreamConsumer", stream, &[], true);
    may(&reads, "kinesis:DeregisterStreamConsumer", stream, &[], false);
    for action in ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"] {
        may(&reads, action, &format!("{stream}/consumer/standpipe:1764499200"), &[], true);
        may(&reads, action, &format!("{stream}/consumer/another:1764499200"), &[], false);
        may(&reads, action, stream, &[], false);
    }
}

/// A topology of vended log groups of these names.
fn vended(names: impl Iterator<Item = String>) -> Result<AccessPlan, PlanError> {
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    written(&format!(
        "region = \"us-west-2\"\n[accounts.app]\nid = \"{APP}\"\n[[vended]]\naccount = \"app\"\nservice = \"states\"\nlog_groups = [{}]\n",
        names.join(", ")
    ))
}

#[test]
fn vended_logs_fit_in_few_policies_and_every_group_is_covered() {
    let name = |number: usize| format!("/aws/vendedlogs/states/a-name-that-is-rather-long-{number}-Logs");
    for (n_groups, n_policies, wide) in [(1, 1, false), (20, 1, false), (100, 3, false), (1_000, 1, true)] {
        let plan = vended((0..n_groups).map(name)).unwrap();
        let policies: Vec<&PolicyDocument> =
            plan.stages[0].resources.iter().map(|resource| resource.documents()[0].document).collect();
        assert_eq!(policies.len(), n_policies, "{n_groups} groups");
        for policy in &policies {
            assert!(policy.to_json().len() <= 5_120);
        }
        let all: String = policies.iter().map(|policy| policy.to_json()).collect();
        assert_eq!(all.contains("/aws/vendedlogs/states/*:"), wide, "{n_groups} groups");
        for number in [0, n_groups - 1] {
            let group = format!("arn:aws:logs:us-west-2:{APP}:log-group:{}:log-stream:s", name(number));
            let source = format!("arn:aws:logs:us-west-2:{APP}:x");
            let keys = [("aws:SourceAccount", APP), ("aws:SourceArn", source.as_str())];
            let resource = ResourcePolicies::Optional(Some(
                policies.iter().map(|&it| NamedPolicy::new("it", it.clone())).collect(),
            ));
            let caller = service(&["delivery.logs.amazonaws.com"]);
            let case =
                Case { caller, action: "logs:PutLogEvents", resource: &group, owner: APP, keys: &keys };
            check(case, &ApplicablePolicies { resource, ..ApplicablePolicies::default() }, true);
        }
    }
    let scattered = vended((0..1_000).map(|number| format!("a-group-of-its-own-{number}")));
    assert!(matches!(scattered, Err(PlanError::Vended { n_groups: 1_000, .. })), "{scattered:?}");
}

#[test]
fn policies_too_long_for_aws_are_refused_with_the_fix() {
    let accounts: Vec<String> =
        (0..60).map(|n| format!("[accounts.a{n}]\nid = \"{:012}\"\n", 300 + n)).collect();
    let accounts = accounts.concat();
    let names: Vec<String> = (0..60).map(|n| format!("\"a{n}\"")).collect();
    let text = |organization: &str| {
        format!(
            "region = \"us-west-2\"\n{organization}[accounts.archive]\nid = \"{ARCHIVE}\"\n{accounts}[kinesis]\naccount = \"archive\"\nname = \"k\"\n[destination]\nname = \"d\"\n[[subscriptions]]\naccount = [{}]\nlog_groups = [\"g\"]\n",
            names.join(", ")
        )
    };
    let error = written(&text("")).unwrap_err();
    assert!(matches!(error, PlanError::TooLong { part: "trust", .. }), "{error}");
    assert!(error.to_string().contains("[organization]"), "{error}");
    written(&text("[organization]\nid = \"o-a1b2c3d4e5\"\n")).unwrap();
}

#[test]
fn each_account_comes_after_what_it_waits_for() {
    let order = |name: &str| -> Vec<String> {
        of(name).stages.iter().map(|stage| stage.account.name.clone()).collect()
    };
    assert_eq!(order("basic"), ["archive", "app"]);
    assert_eq!(order("three-accounts"), ["vault", "archive", "app", "vault"]);
    for name in TOPOLOGIES {
        for stage in of(name).stages {
            for (index, resource) in stage.resources.iter().enumerate() {
                for need in &resource.needs {
                    let is_before = stage.resources.iter().take(index).any(|other| other.id == *need);
                    assert!(is_before, "{name}: {} after {need}", resource.id);
                }
            }
        }
    }
}

/// A topology in which the stream's own account subscribes these log groups, and has no destination.
fn straight(groups: &[&str]) -> AccessPlan {
    let names = format!("{groups:?}");
    written(&format!(
        "region = \"us-east-1\"\n[accounts.archive]\nid = \"{ARCHIVE}\"\n[bucket]\naccount = \"archive\"\nname = \"org-logs\"\n\
         [stream]\naccount = \"archive\"\nname = \"logs\"\n[[log_groups]]\naccount = \"archive\"\nnames = {names}\n\
         [[subscriptions]]\naccount = \"archive\"\nlog_groups = {names}\n"
    ))
    .unwrap()
}

#[test]
fn filters_of_the_streams_own_account_lead_straight_to_it() {
    let plan = straight(&["orders"]);
    let kinds: Vec<_> = plan.stages.iter().flat_map(|stage| &stage.resources).collect();
    assert!(!kinds.iter().any(|it| matches!(it.kind, ResourceKind::Destination { .. })));
    let filter = kinds
        .iter()
        .find_map(|it| if let ResourceKind::Filter(filter) = &it.kind { Some((it, filter)) } else { None });
    let (resource, filter) = filter.unwrap();
    assert_eq!(filter.to, format!("arn:aws:firehose:us-east-1:{ARCHIVE}:deliverystream/logs"));
    assert_eq!(filter.role, Some(format!("arn:aws:iam::{ARCHIVE}:role/standpipe-logs")));
    assert_eq!(resource.needs, ["LogGroupOrders", "LogsRole", "Stream"]);
}

#[test]
fn names_in_templates_are_short_enough_and_all_different() {
    let long = "g".repeat(512);
    let other = format!("{}h", "g".repeat(511));
    let plan = straight(&[&long, &other, "a-b", "a/b"]);
    let resources: Vec<_> = plan.stages.iter().flat_map(|stage| &stage.resources).collect();
    let ids: std::collections::BTreeSet<&str> = resources.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), resources.len(), "every resource has a name of its own");
    assert!(ids.iter().all(|id| id.len() <= 240), "{ids:?}");
    let groups = resources.iter().filter(|it| matches!(it.kind, ResourceKind::LogGroup { .. })).count();
    assert_eq!(groups, 5, "four, and that of the stream's errors");
}

#[test]
fn a_group_that_matches_gets_a_filter_and_no_role_changes_for_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/access/organization.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let named = "log_groups = [\"/aws/vendedlogs/states/orders\", \"/aws/lambda/orders\"]";
    assert!(text.contains(named));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topology.toml");
    std::fs::write(&path, text.replace(named, "match = [\"/aws/*/orders-*\"]\nexclude = [\"*-9\"]")).unwrap();
    let topology = load(&path, &BTreeMap::new()).unwrap();
    let groups =
        ["/aws/vendedlogs/orders-1", "/aws/lambda/orders-2", "/aws/lambda/orders-9", "/aws/lambda/shop"];
    let found = BTreeMap::from([("app".to_owned(), groups.map(str::to_owned).to_vec())]);
    let (before, after) = (plan(&topology).unwrap(), plan(&topology.with_found(&found)).unwrap());
    let filters = |plan: &AccessPlan| -> Vec<(String, bool)> {
        let kinds = plan.stages.iter().flat_map(|stage| &stage.resources).map(|resource| &resource.kind);
        let of = |kind: &ResourceKind| {
            let ResourceKind::Filter(filter) = kind else { return None };
            Some((filter.group.clone(), filter.role.is_some()))
        };
        kinds.filter_map(of).collect()
    };
    assert!(filters(&before).is_empty());
    let expected = [("/aws/vendedlogs/orders-1", true), ("/aws/lambda/orders-2", false)];
    assert_eq!(filters(&after), expected.map(|(group, has_role)| (group.to_owned(), has_role)));
    let sender = |plan: &AccessPlan| document(plan, "standpipe-sender", DocumentPurpose::Permissions);
    assert_eq!(sender(&before), sender(&after), "the pattern allows it already");
}
