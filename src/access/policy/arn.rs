//! Amazon Resource Names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, and the forms that logs pass through.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>, and for each service its page below
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/>.

use std::fmt;
use std::str::FromStr;

/// One resource.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Arn {
    /// The family of regions.
    pub partition: Partition,
    /// The service, such as `logs`.
    pub service: String,
    /// The region; empty where the service has none in its ARNs.
    pub region: String,
    /// The account's id, of twelve digits; empty for a bucket.
    pub account: String,
    /// All that follows, colons included.
    pub resource: String,
}

/// A family of regions with accounts of its own.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Partition {
    /// The commercial regions.
    #[default]
    Aws,
    /// Beijing and Ningxia.
    AwsCn,
    /// The regions of the government of the United States.
    AwsUsGov,
}

/// What an ARN names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResourceType<'a> {
    /// A log group.
    LogGroup {
        /// Its name, without the `:*` that stands for its streams.
        name: &'a str,
        /// The ARN ends in `:*`.
        streams: bool,
    },
    /// A log stream, or all of a group with `*`.
    LogStream {
        /// Its group.
        group: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A destination of `CloudWatch` Logs.
    Destination(&'a str),
    /// A stream of Firehose.
    DeliveryStream(&'a str),
    /// A stream of Kinesis.
    Stream(&'a str),
    /// A consumer of a Kinesis stream.
    Consumer {
        /// The stream.
        stream: &'a str,
        /// Its name and the time it was made.
        name: &'a str,
    },
    /// A role.
    Role {
        /// Begins and ends with `/`.
        path: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A user.
    User {
        /// Begins and ends with `/`.
        path: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A session of a role; the role's path is not part of it.
    Session {
        /// The role's name.
        role: &'a str,
        /// The session's name.
        name: &'a str,
    },
    /// A session of a federated user.
    FederatedUser(&'a str),
    /// An account, or its root user.
    Account,
    /// A bucket.
    Bucket(&'a str),
    /// An object in a bucket.
    Object {
        /// The bucket.
        bucket: &'a str,
        /// The key.
        key: &'a str,
    },
    /// A key of KMS.
    Key(&'a str),
    /// An alias of a key, with its `alias/`.
    KeyAlias(&'a str),
    /// A queue of SQS.
    Queue(&'a str),
    /// A table of `DynamoDB`.
    Table(&'a str),
    /// Something else.
    Other,
}

/// A text is not an ARN.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArnError {
    /// Too few parts.
    #[error("`{0}` is not an ARN: expected `arn:partition:service:region:account:resource`")]
    Parts(String),
    /// No such partition.
    #[error("`{text}` is of the partition `{partition}`: expected `aws`, `aws-cn` or `aws-us-gov`")]
    Partition {
        /// The text.
        text: String,
        /// What it says.
        partition: String,
    },
    /// The account is not an account.
    #[error("`{text}` has the account `{account}`: expected twelve digits")]
    Account {
        /// The text.
        text: String,
        /// What it says.
        account: String,
    },
}

/// A region of an account: where resources are.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountRegion {
    /// Such as `us-east-1`.
    pub region: String,
    /// The account's id, of twelve digits.
    pub account: String,
}

impl AccountRegion {
    /// The region's partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of_region(&self.region)
    }

    /// A log group, as policies name it: with `:*` when its streams are meant.
    #[must_use]
    pub fn log_group(&self, name: &str, streams: bool) -> Arn {
        let streams = if streams { ":*" } else { "" };
        self.regional("logs", format!("log-group:{name}{streams}"))
    }

    /// A log stream; `*` is all of the group's.
    #[must_use]
    pub fn log_stream(&self, group: &str, name: &str) -> Arn {
        self.regional("logs", format!("log-group:{group}:log-stream:{name}"))
    }

    /// A destination of `CloudWatch` Logs.
    #[must_use]
    pub fn destination(&self, name: &str) -> Arn {
        self.regional("logs", format!("destination:{name}"))
    }

    /// A stream of Firehose.
    #[must_use]
    pub fn delivery_stream(&self, name: &str) -> Arn {
        self.regional("firehose", format!("deliverystream/{name}"))
    }

    /// A stream of Kinesis.
    #[must_use]
    pub fn stream(&self, name: &str) -> Arn {
        self.regional("kinesis", format!("stream/{name}"))
    }

    /// A key of KMS.
    #[must_use]
    pub fn key(&self, id: &str) -> Arn {
        self.regional("kms", format!("key/{id}"))
    }

    /// A queue of SQS.
    #[must_use]
    pub fn queue(&self, name: &str) -> Arn {
        self.regional("sqs", name.to_owned())
    }

    /// A table of `DynamoDB`.
    #[must_use]
    pub fn table(&self, name: &str) -> Arn {
        self.regional("dynamodb", format!("table/{name}"))
    }

    /// A role, at the path `/`.
    #[must_use]
    pub fn role(&self, name: &str) -> Arn {
        self.global("iam", format!("role/{name}"))
    }

    /// The account itself.
    #[must_use]
    pub fn root(&self) -> Arn {
        self.global("iam", "root".to_owned())
    }

    /// A bucket; its ARN has neither region nor account.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Arn {
        self.nowhere("s3", name.to_owned())
    }

    /// An object of a bucket; `*` at the end of the key is what begins so.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Arn {
        self.nowhere("s3", format!("{bucket}/{key}"))
    }

    fn regional(&self, service: &str, resource: String) -> Arn {
        let (region, account) = (self.region.clone(), self.account.clone());
        Arn { partition: self.partition(), service: service.to_owned(), region, account, resource }
    }

    fn global(&self, service: &str, resource: String) -> Arn {
        Arn { region: String::new(), ..self.regional(service, resource) }
    }

    fn nowhere(&self, service: &str, resource: String) -> Arn {
        Arn { account: String::new(), ..self.global(service, resource) }
    }
}

impl Partition {
    /// The partition that a region belongs to.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        match region {
            _ if region.starts_with("cn-") => Self::AwsCn,
            _ if region.starts_with("us-gov-") => Self::AwsUsGov,
            _ => Self::Aws,
        }
    }

    /// As it stands in an ARN.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    /// What the names of its endpoints end in.
    #[must_use]
    pub const fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Aws, Self::AwsCn, Self::AwsUsGov].into_iter().find(|partition| partition.as_str() == text)
    }
}

impl Arn {
    /// What it names.
    #[must_use]
    pub fn form(&self) -> ResourceType<'_> {
        let resource = self.resource.as_str();
        match self.service.as_str() {
            "logs" => logs(resource),
            "firehose" => named(resource, "deliverystream/", ResourceType::DeliveryStream),
            "kinesis" => kinesis(resource),
            "iam" => identity(resource),
            "sts" => session(resource),
            "s3" => Some(match resource.split_once('/') {
                Some((bucket, key)) => ResourceType::Object { bucket, key },
                None => ResourceType::Bucket(resource),
            }),
            "kms" if resource.starts_with("alias/") => Some(ResourceType::KeyAlias(resource)),
            "kms" => named(resource, "key/", ResourceType::Key),
            "sqs" => Some(ResourceType::Queue(resource)),
            "dynamodb" => named(resource, "table/", ResourceType::Table),
            _ => None,
        }
        .unwrap_or(ResourceType::Other)
    }
}

fn named<'a>(
    resource: &'a str,
    before: &str,
    form: impl Fn(&'a str) -> ResourceType<'a>,
) -> Option<ResourceType<'a>> {
    resource.strip_prefix(before).filter(|name| !name.is_empty()).map(form)
}

fn logs(resource: &str) -> Option<ResourceType<'_>> {
    if let Some(name) = resource.strip_prefix("destination:") {
        return Some(ResourceType::Destination(name));
    }
    let group = resource.strip_prefix("log-group:")?;
    Some(match group.split_once(':') {
        None => ResourceType::LogGroup { name: group, streams: false },
        Some((name, "*")) => ResourceType::LogGroup { name, streams: true },
        Some((group, rest)) => ResourceType::LogStream { group, name: rest.strip_prefix("log-stream:")? },
    })
}

fn kinesis(resource: &str) -> Option<ResourceType<'_>> {
    let rest = resource.strip_prefix("stream/")?;
    Some(match rest.split_once("/consumer/") {
        Some((stream, name)) => ResourceType::Consumer { stream, name },
        None => ResourceType::Stream(rest),
    })
}

fn identity(resource: &str) -> Option<ResourceType<'_>> {
    // The path is what lies between the kind and the name, both slashes included.
    let parts = |kind: &str| {
        let rest = resource.strip_prefix(kind)?;
        let (path, name) = rest.split_at_checked(rest.rfind('/')?.saturating_add(1))?;
        (!name.is_empty()).then_some((path, name))
    };
    if resource == "root" {
        return Some(ResourceType::Account);
    }
    let role = parts("role").map(|(path, name)| ResourceType::Role { path, name });
    role.or_else(|| parts("user").map(|(path, name)| ResourceType::User { path, name }))
}

fn session(resource: &str) -> Option<ResourceType<'_>> {
    if let Some(name) = resource.strip_prefix("federated-user/") {
        return Some(ResourceType::FederatedUser(name));
    }
    let (role, name) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
    Some(ResourceType::Session { role, name })
}

/// Whether a text is an account's id: twelve digits.
#[must_use]
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(|| ArnError::Parts(text.to_owned()));
        let (scheme, partition, service) = (next()?, next()?, next()?);
        let (region, account, resource) = (next()?, next()?, next()?);
        if scheme != "arn" || service.is_empty() || resource.is_empty() {
            return Err(ArnError::Parts(text.to_owned()));
        }
        let partition = Partition::parse(partition)
            .ok_or_else(|| ArnError::Partition { text: text.to_owned(), partition: partition.to_owned() })?;
        // IAM's own managed policies belong to `aws`.
        if !(account.is_empty() || account == "aws" || is_account(account)) {
            return Err(ArnError::Account { text: text.to_owned(), account: account.to_owned() });
        }
        let [service, region, account, resource] = [service, region, account, resource].map(str::to_owned);
        Ok(Self { partition, service, region, account, resource })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}
