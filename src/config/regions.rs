//! Regions by name.
//!
//! Source: <https://docs.aws.amazon.com/general/latest/gr/firehose.html>. A region that is newer is not wrong: it is only warned of.

use super::problem::nearest;

const REGIONS: [&str; 38] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// What is to be said of a region that is not known.
pub(super) fn unknown(region: &str) -> Option<String> {
    if REGIONS.contains(&region) {
        return None;
    }
    Some(match nearest(region, REGIONS) {
        Some(near) => format!("`{region}` is no region that standpipe knows; did you mean `{near}`?"),
        None => format!("`{region}` is no region that standpipe knows; if it is new, that is no mistake"),
    })
}
