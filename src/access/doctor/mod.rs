//! Which hop is broken: walks what the configuration names, in the order that logs pass it, and changes nothing.
//!
//! Each file looks at one thing and returns its [`HopFinding`]s. What comes after a failure in the same hop is left out, and said
//! to be: it could only fail for the same reason.

mod endpoint;
mod finding;
mod local;
mod role;
mod simulation;
mod stream;
mod target;
mod tree;
mod trust;

use std::sync::Arc;

use prometheus::Gauge;

pub use self::finding::{Fix, Hop, HopFinding, HopReport, MissingPolicy, Severity};
use self::stream::StreamCheck;
use self::target::{StreamTarget, targets};
pub use self::tree::tree;
use crate::aws::{AwsConnection, CallError, NoAnswer};
use crate::config::{Config, FirehoseSink, SinkKind, Source};
use crate::event::Timestamp;

/// How to look.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The name of the host, as `{host}` in names.
    pub host: Arc<str>,
    /// Put one line to each stream, to be sure that it may be put to.
    pub write_probe: bool,
    /// The time.
    pub now: Timestamp,
}

/// Looks at all that `config` names.
pub async fn examine(config: &Config, look: &DoctorOptions) -> HopReport {
    let mut hops = vec![Hop { name: "state".to_owned(), findings: local::state(&config.state.dir) }];
    for (name, source) in &config.sources {
        let findings = match source {
            Source::File(file) => local::files(file),
            Source::FirehoseHttp(http) => local::listener(http),
            Source::Stdin(_) => continue,
        };
        hops.push(Hop { name: format!("sources.{name}"), findings });
    }
    for (name, sink) in &config.sinks {
        let findings = match &sink.kind {
            SinkKind::Directory(directory) => vec![local::folder(&directory.path)],
            SinkKind::Firehose(firehose) => of_sink(config, name, firehose, look).await,
        };
        hops.push(Hop { name: format!("sinks.{name}"), findings });
    }
    HopReport { hops }
}

async fn of_sink(config: &Config, name: &str, sink: &FirehoseSink, look: &DoctorOptions) -> Vec<HopFinding> {
    // Nobody reads it: these credentials live as long as the look.
    let gauge = Gauge::new("credentials_expiry", "unread");
    let aws = match gauge.map(|gauge| AwsConnection::new(sink.clone(), gauge)) {
        Ok(Ok(aws)) => aws,
        Ok(Err(error)) => {
            return vec![HopFinding::failure("endpoint", say(&error.into())).fix("correct `ca_file`")];
        }
        Err(error) => return vec![HopFinding::failure("endpoint", error.to_string())],
    };
    let (targets, lacking) = targets(config, name, sink, &look.host);
    let mut findings = Vec::new();
    for field in lacking {
        let seen = format!(
            "names are made from `{{{field}}}`, which events alone tell: such streams are not looked at"
        );
        findings.push(HopFinding::new("targets", Severity::Skipped, seen));
    }
    for target in &targets {
        let mut own = Vec::new();
        of_target(&aws, target, look, &mut own).await;
        findings.append(&mut own);
    }
    findings
}

/// One step after the other, until one fails.
async fn of_target(
    aws: &AwsConnection,
    target: &StreamTarget,
    look: &DoctorOptions,
    findings: &mut Vec<HopFinding>,
) {
    let StreamTarget { stream, region, roles } = target;
    let skipped = |what: &str| {
        HopFinding::new("skipped", Severity::Skipped, format!("{what} of `{stream}`, after the failure"))
    };
    findings.extend(endpoint::check("Firehose", &aws.reach_firehose(region.clone()).await, look.now));
    for role in roles {
        let reached = aws.reach_sts(region.clone(), role).await;
        findings.extend(endpoint::check(&format!("STS for `{}`", role.arn), &reached, look.now));
    }
    if has_failed(findings) {
        return findings.push(skipped("credentials, roles and the stream"));
    }
    let mut principal = match first(aws, target).await {
        Ok((finding, principal)) => {
            findings.push(finding);
            principal
        }
        Err(failure) => return findings.extend([failure, skipped("roles and the stream")]),
    };
    if let Some(failure) = roles.first().and_then(|first| role::too_long(first, &principal)) {
        return findings.extend([failure, skipped("roles and the stream")]);
    }
    for (index, role) in roles.iter().enumerate() {
        let upto = roles.iter().take(index.saturating_add(1)).cloned().collect();
        let assumed = match aws.firehose(region.clone(), upto).await {
            Ok(client) => client.prove().await,
            Err(error) => Err(error.into()),
        };
        match assumed {
            Ok(session) => {
                findings.push(HopFinding::ok("assume_role", format!("`{}` as `{session}`", role.arn)));
                principal = session;
            }
            Err(refused) => {
                let before = roles.iter().take(index).cloned().collect();
                let policy = aws.trust_policy(region.clone(), before, role).await;
                let denied = role::denied(role, &principal, &refused);
                let trust = trust::check(role, &principal, policy);
                return findings.extend([denied, trust, skipped("what follows")]);
            }
        }
    }
    match aws.firehose(region.clone(), roles.clone()).await {
        Ok(client) => {
            let stream = StreamCheck { client: &client, name: stream, principal: &principal };
            // A line that is written is proof enough.
            let simulated = if look.write_probe {
                None
            } else {
                let policies_of = simulation::policies_of(roles.last(), &principal);
                simulation::ask(aws, (region.clone(), roles.clone()), policies_of, &stream.arn()).await
            };
            findings.extend(stream.check(look.write_probe, simulated.as_ref()).await);
        }
        Err(error) => findings.push(HopFinding::failure("stream", say(&error.into())).fix("set `region`")),
    }
}

fn has_failed(findings: &[HopFinding]) -> bool {
    findings.iter().any(|finding| finding.level == Severity::Failure)
}

/// Whose the first credentials are.
async fn first(aws: &AwsConnection, target: &StreamTarget) -> Result<(HopFinding, String), HopFinding> {
    const CHECK: &str = "credentials";
    match aws.identity(target.region.clone(), target.roles.first()).await {
        Ok(Some(arn)) => Ok((HopFinding::ok(CHECK, format!("found: `{arn}`")), arn)),
        Ok(None) => {
            let seen = "found; whose they are is not asked, since `endpoint_url` is set and no STS with it";
            Ok((HopFinding::ok(CHECK, seen), String::new()))
        }
        Err(CallError::Answered { code, message }) => {
            Err(HopFinding::failure(CHECK, format!("sts:GetCallerIdentity: {code}: {message}"))
                .why("every call is signed with them")
                .fix(
                    "check the access key, the secret key and, for temporary credentials, the session token",
                ))
        }
        Err(refused) => {
            let fix = network(&refused);
            Err(HopFinding::failure(CHECK, say(&refused)).why("every call is signed with them").fix(fix))
        }
    }
}

/// A refusal in words.
fn say(refused: &CallError) -> String {
    match refused {
        CallError::Answered { code, message } => format!("{code}: {message}"),
        CallError::Credentials { message, .. }
        | CallError::Unanswered { message, .. }
        | CallError::Unusable(message) => message.clone(),
    }
}

/// What to do about a refusal that is not about a permission.
fn network(refused: &CallError) -> String {
    match refused {
        CallError::Credentials { fix: Some(fix), .. } => fix.clone(),
        CallError::Unanswered { how, .. } => match how {
            NoAnswer::Refused => {
                "nobody listens there: correct `endpoint_url`, or the proxy's address in HTTPS_PROXY"
            }
            NoAnswer::Certificate => {
                "where a proxy or an endpoint of your own ends TLS, name its authority's certificate as `ca_file`"
            }
            NoAnswer::Name => {
                "see that `region` is a region of AWS, and that this host's resolver answers for it; within a VPC, turn DNS \
                 support on, and make an interface endpoint with private DNS where there is no way out; or set HTTPS_PROXY to a \
                 proxy, which then resolves it"
            }
            NoAnswer::ProxyName => "correct the proxy's name in HTTPS_PROXY, or the host's resolver",
            NoAnswer::Other => {
                "see that port 443 is open outwards, or set HTTPS_PROXY; within a VPC, make an interface endpoint"
            }
        }
        .to_owned(),
        CallError::Answered { .. } | CallError::Credentials { fix: None, .. } => "see the message".to_owned(),
        CallError::Unusable(_) => "correct the sink's settings".to_owned(),
    }
}
