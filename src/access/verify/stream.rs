//! Streams: whether they are there and take records, and the role that Firehose writes with.

use serde_json::Value;

use super::counts::quota;
use super::keys::ObservedKey;
use super::observed::{ObservedPlan, ObservedResource};
use super::permission::{PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all, service_context};
use super::senders::{differing, trusts};
use crate::access::live::{ResourceState, extra};
use crate::access::plan::{DeliveryStream, ERROR_STREAM, ResourceKind};
use crate::access::policy::RequestPrincipal;
use crate::access::report::{Fix, Hop, HopFinding, Severity};

/// The Firehose stream, if there is one.
pub(super) fn firehose(view: ObservedPlan<'_>) -> Option<Hop> {
    let stream = view.topology.stream.as_ref()?;
    let item = view.find(&stream.account, |kind| matches!(kind, ResourceKind::DeliveryStream(_)))?;
    let ResourceKind::DeliveryStream(wanted) = &item.resource.kind else { return None };
    let name = format!("stream {} of {}", stream.name, stream.account.name);
    let why = "nothing can be put to it";
    let findings = match item.there("stream", why) {
        Err(missing) => vec![*missing],
        Ok(state) => {
            let mut findings = vec![active(item, state, why)];
            findings.extend(source(view, item, state));
            findings.extend(key(view, item, state));
            findings.extend(quota(view, stream));
            findings.extend(role(view, item, wanted, state));
            findings.extend(errors(view, item, wanted, state));
            findings
        }
    };
    Some(Hop { name, findings })
}

/// The Kinesis stream, if there is one.
pub(super) fn kinesis(view: ObservedPlan<'_>) -> Option<Hop> {
    let kinesis = view.topology.kinesis.as_ref()?;
    let item = view.find(&kinesis.account, |kind| matches!(kind, ResourceKind::DataStream { .. }))?;
    let name = format!("Kinesis stream {} of {}", kinesis.name, kinesis.account.name);
    let why = "nothing can be put to it or read from it";
    let findings = match item.there("stream", why) {
        Err(missing) => vec![*missing],
        Ok(state) => std::iter::once(active(item, state, why)).chain(key(view, item, state)).collect(),
    };
    Some(Hop { name, findings })
}

fn active(item: ObservedResource<'_>, state: &ResourceState, why: &str) -> HopFinding {
    const CHECK: &str = "stream";
    let status = state.get("status").and_then(Value::as_str).unwrap_or_default();
    let seen = format!("{} is {status}", item.title());
    match status {
        "ACTIVE" | "UPDATING" => HopFinding::ok(CHECK, seen),
        _ if status.ends_with("_FAILED") => {
            let fix = item.repair("recreate it once its role and key are correct", &[extra::SOURCE]);
            HopFinding::failure(CHECK, seen).why(why).fix(fix)
        }
        _ => HopFinding::failure(CHECK, seen).why(why).fix("wait until it is ACTIVE"),
    }
}

/// Where the stream takes records from.
fn source(view: ObservedPlan<'_>, item: ObservedResource<'_>, state: &ResourceState) -> Vec<HopFinding> {
    const CHECK: &str = "stream_source";
    let mut findings = Vec::new();
    let source = state.get(extra::SOURCE).and_then(Value::as_str);
    if let Some(source) = source.filter(|source| *source != "DirectPut") {
        let text = "its source cannot be changed: recreate the stream once its records are delivered";
        findings.push(
            HopFinding::failure(CHECK, format!("its source is {source}"))
                .why("such a stream takes records only from its source, and rejects puts")
                .fix(item.repair(text, &[extra::SOURCE])),
        );
    }
    if state.get(extra::DECOMPRESSES) == Some(&Value::Bool(true)) {
        let seen = "CloudWatch Logs decompression is on";
        let why = "such a stream accepts only CloudWatch Logs subscriptions, and rejects standpipe's puts";
        let finding = if view.topology.writer.is_some() {
            HopFinding::failure(CHECK, seen).why(why)
        } else {
            HopFinding::warning(CHECK, seen).why(format!("{why}; and objects contain decompressed data"))
        };
        findings.push(finding.fix(item.repair("turn decompression off", &[extra::DECOMPRESSES])));
    }
    findings
}

/// The key that was seen in use; or that there is none, where one is wanted.
fn key(view: ObservedPlan<'_>, item: ObservedResource<'_>, state: &ResourceState) -> Option<HopFinding> {
    const CHECK: &str = "stream_key";
    match state.get("kmsKey").and_then(Value::as_str) {
        Some(name) => Some(
            ObservedKey::of(view, item.account(), name)
                .usable(CHECK, "the stream refuses records without its key"),
        ),
        None if item.wanted("kmsKey").is_null() => None,
        None => {
            let finding = HopFinding::warning(CHECK, "it is not encrypted with a key of the account's");
            Some(finding.fix(item.repair("encrypt it", &["kmsKey"])))
        }
    }
}

/// The role that Firehose writes with.
fn role(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    wanted: &DeliveryStream,
    state: &ResourceState,
) -> Vec<HopFinding> {
    const CHECK: &str = "stream_role";
    const WHY: &str = "Firehose writes to the bucket as this role";
    let found = state.get("role").and_then(Value::as_str).unwrap_or_default();
    let Some(role) = view.role(found) else {
        let seen =
            format!("it writes as `{found}`, not as `{}`{}", wanted.role, differing(found, &wanted.role));
        let finding = HopFinding::warning(CHECK, format!("{seen}: that one was not checked"));
        return vec![finding.why(WHY).fix(item.repair("let it write as the role", &["role"]))];
    };
    if let Err(missing) = role.there(CHECK, WHY) {
        return vec![*missing];
    }
    let account = item.account();
    let firehose = RequestPrincipal::Service { names: vec!["firehose.amazonaws.com".to_owned()] };
    let arn = account.place.delivery_stream(&wanted.name).to_string();
    let mut asks = trusts(role, &firehose, &[(account, arn)]);
    for ask in &mut asks {
        // Firehose says the account of the stream.
        ask.context = ask.context.clone().with("sts:ExternalId", [account.place.account.as_str()]);
    }
    vec![all(CHECK, WHY, &asks)]
}

/// What Firehose cannot deliver it reports to a log group; logs pass without.
fn errors(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    wanted: &DeliveryStream,
    state: &ResourceState,
) -> Vec<HopFinding> {
    const CHECK: &str = "stream_errors";
    const WHY: &str = "Firehose reports failed deliveries there; without it, nobody sees them";
    let found = state.get("errorLogGroup").and_then(Value::as_str);
    if found != Some(&wanted.errors) {
        let seen = format!(
            "its errors go to {}",
            found.map_or_else(|| "nowhere".to_owned(), |it| format!("`{it}`"))
        );
        let fix = item.repair("let it report its errors", &["errorLogGroup"]);
        return vec![HopFinding::warning(CHECK, seen).why(WHY).fix(fix)];
    }
    let account = item.account();
    let is =
        |kind: &ResourceKind| matches!(kind, ResourceKind::LogGroup { name, .. } if *name == wanted.errors);
    let group = view.find(account, is).and_then(|group| {
        let missing = match group.there(CHECK, WHY) {
            Ok(state) if state.get("logStream").and_then(Value::as_str) == Some(ERROR_STREAM) => return None,
            Ok(_) => HopFinding::failure(
                CHECK,
                format!("log group `{}` has no log stream `{ERROR_STREAM}`", wanted.errors),
            )
            .why(WHY)
            .fix(group.repair("make the log stream", &["logStream"])),
            Err(missing) => *missing,
        };
        Some(HopFinding { level: Severity::Warning, ..missing })
    });
    let role = state.get("role").and_then(Value::as_str).and_then(|role| view.role(role));
    let holder = role.and_then(PolicyHolder::of);
    let reports = holder.as_ref().map(|holder| {
        let ask = PermissionCheck {
            caller: holder.caller.clone(),
            action: "logs:PutLogEvents",
            resource: account.place.log_stream(&wanted.errors, ERROR_STREAM).to_string(),
            owner: account.place.account.clone(),
            context: service_context(),
            holder: Some(holder),
            of: TargetPolicies::Optional(PolicySources::none()),
        };
        let finding = all(CHECK, WHY, &[ask]);
        HopFinding { level: finding.level.min(Severity::Warning), ..finding }
    });
    group.into_iter().chain(reports).collect()
}

/// What a stream has to be told so that it writes where it may.
pub(super) fn prefix(view: ObservedPlan<'_>) -> Option<(String, Option<Fix>)> {
    let stream = view.topology.stream.as_ref()?;
    let item = view.find(&stream.account, |kind| matches!(kind, ResourceKind::DeliveryStream(_)))?;
    let ResourceKind::DeliveryStream(wanted) = &item.resource.kind else { return None };
    let found = item.text("prefix").unwrap_or(&wanted.prefix).to_owned();
    let fix = (found != wanted.prefix)
        .then(|| item.repair(&format!("let the stream write below `{}`", wanted.prefix), &["prefix"]));
    Some((found, fix))
}
