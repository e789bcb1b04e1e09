//! A role to assume, with its names made from metadata.

use std::time::Duration;

use crate::config::{AssumeRole, session_name};
use crate::event::Origin;

/// A role to assume, with its names made.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResolvedRole {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
    /// The session's name.
    pub session_name: String,
    /// Region of the STS endpoint; none: the connection's.
    pub region: Option<String>,
    /// How long the credentials are to last.
    pub duration: Duration,
    /// Another STS endpoint.
    pub sts_endpoint_url: Option<String>,
}

impl ResolvedRole {
    /// The role of a setting, with its names made; none when the origin lacks a field of theirs.
    #[must_use]
    pub fn of(role: &AssumeRole, origin: &Origin) -> Option<Self> {
        Some(Self {
            arn: role.arn.render(origin)?,
            external_id: role.external_id.clone(),
            session_name: session_name(&role.session_name.render(origin)?),
            region: role.region.clone(),
            duration: role.duration,
            sts_endpoint_url: role.sts_endpoint_url.clone(),
        })
    }
}
