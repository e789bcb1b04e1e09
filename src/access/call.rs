//! One call to AWS as plain values: made from here, printed as a command of the AWS CLI, or played on a model, it is the same.

use std::fmt;

use serde_json::Value;

use crate::config::topology::Account;

/// An operation of a service, with its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// The operation by its API's name, such as `PutDestinationPolicy`.
    pub operation: &'static str,
    /// Its input by the API's names; documents within are strings, as the API has them.
    pub input: Value,
}

/// A service of AWS.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Service {
    /// `CloudWatch` metrics.
    CloudWatch,
    /// `DynamoDB`.
    DynamoDb,
    /// Amazon Data Firehose.
    Firehose,
    /// Identity and Access Management, the same in all regions of a partition.
    Iam,
    /// Kinesis Data Streams.
    Kinesis,
    /// The Key Management Service.
    Kms,
    /// `CloudWatch` Logs.
    Logs,
    /// S3.
    S3,
    /// The Simple Queue Service.
    Sqs,
    /// The Security Token Service.
    Sts,
}

impl Service {
    /// Its name in the AWS CLI.
    pub const fn cli(self) -> &'static str {
        match self {
            Self::CloudWatch => "cloudwatch",
            Self::DynamoDb => "dynamodb",
            Self::Firehose => "firehose",
            Self::Iam => "iam",
            Self::Kinesis => "kinesis",
            Self::Kms => "kms",
            Self::Logs => "logs",
            Self::S3 => "s3api",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
        }
    }
}

impl Call {
    /// A call.
    pub const fn new(service: Service, operation: &'static str, input: Value) -> Self {
        Self { service, operation, input }
    }

    /// The same as a command for the account's owner, on one line.
    #[must_use]
    pub fn command(&self, account: &Account) -> String {
        let operation = kebab(self.operation);
        let profile = account.profile.as_ref().map(|profile| format!(" --profile {}", word(profile)));
        format!(
            "aws {} {operation} --region {}{} --cli-input-json {}",
            self.service.cli(),
            account.place.region,
            profile.unwrap_or_default(),
            word(&self.input.to_string())
        )
    }

    /// The permission that the call needs, such as `logs:PutDestinationPolicy`.
    #[must_use]
    pub fn action(&self) -> String {
        let service = if self.service == Service::S3 { "s3" } else { self.service.cli() };
        format!("{service}:{}", self.operation)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action())
    }
}

/// `PutRolePolicy` as `put-role-policy`.
fn kebab(operation: &str) -> String {
    let mut kebab = String::with_capacity(operation.len() + 4);
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// A word of the shell in which nothing is replaced.
pub(in crate::access) fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::policy::Place;

    #[test]
    fn a_call_is_a_command_of_the_cli() {
        let check = |service, operation, input, command: &str| {
            let account = Account {
                name: "app".to_owned(),
                place: Place { region: "us-east-1".to_owned(), account: "111111111111".to_owned() },
                profile: Some("app".to_owned()),
                owner: None,
            };
            assert_eq!(Call::new(service, operation, input).command(&account), command);
        };
        check(
            Service::Logs,
            "DeleteDestination",
            json!({"destinationName": "it's"}),
            r#"aws logs delete-destination --region us-east-1 --profile app --cli-input-json '{"destinationName":"it'\''s"}'"#,
        );
        check(
            Service::S3,
            "PutBucketPolicy",
            json!({"Bucket": "b"}),
            r#"aws s3api put-bucket-policy --region us-east-1 --profile app --cli-input-json '{"Bucket":"b"}'"#,
        );
    }
}
