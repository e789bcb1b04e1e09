//! What has to be there beside the resources of a plan: it is looked at, and not made.

use std::sync::Arc;

use crate::config::topology::{AwsAccount, SubscriptionScope, Topology};

/// Something that a plan rests on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Prerequisite {
    /// Who looks, and would make what is missing: its `others` are its policies.
    Caller,
    /// A log group that is subscribed, or that a service writes; its `filters` and its own `policy` are seen.
    LogGroup(String),
    /// What became of a log group's events within the last hour, as `counts`.
    Deliveries(String),
    /// The quota of a Firehose stream, and what was refused for it within the last hour, as `counts`.
    Quota(String),
    /// All resource policies of `CloudWatch` Logs in the account, as `others`.
    LogsPolicies,
    /// A bucket that is read.
    Bucket(String),
    /// A key, by its ARN.
    Key(String),
}

impl Prerequisite {
    /// By what name it is among the resources that were seen; none of a plan has such a one.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Caller => "prerequisite: caller".to_owned(),
            Self::LogGroup(name) => format!("prerequisite: log group {name}"),
            Self::Deliveries(name) => format!("prerequisite: deliveries of {name}"),
            Self::Quota(name) => format!("prerequisite: quota of {name}"),
            Self::LogsPolicies => "prerequisite: policies of logs".to_owned(),
            Self::Bucket(name) => format!("prerequisite: bucket {name}"),
            Self::Key(arn) => format!("prerequisite: key {arn}"),
        }
    }
}

/// All that a topology's plan rests on, each once for its account.
#[must_use]
pub fn prerequisites(topology: &Topology) -> Vec<(Arc<AwsAccount>, Prerequisite)> {
    let mut all: Vec<(Arc<AwsAccount>, Prerequisite)> = Vec::new();
    let mut add = |account: &Arc<AwsAccount>, beside: Prerequisite| {
        let one = (Arc::clone(account), beside);
        if !all.contains(&one) {
            all.push(one);
        }
    };
    for account in &topology.accounts {
        add(account, Prerequisite::Caller);
    }
    for subscription in &topology.subscriptions {
        if let SubscriptionScope::Groups(groups) = &subscription.scope {
            for name in groups {
                add(&subscription.account, Prerequisite::LogGroup(name.clone()));
                add(&subscription.account, Prerequisite::Deliveries(name.clone()));
            }
        }
    }
    if let Some(stream) = &topology.stream {
        add(&stream.account, Prerequisite::Quota(stream.name.clone()));
    }
    for vended in &topology.vended {
        add(&vended.account, Prerequisite::LogsPolicies);
        for name in &vended.log_groups {
            add(&vended.account, Prerequisite::LogGroup(name.clone()));
        }
    }
    for reader in &topology.readers {
        let is_made = topology.bucket.as_ref().is_some_and(|bucket| bucket.name == reader.bucket);
        if !is_made {
            add(&reader.bucket_account, Prerequisite::Bucket(reader.bucket.clone()));
        }
    }
    for key in &topology.keys {
        if let Some(arn) = &key.arn {
            add(&key.account, Prerequisite::Key(arn.clone()));
        }
    }
    all
}
