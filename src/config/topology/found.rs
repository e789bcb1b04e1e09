//! A topology once the log groups are known that match its subscriptions.

use std::collections::BTreeMap;

use super::match_patterns::MatchPatterns;
use super::types::{Subscription, SubscriptionScope, Topology};

impl Topology {
    /// The subscriptions of log groups that match.
    pub fn matching(&self) -> impl Iterator<Item = (&Subscription, &MatchPatterns)> {
        self.subscriptions.iter().filter_map(|subscription| match &subscription.scope {
            SubscriptionScope::Matching(patterns) => Some((subscription, patterns)),
            SubscriptionScope::Groups(_) | SubscriptionScope::Account { .. } => None,
        })
    }

    /// The same with a subscription of each log group that was found, by accounts, and matches; unless another one has it already.
    #[must_use]
    pub fn with_found(&self, found: &BTreeMap<String, Vec<String>>) -> Self {
        let mut topology = self.clone();
        for (subscription, patterns) in self.matching() {
            let (account, name) = (&subscription.account.name, &subscription.name);
            let is_there = |group: &String| {
                topology.subscriptions.iter().any(|other| {
                    other.account.name == *account
                        && other.name == *name
                        && matches!(&other.scope, SubscriptionScope::Groups(groups) if groups.contains(group))
                })
            };
            let groups = found.get(account).into_iter().flatten();
            let groups: Vec<String> =
                groups.filter(|group| patterns.takes(group) && !is_there(group)).cloned().collect();
            if !groups.is_empty() {
                let scope = SubscriptionScope::Groups(groups);
                topology.subscriptions.push(Subscription { scope, ..subscription.clone() });
            }
        }
        topology
    }
}
