//! AWS's limits on the length of policies.

use super::resource::{AccessPlan, DocumentPurpose, PlannedResource, ResourceKind};
use crate::access::policy::document::PolicyDocument;

/// Most characters of a resource policy of `CloudWatch` Logs, and of a destination's.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html>.
pub(super) const MAX_LOGS_POLICY: usize = 5_120;

/// Most characters of a role's trust policy, blanks not counted, unless AWS raised it for the account.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const MAX_TRUST: usize = 2_048;

/// Most characters of a role's own policies together. Source: as above.
const MAX_ROLE: usize = 10_240;

/// Most characters of a managed policy. Source: as above.
const MAX_MANAGED: usize = 6_144;

/// Most bytes of a bucket's policy.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html>.
const MAX_BUCKET: usize = 20 * 1_024;

/// Most bytes of a key's policy. Source: <https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>.
const MAX_KEY: usize = 32 * 1_024;

/// Most bytes of what an account-wide filter leaves out.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutAccountPolicy.html>.
const MAX_SELECTION: usize = 25 * 1_024;

/// Why a topology cannot be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A policy would be too long.
    #[error(
        "the {part} of {title} would have {len} characters, and may have {most}; name fewer, or let an `[organization]` send instead of single accounts"
    )]
    TooLong {
        /// What it belongs to.
        title: String,
        /// Which of its documents.
        part: &'static str,
        /// Its length.
        len: usize,
        /// AWS's limit.
        most: usize,
    },
    /// Vended log groups do not fit in the resource policies of a region.
    #[error(
        "the {n_groups} vended log groups of account `{account}` do not fit in 5 resource policies of 5,120 characters; name them alike, such as `/aws/vendedlogs/states/orders`, so that one prefix covers many"
    )]
    Vended {
        /// The account.
        account: String,
        /// How many there are.
        n_groups: usize,
    },
    /// An account-wide filter leaves out too much.
    #[error("what {title} leaves out would have {len} bytes, and may have {most}; exclude fewer log groups")]
    Selection {
        /// The filter.
        title: String,
        /// Its length.
        len: usize,
        /// AWS's limit.
        most: usize,
    },
}

/// Compares every document with the limit of its kind.
pub(super) fn check(plan: &AccessPlan) -> Result<(), PlanError> {
    for resource in plan.stages.iter().flat_map(|stage| &stage.resources) {
        for attached in resource.documents() {
            let most = limit(&resource.kind, attached.part);
            within(resource, attached.part.as_str(), attached.document, most)?;
        }
        if let ResourceKind::AccountFilter { exclude, .. } = &resource.kind {
            let len = selection(exclude).len();
            if len > MAX_SELECTION {
                return Err(PlanError::Selection { title: resource.title(), len, most: MAX_SELECTION });
            }
        }
    }
    Ok(())
}

/// What an account-wide filter leaves out, as AWS wants it.
pub(crate) fn selection(exclude: &[String]) -> String {
    let names: Vec<String> = exclude.iter().map(|name| format!("\"{name}\"")).collect();
    if names.is_empty() { String::new() } else { format!("LogGroupName NOT IN [{}]", names.join(", ")) }
}

/// Most characters of a document of such a resource.
pub(crate) fn limit(kind: &ResourceKind, part: DocumentPurpose) -> usize {
    match (kind, part) {
        (ResourceKind::Role { .. }, DocumentPurpose::Trust) => MAX_TRUST,
        (ResourceKind::Role { .. } | ResourceKind::RolePolicy { .. }, _) => MAX_ROLE,
        (ResourceKind::ManagedPolicy { .. }, _) => MAX_MANAGED,
        (ResourceKind::Bucket { .. }, _) => MAX_BUCKET,
        (ResourceKind::Key { .. }, _) => MAX_KEY,
        (ResourceKind::Destination { .. } | ResourceKind::LogsPolicy { .. }, _) => MAX_LOGS_POLICY,
        _ => usize::MAX,
    }
}

fn within(
    resource: &PlannedResource,
    part: &'static str,
    document: &PolicyDocument,
    most: usize,
) -> Result<(), PlanError> {
    let len = document.to_json().len();
    if len <= most {
        return Ok(());
    }
    Err(PlanError::TooLong { title: resource.title(), part, len, most })
}
