//! From where a source of a Kinesis stream reads, and with whom it shares the shards, as the rest of the program uses it.

use std::time::Duration;

use super::aws_types::AwsSettings;
use crate::event::Timestamp;

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamStart {
    /// Its oldest record.
    Beginning,
    /// What comes after the first start.
    End,
    /// The first record that came at this time or later.
    At(Timestamp),
}

/// `leases = { table, failover }`
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The table's name.
    pub table: String,
    /// A lease that nobody renewed for so long is free.
    pub failover: Duration,
    /// How the table is reached.
    pub aws: AwsSettings,
}
