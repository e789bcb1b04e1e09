//! The two calls to `CloudWatch` Logs, and what their refusals mean.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::listing::ListedGroup;
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions, principal_in};

/// A page to be asked for.
#[derive(Clone, Debug)]
pub(super) struct EventsAsk {
    pub(super) group: ListedGroup,
    /// The first and the last millisecond.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) token: Option<String>,
}

/// Part of a list of log groups.
#[derive(Clone, Debug, Default)]
pub(super) struct ListedPart {
    pub(super) groups: Vec<ListedGroup>,
    pub(super) token: Option<String>,
}

/// What pulls log events.
pub(super) trait LogsService: Send + Sync + 'static {
    /// A page of `FilterLogEvents`, as it came.
    fn events(&self, ask: &EventsAsk) -> impl Future<Output = Result<Bytes, PullFault>> + Send;

    /// Part of a list of the groups whose names begin with `prefix`.
    fn groups(
        &self,
        prefix: &str,
        token: Option<&str>,
    ) -> impl Future<Output = Result<ListedPart, PullFault>> + Send;
}

/// Why a call failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct PullFault {
    pub(super) kind: PullFaultKind,
    /// The call, what was said, and what to do.
    pub(super) message: String,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PullFaultKind {
    /// Too many calls.
    Throttled,
    /// It may work a moment later.
    Passing,
    /// The log group does not exist any more.
    Gone,
    /// The token is not good any more.
    Token,
    /// A permission is missing.
    Denied,
    /// There are no credentials, or they are refused.
    Credentials,
    /// The service does not do it for this log group.
    Refused,
}

impl PullFaultKind {
    /// As metrics have it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Passing => "unavailable",
            Self::Gone => "gone",
            Self::Token => "token",
            Self::Denied => "access_denied",
            Self::Credentials => "credentials",
            Self::Refused => "refused",
        }
    }
}

/// `CloudWatch` Logs itself.
#[derive(Debug)]
pub(super) struct CloudWatchLogs {
    client: ApiClient,
    deadline: Duration,
    linked_accounts: bool,
}

impl CloudWatchLogs {
    pub(super) const fn new(client: ApiClient, deadline: Duration, linked_accounts: bool) -> Self {
        Self { client, deadline, linked_accounts }
    }

    /// The call for a page of events.
    fn filter(&self, ask: &EventsAsk) -> ApiCall {
        let mut input = json!({ "startTime": ask.from, "endTime": ask.to });
        // In a monitoring account, a name alone would be that account's own group.
        let (key, value) = if self.linked_accounts {
            ("logGroupIdentifier", &ask.group.arn)
        } else {
            ("logGroupName", &ask.group.name)
        };
        set(&mut input, key, value);
        if let Some(token) = &ask.token {
            set(&mut input, "nextToken", token);
        }
        ApiCall::new(AwsService::Logs, "FilterLogEvents", input)
    }

    /// As [`LogsService::groups`].
    pub(super) async fn list(&self, prefix: &str, token: Option<&str>) -> Result<ListedPart, PullFault> {
        let mut input = json!({ "limit": 50 });
        for (key, value) in
            [("logGroupNamePrefix", Some(prefix).filter(|prefix| !prefix.is_empty())), ("nextToken", token)]
        {
            if let Some(value) = value {
                set(&mut input, key, value);
            }
        }
        if self.linked_accounts
            && let Some(input) = input.as_object_mut()
        {
            input.insert("includeLinkedAccounts".into(), true.into());
        }
        let call = ApiCall::new(AwsService::Logs, "DescribeLogGroups", input);
        let answered = self.client.call_with(&call, CallOptions::once(self.deadline)).await;
        let answer = answered.map_err(|error| fault(&call, "*", error, token.is_some()))?;
        let groups = answer.get("logGroups").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(listed).collect();
        Ok(ListedPart { groups, token: answer.get("nextToken").and_then(Value::as_str).map(str::to_owned) })
    }
}

fn set(input: &mut Value, key: &str, value: &str) {
    if let Some(input) = input.as_object_mut() {
        input.insert(key.to_owned(), value.into());
    }
}

fn listed(group: &Value) -> Option<ListedGroup> {
    let text = |key: &str| group.get(key).and_then(Value::as_str);
    let arn = text("logGroupArn").or_else(|| text("arn"))?;
    Some(ListedGroup {
        name: text("logGroupName")?.to_owned(),
        arn: arn.strip_suffix(":*").unwrap_or(arn).to_owned(),
        created: group.get("creationTime").and_then(Value::as_i64).unwrap_or(0),
    })
}

impl LogsService for CloudWatchLogs {
    async fn events(&self, ask: &EventsAsk) -> Result<Bytes, PullFault> {
        let call = self.filter(ask);
        let answered = self.client.call_bytes(&call, CallOptions::once(self.deadline)).await;
        let resource = format!("{}:*", ask.group.arn);
        answered.map_err(|error| fault(&call, &resource, error, ask.token.is_some()))
    }

    async fn groups(&self, prefix: &str, token: Option<&str>) -> Result<ListedPart, PullFault> {
        self.list(prefix, token).await
    }
}

fn fault(call: &ApiCall, resource: &str, error: CallError, has_token: bool) -> PullFault {
    let action = call.action();
    match error {
        CallError::Answered { code, message } => {
            let kind = kind(&code, has_token);
            let fix = fix(kind, &action, resource, &message);
            PullFault { kind, message: format!("{action}: {code}: {message}{fix}") }
        }
        CallError::Credentials { message, fix } => {
            let fix = fix.map(|fix| format!("; {fix}")).unwrap_or_default();
            PullFault { kind: PullFaultKind::Credentials, message: format!("{message}{fix}") }
        }
        CallError::Unanswered { message, .. }
        | CallError::Unreadable(message)
        | CallError::Unusable(message) => {
            PullFault { kind: PullFaultKind::Passing, message: format!("{action}: {message}") }
        }
    }
}

/// Source: the service's model, and the codes that all services have in common
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html>).
fn kind(code: &str, has_token: bool) -> PullFaultKind {
    match code {
        "AccessDeniedException" | "AccessDenied" | "OptInRequired" => PullFaultKind::Denied,
        "ResourceNotFoundException" => PullFaultKind::Gone,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "NotAuthorized" => PullFaultKind::Credentials,
        "LimitExceededException" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            PullFaultKind::Throttled
        }
        _ if code.contains("Throttl") => PullFaultKind::Throttled,
        "InvalidParameterException"
        | "ValidationException"
        | "InvalidNextTokenException"
        | "InvalidOperationException"
            if has_token =>
        {
            PullFaultKind::Token
        }
        "InvalidParameterException" | "ValidationException" | "InvalidOperationException" => {
            PullFaultKind::Refused
        }
        _ => PullFaultKind::Passing,
    }
}

fn fix(kind: PullFaultKind, action: &str, resource: &str, said: &str) -> String {
    match kind {
        PullFaultKind::Denied => {
            let who = principal_in(said).map_or_else(|| "the caller".to_owned(), |who| format!("`{who}`"));
            format!("; allow {who} `{action}` on `{resource}`")
        }
        PullFaultKind::Credentials => "; check the credentials of the source".to_owned(),
        PullFaultKind::Refused => {
            "; log groups of the classes DELIVERY and ESSENTIALS may not be read so: leave it out of `log_groups`"
                .to_owned()
        }
        PullFaultKind::Throttled | PullFaultKind::Passing | PullFaultKind::Gone | PullFaultKind::Token => {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, message: &str, has_token: bool, kind: PullFaultKind, fix: &str) {
        let error = CallError::Answered { code: code.into(), message: message.into() };
        let call = ApiCall::new(AwsService::Logs, "FilterLogEvents", json!({}));
        let fault = fault(&call, "arn:x", error, has_token);
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(code) && fault.message.ends_with(fix), "{fault}");
    }

    #[test]
    fn a_refusal_says_what_it_means_and_what_to_do() {
        use PullFaultKind::{Credentials, Denied, Gone, Passing, Refused, Throttled, Token};
        let said = "User: arn:aws:sts::111111111111:assumed-role/r/s is not authorized to perform: logs:FilterLogEvents";
        let fix = "; allow `arn:aws:sts::111111111111:assumed-role/r/s` `logs:FilterLogEvents` on `arn:x`";
        check("AccessDeniedException", said, false, Denied, fix);
        check(
            "AccessDeniedException",
            "no",
            false,
            Denied,
            "; allow the caller `logs:FilterLogEvents` on `arn:x`",
        );
        check("ThrottlingException", "Rate exceeded", true, Throttled, "Rate exceeded");
        check("ResourceNotFoundException", "gone", true, Gone, "gone");
        check("InvalidParameterException", "The specified nextToken is invalid.", true, Token, "invalid.");
        check("InvalidParameterException", "no", false, Refused, "out of `log_groups`");
        check("ExpiredTokenException", "old", true, Credentials, "of the source");
        check("ServiceUnavailableException", "later", false, Passing, "later");
        check("500", "status 500", true, Passing, "500");
    }
}
