//! A source of log groups, as the rest of the program uses it.

use std::time::Duration;

use super::aws_types::AwsSettings;
use crate::event::Timestamp;

/// `type = "cloudwatch_logs"`
#[derive(Clone, Debug)]
pub struct PullSource {
    /// How AWS is reached.
    pub aws: AwsSettings,
    /// Globs of names of log groups.
    pub log_groups: Vec<String>,
    /// Whether log groups of the accounts that this one monitors are read.
    pub linked_accounts: bool,
    /// From when on events are read.
    pub start: PullStart,
    /// How late an event may come and still be found.
    pub window: Duration,
    /// Most calls of `FilterLogEvents` a second.
    pub calls: f64,
    /// How often log groups are listed.
    pub refresh: Duration,
}

/// From when on events of log groups never seen before are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PullStart {
    /// From the first start on.
    Now,
    /// From so long before the first start on.
    Ago(Duration),
    /// From this time on.
    At(Timestamp),
}
