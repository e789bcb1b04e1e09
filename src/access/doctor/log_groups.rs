//! Whether the log groups of a source can be listed and read, and in which time.

use std::collections::BTreeSet;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::{Value, json};

use super::call_error::advice;
use super::role::{attach, document};
use crate::access::policy::RequestPrincipal;
use crate::access::policy::document::{Negatable, Statement};
use crate::access::report::{Fix, HopFinding, MissingPolicy, Severity};
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, principal_in};
use crate::config::{PullSource, show_duration};
use crate::event::{Origin, Timestamp};

const LIST: &str = "log_groups";
const READ: &str = "log_events";
const PACE: &str = "calls";

/// Most calls for a list.
const MOST_PARTS: usize = 100;

/// The share of the calls that polls without news may take, as in the source.
const IDLE_SHARE: f64 = 0.8;

/// A round of all log groups that takes longer is told.
const LONG_ROUND: f64 = 120.0;

/// Looks at what `source` reads.
pub(super) async fn check(name: &str, source: &PullSource, host: &str, now: Timestamp) -> Vec<HopFinding> {
    let origin = Origin::new(name, host);
    let client = match ApiClient::with(&format!("source `{name}`"), &source.aws, None, &origin).await {
        Ok(client) => client.at(source.aws.endpoint_url.clone()),
        Err(error) => {
            let fix = "correct `ca_file`, or set `region`";
            return vec![HopFinding::failure("endpoint", error.to_string()).fix(fix)];
        }
    };
    let principal = match client.prove().await {
        Ok(principal) => principal,
        Err(refused) => {
            let failure = HopFinding::failure("credentials", refused.to_string());
            return vec![failure.why("every call is signed with them").fix(advice(&refused))];
        }
    };
    let look = PullLook { client: &client, source, principal: &principal, now };
    let mut findings = vec![HopFinding::ok("credentials", format!("found: `{principal}`"))];
    findings.extend(look.all().await);
    findings
}

struct PullLook<'a> {
    client: &'a ApiClient,
    source: &'a PullSource,
    principal: &'a str,
    now: Timestamp,
}

/// A log group that matches.
struct MatchingGroup {
    name: String,
    arn: String,
}

impl PullLook<'_> {
    async fn all(&self) -> Vec<HopFinding> {
        let (groups, is_whole) = match self.list().await {
            Ok(listed) => listed,
            Err(refused) => {
                let skipped =
                    HopFinding::new("skipped", Severity::Skipped, "reading, after the failure".to_owned());
                return vec![self.refused(LIST, "logs:DescribeLogGroups", "*", &refused), skipped];
            }
        };
        let patterns = self.source.log_groups.join("`, `");
        let Some(first) = groups.first() else {
            let seen = format!("no log group matches `{patterns}`");
            let fix = "correct `log_groups`, `region` or `assume_role`; one that is created later is found";
            return vec![HopFinding::new(LIST, Severity::Warning, seen).fix(fix)];
        };
        let more = if is_whole { "" } else { " or more" };
        let listed = HopFinding::ok(LIST, format!("{}{more} match `{patterns}`", groups.len()));
        vec![listed, self.read(first).await, self.pace(groups.len())]
    }

    /// The log groups that match, and whether these are all.
    async fn list(&self) -> Result<(Vec<MatchingGroup>, bool), CallError> {
        let set = globs(&self.source.log_groups);
        let heads: BTreeSet<&str> = self.source.log_groups.iter().map(|glob| head(glob)).collect();
        let (mut found, mut parts) = (Vec::new(), 0);
        for head in heads {
            let mut token = Value::Null;
            while parts < MOST_PARTS {
                parts += 1;
                let answer = self.client.call(&self.part(head, &token)).await?;
                let groups = answer.get("logGroups").and_then(Value::as_array).into_iter().flatten();
                let new = groups.filter_map(matching).filter(|group| set.is_match(&group.name));
                found.extend(new);
                token = answer.get("nextToken").cloned().unwrap_or_default();
                if token.is_null() {
                    break;
                }
            }
        }
        found.sort_by(|a, b| a.arn.cmp(&b.arn));
        found.dedup_by(|a, b| a.arn == b.arn);
        Ok((found, parts < MOST_PARTS))
    }

    fn part(&self, head: &str, token: &Value) -> ApiCall {
        let mut input = json!({ "limit": 50 });
        if let Some(input) = input.as_object_mut() {
            if !head.is_empty() {
                input.insert("logGroupNamePrefix".to_owned(), head.into());
            }
            if !token.is_null() {
                input.insert("nextToken".to_owned(), token.clone());
            }
            if self.source.linked_accounts {
                input.insert("includeLinkedAccounts".to_owned(), true.into());
            }
        }
        ApiCall::new(AwsService::Logs, "DescribeLogGroups", input)
    }

    async fn read(&self, group: &MatchingGroup) -> HopFinding {
        let (key, value) = if self.source.linked_accounts {
            ("logGroupIdentifier", &group.arn)
        } else {
            ("logGroupName", &group.name)
        };
        let (start, end) = (self.now.0.saturating_sub(1_000), self.now.0);
        let input = json!({ key: value, "startTime": start, "endTime": end, "limit": 1 });
        let call = ApiCall::new(AwsService::Logs, "FilterLogEvents", input);
        match self.client.call(&call).await {
            Ok(_) => HopFinding::ok(READ, format!("`{}` can be read", group.name)),
            Err(refused) => self.refused(READ, "logs:FilterLogEvents", &format!("{}:*", group.arn), &refused),
        }
    }

    fn pace(&self, groups: usize) -> HopFinding {
        let calls = self.source.calls;
        let round = u32::try_from(groups).map_or(f64::MAX, f64::from) / (IDLE_SHARE * calls);
        let shown = show_duration(Duration::from_secs_f64(round.clamp(1.0, 1e6).ceil()));
        let seen = format!(
            "{calls} calls a second ask {groups} log groups once in {shown}, or more often those with news"
        );
        if round <= LONG_ROUND {
            return HopFinding::ok(PACE, seen);
        }
        let finding = HopFinding::new(PACE, Severity::Warning, seen)
            .why("new events wait for so long in log groups that were quiet");
        finding.fix("raise `calls`, if the account's quota of FilterLogEvents allows it; read fewer log groups; or subscribe those that can be")
    }

    fn refused(&self, check: &'static str, action: &str, resource: &str, refused: &CallError) -> HopFinding {
        let CallError::Answered { code, message } = refused else {
            return HopFinding::failure(check, refused.to_string()).fix(advice(refused));
        };
        let failure = HopFinding::failure(check, format!("{action}: {code}: {message}"));
        if !code.starts_with("AccessDenied") {
            return failure;
        }
        let principal = principal_in(message).unwrap_or(self.principal);
        failure.why("without it the source reads nothing").fix(grant(action, resource, principal))
    }
}

fn grant(action: &str, resource: &str, principal: &str) -> Fix {
    let mut statement = Statement::allow("StandpipeLogGroups", [action]);
    statement.resources = Some(Negatable::Is(vec![resource.to_owned()]));
    let document = document(statement);
    let caller = principal.parse().ok().as_ref().and_then(RequestPrincipal::from_arn);
    let principal = caller.map_or_else(|| principal.to_owned(), |caller| caller.principal());
    Fix {
        text: format!("allow `{action}` on `{resource}` to `{principal}`"),
        commands: attach(&principal, "standpipe-log-groups", &document).into_iter().collect(),
        policies: vec![MissingPolicy { at: format!("a policy of `{principal}`"), document }],
        calls: Vec::new(),
    }
}

fn matching(group: &Value) -> Option<MatchingGroup> {
    let text = |key: &str| group.get(key).and_then(Value::as_str);
    let arn = text("logGroupArn").or_else(|| text("arn"))?;
    let arn = arn.strip_suffix(":*").unwrap_or(arn).to_owned();
    Some(MatchingGroup { name: text("logGroupName")?.to_owned(), arn })
}

/// The configuration has looked that each is one.
fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in
        patterns.iter().filter_map(|pattern| GlobBuilder::new(pattern).literal_separator(false).build().ok())
    {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

/// What every name that matches begins with.
fn head(pattern: &str) -> &str {
    let is_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
    pattern.find(|c| !is_literal(c)).and_then(|end| pattern.get(..end)).unwrap_or(pattern)
}
