//! What names may be: the patterns of AWS's own models.

pub(super) use crate::arn::is_account;

/// What [`is_part`] allows.
pub(super) const PART: &str = "1 to 32 lower-case letters, digits, `_` and `-`, a letter first";

/// What [`is_prefix`] allows.
pub(super) const PREFIX: &str = "1 to 24 letters, digits and `-`, a letter first";

/// The name of an account or key in the topology: also part of a file's name, and of a Terraform module's.
pub(super) fn is_part(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(plain)
}

/// What names of roles begin with: a role's name has at most 64 characters.
pub(super) fn is_prefix(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=24).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(plain)
}

/// Such as `us-gov-west-1`.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, words)) => {
            words.len() >= 2
                && words.iter().all(word)
                && number.len() == 1
                && number.chars().all(|c| c.is_ascii_digit())
        }
        None => false,
    }
}

/// `o-` and 10 to 32 characters. Source: `OrganizationId` of the Organizations API.
pub(super) fn is_organization(text: &str) -> bool {
    let id = text.strip_prefix("o-").unwrap_or_default();
    (10..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
pub(super) fn is_bucket(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.chars().all(|c| plain(c) || c == '.' || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain)
        && !text.contains("..")
}

/// The start of an object's key. What policies read as a wildcard or a variable is left out.
pub(super) fn is_object_prefix(text: &str) -> bool {
    text.len() <= 512
        && !text.starts_with('/')
        && text.chars().all(|c| c.is_ascii_graphic() && !"*?$\"\\!".contains(c))
}

/// A stream's name, of Firehose (at most 64 characters) or Kinesis (128).
pub(super) fn is_stream(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A log group's name, of which a policy reads no part as a wildcard.
pub(super) fn is_log_group(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/#".contains(c))
}

/// A destination's name, or a filter's: AWS forbids `:` and `*`, and more of it would be no name.
pub(super) fn is_destination(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/#".contains(c))
}

/// A role's or policy's name.
pub(super) fn is_role(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c))
}

/// A role's name, with its path before it if it has one.
pub(super) fn is_role_path(text: &str) -> bool {
    let (path, name) = text.rsplit_once('/').unwrap_or(("", text));
    is_role(name) && path.len() <= 510 && path.split('/').all(|part| path.is_empty() || is_role(part))
}

/// A queue's name; S3 tells no queue of the kind `.fifo`.
pub(super) fn is_queue(text: &str) -> bool {
    (1..=80).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// A table's name.
pub(super) fn is_table(text: &str) -> bool {
    (3..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A consumer of a Kinesis stream.
pub(super) fn is_consumer(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Source: `ExternalId` of STS's `AssumeRole`.
pub(super) fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

/// A service that delivers logs, such as `states` or `vpc`.
pub(super) fn is_service(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
}

/// The value of a tag: what the AWS CLI takes without quotes around it, and every service allows.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/+@-".contains(c))
}

/// The periods that `CloudWatch` Logs knows, in days.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>.
pub(super) const RETENTIONS: [(&str, u32); 22] = [
    ("1", 1),
    ("3", 3),
    ("5", 5),
    ("7", 7),
    ("14", 14),
    ("30", 30),
    ("60", 60),
    ("90", 90),
    ("120", 120),
    ("150", 150),
    ("180", 180),
    ("365", 365),
    ("400", 400),
    ("545", 545),
    ("731", 731),
    ("1096", 1096),
    ("1827", 1827),
    ("2192", 2192),
    ("2557", 2557),
    ("2922", 2922),
    ("3288", 3288),
    ("3653", 3653),
];
