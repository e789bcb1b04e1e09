//! Which hop is broken: walks what the configuration names, in the order that logs pass it, and changes nothing.
//!
//! Each file looks at one thing and returns its [`HopFinding`]s. What comes after a failure in the same hop is left out, and said
//! to be: it could only fail for the same reason.

mod call_error;
mod endpoint;
mod forward_listener;
mod kinesis;
mod local;
mod log_groups;
mod queue;
mod role;
mod simulation;
mod stream;
mod target;
mod trust;

use std::sync::Arc;

use self::call_error::advice;
pub use self::local::MatchingFiles;
use self::stream::StreamCheck;
use self::target::{PutTarget, targets};
use crate::access::report::{Hop, HopFinding, HopReport, Severity};
use crate::aws::{AwsConnection, CallError, FirehoseClients};
use crate::config::{Config, FileSource, FirehoseSink, JournaldSource, SinkKind, SourceConfig};
use crate::event::{Origin, Timestamp};

/// How to look.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The name of the host, as `{host}` in names.
    pub host: Arc<str>,
    /// Put one line to each stream, to be sure that it may be put to.
    pub write_probe: bool,
    /// The time.
    pub now: Timestamp,
    /// Finds the files of a source, or says why its patterns are none.
    pub find_files: fn(&FileSource) -> Result<MatchingFiles, String>,
    /// Looks at the journal that a source reads, or says why it cannot be read, and what to do.
    pub look_at_journal: fn(&JournaldSource) -> Result<String, String>,
}

/// Looks at all that `config` names.
pub async fn examine(config: &Config, look: &DoctorOptions) -> HopReport {
    let mut hops = vec![Hop { name: "state".to_owned(), findings: local::state(&config.state.dir) }];
    for (name, source) in &config.sources {
        let findings = match source {
            SourceConfig::File(file) => local::files(file, (look.find_files)(file)),
            SourceConfig::FirehoseHttp(http) => local::listener(http),
            SourceConfig::FluentForward(forward) => forward_listener::check(forward),
            SourceConfig::CloudwatchLogs(pull) => log_groups::check(name, pull, &look.host, look.now).await,
            SourceConfig::Kinesis(stream) => {
                kinesis::check(stream, &Origin::new(name.as_str(), Arc::clone(&look.host))).await
            }
            SourceConfig::S3(s3) => {
                queue::check(s3, &Origin::new(name.as_str(), Arc::clone(&look.host))).await
            }
            SourceConfig::Journald(journald) => vec![local::journal((look.look_at_journal)(journald))],
            SourceConfig::Stdin(_) => continue,
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
    HopReport { hops, ..HopReport::default() }
}

async fn of_sink(config: &Config, name: &str, sink: &FirehoseSink, look: &DoctorOptions) -> Vec<HopFinding> {
    let aws = match AwsConnection::new(format!("sink `{name}`"), sink.aws.clone()) {
        Ok(connection) => FirehoseClients::new(connection, None),
        Err(error) => {
            return vec![
                HopFinding::failure("endpoint", CallError::from(error).to_string()).fix("correct `ca_file`"),
            ];
        }
    };
    let (targets, lacking) = targets(config, name, sink, &look.host);
    let mut findings = Vec::new();
    for field in lacking {
        let seen = format!("names use `{{{field}}}`, which depends on events: such streams are skipped");
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
    aws: &FirehoseClients,
    target: &PutTarget,
    look: &DoctorOptions,
    findings: &mut Vec<HopFinding>,
) {
    let PutTarget { stream, region, roles } = target;
    let connection = aws.connection();
    let skipped = |what: &str| {
        HopFinding::new("skipped", Severity::Skipped, format!("{what} of `{stream}`, after the failure"))
    };
    findings.extend(endpoint::check("Firehose", &connection.reach_firehose(region.clone()).await, look.now));
    for role in roles {
        let reached = connection.reach_sts(region.clone(), role).await;
        findings.extend(endpoint::check(&format!("STS for `{}`", role.arn), &reached, look.now));
    }
    if has_failed(findings) {
        return findings.push(skipped("credentials, roles and the stream"));
    }
    let mut principal = match first(connection, target).await {
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
        let assumed = match aws.client(region.clone(), upto).await {
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
                let policy = connection.trust_policy(region.clone(), before, role).await;
                let denied = role::denied(role, &principal, &refused);
                let trust = trust::check(role, &principal, policy);
                return findings.extend([denied, trust, skipped("what follows")]);
            }
        }
    }
    match aws.client(region.clone(), roles.clone()).await {
        Ok(client) => {
            let stream = StreamCheck { client: &client, name: stream, principal: &principal };
            // A line that is written is proof enough.
            let simulated = if look.write_probe {
                None
            } else {
                let policies_of = simulation::policies_of(roles.last(), &principal);
                simulation::ask(connection, target, policies_of, &stream.arn()).await
            };
            findings.extend(stream.check(look.write_probe, simulated.as_ref()).await);
        }
        Err(error) => findings
            .push(HopFinding::failure("stream", CallError::from(error).to_string()).fix("set `region`")),
    }
}

fn has_failed(findings: &[HopFinding]) -> bool {
    findings.iter().any(|finding| finding.level == Severity::Failure)
}

/// Whose the first credentials are.
async fn first(aws: &AwsConnection, target: &PutTarget) -> Result<(HopFinding, String), HopFinding> {
    const CHECK: &str = "credentials";
    match aws.identity(target.region.clone(), target.roles.first()).await {
        Ok(Some(arn)) => Ok((HopFinding::ok(CHECK, format!("found: `{arn}`")), arn)),
        Ok(None) => {
            let seen =
                "found; not checked whose they are, since `endpoint_url` is set without an STS endpoint";
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
            let fix = advice(&refused);
            Err(HopFinding::failure(CHECK, refused.to_string())
                .why("every call is signed with them")
                .fix(fix))
        }
    }
}
