//! Partitions: families of regions with accounts of their own.

use std::fmt;

/// A family of regions with accounts of its own.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Partition {
    /// The commercial regions.
    #[default]
    Aws,
    /// Beijing and Ningxia.
    AwsCn,
    /// The European Sovereign Cloud.
    AwsEusc,
    /// Top secret regions of the United States.
    AwsIso,
    /// Secret regions of the United States.
    AwsIsoB,
    /// Regions of the United Kingdom's government.
    AwsIsoE,
    /// Regions of the intelligence community of the United States.
    AwsIsoF,
    /// The regions of the government of the United States.
    AwsUsGov,
}

/// What the names of a partition's regions begin with, before a word and a number; the longest first.
///
/// Source: `regionRegex` of the partitions that AWS's own clients know.
const REGIONS: [(&str, Partition); 16] = [
    ("us-isob-", Partition::AwsIsoB),
    ("us-isof-", Partition::AwsIsoF),
    ("eu-isoe-", Partition::AwsIsoE),
    ("us-iso-", Partition::AwsIso),
    ("us-gov-", Partition::AwsUsGov),
    ("eusc-de-", Partition::AwsEusc),
    ("cn-", Partition::AwsCn),
    ("af-", Partition::Aws),
    ("ap-", Partition::Aws),
    ("ca-", Partition::Aws),
    ("eu-", Partition::Aws),
    ("il-", Partition::Aws),
    ("me-", Partition::Aws),
    ("mx-", Partition::Aws),
    ("sa-", Partition::Aws),
    ("us-", Partition::Aws),
];

impl Partition {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::AwsCn,
        Self::AwsEusc,
        Self::AwsIso,
        Self::AwsIsoB,
        Self::AwsIsoE,
        Self::AwsIsoF,
        Self::AwsUsGov,
    ];

    /// The partition that a region belongs to; none for a region whose partition is not known.
    #[must_use]
    pub fn of_region(region: &str) -> Option<Self> {
        let is_rest = |rest: &str| {
            rest.split_once('-').is_some_and(|(word, number)| {
                !word.is_empty()
                    && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && !number.is_empty()
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        let found = REGIONS.iter().find(|(prefix, _)| region.strip_prefix(prefix).is_some_and(is_rest));
        found.map(|(_, partition)| *partition)
    }

    /// As it stands in an ARN.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsEusc => "aws-eusc",
            Self::AwsIso => "aws-iso",
            Self::AwsIsoB => "aws-iso-b",
            Self::AwsIsoE => "aws-iso-e",
            Self::AwsIsoF => "aws-iso-f",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    /// What the names of its endpoints end in.
    #[must_use]
    pub const fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
            Self::AwsEusc => "amazonaws.eu",
            Self::AwsIso => "c2s.ic.gov",
            Self::AwsIsoB => "sc2s.sgov.gov",
            Self::AwsIsoE => "cloud.adc-e.uk",
            Self::AwsIsoF => "csp.hci.ic.gov",
        }
    }

    /// The names of all, for a sentence.
    #[must_use]
    pub fn names() -> String {
        format!("`{}`", Self::ALL.map(Self::as_str).join("`, `"))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partition| partition.as_str() == text)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_of_one_partition_or_of_none_that_is_known() {
        let check = |region: &str, expected: Option<&str>| {
            assert_eq!(Partition::of_region(region).map(Partition::as_str), expected, "{region}");
        };
        check("us-east-1", Some("aws"));
        check("ap-southeast-5", Some("aws"));
        check("mx-central-1", Some("aws"));
        check("cn-northwest-1", Some("aws-cn"));
        check("us-gov-east-1", Some("aws-us-gov"));
        check("eusc-de-east-1", Some("aws-eusc"));
        check("us-iso-west-1", Some("aws-iso"));
        check("us-isob-east-1", Some("aws-iso-b"));
        check("eu-isoe-west-1", Some("aws-iso-e"));
        check("us-isof-south-1", Some("aws-iso-f"));
        check("us-isog-east-1", None);
        check("eusc-fr-west-1", None);
        check("moon-base-1", None);
        check("", None);
    }
}
