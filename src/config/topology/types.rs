//! A topology that cannot be wrong: accounts and keys that are named are those that there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::match_patterns::MatchPatterns;
use crate::arn::AccountRegion;

/// Who sends logs where, across accounts, in one region.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The region of everything.
    pub region: String,
    /// What the names of roles and policies begin with. IAM is the same in all regions, so that a second topology in the same
    /// accounts needs another.
    pub name: String,
    /// The organization whose accounts may send; without it, those that subscribe, by their ids.
    pub organization: Option<String>,
    /// Put on everything that is made and can be tagged.
    pub tags: BTreeMap<String, String>,
    /// All accounts, in the order of their names.
    pub accounts: Vec<Arc<AwsAccount>>,
    /// KMS keys.
    pub keys: Vec<Arc<KmsKey>>,
    /// Where the logs end.
    pub bucket: Option<LogBucket>,
    /// The Firehose stream that fills the bucket.
    pub stream: Option<FirehoseStream>,
    /// A Kinesis stream that standpipe reads.
    pub kinesis: Option<KinesisStream>,
    /// What other accounts subscribe their log groups to.
    pub destination: Option<LogsDestination>,
    /// Who subscribes.
    pub subscriptions: Vec<Subscription>,
    /// Log groups that AWS services write.
    pub vended: Vec<VendedLogs>,
    /// Log groups that are made.
    pub log_groups: Vec<LogGroups>,
    /// Who reads objects of another account's bucket.
    pub readers: Vec<BucketReader>,
    /// Who reads log groups of another account without a subscription.
    pub log_readers: Vec<LogGroupReader>,
    /// Who puts to the Firehose stream.
    pub writer: Option<RoleAssumer>,
    /// Who reads the Kinesis stream.
    pub consumer: Option<KinesisConsumer>,
}

/// An AWS account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AwsAccount {
    /// Its name in the topology.
    pub name: String,
    /// Its region and its id of twelve digits.
    pub place: AccountRegion,
    /// The profile of the AWS CLI and of Terraform with its credentials.
    pub profile: Option<String>,
    /// The role to administer it with.
    pub assume_role: Option<AdministratorRole>,
    /// The people who may change it.
    pub owner: Option<String>,
}

/// A role of an account that may change it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdministratorRole {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
}

/// A KMS key.
#[derive(Clone, Debug)]
pub struct KmsKey {
    /// Its name in the topology.
    pub name: String,
    /// The account that it belongs to.
    pub account: Arc<AwsAccount>,
    /// The ARN of a key that exists; without it, one is made.
    pub arn: Option<String>,
}

/// The bucket that Firehose fills.
#[derive(Clone, Debug)]
pub struct LogBucket {
    /// Its owner.
    pub account: Arc<AwsAccount>,
    /// Its name.
    pub name: String,
    /// What the names of the objects begin with.
    pub prefix: String,
    /// What encrypts the objects; without it, S3's own key.
    pub key: Option<Arc<KmsKey>>,
    /// A queue in the same account that is told of every object.
    pub queue: Option<String>,
}

/// A Firehose stream.
#[derive(Clone, Debug)]
pub struct FirehoseStream {
    /// Its owner.
    pub account: Arc<AwsAccount>,
    /// Its name.
    pub name: String,
    /// What encrypts data that waits in it.
    pub key: Option<Arc<KmsKey>>,
}

/// A Kinesis stream.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    /// Its owner.
    pub account: Arc<AwsAccount>,
    /// Its name.
    pub name: String,
    /// What encrypts its records.
    pub key: Option<Arc<KmsKey>>,
}

/// A destination of `CloudWatch` Logs, in the account of what it leads to.
#[derive(Clone, Debug)]
pub struct LogsDestination {
    /// Its owner.
    pub account: Arc<AwsAccount>,
    /// Its name.
    pub name: String,
    /// What it leads to.
    pub target: DestinationTarget,
}

/// The stream that subscriptions end in, and whose it is.
#[derive(Clone, Debug)]
pub struct LogsTarget {
    /// Its owner.
    pub account: Arc<AwsAccount>,
    /// Which stream.
    pub stream: DestinationTarget,
}

impl Topology {
    /// Where subscriptions end: behind the destination, or, without one, in the stream that its own account's filters send straight to.
    #[must_use]
    pub fn logs_target(&self) -> Option<LogsTarget> {
        let of = |account: &Arc<AwsAccount>, stream| LogsTarget { account: Arc::clone(account), stream };
        if let Some(destination) = &self.destination {
            return Some(of(&destination.account, destination.target));
        }
        let firehose = self.stream.as_ref().map(|stream| of(&stream.account, DestinationTarget::Stream));
        firehose
            .or_else(|| self.kinesis.as_ref().map(|kinesis| of(&kinesis.account, DestinationTarget::Kinesis)))
    }

    /// Whether filters send straight to the stream, which then needs no destination.
    #[must_use]
    pub fn has_straight_filters(&self, target: &LogsTarget) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.account.name == target.account.name)
    }
}

/// What a destination leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DestinationTarget {
    /// The Firehose stream.
    Stream,
    /// The Kinesis stream.
    Kinesis,
}

/// Log groups of an account whose events are sent on.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Who sends.
    pub account: Arc<AwsAccount>,
    /// Which log groups.
    pub scope: SubscriptionScope,
    /// The filter's name.
    pub name: String,
    /// Which events; all when empty.
    pub pattern: String,
}

/// Which log groups a subscription takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubscriptionScope {
    /// These.
    Groups(Vec<String>),
    /// Those that match, those that are made later too.
    Matching(MatchPatterns),
    /// All of the account, those that are made later too, but these.
    Account {
        /// Left out.
        exclude: Vec<String>,
    },
}

/// Log groups that an AWS service writes through log delivery.
#[derive(Clone, Debug)]
pub struct VendedLogs {
    /// Their owner.
    pub account: Arc<AwsAccount>,
    /// The service, such as `states`.
    pub service: String,
    /// The groups' names.
    pub log_groups: Vec<String>,
    /// The role that turns logging on, such as a state machine's.
    pub role: Option<String>,
}

/// Log groups that are made.
#[derive(Clone, Debug)]
pub struct LogGroups {
    /// Their owner.
    pub account: Arc<AwsAccount>,
    /// Their names.
    pub names: Vec<String>,
    /// How long events are kept, in days; for ever without it.
    pub retention: Option<u32>,
    /// What encrypts them.
    pub key: Option<Arc<KmsKey>>,
}

/// Who assumes a role, and what the role is called.
#[derive(Clone, Debug)]
pub struct RoleAssumer {
    /// Where standpipe runs.
    pub account: Arc<AwsAccount>,
    /// The role that standpipe runs as; without it, whoever the account lets.
    pub role: Option<String>,
    /// What has to be said when the role is assumed.
    pub external_id: Option<String>,
    /// The name of the role that is assumed.
    pub name: String,
}

/// Who reads the Kinesis stream.
#[derive(Clone, Debug)]
pub struct KinesisConsumer {
    /// Who assumes the role.
    pub assumer: RoleAssumer,
    /// The `DynamoDB` table of its leases, in the stream's account.
    pub lease_table: String,
    /// The consumer that it subscribes with; none: it polls.
    pub fan_out: Option<String>,
}

/// Who reads log groups without a subscription.
#[derive(Clone, Debug)]
pub struct LogGroupReader {
    /// Who assumes the role.
    pub assumer: RoleAssumer,
    /// The log groups' owner.
    pub logs_account: Arc<AwsAccount>,
    /// Which ones, by their names, in which `*` stands for anything.
    pub log_groups: Vec<String>,
}

/// Who reads objects of a bucket.
#[derive(Clone, Debug)]
pub struct BucketReader {
    /// Who assumes the role.
    pub assumer: RoleAssumer,
    /// The bucket's owner.
    pub bucket_account: Arc<AwsAccount>,
    /// The bucket, which exists, or is the topology's own.
    pub bucket: String,
    /// Which objects: those whose names begin so.
    pub prefix: String,
    /// What encrypts the objects.
    pub key: Option<Arc<KmsKey>>,
    /// A queue in the bucket's account that is told of every object.
    pub queue: Option<String>,
}
