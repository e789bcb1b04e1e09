//! What a plan is made of: resources with their documents, in steps.

use std::sync::Arc;

use crate::access::policy::document::PolicyDocument;
use crate::config::topology::AwsAccount;

/// All that has to be there for a topology, in the order of its making.
#[derive(Clone, Debug)]
pub struct AccessPlan {
    /// The region of everything.
    pub region: String,
    /// What everything that can be tagged is tagged with; the mark of what was made by this topology is among them.
    pub tags: Vec<(String, String)>,
    /// One account's part after the other. An account comes twice only where its parts stand on both sides of another's.
    pub stages: Vec<PlanStage>,
}

/// What is made in one account, one after the other.
#[derive(Clone, Debug)]
pub struct PlanStage {
    /// The account.
    pub account: Arc<AwsAccount>,
    /// Its resources; each stands after those that it needs.
    pub resources: Vec<PlannedResource>,
    /// What the account's owner has to do by hand, since it belongs to something that was not made here.
    pub by_hand: Vec<ManualStep>,
}

/// Something to do by hand.
#[derive(Clone, Debug)]
pub struct ManualStep {
    /// What, and why, as sentences on one line.
    pub what: String,
    /// The statements in question.
    pub document: PolicyDocument,
    /// What its file is called.
    pub file: String,
}

/// One resource.
#[derive(Clone, Debug)]
pub struct PlannedResource {
    /// Its name in templates: letters and digits, unique in the stage.
    pub id: String,
    /// The ids of resources of the same stage that have to be there before it.
    pub needs: Vec<String>,
    /// What it is.
    pub kind: ResourceKind,
}

/// What a resource is.
#[derive(Clone, Debug)]
pub enum ResourceKind {
    /// A KMS key and its alias.
    Key {
        /// Such as `alias/standpipe-logs`.
        alias: String,
        /// The key's policy.
        policy: PolicyDocument,
    },
    /// A log group.
    LogGroup {
        /// Its name.
        name: String,
        /// Days; for ever without it.
        retention: Option<u32>,
        /// What encrypts it.
        key: Option<KeyUse>,
        /// A log stream to make in it.
        stream: Option<String>,
    },
    /// A bucket that nobody but its account may reach unless the policy says so.
    Bucket {
        /// Its name.
        name: String,
        /// Its policy.
        policy: PolicyDocument,
        /// What encrypts objects; without it, S3's own key.
        key: Option<KeyUse>,
        /// The ARN of a queue to tell of objects.
        queue: Option<String>,
        /// Of which objects.
        prefix: String,
    },
    /// What a bucket that exists tells a queue.
    Notification {
        /// The bucket.
        bucket: String,
        /// The queue's ARN.
        queue: String,
        /// Of which objects.
        prefix: String,
    },
    /// A queue.
    Queue {
        /// Its name.
        name: String,
        /// Its policy.
        policy: PolicyDocument,
    },
    /// A role with one policy of its own.
    Role {
        /// Its name; the name of its policy too.
        name: String,
        /// What it is for.
        description: String,
        /// Who may assume it.
        trust: PolicyDocument,
        /// What it may do.
        permissions: PolicyDocument,
    },
    /// A policy on a role that exists.
    RolePolicy {
        /// The role's name, without its path.
        role: String,
        /// The policy's name.
        name: String,
        /// The policy.
        policy: PolicyDocument,
    },
    /// A policy to be attached by hand to whoever needs it.
    ManagedPolicy {
        /// Its name.
        name: String,
        /// What it is for.
        description: String,
        /// The policy.
        policy: PolicyDocument,
    },
    /// A Firehose stream to a bucket.
    DeliveryStream(DeliveryStream),
    /// A Kinesis stream that scales by itself.
    DataStream {
        /// Its name.
        name: String,
        /// What encrypts it.
        key: Option<KeyUse>,
    },
    /// The `DynamoDB` table of a Kinesis consumer's leases.
    LeaseTable {
        /// Its name.
        name: String,
    },
    /// A destination of `CloudWatch` Logs.
    Destination {
        /// Its name.
        name: String,
        /// The ARN of what it leads to.
        target: String,
        /// The ARN of the role that writes there.
        role: String,
        /// Who may subscribe.
        policy: PolicyDocument,
    },
    /// A resource policy of `CloudWatch` Logs, for a whole region of an account.
    LogsPolicy {
        /// Its name.
        name: String,
        /// The policy.
        policy: PolicyDocument,
    },
    /// A subscription filter of a log group.
    Filter(SubscriptionFilter),
    /// A subscription filter of a whole account.
    AccountFilter {
        /// What it does; `group` is empty.
        filter: SubscriptionFilter,
        /// Log groups that are left out.
        exclude: Vec<String>,
    },
}

/// A Firehose stream to a bucket.
#[derive(Clone, Debug)]
pub struct DeliveryStream {
    /// Its name.
    pub name: String,
    /// The ARN of the role that it writes as.
    pub role: String,
    /// The bucket's ARN.
    pub bucket: String,
    /// What its objects' names begin with.
    pub prefix: String,
    /// The log group of its errors.
    pub errors: String,
    /// What encrypts data that waits in it.
    pub key: Option<KeyUse>,
}

/// A subscription filter.
#[derive(Clone, Debug)]
pub struct SubscriptionFilter {
    /// The log group.
    pub group: String,
    /// The filter's name.
    pub name: String,
    /// Which events; all when empty.
    pub pattern: String,
    /// The ARN of the destination, or of the stream itself.
    pub to: String,
    /// The ARN of the role to write with, where the destination has none.
    pub role: Option<String>,
}

/// Which key encrypts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyUse {
    /// One of the same stage.
    Made {
        /// The resource's id.
        id: String,
        /// Its alias.
        alias: String,
    },
    /// One that exists, by its ARN.
    Given(String),
}

/// The log stream that Firehose reports errors of deliveries to.
pub const ERROR_STREAM: &str = "DestinationDelivery";

/// A policy of a resource, with what it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct ResourceDocument<'a> {
    /// What the document is for, as the end of a file's name.
    pub part: DocumentPurpose,
    /// The document.
    pub document: &'a PolicyDocument,
}

/// What a document says about its resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DocumentPurpose {
    /// Who may assume the role.
    Trust,
    /// What the role, or whoever it is attached to, may do.
    Permissions,
    /// What others may do with the resource.
    Policy,
}

impl DocumentPurpose {
    /// The end of a file's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Permissions => "permissions",
            Self::Policy => "policy",
        }
    }
}

impl PlannedResource {
    /// Its documents.
    pub fn documents(&self) -> Vec<ResourceDocument<'_>> {
        let one = |part, document| vec![ResourceDocument { part, document }];
        match &self.kind {
            ResourceKind::Role { trust, permissions, .. } => vec![
                ResourceDocument { part: DocumentPurpose::Trust, document: trust },
                ResourceDocument { part: DocumentPurpose::Permissions, document: permissions },
            ],
            ResourceKind::RolePolicy { policy, .. } | ResourceKind::ManagedPolicy { policy, .. } => {
                one(DocumentPurpose::Permissions, policy)
            }
            ResourceKind::Key { policy, .. }
            | ResourceKind::Bucket { policy, .. }
            | ResourceKind::Queue { policy, .. }
            | ResourceKind::Destination { policy, .. }
            | ResourceKind::LogsPolicy { policy, .. } => one(DocumentPurpose::Policy, policy),
            ResourceKind::LogGroup { .. }
            | ResourceKind::Notification { .. }
            | ResourceKind::DeliveryStream(_)
            | ResourceKind::DataStream { .. }
            | ResourceKind::LeaseTable { .. }
            | ResourceKind::Filter(_)
            | ResourceKind::AccountFilter { .. } => Vec::new(),
        }
    }

    /// What it is, such as "role `standpipe-writer`".
    pub fn title(&self) -> String {
        match &self.kind {
            ResourceKind::Key { alias, .. } => format!("KMS key `{alias}`"),
            ResourceKind::LogGroup { name, .. } => format!("log group `{name}`"),
            ResourceKind::Bucket { name, .. } => format!("bucket `{name}`"),
            ResourceKind::Notification { bucket, .. } => format!("notification of bucket `{bucket}`"),
            ResourceKind::Queue { name, .. } => format!("queue `{name}`"),
            ResourceKind::Role { name, .. } => format!("role `{name}`"),
            ResourceKind::RolePolicy { role, name, .. } => format!("policy `{name}` of role `{role}`"),
            ResourceKind::ManagedPolicy { name, .. } => format!("policy `{name}`"),
            ResourceKind::DeliveryStream(stream) => format!("Firehose stream `{}`", stream.name),
            ResourceKind::DataStream { name, .. } => format!("Kinesis stream `{name}`"),
            ResourceKind::LeaseTable { name } => format!("table `{name}`"),
            ResourceKind::Destination { name, .. } => format!("destination `{name}`"),
            ResourceKind::LogsPolicy { name, .. } => format!("resource policy `{name}` of CloudWatch Logs"),
            ResourceKind::Filter(filter) => {
                format!("filter `{}` of log group `{}`", filter.name, filter.group)
            }
            ResourceKind::AccountFilter { filter, .. } => format!("filter `{}` of the account", filter.name),
        }
    }
}
