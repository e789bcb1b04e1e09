//! Questions to one account, and the few ways in which they are not answered.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::access::live::{ResourceState, extra};
use crate::arn::AccountRegion;
use crate::aws::{ApiCall, AwsService};
use crate::aws::{ApiClient, CallError};

/// Codes that mean: it is not there.
const MISSING: &[&str] = &[
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchEntity",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "NotFoundException",
    "OwnershipControlsNotFoundError",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "ServerSideEncryptionConfigurationNotFoundError",
];

/// Most pages of a list: a token that never ends is no answer.
const MOST_PAGES: usize = 1_000;

/// The names in the plan of keys that it makes, by all that others may call them.
pub(super) type KeyAliases = BTreeMap<String, String>;

/// Why something is not told.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not there.
    Absent,
    /// It could not be seen, and why.
    Unseen(String),
}

/// What the members of a page are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageNames<'a> {
    /// The list.
    pub(super) items: &'a str,
    /// What leads to the next page; the next input has it under the same name.
    pub(super) token: &'a str,
}

/// Asks in one account.
pub(super) struct AccountReader<'a> {
    pub(super) caller: &'a ApiClient,
    pub(super) aliases: &'a KeyAliases,
    pub(super) place: &'a AccountRegion,
}

/// What may be seen, or not, or not be there.
pub(super) type ReadResult<T> = Result<T, Unread>;

impl AccountReader<'_> {
    /// Makes a call that looks.
    pub(super) async fn ask(
        &self,
        service: AwsService,
        operation: &'static str,
        input: Value,
    ) -> ReadResult<Value> {
        let call = ApiCall::new(service, operation, input);
        let is_missing = |refused: &CallError| matches!(refused, CallError::Answered { code, .. } if MISSING.contains(&code.as_str()));
        self.caller.call(&call).await.map_err(|refused| {
            if is_missing(&refused) { Unread::Absent } else { Unread::Unseen(format!("`{call}`: {refused}")) }
        })
    }

    /// All items of a list that comes in pages.
    pub(super) async fn all(
        &self,
        service: AwsService,
        operation: &'static str,
        mut input: Map<String, Value>,
        page_names: PageNames<'_>,
    ) -> ReadResult<Vec<Value>> {
        let PageNames { items: list, token } = page_names;
        let mut items = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut page = self.ask(service, operation, input.clone().into()).await?;
            if let Some(Value::Array(found)) = page.get_mut(list).map(Value::take) {
                items.extend(found);
            }
            match page.get_mut(token).map(Value::take) {
                Some(Value::String(next)) if !next.is_empty() => {
                    input.insert(token.to_owned(), next.into());
                }
                _ => break,
            }
        }
        Ok(items)
    }

    /// A list of `CloudWatch` Logs.
    pub(super) async fn logs(
        &self,
        operation: &'static str,
        input: Value,
        list: &str,
    ) -> ReadResult<Vec<Value>> {
        let names = PageNames { items: list, token: "nextToken" };
        self.all(AwsService::Logs, operation, object(input), names).await
    }

    /// A list of IAM.
    pub(super) async fn iam(
        &self,
        operation: &'static str,
        input: Value,
        list: &str,
    ) -> ReadResult<Vec<Value>> {
        let names = PageNames { items: list, token: "Marker" };
        self.all(AwsService::Iam, operation, object(input), names).await
    }

    /// A key as the plan names it: by its alias, if the plan makes it. None for no key.
    pub(super) fn key_name(&self, key: Option<&Value>) -> Value {
        let Some(key) = key.and_then(Value::as_str).filter(|key| !key.is_empty()) else { return Value::Null };
        json!(self.aliases.get(key).map_or(key, String::as_str))
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(object) = value { object } else { Map::new() }
}

/// What may be absent without the rest being so.
pub(super) fn optional<T>(seen: ReadResult<T>) -> ReadResult<Option<T>> {
    match seen {
        Ok(found) => Ok(Some(found)),
        Err(Unread::Absent) => Ok(None),
        Err(unseen @ Unread::Unseen(_)) => Err(unseen),
    }
}

/// A string at a path of an answer.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A policy, which IAM gives escaped.
pub(super) fn policy(text: &str) -> Value {
    let plain = if text.trim_start().starts_with('{') {
        text.into()
    } else {
        percent_decode_str(text).decode_utf8_lossy()
    };
    // What is no JSON is told as it is.
    serde_json::from_str(&plain).unwrap_or_else(|_| json!(plain))
}

/// Tags as an object, from a list of objects with these names.
pub(super) fn tags(list: &[Value], key: &str, value: &str) -> Value {
    let pair = |tag: &Value| Some((tag.get(key)?.as_str()?.to_owned(), tag.get(value)?.clone()));
    Value::Object(list.iter().filter_map(pair).collect())
}

/// One aspect more, if it is known.
pub(super) fn note(state: &mut ResourceState, aspect: &'static str, value: Option<Value>) {
    state.extend(value.map(|value| (aspect, value)));
}

/// One aspect more, or why it could not be seen.
pub(super) fn note_or_reason(state: &mut ResourceState, aspect: &'static str, seen: ReadResult<Value>) {
    match seen {
        Ok(value) => {
            state.insert(aspect, value);
        }
        Err(Unread::Absent) => {}
        Err(Unread::Unseen(why)) => {
            let reasons = state.entry(extra::UNSEEN).or_insert_with(|| json!({}));
            if let Some(reasons) = reasons.as_object_mut() {
                reasons.insert(aspect.to_owned(), why.into());
            }
        }
    }
}

/// The list in an answer; none for what is no list, as an empty one of IAM is.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
