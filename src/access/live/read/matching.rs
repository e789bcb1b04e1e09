//! Finds the log groups that match a topology's subscriptions: a page at a time, with a pause between two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::nobody;
use super::reader::{AccountReader, KeyAliases, ReadResult, Unread, list, text};
use crate::access::live::AccountClients;
use crate::access::plan::error_log_group;
use crate::aws::AwsService;
use crate::config::topology::{AwsAccount, MatchPatterns, Topology};

/// Five calls a second are allowed to all of an account, at least.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const PAUSE: Duration = Duration::from_millis(250);

/// Most groups of a page. Source: `DescribeLogGroups` of `CloudWatch` Logs' API.
const PAGE: u32 = 50;

/// Most pages of an account: a token that never ends is no answer.
const MOST_PAGES: usize = 1_000;

/// The log groups that match, by the names of their accounts.
#[derive(Clone, Debug, Default)]
pub struct MatchingGroups {
    /// Names, and when the groups were made, in milliseconds.
    pub groups: BTreeMap<String, BTreeMap<String, i64>>,
    /// Why the groups of an account could not be listed.
    pub faults: BTreeMap<String, String>,
}

impl MatchingGroups {
    /// The names alone.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, Vec<String>> {
        let names = |groups: &BTreeMap<String, i64>| groups.keys().cloned().collect();
        self.groups.iter().map(|(account, groups)| (account.clone(), names(groups))).collect()
    }
}

/// Lists the log groups of every account that has a subscription with patterns, and keeps those that match.
pub async fn matching(topology: &Topology, clients: &AccountClients) -> MatchingGroups {
    let mut of_accounts: BTreeMap<&str, (&Arc<AwsAccount>, Vec<&MatchPatterns>)> = BTreeMap::new();
    for (subscription, patterns) in topology.matching() {
        let account = &subscription.account;
        of_accounts.entry(&account.name).or_insert_with(|| (account, Vec::new())).1.push(patterns);
    }
    let mut found = MatchingGroups::default();
    for (name, (account, patterns)) in of_accounts {
        let Some(caller) = clients.caller(name) else {
            found.faults.insert(name.to_owned(), nobody(name));
            continue;
        };
        let reader = AccountReader { caller, aliases: &KeyAliases::new(), place: &account.place };
        match reader.matching_groups(&patterns).await {
            Ok(mut groups) => {
                // What Firehose says of its own failures would be sent to Firehose for ever.
                if let Some(stream) = topology.stream.as_ref().filter(|stream| stream.account.name == name) {
                    groups.remove(&error_log_group(stream));
                }
                found.groups.insert(name.to_owned(), groups);
            }
            Err(Unread::Unseen(why)) => drop(found.faults.insert(name.to_owned(), why)),
            Err(Unread::Absent) => {}
        }
    }
    found
}

impl AccountReader<'_> {
    async fn matching_groups(&self, patterns: &[&MatchPatterns]) -> ReadResult<BTreeMap<String, i64>> {
        let mut found = BTreeMap::new();
        let prefixes: Vec<&str> = patterns.iter().flat_map(|patterns| patterns.prefixes()).collect();
        for prefix in prefixes {
            let mut input = Map::from_iter([("limit".to_owned(), json!(PAGE))]);
            if !prefix.is_empty() {
                input.insert("logGroupNamePrefix".to_owned(), json!(prefix));
            }
            for _ in 0..MOST_PAGES {
                let mut page = self.ask(AwsService::Logs, "DescribeLogGroups", input.clone().into()).await?;
                for group in list(&page, "/logGroups") {
                    let name = text(group, "/logGroupName");
                    if patterns.iter().any(|patterns| patterns.takes(name)) {
                        let created = group.get("creationTime").and_then(Value::as_i64).unwrap_or_default();
                        found.insert(name.to_owned(), created);
                    }
                }
                sleep(PAUSE).await;
                match page.get_mut("nextToken").map(Value::take) {
                    Some(Value::String(next)) if !next.is_empty() => {
                        input.insert("nextToken".to_owned(), next.into());
                    }
                    _ => break,
                }
            }
        }
        Ok(found)
    }
}
