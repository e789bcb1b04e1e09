//! The tables of a topology, one function each.

use std::sync::Arc;

use super::match_patterns::MatchPatterns;
use super::named::NamedParts;
use super::names;
use super::types::{
    AdministratorRole, AwsAccount, BucketReader, DestinationTarget, FirehoseStream, KinesisConsumer,
    KinesisStream, KmsKey, LogBucket, LogGroupReader, LogGroups, LogsDestination, RoleAssumer, Subscription,
    SubscriptionScope, VendedLogs,
};
use crate::arn::{Arn, ResourceType};
use crate::config::section::{Section, expected};
use crate::config::tree::{Node, Written};
use crate::config::values::{Parsed, any_string, choice, some, string, string_that};

/// The account that a required key names.
fn account(section: &mut Section<'_>, key: &'static str, known: &NamedParts) -> Option<Arc<AwsAccount>> {
    section.required(key, "archive", |node| known.account(node)).flatten()
}

/// The key that an optional `kms_key` names.
fn kms_key(section: &mut Section<'_>, known: &NamedParts) -> Option<Arc<KmsKey>> {
    section.optional("kms_key", |node| known.key(node)).flatten()
}

fn named(
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
    fits: impl Fn(&str) -> bool,
    what: &str,
) -> Option<String> {
    section.required(key, example, string_that(fits, what))
}

/// What an object's name begins with; may be empty.
fn prefix(section: &mut Section<'_>) -> String {
    let what = "the start of an object's name, without `/` before it, wildcards, quotes or blanks";
    section.or("prefix", String::new(), |node| {
        let text = any_string(node)?;
        if names::is_object_prefix(&text) { Ok(text) } else { Err(expected(node, what)) }
    })
}

pub(super) fn key(mut section: Section<'_>, name: &str, known: &NamedParts) -> Option<KmsKey> {
    if !names::is_part(name) {
        section.problem_here(format!("is not a valid name; use {}", names::PART));
    }
    let account = account(&mut section, "account", known);
    let arn = section.optional("arn", key_arn);
    section.finish();
    Some(KmsKey { name: name.to_owned(), account: account?, arn })
}

fn key_arn(node: &Node) -> Parsed<String> {
    let text = string(node)?;
    let is_key = |arn: Arn| matches!(arn.resource_type(), ResourceType::Key(_)) && !arn.account.is_empty();
    let what =
        "a key's ARN such as `arn:aws:kms:us-east-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab`";
    if text.parse().is_ok_and(is_key) { Ok(text) } else { Err(expected(node, what)) }
}

pub(super) fn bucket(mut section: Section<'_>, known: &NamedParts) -> Option<LogBucket> {
    let account = account(&mut section, "account", known);
    let name = named(&mut section, "name", "org-logs", names::is_bucket, BUCKET);
    let prefix = prefix(&mut section);
    let key = kms_key(&mut section, known);
    let queue = queue(&mut section);
    section.finish();
    Some(LogBucket { account: account?, name: name?, prefix, key, queue })
}

fn queue(section: &mut Section<'_>) -> Option<String> {
    section.optional(
        "queue",
        string_that(names::is_queue, "a queue's name of 1 to 80 letters, digits, `_` and `-`"),
    )
}

pub(super) fn stream(mut section: Section<'_>, known: &NamedParts) -> Option<FirehoseStream> {
    let account = account(&mut section, "account", known);
    let name = named(&mut section, "name", "logs", names::is_stream, STREAM);
    let key = kms_key(&mut section, known);
    section.finish();
    Some(FirehoseStream { account: account?, name: name?, key })
}

pub(super) fn kinesis(mut section: Section<'_>, known: &NamedParts) -> Option<KinesisStream> {
    let account = account(&mut section, "account", known);
    let name = named(&mut section, "name", "logs", names::is_stream, STREAM);
    let key = kms_key(&mut section, known);
    section.finish();
    Some(KinesisStream { account: account?, name: name?, key })
}

const BUCKET: &str = "a bucket's name of 3 to 63 lower-case letters, digits, `.` and `-`";
const STREAM: &str = "a stream's name of 1 to 64 letters, digits, `_`, `.` and `-`";
const LOG_GROUP: &str = "the full name of a log group, without wildcards";
const ROLE: &str = "a role's name of 1 to 64 letters, digits and `+=,.@_-`";
const ROLE_PATH: &str = "a role's name, after its path if it has one, such as `app-host`; not its ARN";

/// What a destination may lead to.
pub(super) struct DestinationTargets<'a> {
    pub(super) stream: Option<&'a FirehoseStream>,
    pub(super) kinesis: Option<&'a KinesisStream>,
}

pub(super) fn destination(
    mut section: Section<'_>,
    targets: &DestinationTargets<'_>,
) -> Option<LogsDestination> {
    let default =
        if targets.stream.is_none() { DestinationTarget::Kinesis } else { DestinationTarget::Stream };
    let target = section.or(
        "target",
        default,
        choice(&[("stream", DestinationTarget::Stream), ("kinesis", DestinationTarget::Kinesis)]),
    );
    let owner = match target {
        DestinationTarget::Stream => targets.stream.map(|stream| Arc::clone(&stream.account)),
        DestinationTarget::Kinesis => targets.kinesis.map(|kinesis| Arc::clone(&kinesis.account)),
    };
    if owner.is_none() {
        section.problem_here("has no target; describe it in `[stream]` or `[kinesis]`");
    }
    // The account goes without saying; where it is said, it has to be right.
    let said = section.optional("account", string);
    let owner = owner?;
    if let Some(said) = said.filter(|said| *said != owner.name) {
        let text = format!(
            "found `{said}`, but its target is in account `{}`, where it must be as well",
            owner.name
        );
        section.problem("account", text);
    }
    let what = "1 to 512 letters, digits, `.`, `_`, `-`, `/` and `#`";
    let name = named(&mut section, "name", "logs", names::is_destination, what);
    section.finish();
    Some(LogsDestination { account: owner, name: name?, target })
}

/// One subscription for each account that is named.
pub(super) fn subscriptions(
    mut section: Section<'_>,
    known: &NamedParts,
    prefix: &str,
) -> Option<Vec<Subscription>> {
    let accounts = section.required("account", "app", |node| accounts(node, known));
    let is_account = section.or("scope", false, choice(&[("log_groups", false), ("account", true)]));
    let scope = if is_account {
        Some(SubscriptionScope::Account { exclude: section.or("exclude", Vec::new(), groups) })
    } else if section.has("match") {
        if section.optional("log_groups", groups).is_some() {
            section.problem("log_groups", "found together with `match`; make two subscriptions of them");
        }
        let patterns = section.optional("match", matches);
        let exclude = section.or("exclude", Vec::new(), group_patterns);
        patterns.map(|patterns| SubscriptionScope::Matching(MatchPatterns { patterns, exclude }))
    } else {
        section.required("log_groups", r#"["/aws/lambda/orders"]"#, groups).map(SubscriptionScope::Groups)
    };
    let what = "1 to 512 letters, digits, `.`, `_`, `-`, `/` and `#`";
    let name = section.or("filter_name", prefix.to_owned(), string_that(names::is_destination, what));
    let pattern = section.or("filter_pattern", String::new(), filter_pattern);
    section.finish();
    let (accounts, scope) = (accounts?, scope?);
    let of = |account| Subscription {
        account,
        scope: scope.clone(),
        name: name.clone(),
        pattern: pattern.clone(),
    };
    Some(accounts.into_iter().map(of).collect())
}

/// An account's name, or a list of them.
fn accounts(node: &Node, known: &NamedParts) -> Parsed<Vec<Arc<AwsAccount>>> {
    if matches!(node.value, Written::List(_)) {
        let found = some(|node| known.account(node))(node)?;
        return Ok(found.into_iter().flatten().collect());
    }
    known.account(node).map(|found| found.into_iter().collect())
}

fn groups(node: &Node) -> Parsed<Vec<String>> {
    some(|item| match string(item)? {
        text if text.contains('*') => Err(expected(
            item,
            "the full name of a log group; a filter has no wildcards: name each, write `match = [..]` with wildcards, or subscribe all with `scope = \"account\"`",
        )),
        text if names::is_log_group(&text) => Ok(text),
        _ => Err(expected(item, LOG_GROUP)),
    })(node)
}

/// At most 1,024 characters. Source: `FilterPattern` of `CloudWatch` Logs' API.
fn filter_pattern(node: &Node) -> Parsed<String> {
    let text = any_string(node)?;
    let fits = text.chars().count() <= 1_024 && !text.chars().any(char::is_control);
    if fits {
        Ok(text)
    } else {
        Err(expected(node, "a filter pattern of at most 1,024 characters, on one line"))
    }
}

pub(super) fn vended(mut section: Section<'_>, known: &NamedParts) -> Option<Vec<VendedLogs>> {
    let account = account(&mut section, "account", known);
    let service = named(&mut section, "service", "states", names::is_service, "a service such as `states`");
    let log_groups = section.required("log_groups", r#"["/aws/vendedlogs/states/orders"]"#, groups);
    let role = section.optional("role", string_that(names::is_role_path, ROLE_PATH));
    section.finish();
    Some(vec![VendedLogs { account: account?, service: service?, log_groups: log_groups?, role }])
}

pub(super) fn log_groups(mut section: Section<'_>, known: &NamedParts) -> Option<Vec<LogGroups>> {
    let account = account(&mut section, "account", known);
    let names = section.required("names", r#"["/aws/vendedlogs/states/orders"]"#, groups);
    let retention = section.optional("retention_days", retention);
    let key = kms_key(&mut section, known);
    section.finish();
    Some(vec![LogGroups { account: account?, names: names?, retention, key }])
}

fn retention(node: &Node) -> Parsed<u32> {
    let Written::Integer(days) = node.value else { return Err(expected(node, "a number of days")) };
    let known = names::RETENTIONS.iter().find(|(_, known)| i128::from(*known) == days);
    known.map(|(_, days)| *days).ok_or_else(|| {
        let all: Vec<&str> = names::RETENTIONS.iter().map(|(name, _)| *name).collect();
        expected(node, &format!("a number of days that CloudWatch Logs supports: {}", all.join(", ")))
    })
}

/// Who assumes a role, called `PREFIX-WHAT` if it is not named.
fn assumer(section: &mut Section<'_>, known: &NamedParts, default: String) -> Option<RoleAssumer> {
    let account = account(section, "account", known);
    let role = section.optional("role", string_that(names::is_role_path, ROLE_PATH));
    let external_id = external_id(section);
    let name = section.or("name", default, string_that(names::is_role, ROLE));
    Some(RoleAssumer { account: account?, role, external_id, name })
}

pub(super) fn writer(mut section: Section<'_>, known: &NamedParts, prefix: &str) -> Option<RoleAssumer> {
    let writer = assumer(&mut section, known, format!("{prefix}-writer"));
    section.finish();
    writer
}

pub(super) fn consumer(
    mut section: Section<'_>,
    known: &NamedParts,
    prefix: &str,
) -> Option<KinesisConsumer> {
    let assumer = assumer(&mut section, known, format!("{prefix}-consumer"));
    let what = "a table's name of 3 to 255 letters, digits, `_`, `.` and `-`";
    let lease_table = named(&mut section, "lease_table", "standpipe-leases", names::is_table, what);
    let what = "a consumer's name of 1 to 128 letters, digits, `_`, `.` and `-`";
    let fan_out = section.optional("fan_out", string_that(names::is_consumer, what));
    section.finish();
    Some(KinesisConsumer { assumer: assumer?, lease_table: lease_table?, fan_out })
}

pub(super) fn reader(mut section: Section<'_>, known: &NamedParts, name: &str) -> Option<BucketReader> {
    let assumer = assumer(&mut section, known, format!("{name}-reader"));
    let bucket = named(&mut section, "bucket", "my-cloudtrail-bucket", names::is_bucket, BUCKET);
    let bucket_account = account(&mut section, "bucket_account", known);
    let prefix = prefix(&mut section);
    let key = kms_key(&mut section, known);
    let queue = queue(&mut section);
    section.finish();
    Some(BucketReader {
        assumer: assumer?,
        bucket_account: bucket_account?,
        bucket: bucket?,
        prefix,
        key,
        queue,
    })
}

pub(super) fn log_reader(mut section: Section<'_>, known: &NamedParts, name: &str) -> Option<LogGroupReader> {
    let assumer = assumer(&mut section, known, format!("{name}-log-reader"));
    let logs_account = account(&mut section, "logs_account", known);
    let log_groups = section.required("log_groups", r#"["/aws/lambda/*"]"#, group_patterns);
    section.finish();
    Some(LogGroupReader { assumer: assumer?, logs_account: logs_account?, log_groups: log_groups? })
}

/// Patterns of a subscription. That of all log groups is none: AWS itself subscribes these.
fn matches(node: &Node) -> Parsed<Vec<String>> {
    let patterns = group_patterns(node)?;
    if patterns.iter().any(|pattern| pattern.chars().all(|c| c == '*')) {
        return Err(expected(node, "patterns of some log groups; subscribe all with `scope = \"account\"`"));
    }
    Ok(patterns)
}

/// Policies know `*` alone, of all that patterns of a source may have.
fn group_patterns(node: &Node) -> Parsed<Vec<String>> {
    let what = "the name of a log group, in which `*` may stand for anything";
    some(string_that(|text| names::is_log_group(&text.replace('*', "x")), what))(node)
}

fn external_id(section: &mut Section<'_>) -> Option<String> {
    let what = "an external id of 2 to 1,224 letters, digits and `_+=,.@:/-`";
    section.optional("external_id", string_that(names::is_external_id, what))
}

/// The role of an account, whose id is `of`, that may change it.
pub(super) fn administrator(section: &mut Section<'_>, of: Option<&str>) -> Option<AdministratorRole> {
    let has_role = section.has("assume_role");
    let arn = section.optional("assume_role", |node| {
        let text = string(node)?;
        let is_own = |arn: Arn| {
            matches!(arn.resource_type(), ResourceType::Role { .. }) && of.is_none_or(|of| arn.account == of)
        };
        let what = "the ARN of a role of this account, such as `arn:aws:iam::222222222222:role/admin`";
        if text.parse().is_ok_and(is_own) { Ok(text) } else { Err(expected(node, what)) }
    });
    let external_id = external_id(section);
    if external_id.is_some() && !has_role {
        section.problem("external_id", "is used only to assume a role; name one as `assume_role`");
    }
    Some(AdministratorRole { arn: arn?, external_id })
}
