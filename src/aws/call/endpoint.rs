//! Where a service listens, and for which region and name a request is signed.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use super::api_call::AwsService;
use super::unsigned::UnsignedRequest;
use crate::arn::Partition;

/// Where a request goes, and what its signature is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServiceEndpoint {
    /// Scheme and host, and a path if there is one, without a slash at the end.
    pub(super) url: String,
    /// Of the signature.
    pub(super) region: String,
    /// Of the signature.
    pub(super) name: &'static str,
    /// Whether the URL was set by someone: then a bucket stays in the path.
    pub(super) is_set: bool,
}

/// What S3 is called in a signature.
pub(super) const S3: &str = "s3";

/// Names of a service: in the environment and the profile, in a host's name, in a signature.
///
/// Source: the services' models (`serviceId`, `endpointPrefix`, `signingName`).
const fn names(service: AwsService) -> (&'static str, &'static str, &'static str) {
    match service {
        AwsService::CloudWatch => ("CloudWatch", "monitoring", "monitoring"),
        AwsService::DynamoDb => ("DynamoDB", "dynamodb", "dynamodb"),
        AwsService::Firehose => ("Firehose", "firehose", "firehose"),
        AwsService::Iam => ("IAM", "iam", "iam"),
        AwsService::Kinesis => ("Kinesis", "kinesis", "kinesis"),
        AwsService::Kms => ("KMS", "kms", "kms"),
        AwsService::Logs => ("CloudWatch Logs", "logs", "logs"),
        AwsService::S3 => ("S3", "s3", S3),
        AwsService::Sqs => ("SQS", "sqs", "sqs"),
        AwsService::Sts => ("STS", "sts", "sts"),
    }
}

/// The endpoint of a service in a region: what the environment or the profile sets for it or for all, else AWS's.
pub(super) fn endpoint(service: AwsService, region: &str, config: &SdkConfig) -> ServiceEndpoint {
    let (id, prefix, name) = names(service);
    let (host, signed) = host(service, prefix, region, config.use_fips() == Some(true));
    let set = configured(id, config);
    ServiceEndpoint {
        is_set: set.is_some(),
        url: set.map_or_else(|| format!("https://{host}"), |url| url.trim_end_matches('/').to_owned()),
        region: signed,
        name,
    }
}

/// Set in code, then for the service, then for all: the order of AWS's own clients.
fn configured(id: &str, config: &SdkConfig) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// AWS's host, and the region to sign for. IAM has one host a partition.
///
/// Source: the endpoint rules of the services' models.
fn host(service: AwsService, prefix: &str, region: &str, fips: bool) -> (String, String) {
    let partition = Partition::of_region(region).unwrap_or_default();
    // Those of the government's regions are validated by their plain names.
    let fips = if fips && partition == Partition::Aws { "-fips" } else { "" };
    if service == AwsService::Iam {
        let in_region = |region: &'static str| (format!("iam.{region}.{}", partition.dns_suffix()), region);
        let (host, region) = match partition {
            Partition::Aws => (format!("iam{fips}.amazonaws.com"), "us-east-1"),
            Partition::AwsCn => ("iam.cn-north-1.amazonaws.com.cn".to_owned(), "cn-north-1"),
            Partition::AwsUsGov => ("iam.us-gov.amazonaws.com".to_owned(), "us-gov-west-1"),
            Partition::AwsEusc => in_region("eusc-de-east-1"),
            Partition::AwsIso => in_region("us-iso-east-1"),
            Partition::AwsIsoB => in_region("us-isob-east-1"),
            Partition::AwsIsoE => in_region("eu-isoe-west-1"),
            Partition::AwsIsoF => in_region("us-isof-south-1"),
        };
        return (host, region.to_owned());
    }
    (format!("{prefix}{fips}.{region}.{}", partition.dns_suffix()), region.to_owned())
}

impl ServiceEndpoint {
    /// The address of a request. A bucket is part of the host's name, as S3 wants it, unless the host was set or would then have a
    /// name that AWS's certificate does not cover.
    /// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>.
    pub(super) fn address(&self, wire: &UnsignedRequest) -> String {
        let (bucket, key) = wire.bucket_and_key();
        let in_host = self.name == S3 && !self.is_set && !bucket.contains(['.', '%']);
        let (url, path) = match self.url.split_once("://") {
            Some((scheme, host)) if in_host => (format!("{scheme}://{bucket}.{host}"), format!("/{key}")),
            _ => (self.url.clone(), wire.path.clone()),
        };
        let mark = if wire.query.is_empty() { "" } else { "?" };
        format!("{url}{path}{mark}{}", wire.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_hosts() {
        let check = |service, region, fips, host: &str, signed: &str| {
            let config = SdkConfig::builder().use_fips(fips).build();
            let found = endpoint(service, region, &config);
            assert_eq!((found.url.as_str(), found.region.as_str()), (host, signed));
        };
        check(AwsService::Logs, "us-east-1", false, "https://logs.us-east-1.amazonaws.com", "us-east-1");
        check(
            AwsService::Logs,
            "cn-north-1",
            false,
            "https://logs.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        );
        check(AwsService::Kms, "eu-west-1", true, "https://kms-fips.eu-west-1.amazonaws.com", "eu-west-1");
        check(
            AwsService::CloudWatch,
            "us-gov-east-1",
            true,
            "https://monitoring.us-gov-east-1.amazonaws.com",
            "us-gov-east-1",
        );
        check(AwsService::Iam, "ap-northeast-1", false, "https://iam.amazonaws.com", "us-east-1");
        check(
            AwsService::Iam,
            "cn-northwest-1",
            false,
            "https://iam.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        );
        check(AwsService::Iam, "us-gov-east-1", false, "https://iam.us-gov.amazonaws.com", "us-gov-west-1");
        check(
            AwsService::Iam,
            "eusc-de-east-1",
            false,
            "https://iam.eusc-de-east-1.amazonaws.eu",
            "eusc-de-east-1",
        );
        check(
            AwsService::Kms,
            "us-isob-east-1",
            false,
            "https://kms.us-isob-east-1.sc2s.sgov.gov",
            "us-isob-east-1",
        );
    }

    #[test]
    fn what_is_set_comes_first() {
        let config = SdkConfig::builder().endpoint_url("http://127.0.0.1:5555/").build();
        let found = endpoint(AwsService::S3, "us-east-1", &config);
        assert_eq!((found.url.as_str(), found.is_set), ("http://127.0.0.1:5555", true));
    }

    #[test]
    fn a_bucket_stands_in_the_host_where_it_can() {
        let wire = |bucket: &str, query: &str| UnsignedRequest {
            method: "GET",
            path: format!("/{bucket}"),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let own = SdkConfig::builder().build();
        let set = SdkConfig::builder().endpoint_url("http://127.0.0.1:1").build();
        let check = |config: &SdkConfig, wire: &UnsignedRequest, expected: &str| {
            assert_eq!(endpoint(AwsService::S3, "us-east-1", config).address(wire), expected);
        };
        check(&own, &wire("b", "policy"), "https://b.s3.us-east-1.amazonaws.com/?policy");
        check(&own, &wire("b.c", "policy"), "https://s3.us-east-1.amazonaws.com/b.c?policy");
        check(&set, &wire("b", ""), "http://127.0.0.1:1/b");
        check(&own, &wire("b/a.b/c%20d", ""), "https://b.s3.us-east-1.amazonaws.com/a.b/c%20d");
        check(&own, &wire("b//a", ""), "https://b.s3.us-east-1.amazonaws.com//a");
        check(&own, &wire("b.c/d", ""), "https://s3.us-east-1.amazonaws.com/b.c/d");
        check(&set, &wire("b/d/e", ""), "http://127.0.0.1:1/b/d/e");
    }
}
