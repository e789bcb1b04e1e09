//! How AWS is reached.

use std::path::PathBuf;
use std::time::Duration;

use super::template::Template;

/// How AWS is reached: where, as whom, and through what.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The region; none: the environment's or the profile's.
    pub region: Option<Template>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// Roles to assume, in order: each with the credentials of the one before.
    pub assume_role: Vec<AssumeRole>,
    /// Another endpoint than the region's.
    pub endpoint_url: Option<String>,
    /// A PEM file of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Use FIPS endpoints.
    pub use_fips: bool,
    /// Use dual-stack endpoints.
    pub use_dual_stack: bool,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one request's answer.
    pub request_timeout: Duration,
}

/// One role to assume.
#[derive(Clone, Debug)]
pub struct AssumeRole {
    /// The role's ARN; may hold `{owner}` and the like.
    pub arn: Template,
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The session's name in the other account's `CloudTrail`; may hold `{host}` and the like.
    pub session_name: Template,
    /// STS region; none: the connection's.
    pub region: Option<String>,
    /// How long the credentials are to last.
    pub duration: Duration,
    /// Another STS endpoint than the region's.
    pub sts_endpoint_url: Option<String>,
}
