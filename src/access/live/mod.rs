//! What is there: each resource of a plan as a few named aspects, as it should be and as it was seen.
//!
//! Aspects are plain JSON, so that one comparison, one difference and one fix serve all kinds of resources.

mod prerequisite;
mod clients;
mod desired;
mod fix;
mod read;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::clients::AccountClients;
pub use self::desired::desired;
pub use self::fix::{CallPlanner, NOTIFICATION_ID};
pub use self::prerequisite::{Prerequisite, prerequisites};
pub use self::read::{MatchingGroups, held_buckets, matching, read, read_one};

/// The aspects of a resource by their names; documents of policies are objects, not strings.
///
/// What was seen holds all of what [`desired()`] wants, as far as it is there, and may hold more: what [`extra`] names.
pub type ResourceState = BTreeMap<&'static str, Value>;

/// The names of aspects that are seen and never wanted: what an explanation needs beside.
pub mod extra {
    /// The resource's ARN; of a key, the key's and not the alias's.
    pub const ARN: &str = "arn";
    /// The tags, as an object; absent where they could not be read.
    pub const TAGS: &str = "tags";
    /// All other policies that bear on the same thing, as an object of names and documents: of a role, its other inline
    /// policies by their names and its attached ones by their ARNs; of `CloudWatch` Logs, the account's other resource policies.
    pub const OTHERS: &str = "others";
    /// The role's permissions boundary, as a document.
    pub const BOUNDARY: &str = "boundary";
    /// The ARN of the policy that is the role's permissions boundary.
    pub const BOUNDARY_ARN: &str = "boundaryArn";
    /// Why aspects could not be seen that others were seen without, as an object of their names and reasons.
    pub const UNSEEN: &str = "unseen";
    /// What encrypts the objects that a Firehose stream writes, as it asks for it itself: the ARN of a key, or null where it leaves that
    /// to the bucket.
    pub const S3_KEY: &str = "s3Key";
    /// All subscription filters of a log group, as an object of their names and of where they lead to.
    pub const FILTERS: &str = "filters";
    /// A Firehose stream's source, such as `DirectPut`.
    pub const SOURCE: &str = "source";
    /// Whether a Firehose stream decompresses what `CloudWatch` Logs sends.
    pub const DECOMPRESSES: &str = "decompresses";
    /// All that a bucket tells of its objects, as `GetBucketNotificationConfiguration` answers: it is put back with one entry
    /// changed.
    pub const NOTIFICATIONS: &str = "notifications";
    /// What `CloudWatch` counted within the last hour, as an object of numbers by the names of their metrics; of a log group, one
    /// such object for each of its filters, and one without a name for the group itself.
    pub const COUNTS: &str = "counts";
    /// The ids of those versions of a managed policy that are not in force, the newest first.
    pub const VERSIONS: &str = "versions";
}

/// What was seen of a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// It is there.
    Found(ResourceState),
    /// It is not there.
    Absent,
    /// It could not be seen, and why.
    Unseen(String),
}

/// Whether an account could be looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccountAccess {
    /// By whom: an ARN as STS gives it.
    As(String),
    /// Not, and why.
    Denied(String),
}

/// What was seen of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedState {
    /// The accounts by their names in the topology.
    pub accounts: BTreeMap<String, AccountAccess>,
    /// The resources by the names of their accounts and their ids in the plan, and what is [`prerequisites()`] them.
    ///
    /// A policy of a role that exists is found whenever the role is, without `permissions` if the policy is not there.
    pub resources: BTreeMap<(String, String), Observation>,
}

impl ObservedState {
    /// What was seen of one resource.
    #[must_use]
    pub fn look(&self, account: &str, id: &str) -> Option<&Observation> {
        self.resources.get(&(account.to_owned(), id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::access::plan::plan;
    use crate::config::topology;

    #[test]
    fn every_document_of_a_plan_is_an_aspect_that_is_wanted() {
        for name in ["basic", "moto", "organization", "three-accounts", "trail", "pull"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/access/{name}.toml"));
            let plan = plan(&topology::load(&path, &BTreeMap::new()).unwrap()).unwrap();
            for resource in plan.stages.iter().flat_map(|stage| &stage.resources) {
                let state = desired(resource);
                assert!(!state.is_empty(), "{}", resource.title());
                for attached in resource.documents() {
                    let json: Value = serde_json::from_str(&attached.document.to_json()).unwrap();
                    let is_there = state.get(attached.part.as_str()).is_some_and(|found| *found == json);
                    assert!(is_there || attached.document.statements.is_empty(), "{}", resource.title());
                }
            }
        }
    }
}
