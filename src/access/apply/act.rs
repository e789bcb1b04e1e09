//! Makes the calls of one change after the other, waits for what AWS has not heard of yet, and tells of each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use crate::access::live::{AccountClients, Observation, ObservedState, read_one};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind};
use crate::aws::ApiCall;
use crate::aws::{ApiClient, CallError};

/// How long a call is tried that AWS is not ready for: a new role takes some seconds until every service knows it.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a stream or table may take to be made, or to go.
const MAKING: Duration = Duration::from_mins(10);

/// The first wait before another try; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// What is told while it is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApplyEvent {
    /// The call was made.
    Done(String),
    /// AWS is not ready, and says this; the call is tried again.
    Waits(String, String),
}

/// A resource and the calls for it.
#[derive(Clone, Debug)]
pub struct ApplyStep<'p> {
    /// Where it is.
    pub stage: &'p PlanStage,
    /// What it is.
    pub resource: &'p PlannedResource,
    /// What is called, in order.
    pub calls: Vec<ApiCall>,
    /// Whether it is there afterwards.
    pub stays: bool,
}

/// Why a resource was not finished.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StepError {
    /// A signal asked to stop.
    Signal,
    /// What failed, and why.
    Failed(String),
}

/// Makes changes.
#[derive(Debug)]
pub struct StepRunner<'a> {
    /// The plan.
    pub plan: &'a AccessPlan,
    /// Who makes calls where.
    pub clients: &'a AccountClients,
    /// What was seen before.
    pub seen: &'a ObservedState,
    /// True once someone signals to stop.
    pub stop: watch::Receiver<bool>,
}

impl StepRunner<'_> {
    /// Does what one resource needs, to the end; waits until it is ready, or gone. A signal to stop is heeded while it waits.
    ///
    /// # Errors
    /// When a call fails, or when it is to stop.
    pub async fn act(
        &mut self,
        act: &ApplyStep<'_>,
        tell: &mut impl FnMut(ApplyEvent),
    ) -> Result<(), StepError> {
        let no_one = || StepError::Failed("there are no credentials".to_owned());
        let caller = self.clients.caller(&act.stage.account.name).ok_or_else(no_one)?;
        let mut answers: BTreeMap<&str, Value> = BTreeMap::new();
        let mut is_new = false;
        for call in &act.calls {
            let told = |operation: &str, pointer: &str| {
                Some(answers.get(operation)?.pointer(pointer)?.as_str()?.to_owned())
            };
            let lacks = || StepError::Failed(format!("`{call}` needs a value that no answer gave"));
            let filled = call.filled(&told).ok_or_else(lacks)?;
            let answer = self.patiently(caller, &filled, is_new, tell).await?;
            answers.insert(call.operation, answer);
            is_new |= call.operation.starts_with("Create");
            if !call.is_look() {
                tell(ApplyEvent::Done(call.to_string()));
            }
        }
        if takes_time(&act.resource.kind) { self.ready(act).await } else { Ok(()) }
    }

    async fn patiently(
        &mut self,
        caller: &ApiClient,
        call: &ApiCall,
        is_new: bool,
        tell: &mut impl FnMut(ApplyEvent),
    ) -> Result<Value, StepError> {
        let deadline = Instant::now() + PATIENCE;
        let mut wait = SHORTEST;
        loop {
            let refused = match caller.call(call).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => refused,
            };
            if !is_unready(&refused, is_new) || deadline < Instant::now() + wait {
                return Err(StepError::Failed(failed(call, &refused)));
            }
            if wait == SHORTEST {
                tell(ApplyEvent::Waits(call.to_string(), refused.to_string()));
            }
            self.pause(wait).await?;
            wait = LONGEST.min(wait * 2);
        }
    }

    /// Waits until a stream or table is ACTIVE, or gone.
    async fn ready(&mut self, act: &ApplyStep<'_>) -> Result<(), StepError> {
        let deadline = Instant::now() + MAKING;
        let mut wait = SHORTEST;
        loop {
            let look = read_one(self.plan, act.stage, act.resource, self.clients, self.seen).await;
            let status = match &look {
                Observation::Absent if !act.stays => return Ok(()),
                Observation::Absent => "not there",
                Observation::Unseen(why) => return Err(StepError::Failed(why.clone())),
                Observation::Found(state) => {
                    state.get("status").and_then(Value::as_str).unwrap_or("in no state")
                }
            };
            if act.stays && status == "ACTIVE" {
                return Ok(());
            }
            if status.ends_with("FAILED") || deadline < Instant::now() + wait {
                return Err(StepError::Failed(format!("it is {status}")));
            }
            self.pause(wait).await?;
            wait = LONGEST.min(wait * 2);
        }
    }

    /// Waits, unless someone signals to stop.
    async fn pause(&mut self, wait: Duration) -> Result<(), StepError> {
        tokio::select! {
            () = time::sleep(wait) => Ok(()),
            Ok(_) = self.stop.wait_for(|stop| *stop) => Err(StepError::Signal),
        }
    }
}

/// What is made, and goes, in the background.
const fn takes_time(kind: &ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::DeliveryStream(_) | ResourceKind::DataStream { .. } | ResourceKind::LeaseTable { .. }
    )
}

fn failed(call: &ApiCall, refused: &CallError) -> String {
    match refused {
        CallError::Answered { code, .. } if code.starts_with("AccessDenied") => {
            format!("`{call}`: {refused}; allow `{}` to the credentials that run `apply`", call.action())
        }
        CallError::Answered { .. }
        | CallError::Credentials { .. }
        | CallError::Unanswered { .. }
        | CallError::Unreadable(_)
        | CallError::Unusable(_) => format!("`{call}`: {refused}"),
    }
}

/// Whether AWS has not heard yet of what was just made, or is busy with it: the words of the scripts that `render` writes.
///
/// What was made a moment ago may not be found yet either, with `is_new`.
fn is_unready(refused: &CallError, is_new: bool) -> bool {
    const WORDS: &[&str] = &[
        "rincipal",
        "assume",
        "Could not deliver test message",
        "ResourceInUse",
        "OperationAborted",
        "ConcurrentModification",
        "Throttl",
        "TooManyRequests",
        "KMS key does not exist or is not allowed",
    ];
    const NOT_FOUND: &[&str] =
        &["NoSuchEntity", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket"];
    let CallError::Answered { code, message } = refused else { return false };
    // A denial of the caller names the action, which may be `iam:..AssumeRole..`.
    let is_denied = code.starts_with("AccessDenied");
    let said = |word: &&str| code.contains(*word) || message.contains(*word);
    (!is_denied && WORDS.iter().any(said)) || (is_new && NOT_FOUND.contains(&code.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_waited_for() {
        let check = |code: &str, message: &str, is_new: bool, expected: bool| {
            let refused = CallError::Answered { code: code.to_owned(), message: message.to_owned() };
            assert_eq!(is_unready(&refused, is_new), expected, "{code}: {message}");
        };
        check(
            "InvalidParameterException",
            "Could not deliver test message to specified Firehose stream.",
            false,
            true,
        );
        check("MalformedPolicyDocument", "Invalid principal in policy: \"AWS\":\"arn\"", false, true);
        check(
            "InvalidArgumentException",
            "Firehose is unable to assume role arn. Please check it.",
            false,
            true,
        );
        check("ResourceInUseException", "Stream cwl under account is not ACTIVE", false, true);
        check("NoSuchEntity", "The role with name r cannot be found.", true, true);
        check("NoSuchEntity", "The role with name r cannot be found.", false, false);
        check(
            "AccessDenied",
            "User: u is not authorized to perform: iam:UpdateAssumeRolePolicy on x",
            false,
            false,
        );
        check("LimitExceededException", "Resource limit exceeded.", false, false);
    }
}
