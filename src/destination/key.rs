//! What tells the destinations of a sink apart, and how it is made from an event's origin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::arn::Arn;
use crate::aws::{FirehoseClients, ResolvedRole};
use crate::config::{DirectorySink, FirehoseSink, Template, stream_name};
use crate::event::Origin;
use crate::metrics::DestinationLabels;

/// What tells destinations apart.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct DestinationKey {
    /// The stream's name.
    pub(crate) stream: String,
    /// Its region; none: the SDK's default.
    pub(crate) region: Option<String>,
    /// The roles that are assumed on the way to it, in order.
    pub(crate) roles: Vec<ResolvedRole>,
}

/// What the destinations of a sink are.
#[derive(Clone, Debug)]
pub(crate) enum DestinationKind {
    /// Firehose streams.
    Firehose(FirehoseClients, Box<FirehoseSink>),
    /// Folders.
    Directory(DirectorySink),
}

/// Where disk buffers are, below the state directory: `spool/SINK/DESTINATION`.
const SPOOL: &str = "spool";

/// Where the disk buffers of all sinks are.
pub(crate) fn spool_dir(state: &Path) -> PathBuf {
    state.join(SPOOL)
}

impl DestinationKey {
    /// The name of the destination's directory: its stream, for people, and a hash of all that tells it apart.
    pub(crate) fn dir_name(&self) -> String {
        let hash = digest(&SHA256, self.identity().as_bytes());
        let short = hash.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
        format!("{}-{short:016x}", self.stream)
    }

    /// What tells its series apart from those of others.
    pub(crate) fn labels(&self, sink: &str) -> DestinationLabels {
        DestinationLabels {
            sink: sink.to_owned(),
            account: self.account().unwrap_or_default(),
            region: self.region.clone().unwrap_or_default(),
            stream: self.stream.clone(),
        }
    }

    /// The account of the last role; none: that of the credentials, which nobody asked for.
    pub(crate) fn account(&self) -> Option<String> {
        self.roles.last()?.arn.parse::<Arn>().ok().map(|arn| arn.account)
    }

    /// A text that differs wherever keys do. Names of directories depend on it: it must stay as it is from version to version.
    fn identity(&self) -> String {
        let Self { stream, region, roles } = self;
        let roles: Vec<String> = roles.iter().map(role_identity).collect();
        format!("Key {{ stream: {stream:?}, region: {region:?}, roles: [{}] }}", roles.join(", "))
    }
}

fn role_identity(role: &ResolvedRole) -> String {
    let ResolvedRole { arn, external_id, session_name, region, duration, sts_endpoint_url } = role;
    let of_session = format!("external_id: {external_id:?}, session_name: {session_name:?}");
    let of_call =
        format!("region: {region:?}, duration: {duration:?}, sts_endpoint_url: {sts_endpoint_url:?}");
    format!("Role {{ arn: {arn:?}, {of_session}, {of_call} }}")
}

impl DestinationKind {
    /// The key for events of this origin; none when the origin lacks a field.
    pub(crate) fn key(&self, origin: &Origin) -> Option<DestinationKey> {
        match self {
            Self::Directory(directory) => {
                let stream = stream_name(&directory.stream.render(origin)?);
                Some(DestinationKey { stream, region: None, roles: Vec::new() })
            }
            Self::Firehose(_, sink) => {
                let roles = sink.aws.assume_role.iter().map(|role| ResolvedRole::of(role, origin));
                Some(DestinationKey {
                    stream: stream_name(&sink.stream.render(origin)?),
                    region: match &sink.aws.region {
                        Some(region) => Some(region.render(origin)?),
                        None => None,
                    },
                    roles: roles.collect::<Option<_>>()?,
                })
            }
        }
    }

    /// The names of the fields that keys are made from.
    pub(crate) fn fields(&self) -> Arc<[Box<str>]> {
        let of = |template: &Template| -> Vec<Box<str>> {
            template.fields().map(|field| field.to_string().into_boxed_str()).collect()
        };
        let names: BTreeSet<Box<str>> = match self {
            Self::Directory(directory) => of(&directory.stream).into_iter().collect(),
            Self::Firehose(_, sink) => {
                let of_aws = sink.aws.fields().map(|field| field.to_string().into_boxed_str());
                of(&sink.stream).into_iter().chain(of_aws).collect()
            }
        };
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_destination_keeps_its_directory_from_version_to_version() {
        let mut key = DestinationKey {
            stream: "logs".to_owned(),
            region: Some("us-east-1".to_owned()),
            roles: Vec::new(),
        };
        assert_eq!(key.dir_name(), "logs-64952a2522b1e858");
        key.roles.push(ResolvedRole {
            arn: "arn:aws:iam::222222222222:role/writer".to_owned(),
            external_id: Some("example".to_owned()),
            session_name: "standpipe-web".to_owned(),
            region: None,
            duration: Duration::from_hours(1),
            sts_endpoint_url: None,
        });
        assert_eq!(key.dir_name(), "logs-a75f1588ed8c85d2");
    }
}
