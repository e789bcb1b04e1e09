//! Amazon Resource Names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, and the types of resources that logs pass through.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>, and for each service its page below
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/>.

mod partition;

use std::fmt;
use std::str::FromStr;

pub use self::partition::Partition;

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
    #[error("`{text}` is of the partition `{partition}`: expected one of {}", Partition::names())]
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
    /// The region's partition; a topology with a region of none is refused when it is read.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of_region(&self.region).unwrap_or_default()
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

    /// A consumer of a stream of Kinesis; `registered` is when it was, or a pattern of it.
    #[must_use]
    pub fn stream_consumer(&self, stream: &str, name: &str, registered: &str) -> Arn {
        self.regional("kinesis", format!("stream/{stream}/consumer/{name}:{registered}"))
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

    /// A managed policy of the account's own, at the path `/`.
    #[must_use]
    pub fn managed_policy(&self, name: &str) -> Arn {
        self.global("iam", format!("policy/{name}"))
    }

    /// All that `CloudWatch` Logs does for the account in the region.
    #[must_use]
    pub fn all_logs(&self) -> Arn {
        self.regional("logs", "*".to_owned())
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

impl Arn {
    /// What it names.
    #[must_use]
    pub fn resource_type(&self) -> ResourceType<'_> {
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
    of: impl Fn(&'a str) -> ResourceType<'a>,
) -> Option<ResourceType<'a>> {
    resource.strip_prefix(before).filter(|name| !name.is_empty()).map(of)
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

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &ResourceType<'_>) {
        let arn: Arn = text.parse().unwrap();
        assert_eq!(arn.resource_type(), *expected, "{text}");
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn an_arn_names_what_it_names() {
        check(
            "arn:aws:logs:us-east-1:111111111111:log-group:/aws/lambda/f",
            &ResourceType::LogGroup { name: "/aws/lambda/f", streams: false },
        );
        check(
            "arn:aws:logs:us-east-1:111111111111:log-group:g:*",
            &ResourceType::LogGroup { name: "g", streams: true },
        );
        check(
            "arn:aws:logs:us-east-1:111111111111:log-group:g:log-stream:2026/11/22/[$LATEST]a",
            &ResourceType::LogStream { group: "g", name: "2026/11/22/[$LATEST]a" },
        );
        check("arn:aws:logs:us-east-1:222222222222:destination:d", &ResourceType::Destination("d"));
        check(
            "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs",
            &ResourceType::DeliveryStream("logs"),
        );
        check("arn:aws-cn:kinesis:cn-north-1:222222222222:stream/cwl", &ResourceType::Stream("cwl"));
        check(
            "arn:aws:kinesis:us-east-1:222222222222:stream/cwl/consumer/c:1",
            &ResourceType::Consumer { stream: "cwl", name: "c:1" },
        );
        check("arn:aws:iam::222222222222:role/writer", &ResourceType::Role { path: "/", name: "writer" });
        check(
            "arn:aws-us-gov:iam::222222222222:role/service-role/a/writer",
            &ResourceType::Role { path: "/service-role/a/", name: "writer" },
        );
        check("arn:aws:iam::222222222222:user/carlos", &ResourceType::User { path: "/", name: "carlos" });
        check("arn:aws:iam::222222222222:root", &ResourceType::Account);
        check(
            "arn:aws:sts::222222222222:assumed-role/writer/s",
            &ResourceType::Session { role: "writer", name: "s" },
        );
        check("arn:aws:sts::222222222222:federated-user/u", &ResourceType::FederatedUser("u"));
        check("arn:aws:s3:::org-logs", &ResourceType::Bucket("org-logs"));
        check("arn:aws:s3:::org-logs/a:b/c", &ResourceType::Object { bucket: "org-logs", key: "a:b/c" });
        check("arn:aws:kms:us-east-1:222222222222:key/k", &ResourceType::Key("k"));
        check("arn:aws:kms:us-east-1:222222222222:alias/a", &ResourceType::KeyAlias("alias/a"));
        check("arn:aws:sqs:us-east-1:222222222222:trail", &ResourceType::Queue("trail"));
        check(
            "arn:aws:dynamodb:us-east-1:222222222222:table/standpipe-cwl",
            &ResourceType::Table("standpipe-cwl"),
        );
        check("arn:aws:iam::aws:policy/AdministratorAccess", &ResourceType::Other);
        check("arn:aws:lambda:us-east-1:222222222222:function:f", &ResourceType::Other);
    }

    #[test]
    fn what_is_made_of_a_place_is_what_is_parsed() {
        let place =
            |region: &str| AccountRegion { region: region.to_owned(), account: "222222222222".to_owned() };
        let (here, china) = (place("us-east-1"), place("cn-north-1"));
        for arn in [
            here.log_group("g", true),
            here.log_stream("g", "*"),
            here.destination("d"),
            here.delivery_stream("s"),
            here.stream("s"),
            here.key("k"),
            here.queue("q"),
            here.table("t"),
            here.role("r"),
            here.root(),
            here.bucket("b"),
            here.object("b", "k/*"),
            china.object("b", "k"),
        ] {
            assert_eq!(arn.to_string().parse(), Ok(arn));
        }
        assert_eq!(china.bucket("b").to_string(), "arn:aws-cn:s3:::b");
        assert_eq!(here.role("r").to_string(), "arn:aws:iam::222222222222:role/r");
        assert_eq!(Partition::of_region("us-gov-west-1"), Some(Partition::AwsUsGov));
        assert_eq!(Partition::AwsCn.dns_suffix(), "amazonaws.com.cn");
    }

    #[test]
    fn what_is_no_arn_is_said() {
        let error = |text: &str| text.parse::<Arn>().unwrap_err().to_string();
        assert_eq!(
            error("logs"),
            "`logs` is not an ARN: expected `arn:partition:service:region:account:resource`"
        );
        assert_eq!(
            error("arn:aws:s3:::"),
            "`arn:aws:s3:::` is not an ARN: expected `arn:partition:service:region:account:resource`"
        );
        assert_eq!(
            error("arn:aws-moon:s3:::b"),
            "`arn:aws-moon:s3:::b` is of the partition `aws-moon`: expected one of `aws`, `aws-cn`, `aws-eusc`, \
             `aws-iso`, `aws-iso-b`, `aws-iso-e`, `aws-iso-f`, `aws-us-gov`"
        );
        assert_eq!(
            error("arn:aws:iam::1234:root"),
            "`arn:aws:iam::1234:root` has the account `1234`: expected twelve digits"
        );
    }
}
