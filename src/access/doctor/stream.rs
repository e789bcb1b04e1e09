//! Whether the stream is there, takes records, and may be put to.

use super::call_error::advice;
use super::role::{attach, document};
use super::simulation::{self, PUT};
use crate::access::policy::RequestPrincipal;
use crate::access::policy::document::{Negatable, Statement};
use crate::access::report::{Fix, HopFinding, MissingPolicy, Severity};
use crate::arn::{AccountRegion, Arn};
use crate::aws::{CallError, FirehoseClient, PolicySimulation, StreamDescription, principal_in};

/// What `--write-probe` puts.
const PROBE: &[u8] = b"standpipe doctor: a probe, to be ignored\n";

/// What is asked about.
pub(super) struct StreamCheck<'a> {
    pub(super) client: &'a FirehoseClient,
    pub(super) name: &'a str,
    /// Who asks, as STS names it, if that is known.
    pub(super) principal: &'a str,
}

impl StreamCheck<'_> {
    /// Looks at the stream, and tries to put to it: nothing, or one line with `write`. What a simulation denied is not tried.
    pub(super) async fn check(&self, write: bool, simulated: Option<&PolicySimulation>) -> Vec<HopFinding> {
        let mut findings = match self.client.describe(self.name).await {
            Ok(facts) => of_facts(&facts),
            Err(refused) => vec![self.undescribed(&refused)],
        };
        let is_missing =
            findings.iter().any(|finding| finding.check == "stream" && finding.level == Severity::Failure);
        if is_missing {
            return findings;
        }
        let denied = simulated.filter(|simulated| simulated.is_denied());
        findings.push(if let Some(denied) = denied {
            simulation::denied(denied, &self.arn(), self.grant(PUT, "standpipe-put"))
        } else {
            let records: &[&[u8]] = if write { &[PROBE] } else { &[] };
            self.put(self.client.put(self.name, records).await, write, simulated)
        });
        findings
    }

    fn undescribed(&self, refused: &CallError) -> HopFinding {
        const CHECK: &str = "stream";
        match refused {
            CallError::Answered { code, message } if code == "ResourceNotFoundException" => {
                HopFinding::failure(CHECK, format!("stream `{}` does not exist: {message}", self.name))
                    .why("nothing can be put to it; standpipe holds the records")
                    .fix(self.absent())
            }
            CallError::Answered { code, message } if code.starts_with("AccessDenied") => {
                let seen = format!("its state cannot be seen: {message}");
                let grant =
                    self.named_in(message).grant("firehose:DescribeDeliveryStream", "standpipe-describe");
                HopFinding::warning(CHECK, seen).fix(grant)
            }
            // Standpipe itself does not ask for it.
            CallError::Unreadable(message) => {
                HopFinding::warning(CHECK, format!("its state cannot be seen: {message}"))
                    .fix(advice(refused))
            }
            CallError::Answered { .. }
            | CallError::Credentials { .. }
            | CallError::Unanswered { .. }
            | CallError::Unusable(_) => HopFinding::failure(CHECK, refused.to_string()).fix(advice(refused)),
        }
    }

    fn put(
        &self,
        put: Result<(), CallError>,
        write: bool,
        simulated: Option<&PolicySimulation>,
    ) -> HopFinding {
        const CHECK: &str = "put";
        const WHY: &str = "standpipe holds the records until they can be put";
        match put {
            Ok(()) if write => HopFinding::ok(CHECK, format!("one record was written to `{}`", self.name)),
            Ok(()) => HopFinding::ok(CHECK, format!("`{}` accepts an empty put", self.name)),
            Err(CallError::Answered { code, message }) => match code.as_str() {
                "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => {
                    let grant = self.named_in(&message).grant(PUT, "standpipe-put");
                    HopFinding::failure(CHECK, message).why(WHY).fix(grant)
                }
                "ResourceNotFoundException" => {
                    HopFinding::failure(CHECK, message).why(WHY).fix(self.absent())
                }
                "InvalidSourceException" => HopFinding::failure(CHECK, message)
                    .why("a stream with CloudWatch Logs decompression accepts only subscriptions")
                    .fix("turn decompression off, or name another stream"),
                "InvalidKMSResourceException" => HopFinding::failure(CHECK, message)
                    .why(WHY)
                    .fix("enable the stream's key, and allow Firehose and the stream's role to use it"),
                // AWS does not say whether permission is looked at before the request's form.
                "ValidationException" | "ValidationError" | "InvalidArgumentException" if !write => {
                    undenied(simulated)
                }
                _ => HopFinding::failure(CHECK, format!("{code}: {message}")).why(WHY),
            },
            Err(other) => HopFinding::failure(CHECK, other.to_string()).fix(advice(&other)),
        }
    }

    /// The same, asked by whom a denial names: at another endpoint than AWS's nobody else does.
    fn named_in<'a>(&'a self, denial: &'a str) -> StreamCheck<'a> {
        StreamCheck { principal: principal_in(denial).unwrap_or(self.principal), ..*self }
    }

    /// The stream's ARN, in the account of whoever asks.
    pub(super) fn arn(&self) -> String {
        let account = self.principal.parse::<Arn>().map_or_else(|_| "ACCOUNT".to_owned(), |arn| arn.account);
        AccountRegion { region: self.client.region.clone(), account }.delivery_stream(self.name).to_string()
    }

    fn absent(&self) -> String {
        format!("create `{}`, or correct `stream`, `region` or `assume_role`", self.arn())
    }

    fn grant(&self, action: &str, policy: &str) -> Fix {
        let mut statement = Statement::allow("StandpipeStream", [action]);
        statement.resources = Some(Negatable::Is(vec![self.arn()]));
        let document = document(statement);
        let caller = self.principal.parse().ok().as_ref().and_then(RequestPrincipal::from_arn);
        let named = if self.principal.is_empty() { "the host's own identity" } else { self.principal };
        let principal = caller.map_or_else(|| named.to_owned(), |caller| caller.principal());
        Fix {
            text: format!("allow `{action}` on `{}` to `{principal}`", self.arn()),
            commands: attach(&principal, policy, &document).into_iter().collect(),
            policies: vec![MissingPolicy { at: format!("a policy of `{principal}`"), document }],
            calls: Vec::new(),
        }
    }
}

/// What is said of an empty put that was refused for its form alone, beside what a simulation said.
fn undenied(simulated: Option<&PolicySimulation>) -> HopFinding {
    const CHECK: &str = "put";
    if let Some(allowed) = simulated.filter(|simulated| simulated.is_allowed()) {
        let by = allowed.statements.join(", ");
        let seen = format!("`{PUT}` is allowed by IAM's simulation: {by}; and an empty put was not denied");
        return HopFinding::ok(CHECK, seen);
    }
    let mut seen = "an empty put was not denied, which does not prove that a real one is allowed".to_owned();
    if let Some(PolicySimulation { decision, unknown, .. }) = simulated {
        let keys: Vec<String> = unknown.iter().map(|key| format!("`{key}`")).collect();
        seen = format!("{seen}; IAM's simulation says {decision}, without knowing {}", keys.join(", "));
    }
    HopFinding::warning(CHECK, seen).fix("run `standpipe doctor --write-probe`, which puts one line")
}

fn of_facts(facts: &StreamDescription) -> Vec<HopFinding> {
    let StreamDescription { arn, status, is_active, source, failure, key, decompresses } = facts;
    let seen = format!("`{arn}` is {status}, source {source}");
    let mut findings = vec![if *is_active {
        HopFinding::ok("stream", seen)
    } else {
        let failure = failure.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        HopFinding::failure("stream", format!("{seen}{failure}"))
            .why("it accepts no records until it is ACTIVE")
            .fix("wait until it is ACTIVE; if it failed, fix the cause and recreate it")
    }];
    if source != "DirectPut" {
        findings.push(
            HopFinding::failure("stream_source", format!("its source is {source}"))
                .why("such a stream takes records only from its source, and rejects puts")
                .fix("name a stream whose source is Direct PUT"),
        );
    }
    if *decompresses {
        findings.push(
            HopFinding::failure("stream_source", "CloudWatch Logs decompression is on")
                .why("such a stream accepts only CloudWatch Logs subscriptions, and rejects standpipe's puts")
                .fix("turn decompression off, or name another stream"),
        );
    }
    if let Some((key, status)) = key {
        let seen = format!("encrypted with `{key}`: {status}");
        findings.push(if status == "ENABLED" {
            HopFinding::ok("stream_key", seen)
        } else {
            HopFinding::warning("stream_key", seen)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> StreamDescription {
        StreamDescription {
            arn: "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs".to_owned(),
            status: "ACTIVE".to_owned(),
            is_active: true,
            source: "DirectPut".to_owned(),
            failure: None,
            key: None,
            decompresses: false,
        }
    }

    #[track_caller]
    fn check(facts: &StreamDescription, expected: &[(&str, Severity)]) {
        let findings = of_facts(facts);
        let found: Vec<_> = findings.iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(found, expected);
        let is_fixed = |finding: &HopFinding| finding.level != Severity::Failure || finding.fix.is_some();
        assert!(findings.iter().all(is_fixed));
    }

    #[test]
    fn a_stream_that_refuses_puts_is_a_failure() {
        let ok = ("stream", Severity::Ok);
        let wrong = ("stream_source", Severity::Failure);
        check(&facts(), &[ok]);
        check(
            &StreamDescription { is_active: false, status: "CREATING".to_owned(), ..facts() },
            &[("stream", Severity::Failure)],
        );
        check(&StreamDescription { source: "KinesisStreamAsSource".to_owned(), ..facts() }, &[ok, wrong]);
        check(&StreamDescription { decompresses: true, ..facts() }, &[ok, wrong]);
        let key =
            |status: &str| StreamDescription { key: Some(("k".to_owned(), status.to_owned())), ..facts() };
        check(&key("ENABLED"), &[ok, ("stream_key", Severity::Ok)]);
        check(&key("ENABLING"), &[ok, ("stream_key", Severity::Warning)]);
    }
}
